//! The whole server under load, and a bare hyper server in the same run: CPU time per request as a
//! multiple of hello-world, durable writes per CPU second, time to the first answer, memory.
//!
//! ```text
//! cargo bench --package ringfence --bench whole_process [-- --principals 100000]
//! cargo bench --package ringfence --bench whole_process -- --kms [Encrypt] [--rounds 7]
//! cargo bench --package ringfence --bench whole_process -- --accounts 200
//! tests/e2e/with_postgres.py cargo bench --package ringfence --bench whole_process -- --stores
//! ```
//!
//! `RINGFENCE_BIN` names another build's binary to measure.
//!
//! CPU time is what the kernel charged to the server's process; the clients are another process, so
//! that their cost is not in it. `docs/performance.md` says how to read what is printed.

#![expect(clippy::expect_used, reason = "a bench has nobody to report to")]

mod client;
mod hello;
mod kms;
mod many;
mod process;
#[expect(dead_code, reason = "another bench signs by it too")]
mod signer;
mod stores;

use client::replay;
use process::{Server, cpu_time};
use signer::Signer;
use std::time::Duration;

/// Connections, each with one request under way.
const CLIENTS: usize = 64;
/// Requests of one measurement of a read.
const READS: usize = 40_000;
/// Measurements of each read, hello-world's beside each, unless `--rounds` asks for fewer.
const ROUNDS: usize = 7;
/// Requests of one measurement of a write.
const WRITES: usize = 20_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, port] = &arguments[..]
        && flag == "--hello"
    {
        return hello::serve(port.parse().expect("a port"));
    }
    let principals = number_after(&arguments, "--principals").unwrap_or(100_000);
    let rounds = number_after(&arguments, "--rounds").unwrap_or(ROUNDS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    if let Some(at) = arguments.iter().position(|argument| argument == "--kms") {
        let only = arguments.get(at + 1).filter(|name| !name.starts_with("--"));
        return runtime.block_on(kms::run(only.map_or("", String::as_str), rounds));
    }
    if arguments.iter().any(|argument| argument == "--stores") {
        return runtime.block_on(stores::run());
    }
    if let Some(accounts) = number_after(&arguments, "--accounts") {
        return runtime.block_on(many::run(accounts));
    }
    runtime.block_on(run(principals, rounds));
}

/// The number that follows an option.
fn number_after(arguments: &[String], option: &str) -> Option<usize> {
    let at = arguments.iter().position(|argument| argument == option)?;
    Some(arguments.get(at + 1)?.parse().expect("a number"))
}

/// What one measurement found.
struct Cost {
    cpu: Duration,
    wall: Duration,
    requests: usize,
}

impl Cost {
    fn micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests as f64
    }
}

/// One row of the table: the medians of its rounds, each beside hello-world's cost in that round.
fn row(what: &str, rounds: &[(Cost, f64)]) {
    let median = |of: &dyn Fn(&(Cost, f64)) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    println!(
        "| {what} | {:.1} | {:.2} | {:.0} | {:.0} |",
        median(&|(cost, _)| cost.micros()),
        median(&|(cost, hello)| cost.micros() / hello),
        median(&|(cost, _)| cost.requests as f64 / cost.cpu.as_secs_f64()),
        median(&|(cost, _)| cost.requests as f64 / cost.wall.as_secs_f64()),
    );
}

/// Sends the requests over all clients and charges the server for them.
async fn measure(server: &Server, requests: Vec<Vec<u8>>) -> Cost {
    measure_by(server, requests, CLIENTS).await
}

async fn measure_by(server: &Server, requests: Vec<Vec<u8>>, clients: usize) -> Cost {
    let count = requests.len();
    let before = cpu_time(server.pid());
    let wall = replay(server.port(), requests, clients).await;
    Cost { cpu: cpu_time(server.pid()) - before, wall, requests: count }
}

/// The same request, over and over: AWS lets a signature be used again within its five minutes.
async fn measure_read(server: &Server, request: &[u8]) -> Cost {
    measure_times(server, request, READS).await
}

async fn measure_times(server: &Server, request: &[u8], times: usize) -> Cost {
    measure(server, vec![request.to_vec(); times]).await
}

fn head() {
    println!("| call, {CLIENTS} clients | CPU µs | × hello | per CPU second | per second |");
    println!("|---|---:|---:|---:|---:|");
}

