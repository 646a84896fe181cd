//! What a client has sent and nobody has looked at yet.
//!
//! Owns the read buffer and the decoder that walks it; never what a message means. The buffer grows
//! by what arrived, and an idle connection gives it back. Next file to read: `output`.

use std::io;
use std::mem;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use kvsd::protocol::frame::{Decoder, FrameError, FrameLimits, Message};
use tokio::io::{AsyncRead, AsyncReadExt};

#[derive(Debug)]
pub(super) struct Input {
    buffer: BytesMut,
    decoder: Decoder,
    /// How much room to offer the next read, in bytes.
    chunk: usize,
    /// The length of the message that was handed out last and still stands in the buffer.
    taken: usize,
    /// Whether the buffer holds no further whole message.
    exhausted: bool,
    /// What was read and not yet told, in bytes.
    untold: usize,
}

impl Input {
    pub(super) fn new(limits: FrameLimits) -> Self {
        let decoder = Decoder::new(limits);
        let buffer = BytesMut::new();
        Self { buffer, decoder, chunk: MIN_CHUNK_BYTES, taken: 0, exhausted: true, untold: 0 }
    }

    /// Takes other limits from the next message on.
    pub(super) fn set_limits(&mut self, limits: FrameLimits) {
        self.decoder.set_limits(limits);
    }

    /// The next whole message, or `None` until more was read.
    pub(super) fn next(&mut self) -> Result<Option<Message<'_>>, FrameError> {
        self.buffer.advance(self.taken);
        self.taken = 0;
        let message = self.decoder.decode(&self.buffer)?;
        self.taken = message.map_or(0, |message| message.byte_len());
        self.exhausted = message.is_none();
        Ok(message)
    }

    /// Whether only a read can bring the next whole message.
    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Reads once; zero bytes are the end. To be called when the input is exhausted.
    pub(super) async fn read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_read(cx, stream)).await
    }

    /// As [`Input::read`].
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Poll<io::Result<usize>> {
        debug_assert!(self.exhausted, "whole messages are taken before more is read");
        // Room for as much again as is there: a large message is moved a few times at most.
        self.buffer.reserve(self.chunk.max(self.buffer.len()));
        let room = self.buffer.capacity() - self.buffer.len();
        let polled = pin!(stream.read_buf(&mut self.buffer)).poll(cx);
        match polled {
            Poll::Pending if self.is_oversized() => {
                self.buffer = BytesMut::from(self.buffer.as_ref());
            }
            Poll::Ready(Ok(read)) => {
                self.exhausted = read == 0;
                self.untold += read;
                if read == room {
                    self.chunk = (self.chunk * 2).min(MAX_CHUNK_BYTES);
                }
            }
            Poll::Pending | Poll::Ready(Err(_)) => {}
        }
        polled
    }

    /// How many bytes were read since this was last asked.
    pub(super) fn take_read(&mut self) -> usize {
        mem::take(&mut self.untold)
    }

    /// Whether little is kept in much memory.
    fn is_oversized(&self) -> bool {
        self.buffer.len() <= MAX_MOVED_BYTES && self.buffer.capacity() > IDLE_BYTES
    }

    /// The bytes that were read and form no whole message.
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer
    }

    /// What it holds in memory, in bytes.
    pub(super) fn held(&self) -> usize {
        self.buffer.capacity()
    }
}

/// The room that a connection's first reads get.
const MIN_CHUNK_BYTES: usize = 4 * 1024;
/// The room that the reads of a busy connection get: some 1,500 small requests.
const MAX_CHUNK_BYTES: usize = 64 * 1024;
/// What an idle connection may keep: the room of its first reads, which grew once. With less, the
/// beginning of a message would move with each piece of it that comes.
const IDLE_BYTES: usize = 2 * MIN_CHUNK_BYTES;
/// The rest that is worth moving to give a large buffer back: so little that moving it costs
/// nothing, however often it happens.
const MAX_MOVED_BYTES: usize = 1024;
