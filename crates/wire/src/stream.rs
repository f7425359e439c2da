//! Bodies that are passed along in pieces and never gathered.

use crate::constraint::At;
use crate::shape::Member;
use crate::value::{ReadError, Reader, Value, Writer};
use bytes::Bytes;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// Where the pieces of a body come from.
pub trait Chunks: Send {
    /// The next piece; `None` at the end.
    fn poll_chunk(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Bytes>>>;

    /// Bytes still to come, where that is known.
    fn remaining(&self) -> Option<u64> {
        None
    }
}

/// A streaming payload. It can be taken once; clones share the one body.
#[derive(Clone, Default)]
pub struct ByteStream(Arc<Mutex<Option<Pin<Box<dyn Chunks>>>>>);

impl ByteStream {
    /// A body from its source.
    pub fn new(chunks: impl Chunks + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::pin(chunks)))))
    }

    /// A body that is already in memory.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self::new(Whole(Some(bytes)))
    }

    /// Takes the body; `None` when it was taken before, or never there.
    pub fn take(&self) -> Option<Pin<Box<dyn Chunks>>> {
        self.0.lock().ok()?.take()
    }

    /// Gathers a body of at most `limit` bytes.
    pub async fn gather(&self, limit: usize) -> std::io::Result<Bytes> {
        let Some(mut chunks) = self.take() else { return Ok(Bytes::new()) };
        let mut out = Vec::new();
        while let Some(chunk) = std::future::poll_fn(|cx| chunks.as_mut().poll_chunk(cx)).await {
            let chunk = chunk?;
            if out.len() + chunk.len() > limit {
                return Err(std::io::Error::other("the body is larger than allowed"));
            }
            out.extend_from_slice(&chunk);
        }
        Ok(out.into())
    }
}

struct Whole(Option<Bytes>);

impl Chunks for Whole {
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Bytes>>> {
        Poll::Ready(self.0.take().map(Ok))
    }

    fn remaining(&self) -> Option<u64> {
        Some(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByteStream")
    }
}

impl PartialEq for ByteStream {
    /// Two streams are equal when they are the same stream.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Value for ByteStream {
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        _at: &At<'_>,
    ) -> Result<(), ReadError> {
        *self = Self::from_bytes(reader.blob(member)?);
        Ok(())
    }

    /// A streaming payload is the body itself: the response carries it, no writer does.
    fn write(&self, writer: &mut dyn Writer, member: &'static Member) {
        writer.null(member);
    }

    fn as_stream(&mut self) -> Option<&mut ByteStream> {
        Some(self)
    }
}
