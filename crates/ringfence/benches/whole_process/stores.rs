//! What a store costs: durable writes over SQLite and over PostgreSQL, reads on one, two and three servers
//! that share a PostgreSQL, and how long a write on one of them takes until another decides by it.
//!
//! The PostgreSQL is named by `RINGFENCE_TEST_POSTGRES`, and its database must be empty; `with_postgres.py`
//! starts one. Its CPU time is told beside the server's, and everything shares one machine.

use crate::client::{Connection, once};
use crate::process::{Server, cpu_time_of_postgres};
use crate::signer::{Signer, encode};
use crate::{Cost, between, create, measure_by, measure_times, set_up};
use std::time::{Duration, Instant};

/// Clients, and how many writes they make together.
const WRITERS: [(usize, usize); 3] = [(1, 1_000), (64, 20_000), (256, 20_000)];
/// Measurements of each, the median of which is told.
const ROUNDS: usize = 3;
/// Reads of one server in one measurement.
const READS: usize = 20_000;
/// Writes whose way to another server is timed.
const CHANGES: usize = 400;

/// Measures all of it.
pub async fn run() {
    let url = std::env::var("RINGFENCE_TEST_POSTGRES").expect("RINGFENCE_TEST_POSTGRES");
    let port = port_of(&url);
    let dir = tempfile::tempdir().expect("a directory");
    let alone = dir.path().join("alone");
    let (sqlite, _) = Server::ringfence(&alone).await;

    println!(
        "| CreateUser, durable | clients | CPU µs of the server | of the database | per CPU second of the server | per second |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    writes("SQLite", &sqlite, &sqlite.root(), None).await;
    sqlite.stop();

    let mut nodes = vec![node(dir.path(), 1, &url).await];
    let root = nodes[0].root();
    writes("PostgreSQL", &nodes[0], &root, Some(port)).await;

    println!();
    println!("| GetUser, 64 clients a server | CPU µs | per CPU second | per second |");
    println!("|---|---:|---:|---:|");
    let caller = set_up(&nodes[0], &root).await;
    create(&nodes[0], &root, 0..10).await;
    for count in 1..=3 {
        if count > 1 {
            nodes.push(node(dir.path(), count, &url).await);
        }
        reads(&nodes, &caller).await;
    }

    println!();
    println!("| a write on one server decides on another after | median | p99 | longest |");
    println!("|---|---:|---:|---:|");
    let mut took = heard(&nodes[0], &nodes[1], &root).await;
    took.sort();
    let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)];
    println!(
        "| {CHANGES} changes of a policy | {:.1} ms | {:.1} ms | {:.1} ms |",
        millis(at(50)),
        millis(at(99)),
        millis(took[took.len() - 1])
    );
    nodes.into_iter().for_each(Server::stop);
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn port_of(url: &str) -> u16 {
    let (_, host) = url.rsplit_once('@').expect("a host");
    let port =
        host.split(['/', '?']).next().and_then(|host| host.rsplit_once(':')).expect("a port");
    port.1.parse().expect("a number")
}

/// A server of the shared store, with the first one's key file.
async fn node(dir: &std::path::Path, number: usize, url: &str) -> Server {
    let data = dir.join(format!("node-{number}"));
    if number > 1 {
        std::fs::create_dir(&data).expect("a directory");
        std::fs::copy(dir.join("node-1/root.key"), data.join("root.key")).expect("a key file");
    }
    Server::ringfence_with(&data, &["--store", url]).await.0
}

