//! The answers that are on their way to a client.
//!
//! Owns the write buffer: small answers are encoded into it, and one write takes all of them. Large
//! ones of version 2 wait beside it and are cut into parts, one whenever the buffer is empty, so
//! that no answer waits for more than one part of another. Never knows what an answer says. Next
//! file to read: `v2`.

use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use kvsd::protocol::v2::part::{Cutter, MAX_PART_BYTES, Sender};
use kvsd::protocol::v2::{PipelineReplies, Reply, RequestId};
use tokio::io::AsyncWrite;

#[derive(Debug)]
pub(super) struct Output {
    buffer: BytesMut,
    large: Cutter,
    /// What is said behind everything else.
    last: BytesMut,
    /// The most that the buffer has held since it was made, in bytes.
    peak: usize,
    /// The room that the first answer finds in a new buffer, in bytes.
    first: usize,
    /// The most of its memory that lies in front of what is left to write, in bytes: its capacity
    /// does not tell.
    written: usize,
    /// The stream may hold bytes back that were written to it (TLS does).
    unflushed: bool,
    /// What was written and not yet told, in bytes.
    untold: usize,
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
            first: FIRST_BYTES,
            written: 0,
            unflushed: false,
            untold: 0,
        }
    }
}

impl Output {
    /// Takes an answer of version 2, which goes in parts if it is large.
    pub(super) fn answer(&mut self, id: RequestId, reply: &Reply<'_>) {
        self.encode(id, |buffer| reply.encode(id, buffer));
    }

    /// As [`Output::answer`], to a pipeline.
    pub(super) fn answer_all(&mut self, id: RequestId, replies: &PipelineReplies) {
        self.encode(id, |buffer| replies.encode(id, buffer));
    }

    fn encode(&mut self, id: RequestId, encode: impl FnOnce(&mut BytesMut)) {
        let start = self.buffer().len();
        encode(&mut self.buffer);
        if self.buffer.len() - start > MAX_PART_BYTES {
            self.peak = self.peak.max(self.buffer.len());
            let message = self.take_from(start);
            self.large.push(id, message);
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
            self.buffer.reserve(self.first);
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

    /// What it holds in memory, in bytes.
    pub(super) fn held(&self) -> usize {
        self.buffer.capacity() + self.large.len() + self.last.len()
    }

    /// The bytes of large answers that wait to be cut into parts.
    pub(super) fn large_len(&self) -> usize {
        self.large.len()
    }

    /// How many bytes were written since this was last asked.
    pub(super) fn take_written(&mut self) -> usize {
        mem::take(&mut self.untold)
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
            self.written += written;
            self.untold += written;
            self.unflushed = true;
        }
        if !self.large.is_empty() || !self.last.is_empty() {
            return Ok(Written::Part);
        }
        // The capacity says nothing here: what was written before it does not count.
        if self.peak.max(self.first) > IDLE_BYTES {
            // A busy session is likely to need as much the next time.
            self.first = self.peak.clamp(FIRST_BYTES, MAX_FIRST_BYTES);
            self.peak = 0;
            self.replace_buffer(BytesMut::new());
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
                let last = mem::take(&mut self.last);
                self.replace_buffer(last);
            }
            return;
        }
        if self.peak > PART_BUFFER_BYTES {
            // It has grown.
            self.peak = 0;
            self.replace_buffer(BytesMut::new());
        }
        self.large.cut(&mut self.buffer);
    }

    /// Takes what stands in the buffer from `start` on: in memory of its own and of about its size.
    /// Were it shared, a large answer that waits would keep the small ones in front of it, written
    /// or not, and what else the buffer had room for, without being counted for that.
    fn take_from(&mut self, start: usize) -> Bytes {
        let bytes = self.buffer.len() - start;
        if start == 0 && self.buffer.capacity() - bytes + self.written <= bytes / 4 {
            return self.replace_buffer(BytesMut::new()).freeze();
        }
        let taken = Bytes::copy_from_slice(self.buffer.get(start..).unwrap_or_default());
        if self.buffer.capacity() > MAX_KEPT_BYTES {
            let kept = BytesMut::from(self.buffer.get(..start).unwrap_or_default());
            self.replace_buffer(kept);
        } else {
            self.buffer.truncate(start);
        }
        taken
    }

