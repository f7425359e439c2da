//! Connections that say nothing: neither at their beginning nor for a long time later on.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Bytes after which a connection has begun: the preface of HTTP/2. hyper bounds the time of a
/// request's head, but not that of telling the two versions apart, for which it needs as many.
const PREFACE: usize = 24;

/// A stream whose first bytes must come in time.
pub(crate) struct Begun<S> {
    stream: S,
    missing: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Begun<S> {
    /// Gives a stream this long to begin.
    pub fn new(stream: S, time: Duration) -> Self {
        Self { stream, missing: PREFACE, deadline: Some(Box::pin(sleep(time))) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(deadline) = &mut self.deadline else { return polled };
        if polled.is_pending() {
            ready!(deadline.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.missing = self.missing.saturating_sub(buffer.filled().len() - before);
        if self.missing == 0 {
            self.deadline = None;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
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
    last: Cell<Instant>,
}

impl Activity {
    /// A connection that has just come.
    pub fn new() -> Self {
        Self { calls: Cell::new(0), last: Cell::new(Instant::now()) }
    }

    /// Notes a call for as long as what is returned lives.
    pub fn begin(self: &Rc<Self>) -> Active {
        self.calls.set(self.calls.get() + 1);
        Active(self.clone())
    }

    /// Returns when there has been no call for so long.
    pub async fn idle_for(&self, time: Duration) {
        loop {
            let since = if self.calls.get() > 0 { Instant::now() } else { self.last.get() };
            let left = time.saturating_sub(since.elapsed());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_does_not_begin_in_time_ends() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut server = Begun::new(server, Duration::from_secs(10));
        client.write_all(b"PRI * HTTP/2").await.unwrap();
        let mut read = [0; 12];
        server.read_exact(&mut read).await.unwrap();
        let error = server.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_has_begun_may_take_its_time() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut server = Begun::new(server, Duration::from_secs(10));
        client.write_all(&[b'x'; PREFACE]).await.unwrap();
        server.read_exact(&mut [0; PREFACE]).await.unwrap();
        let later = async {
            sleep(Duration::from_secs(60)).await;
            client.write_all(b"y").await.unwrap();
        };
        let (byte, ()) = tokio::join!(server.read_u8(), later);
        assert_eq!(byte.unwrap(), b'y');
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_no_call_is_under_way_for_so_long() {
        let activity = Rc::new(Activity::new());
        let began = Instant::now();
        let active = activity.begin();
        let call = async {
            sleep(Duration::from_secs(400)).await;
            drop(active);
        };
        let ((), ()) = tokio::join!(call, activity.idle_for(Duration::from_secs(300)));
        assert!(began.elapsed() >= Duration::from_secs(700));
    }
}