async fn writes(store: &str, server: &Server, root: &Signer, database: Option<u16>) {
    let mut made = 1_000_000;
    for (clients, count) in WRITERS {
        let mut rounds: Vec<(Cost, Duration)> = Vec::new();
        // The first round warms up.
        for _ in 0..=ROUNDS {
            let requests = (made..made + count)
                .map(|n| format!("Action=CreateUser&UserName=user-{n}&Version=2010-05-08"))
                .map(|call| root.post("iam", &call));
            let requests = requests.collect();
            made += count;
            let before = database.map(cpu_time_of_postgres);
            let cost = measure_by(server, requests, clients).await;
            let beside = database.map(cpu_time_of_postgres).zip(before);
            rounds.push((
                cost,
                beside.map_or(Duration::ZERO, |(now, before)| now.saturating_sub(before)),
            ));
        }
        rounds.remove(0);
        rounds.sort_by_key(|(cost, _)| cost.cpu);
        let (cost, beside) = &rounds[rounds.len() / 2];
        println!(
            "| {store} | {clients} | {:.0} | {} | {:.0} | {:.0} |",
            cost.micros(),
            database
                .map_or("".into(), |_| format!("{:.0}", beside.as_secs_f64() * 1e6 / count as f64)),
            count as f64 / cost.cpu.as_secs_f64(),
            count as f64 / cost.wall.as_secs_f64(),
        );
    }
}

/// All servers at once.
async fn reads(nodes: &[Server], caller: &Signer) {
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let get = caller.post("iam", "Action=GetUser&Version=2010-05-08&UserName=user-7");
        let started = Instant::now();
        let costs = match nodes {
            [one] => vec![measure_times(one, &get, READS).await],
            [one, two] => {
                let both =
                    tokio::join!(measure_times(one, &get, READS), measure_times(two, &get, READS));
                vec![both.0, both.1]
            }
            [one, two, three, ..] => {
                let all = tokio::join!(
                    measure_times(one, &get, READS),
                    measure_times(two, &get, READS),
                    measure_times(three, &get, READS)
                );
                vec![all.0, all.1, all.2]
            }
            [] => Vec::new(),
        };
        let cpu: Duration = costs.iter().map(|cost| cost.cpu).sum();
        if round > 0 {
            rounds.push((cpu, started.elapsed()));
        }
    }
    rounds.sort();
    let (cpu, wall) = rounds[rounds.len() / 2];
    let count = (nodes.len() * READS) as f64;
    println!(
        "| {} server{} | {:.1} | {:.0} | {:.0} |",
        nodes.len(),
        if nodes.len() == 1 { "" } else { "s" },
        cpu.as_secs_f64() * 1e6 / count,
        count / cpu.as_secs_f64(),
        count / wall.as_secs_f64()
    );
}

/// How long after each acknowledged change on one server a call on another began that was decided by it.
async fn heard(one: &Server, other: &Server, root: &Signer) -> Vec<Duration> {
    let call = |call: &str| root.post("iam", &format!("{call}&Version=2010-05-08"));
    once(one.port(), &call("Action=CreateUser&UserName=asked")).await;
    let key = once(one.port(), &call("Action=CreateAccessKey&UserName=asked")).await;
    let asked = Signer::new(between(&key, "AccessKeyId"), between(&key, "SecretAccessKey"));
    let may = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:GetUser","Resource":"*"}]}"#;
    let may = encode(may);
    let (mut changing, mut asking) =
        (Connection::open(one.port()).await, Connection::open(other.port()).await);
    let mut took = Vec::with_capacity(CHANGES);
    for number in 0..=CHANGES {
        let (change, allowed) = match number % 2 {
            0 => (
                format!("Action=PutUserPolicy&UserName=asked&PolicyName=own&PolicyDocument={may}"),
                true,
            ),
            _ => ("Action=DeleteUserPolicy&UserName=asked&PolicyName=own".to_owned(), false),
        };
        let get = asked.post("iam", "Action=GetUser&Version=2010-05-08&UserName=user-7");
        let answer = changing.exchange(&call(&change)).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(answer));
        let acknowledged = Instant::now();
        loop {
            let began = Instant::now();
            let answer = asking.exchange(&get).await;
            if answer.starts_with(b"HTTP/1.1 200") == allowed {
                // The first change waits for the user's key to be known.
                if number > 0 {
                    took.push(began - acknowledged);
                }
                break;
            }
            assert!(acknowledged.elapsed() < Duration::from_secs(30), "it is never heard of");
        }
    }
    took
}