    fn replace_buffer(&mut self, with: BytesMut) -> BytesMut {
        self.written = 0;
        mem::replace(&mut self.buffer, with)
    }
}

/// The room that the first answer finds, at least and at most.
const FIRST_BYTES: usize = 4 * 1024;
const MAX_FIRST_BYTES: usize = 64 * 1024;
/// What the buffer may keep while there is nothing to write.
const IDLE_BYTES: usize = FIRST_BYTES;
/// What it may keep while large answers go out: more than any part takes.
const PART_BUFFER_BYTES: usize = 2 * MAX_PART_BYTES;
/// What it may keep of the room that a large answer took in it: more than the small ones in front
/// of it take as a rule, so that moving those is seldom.
const MAX_KEPT_BYTES: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// How much memory a message has. Only who shares it with nobody may write to it.
    fn room_of(message: Bytes) -> usize {
        let Ok(own) = message.try_into_mut() else {
            panic!("the message shares its memory");
        };
        own.capacity()
    }

    /// A client that never reads, and asks for small answers and large ones in turn.
    #[test]
    fn a_large_answer_that_waits_holds_about_what_it_is_counted_with() {
        let large = vec![b'v'; MAX_PART_BYTES + 1];
        let small = [b's'; 16 * 1024];
        for rounds_without_write in [1, 8, 64] {
            let mut output = Output::default();
            let (mut counted, mut held) = (0, Vec::new());
            for _ in 0..rounds_without_write {
                let start = output.buffer.len();
                output.buffer.extend_from_slice(&large);
                let message = output.take_from(start);
                assert_eq!(message, large);
                assert_eq!(output.buffer.len(), start);
                counted += message.len();
                held.push(message);
                output.buffer.extend_from_slice(&small);
            }
            let room: usize = held.into_iter().map(room_of).sum();
            assert!(room <= counted * 5 / 4, "{room} bytes are held, {counted} are counted");
            assert!(output.buffer.iter().all(|byte| *byte == b's'), "the small answers are there");
        }
    }

    #[test]
    fn an_idle_session_keeps_no_room_and_a_busy_one_finds_it_again() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut output = Output::default();
        let mut say = |bytes: usize| {
            output.buffer().extend_from_slice(&vec![b's'; bytes]);
            let room = output.held();
            let written = output.poll_write(&mut cx, &mut tokio::io::sink());
            assert_eq!(written.unwrap(), Written::All);
            (room, output.held())
        };
        assert_eq!(say(100), (4 * 1024, 4 * 1024 - 100));
        let (_, kept) = say(20_000);
        assert_eq!(kept, 0);
        assert_eq!(say(20_000), (20_000, 0), "it grows no more");
        assert_eq!(say(100).1, 0);
        assert_eq!(say(100).0, 4 * 1024);
    }

    #[test]
    fn a_very_large_answer_leaves_no_room_behind() {
        let large = vec![b'v'; 2 * MAX_KEPT_BYTES];
        for small in [&b""[..], b"small"] {
            let mut output = Output::default();
            output.buffer.reserve(3 * MAX_KEPT_BYTES);
            output.buffer.extend_from_slice(small);
            output.buffer.extend_from_slice(&large);
            let message = output.take_from(small.len());
            let buffer = output.buffer;
            assert_eq!((message.len(), &*buffer), (large.len(), small));
            assert!(buffer.capacity() <= MAX_KEPT_BYTES, "{} bytes are kept", buffer.capacity());
            let room = room_of(message);
            assert!(room <= large.len() * 5 / 4, "{room} bytes are held");
        }
    }

    #[test]
    fn a_large_answer_keeps_nothing_of_what_was_written_before_it() {
        let large = vec![b'v'; MAX_PART_BYTES + 1];
        let mut output = Output::default();
        output.buffer.reserve(10 * large.len());
        output.buffer.extend_from_slice(&vec![b's'; 9 * large.len()]);
        // Another one waits, so that the session is not idle.
        output.large.push(RequestId::ZERO, Bytes::from(large.clone()));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let written = output.poll_write(&mut cx, &mut tokio::io::sink());
        assert_eq!(written.unwrap(), Written::Part);
        output.buffer.extend_from_slice(&large);
        let place = output.buffer.as_ptr();
        let message = output.take_from(0);
        assert_eq!(message, large);
        assert_ne!(message.as_ptr(), place, "it keeps ten times its length");
    }
}
