//! The answers that are on their way to a client.
//!
//! Owns the write buffer: answers are encoded into it, one write takes all of them. Never knows
//! what an answer says. Next file to read: `v2`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

#[derive(Debug, Default)]
pub(super) struct Output {
    buffer: BytesMut,
    /// The most that has waited since the buffer was made, in bytes.
    peak: usize,
    /// The stream may hold bytes back that were written to it (TLS does).
    unflushed: bool,
}

impl Output {
    /// Where the next answer goes.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(FIRST_BYTES);
        }
        &mut self.buffer
    }

    /// The bytes that wait to be written.
    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Writes everything.
    pub(super) async fn flush(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_flush(cx, stream)).await
    }

    /// Writes as much as the stream takes; ready when that was everything.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        self.peak = self.peak.max(self.buffer.len());
        while !self.buffer.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, &self.buffer))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.buffer.advance(written);
            self.unflushed = true;
        }
        // The capacity says nothing here: what was written before it does not count.
        if self.peak > IDLE_BYTES {
            (self.buffer, self.peak) = (BytesMut::new(), 0);
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// The room that the first answer finds.
const FIRST_BYTES: usize = 4 * 1024;
/// What the buffer may keep while there is nothing to write.
const IDLE_BYTES: usize = 16 * 1024;
