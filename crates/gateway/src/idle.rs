//! Connections that say nothing: neither at their beginning, nor in the middle of a request's head, nor for a long
//! time later on.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep, sleep};

/// What a connection of HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream on which the heads of requests come in time. hyper would bound them too, at the cost of a timer for
/// each; here one runs for those alone that do not come whole.
pub(crate) struct Heads<S> {
    stream: S,
    time: Duration,
    activity: Rc<Activity>,
    version: Version,
    unfinished: Option<Unfinished>,
}

/// What a connection speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    /// So many bytes have come, which are the beginning of the preface.
    Unknown(usize),
    One,
    /// Bytes come between calls too, and hyper asks by pings whether the client is there.
    Two,
}

/// A head of which something has come, or with which the connection is to begin.
struct Unfinished {
    /// How many calls had begun by then.
    calls: u64,
    /// Runs as soon as the rest is waited for.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Heads<S> {
    /// Gives each head this long, of the calls that `activity` counts.
    pub fn new(stream: S, time: Duration, activity: Rc<Activity>) -> Self {
        let unfinished = Some(Unfinished { calls: 0, deadline: None });
        Self { stream, time, activity, version: Version::Unknown(0), unfinished }
    }

    /// Takes notice of bytes that have come.
    fn came(&mut self, bytes: &[u8]) {
        if let Version::Unknown(before) = self.version {
            let (known, rest) = (&PREFACE[before..], bytes);
            self.version = match known.iter().zip(rest).all(|(one, other)| one == other) {
                false => Version::One,
                true if rest.len() >= known.len() => Version::Two,
                true => Version::Unknown(before + rest.len()),
            };
        }
        // What comes during a call is its body. A part of the next head that came along, and nothing after it, is
        // held like a connection without a call.
        if self.unfinished.is_none() && self.activity.is_idle() {
            self.unfinished = Some(Unfinished { calls: self.activity.begun(), deadline: None });
        }
    }

