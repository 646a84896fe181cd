//! The answers that are on their way to a client.
//!
//! Owns the write buffer: small answers are encoded into it, and one write takes all of them. Large
//! ones of version 2 wait beside it and are cut into parts, one whenever the buffer is empty, so
//! that no answer waits for more than one part of another. Never knows what an answer says. Next
//! file to read: `v2`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use kvsd::protocol::v2::part::{Cutter, MAX_PART_BYTES, Sender};
use kvsd::protocol::v2::{Reply, RequestId};
use tokio::io::AsyncWrite;

#[derive(Debug)]
pub(super) struct Output {
    buffer: BytesMut,
    large: Cutter,
    /// What is said behind everything else.
    last: BytesMut,
    /// The most that the buffer has held since it was made, in bytes.
    peak: usize,
    /// The stream may hold bytes back that were written to it (TLS does).
    unflushed: bool,
}

/// How far the writing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Everything is out.
    All,
    /// The stream takes more, and there is more: others may have a turn first.
    Part,
    /// The stream takes nothing now; the task is woken when it does.
    Stuck,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            large: Cutter::new(Sender::Server),
            last: BytesMut::new(),
            peak: 0,
            unflushed: false,
        }
    }
}

impl Output {
    /// Takes an answer of version 2, which goes in parts if it is large.
    pub(super) fn answer(&mut self, id: RequestId, reply: &Reply<'_>) {
        let start = self.buffer().len();
        reply.encode(id, &mut self.buffer);
        if self.buffer.len() - start > MAX_PART_BYTES {
            self.peak = self.peak.max(self.buffer.len());
            self.large.push(id, self.buffer.split_off(start).freeze());
        }
    }

    /// As [`Output::answer`], with a large value for the record that the reply leaves empty: it is
    /// not copied until it is cut.
    pub(super) fn answer_with(&mut self, id: RequestId, reply: &Reply<'_>, value: Bytes) {
        let mut message = BytesMut::new();
        reply.encode(id, &mut message);
        self.large.push_with_value(id, message, value);
    }

    /// Where what goes whole goes: what is said before version 2 is spoken, and in version 1.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(FIRST_BYTES);
        }
        &mut self.buffer
    }

    /// Where the last word goes. It is written when everything else is.
    pub(super) fn last(&mut self) -> &mut BytesMut {
        &mut self.last
    }

    /// The bytes that wait to be written, large answers aside.
    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// The bytes of large answers that wait to be cut into parts.
    pub(super) fn large_len(&self) -> usize {
        self.large.len()
    }

    /// Writes everything.
    pub(super) async fn flush(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        std::future::poll_fn(|cx| {
            loop {
                match self.poll_write(cx, stream) {
                    Ok(Written::All) => return Poll::Ready(Ok(())),
                    Ok(Written::Part) => {}
                    Ok(Written::Stuck) => return Poll::Pending,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        })
        .await
    }

    /// Writes the small answers that wait, or else one part of a large one, as far as the stream
    /// takes it.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<Written> {
        if self.buffer.is_empty() {
            self.refill();
        }
        self.peak = self.peak.max(self.buffer.len());
        while !self.buffer.is_empty() {
            let Poll::Ready(written) = Pin::new(&mut *stream).poll_write(cx, &self.buffer) else {
                return Ok(Written::Stuck);
            };
            let written = written?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.buffer.advance(written);
            self.unflushed = true;
        }
        if !self.large.is_empty() || !self.last.is_empty() {
            return Ok(Written::Part);
        }
        // The capacity says nothing here: what was written before it does not count.
        if self.peak > IDLE_BYTES {
            (self.buffer, self.peak) = (BytesMut::new(), 0);
        }
        if self.unflushed {
            let Poll::Ready(flushed) = Pin::new(stream).poll_flush(cx) else {
                return Ok(Written::Stuck);
            };
            flushed?;
            self.unflushed = false;
        }
        Ok(Written::All)
    }

    /// Puts what is to be written next into the empty buffer.
    fn refill(&mut self) {
        if self.large.is_empty() {
            if !self.last.is_empty() {
                self.buffer = std::mem::take(&mut self.last);
            }
            return;
        }
        if self.peak > PART_BUFFER_BYTES {
            // It has grown, or shares the memory of a large answer.
            (self.buffer, self.peak) = (BytesMut::new(), 0);
        }
        self.large.cut(&mut self.buffer);
    }
}

/// The room that the first answer finds.
const FIRST_BYTES: usize = 4 * 1024;
/// What the buffer may keep while there is nothing to write.
const IDLE_BYTES: usize = 16 * 1024;
/// What it may keep while large answers go out: more than any part takes.
const PART_BUFFER_BYTES: usize = 2 * MAX_PART_BYTES;
