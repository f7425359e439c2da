//! Clients that send prepared bytes over HTTP/1.1 connections which stay open.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// Sends every request once, over as many connections, and returns how long it took. An answer
/// other than 200 ends the bench.
pub async fn replay(port: u16, requests: Vec<Vec<u8>>, clients: usize) -> Duration {
    let waiting = Rc::new(RefCell::new(requests.into_iter()));
    let local = LocalSet::new();
    let started = Instant::now();
    for _ in 0..clients {
        let waiting = waiting.clone();
        local.spawn_local(async move {
            let mut connection = Connection::open(port).await;
            loop {
                let Some(request) = waiting.borrow_mut().next() else { break };
                let answer = connection.exchange(&request).await;
                assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(answer));
            }
        });
    }
    local.await;
    started.elapsed()
}

/// One request over a connection of its own; its answer as text.
pub async fn once(port: u16, request: &[u8]) -> String {
    let mut connection = Connection::open(port).await;
    String::from_utf8_lossy(connection.exchange(request).await).into_owned()
}

/// A connection that stays open.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Opens one to a port of this machine.
    pub async fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, buffer: Vec::with_capacity(16 * 1024) }
    }

    /// Sends a request and reads its answer whole: head, then as many bytes as `content-length`.
    pub async fn exchange(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).await.expect("sent");
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("an answer");
            assert!(read > 0, "the server closed the connection");
            if whole(&self.buffer) {
                return &self.buffer;
            }
        }
    }
}

fn whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let text = std::str::from_utf8(&answer[..head]).expect("a head of text");
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    answer.len() >= head + 4 + length.unwrap_or(0)
}
