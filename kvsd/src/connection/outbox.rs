//! What callers have handed over and nobody has written yet: small requests in one buffer, large
//! ones in a queue from which they are cut into parts.
//!
//! Each batch is all small requests there are, and behind them one part of a large one: a small
//! request waits for one part at most, however much is queued. No I/O, no lock. Next file to read:
//! `tasks`.

use bytes::{Bytes, BytesMut};

use crate::protocol::v2::part::{Cut, Cutter, MAX_PART_BYTES, Sender};
use crate::protocol::v2::{Request, RequestId};

/// Requests on their way to the writer.
#[derive(Debug)]
pub(super) struct Outbox {
    small: BytesMut,
    large: Cutter,
    /// The bytes of large values that callers are encoding.
    expected: usize,
    /// The bytes that the writer has taken and is writing.
    writing: usize,
}

/// How a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// With the next batch.
    Whole,
    /// In parts: with the batch that [`Outbox::take`] says.
    InParts,
}

impl Default for Outbox {
    fn default() -> Self {
        let large = Cutter::new(Sender::Client);
        Self { small: BytesMut::new(), large, expected: 0, writing: 0 }
    }
}

impl Outbox {
    /// The bytes that are not written yet.
    pub(super) fn len(&self) -> usize {
        self.small.len() + self.large.len() + self.expected + self.writing
    }

    /// Whether there is nothing to take.
    pub(super) fn is_empty(&self) -> bool {
        self.small.is_empty() && self.large.is_empty()
    }

    /// Encodes a request.
    pub(super) fn put(&mut self, id: RequestId, request: &Request<'_>) -> Put {
        let start = self.small.len();
        request.encode(id, &mut self.small);
        if self.small.len() - start <= MAX_PART_BYTES {
            return Put::Whole;
        }
        let message = self.small.split_off(start);
        self.large.push(id, message.freeze());
        Put::InParts
    }

    /// Counts a large value that is about to be encoded elsewhere.
    pub(super) fn expect(&mut self, bytes: usize) {
        self.expected += bytes;
    }

    /// Takes the request whose value was counted with `bytes`.
    pub(super) fn put_encoded(&mut self, id: RequestId, message: Bytes, bytes: usize) {
        self.expected -= bytes;
        self.large.push(id, message);
    }

    /// Fills an empty batch: `None` if there is nothing to write.
    pub(super) fn take(&mut self, batch: &mut BytesMut) -> Option<Cut> {
        std::mem::swap(&mut self.small, batch);
        let cut = self.large.cut(batch);
        self.writing = batch.len();
        (!batch.is_empty()).then_some(cut)
    }
}

/// The length of the value that makes a request large for sure: it is encoded without the lock, for
/// which others wait.
pub(super) fn bulk(request: &Request<'_>) -> Option<usize> {
    match request {
        Request::Set { value, .. } if value.len() > MAX_PART_BYTES => Some(value.len()),
        _ => None,
    }
}
