//! Servers as processes, and what the kernel says of them.

use crate::client;
use crate::signer::Signer;
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that is killed when dropped.
pub struct Server {
    child: Child,
    port: u16,
    said: String,
}

impl Server {
    /// The hello-world server: this program again.
    pub fn hello() -> Self {
        let port = free_port();
        let this = std::env::current_exe().expect("this program");
        let child = Command::new(this)
            .args(["--hello", &port.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .expect("the hello-world server");
        Self { child, port, said: String::new() }
    }

    /// Ringfence over a data directory, and how long it took until its first answer.
    pub async fn ringfence(data: &Path) -> (Self, Duration) {
        Self::ringfence_with(data, &[]).await
    }

    /// The same, with further options.
    pub async fn ringfence_with(data: &Path, options: &[&str]) -> (Self, Duration) {
        let port = free_port();
        let started = Instant::now();
        let said = data.with_extension("said");
        let built = std::env::var_os("RINGFENCE_BIN");
        let child = Command::new(built.unwrap_or_else(|| env!("CARGO_BIN_EXE_ringfence").into()))
            .args(["serve", "--quota", "iam:users=10000000"])
            .args(["--quota", "kms:requests=1000000", "--listen"])
            .arg(format!("127.0.0.1:{port}"))
            .arg("--data")
            .arg(data)
            .args(options)
            .env("RINGFENCE_LOG", "warn")
            .stdout(File::create(&said).expect("a file"))
            .spawn()
            .expect("the server");
        let mut server = Self { child, port, said: String::new() };
        server
            .until_it_answers(b"GET /_ringfence/health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await;
        let took = started.elapsed();
        // It says everything before its first answer.
        server.said = std::fs::read_to_string(&said).expect("what it said");
        (server, took)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its port on loopback.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The root user whose credentials the first start printed.
    pub fn root(&self) -> Signer {
        let export = |name: &str| {
            let line = self.said.lines().find(|line| line.contains(name)).expect("an export");
            let (_, rest) = line.split_once(&format!("{name}=")).expect("its value");
            rest.split_whitespace().next().expect("its value").trim_matches('\'').to_owned()
        };
        Signer::new(export("AWS_ACCESS_KEY_ID"), export("AWS_SECRET_ACCESS_KEY"))
    }

    /// Waits until it answers.
    pub async fn until_it_answers(&self, request: &[u8]) {
        let until = Instant::now() + Duration::from_secs(120);
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(Instant::now() < until, "the server does not start");
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        client::once(self.port, request).await;
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("/proc");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a size");
        kib * 1024
    }

    /// Whether it has a thread of this name.
    pub fn has_thread(&self, name: &str) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("/proc");
        let mut names =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.any(|found| found.trim() == name)
    }

    /// Ends it as an operator does.
    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
        self.child.wait().expect("its end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// CPU time so far of the PostgreSQL that listens on a port, with all its processes.
pub fn cpu_time_of_postgres(port: u16) -> Duration {
    let read = |pid: u32, file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
    let all: Vec<u32> = std::fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    let listens = format!("-p\0{port}\0");
    let is_it = |pid: &u32| {
        let command = read(*pid, "cmdline").unwrap_or_default();
        command.contains("postgres\0") && command.contains(&listens)
    };
    let first = *all.iter().find(|pid| is_it(pid)).expect("PostgreSQL's process");
    let is_child = |pid: &&u32| {
        let parent = format!("PPid:\t{first}\n");
        read(**pid, "status").is_ok_and(|status| status.contains(&parent))
    };
    cpu_time(first) + all.iter().filter(is_child).map(|pid| cpu_time(*pid)).sum::<Duration>()
}

fn free_port() -> u16 {
    let probe = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    probe.local_addr().expect("its number").port()
}

/// CPU time of a process so far, all its threads together, user and system.
pub fn cpu_time(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    // A process that has ended has taken nothing.
    let nanoseconds: u64 = tasks
        .into_iter()
        .flatten()
        .filter_map(|task| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        })
        .sum();
    Duration::from_nanos(nanoseconds)
}