    /// The head that is waited for, where there is one.
    fn awaited(&mut self) -> Option<&mut Unfinished> {
        let begun = self.activity.begun();
        let ended = |unfinished: &mut Unfinished| unfinished.calls != begun;
        if self.version == Version::Two || self.unfinished.as_mut().is_some_and(ended) {
            self.unfinished = None;
        }
        self.unfinished.as_mut()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let time = self.time;
        let awaited = self.awaited();
        if polled.is_ready() {
            self.came(&buffer.filled()[before..]);
            return polled;
        }
        if let Some(Unfinished { deadline, .. }) = awaited {
            let deadline = deadline.get_or_insert_with(|| Box::pin(sleep(time)));
            ready!(deadline.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heads<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// When a connection last had a call.
pub(crate) struct Activity {
    calls: Cell<usize>,
    begun: Cell<u64>,
    last: Cell<Instant>,
}

impl Activity {
    /// A connection that has just come.
    pub fn new() -> Self {
        Self { calls: Cell::new(0), begun: Cell::new(0), last: Cell::new(Instant::now()) }
    }

    /// Notes a call for as long as what is returned lives.
    pub fn begin(self: &Rc<Self>) -> Active {
        self.calls.set(self.calls.get() + 1);
        self.begun.set(self.begun.get() + 1);
        Active(self.clone())
    }

    /// How many calls have begun so far.
    fn begun(&self) -> u64 {
        self.begun.get()
    }

    /// Whether no call is under way.
    fn is_idle(&self) -> bool {
        self.calls.get() == 0
    }

    /// How long there has been no call.
    fn idle(&self) -> Duration {
        if self.is_idle() { self.last.get().elapsed() } else { Duration::ZERO }
    }
}

/// The open connections of a thread.
#[derive(Default)]
pub(crate) struct Connections {
    open: RefCell<HashMap<u64, (Rc<Activity>, AbortHandle)>>,
    opened: Cell<u64>,
}

impl Connections {
    /// Runs a connection, as long as it lasts or until it is idle for too long.
    pub fn run(
        self: &Rc<Self>,
        activity: Rc<Activity>,
        connection: impl Future<Output = ()> + 'static,
    ) {
        let number = self.opened.get();
        self.opened.set(number + 1);
        let listed = Listed { connections: self.clone(), number };
        let task = tokio::task::spawn_local(async move {
            connection.await;
            drop(listed);
        });
        self.open.borrow_mut().insert(number, (activity, task.abort_handle()));
    }

    /// Ends those that have had no call for so long, or for a tenth longer: that it looks at all of them now and
    /// then costs less than a timer of each, which would be looked at whenever something comes.
    pub async fn end_idle(self: Rc<Self>, time: Duration) {
        loop {
            sleep(time / 10).await;
            let idle: Vec<_> = {
                let open = self.open.borrow();
                let idle = open.values().filter(|(activity, _)| activity.idle() >= time);
                idle.map(|(_, task)| task.clone()).collect()
            };
            for task in idle {
                tracing::debug!("an idle connection is closed");
                task.abort();
            }
        }
    }
}

/// Takes a connection off the list when it ends, however it does.
struct Listed {
    connections: Rc<Connections>,
    number: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.connections.open.borrow_mut().remove(&self.number);
    }
}

/// A call under way on a connection.
pub(crate) struct Active(Rc<Activity>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.calls.set(self.0.calls.get().saturating_sub(1));
        self.0.last.set(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::task::LocalSet;

    const TIME: Duration = Duration::from_secs(10);

    fn stream() -> (DuplexStream, Heads<DuplexStream>, Rc<Activity>) {
        let (client, server) = tokio::io::duplex(1024);
        let activity = Rc::new(Activity::new());
        (client, Heads::new(server, TIME, activity.clone()), activity)
    }

    /// Reads what is there, and then waits for more: the time until the stream ended, or none where it waited
    /// for an hour.
    async fn ends_after(server: &mut Heads<DuplexStream>) -> Option<Duration> {
        let began = Instant::now();
        let reading = async {
            loop {
                if let Err(error) = server.read_u8().await {
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                    return began.elapsed();
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(3600), reading).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_does_not_begin_in_time_ends() {
        for begun in ["", "P", "PRI * HTTP/2", "GET / HTTP/1.1\r\nhost: a"] {
            let (mut client, mut server, _) = stream();
            client.write_all(begun.as_bytes()).await.unwrap();
            let took = ends_after(&mut server).await.unwrap();
            assert!((TIME..TIME * 2).contains(&took), "{begun}: {took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_comes_byte_by_byte_ends_all_the_same() {
        let (mut client, mut server, _) = stream();
        let sending = async {
            loop {
                client.write_all(b"x").await.unwrap();
                sleep(Duration::from_secs(1)).await;
            }
        };
        let took = tokio::select! {
            took = ends_after(&mut server) => took.unwrap(),
            () = sending => unreachable!(),
        };
        assert!((TIME..TIME * 2).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_may_be_still_between_calls_and_in_them_but_not_in_the_next_head() {
        let (mut client, mut server, activity) = stream();
        let mut read = [0; 64];
        for _ in 0..2 {
            client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            let _ = server.read(&mut read).await.unwrap();
            let call = activity.begin();
            assert_eq!(ends_after(&mut server).await, None);
            client.write_all(b"body").await.unwrap();
            let _ = server.read(&mut read).await.unwrap();
            assert_eq!(ends_after(&mut server).await, None);
            drop(call);
            assert_eq!(ends_after(&mut server).await, None);
        }
        client.write_all(b"GET /").await.unwrap();
        assert!(ends_after(&mut server).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_http_2_that_has_begun_may_take_its_time() {
        for cut in [0, 7, PREFACE.len()] {
            let (mut client, mut server, _) = stream();
            let mut read = [0; 64];
            for part in [&PREFACE[..cut], &PREFACE[cut..]] {
                if !part.is_empty() {
                    client.write_all(part).await.unwrap();
                    let _ = server.read(&mut read).await.unwrap();
                }
            }
            client.write_all(b"settings").await.unwrap();
            assert_eq!(ends_after(&mut server).await, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_call_for_so_long_ends_and_no_other() {
        let idle = Duration::from_secs(300);
        let local = LocalSet::new();
        let connections = Rc::new(Connections::default());
        let activity: [_; 3] = std::array::from_fn(|_| Rc::new(Activity::new()));
        let test = async {
            tokio::task::spawn_local(connections.clone().end_idle(idle));
            let call = activity[0].begin();
            connections.run(activity[0].clone(), std::future::pending());
            connections.run(activity[1].clone(), std::future::pending());
            connections.run(activity[2].clone(), sleep(Duration::from_secs(1)));
            let open = || {
                let mut open: Vec<_> = connections.open.borrow().keys().copied().collect();
                open.sort();
                open
            };
            sleep(idle / 2).await;
            assert_eq!(open(), [0, 1]);
            sleep(idle).await;
            assert_eq!(open(), [0]);
            drop(call);
            sleep(idle / 2).await;
            assert_eq!(open(), [0]);
            sleep(idle).await;
            assert!(open().is_empty());
        };
        local.run_until(test).await;
    }
}