async fn run(principals: usize, rounds: usize) {
    let hello = Server::hello();
    hello.until_it_answers(hello::REQUEST).await;
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let (server, empty_start) = Server::ringfence(&data).await;
    let root = server.root();
    let idle = server.resident();
    let caller = set_up(&server, &root).await;

    head();
    let mut made = 10;
    create(&server, &root, 0..made).await;
    let mut creations = Vec::new();
    for population in populations(principals) {
        while made < population {
            let until = (made + WRITES).min(population);
            let base = measure_read(&hello, hello::REQUEST).await.micros();
            let cost = create(&server, &root, made..until).await;
            if until - made == WRITES {
                creations.push((cost, base));
            }
            made = until;
        }
        let who = caller.post("sts", "Action=GetCallerIdentity&Version=2011-06-15");
        let get = caller.post("iam", "Action=GetUser&Version=2010-05-08&UserName=user-7");
        let (mut who_rounds, mut get_rounds) = (Vec::new(), Vec::new());
        // The first round warms up.
        for round in 0..=rounds {
            let base = measure_read(&hello, hello::REQUEST).await.micros();
            let costs = (measure_read(&server, &who).await, measure_read(&server, &get).await);
            if round > 0 {
                who_rounds.push((costs.0, base));
                get_rounds.push((costs.1, base));
            }
        }
        row(&format!("GetCallerIdentity, {population} users"), &who_rounds);
        row(&format!("GetUser, {population} users"), &get_rounds);
    }
    row("CreateUser, durable", &creations);
    let hellos = [(measure_read(&hello, hello::REQUEST).await, hello_again(&hello).await)];
    row("hyper hello-world", &hellos);

    let full = server.resident();
    server.stop();
    let (again, full_start) = Server::ringfence(&data).await;
    println!();
    println!("start to first answer, empty: {:.1} ms", empty_start.as_secs_f64() * 1e3);
    println!("start to first answer, {made} users: {:.0} ms", full_start.as_secs_f64() * 1e3);
    println!("resident, idle and empty: {:.1} MB", idle as f64 / 1e6);
    println!("resident after the load, {made} users: {:.1} MB", full as f64 / 1e6);
    let each = |server: &Server, what: &str| {
        let loaded = server.resident();
        println!(
            "resident after a start with {made} users{what}: {:.1} MB, {:.0} B a user",
            loaded as f64 / 1e6,
            loaded.saturating_sub(idle) as f64 / made as f64
        );
    };
    each(&again, "");
    attach(&again, &root, made).await;
    again.stop();
    let (attached, _) = Server::ringfence(&data).await;
    each(&attached, " who have a managed policy attached");
}

/// Attaches one of AWS's managed policies to every user.
async fn attach(server: &Server, root: &Signer, users: usize) -> Cost {
    let requests = (10..users).map(|n| {
        let policy = signer::encode("arn:aws:iam::aws:policy/job-function/ViewOnlyAccess");
        let call = format!("Action=AttachUserPolicy&UserName=user-{n}&PolicyArn={policy}");
        root.post("iam", &format!("{call}&Version=2010-05-08"))
    });
    measure(server, requests.collect()).await
}

async fn hello_again(hello: &Server) -> f64 {
    measure_read(hello, hello::REQUEST).await.micros()
}

fn populations(most: usize) -> Vec<usize> {
    let mut all: Vec<usize> = [10, 1_000, 10_000].into_iter().filter(|n| *n < most).collect();
    all.push(most);
    all
}

/// A user who may read users, by a policy of its own and one of its group.
async fn set_up(server: &Server, root: &Signer) -> Signer {
    let may = |action: &str| {
        let document = format!(
            "{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Action\":\"{action}\",\
             \"Resource\":\"*\",\"Condition\":{{\"IpAddress\":{{\"aws:SourceIp\":\"127.0.0.0/8\"}}}}}}]}}"
        );
        signer::encode(&document)
    };
    let calls = [
        "Action=CreateUser&UserName=caller".to_owned(),
        "Action=CreateGroup&GroupName=readers".to_owned(),
        "Action=AddUserToGroup&GroupName=readers&UserName=caller".to_owned(),
        format!(
            "Action=PutUserPolicy&UserName=caller&PolicyName=own&PolicyDocument={}",
            may("iam:List*")
        ),
        format!(
            "Action=PutGroupPolicy&GroupName=readers&PolicyName=group&PolicyDocument={}",
            may("iam:Get*")
        ),
    ];
    for call in calls {
        let request = root.post("iam", &format!("{call}&Version=2010-05-08"));
        replay(server.port(), vec![request], 1).await;
    }
    let request = root.post("iam", "Action=CreateAccessKey&UserName=caller&Version=2010-05-08");
    let answer = client::once(server.port(), &request).await;
    Signer::new(between(&answer, "AccessKeyId"), between(&answer, "SecretAccessKey"))
}

fn between(answer: &str, element: &str) -> String {
    let (_, rest) = answer.split_once(&format!("<{element}>")).expect("the element");
    rest.split_once("</").expect("its end").0.to_owned()
}

async fn create(server: &Server, root: &Signer, numbers: std::ops::Range<usize>) -> Cost {
    let requests = numbers
        .map(|n| {
            root.post("iam", &format!("Action=CreateUser&UserName=user-{n}&Version=2010-05-08"))
        })
        .collect();
    measure(server, requests).await
}
