//! What callers have handed over and nobody has written yet: small requests in one buffer, large
//! ones in a queue from which they are cut into parts.
//!
//! Each batch is all small requests there are, and behind them one part of a large one: a small
//! request waits for one part at most, however much is queued. No I/O, no lock. Next file to read:
//! `tasks`.

use bytes::{Bytes, BytesMut};

use crate::protocol::v2::part::{Cut, Cutter, MAX_PART_BYTES, Sender};
use crate::protocol::v2::{Action, Change, Request, RequestId};

/// Requests on their way to the writer.
#[derive(Debug)]
pub(super) struct Outbox {
    small: BytesMut,
    large: Cutter,
    /// The bytes of large requests that callers are encoding.
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

    /// Counts a large request that is about to be encoded elsewhere.
    pub(super) fn expect(&mut self, bytes: usize) {
        self.expected += bytes;
    }

    /// Takes the request that was counted with `bytes`.
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

/// The bytes of the keys and values that make a request large for sure: it is encoded without the
/// lock, for which others wait.
pub(super) fn bulk(request: &Request<'_>) -> Option<usize> {
    let bytes = match request {
        Request::Batch { changes, .. } => changes.iter().map(change_bytes).sum(),
        Request::Pipeline(requests) => requests.iter().map(own_bytes).sum(),
        request => own_bytes(request),
    };
    (bytes > MAX_PART_BYTES).then_some(bytes)
}

/// The bytes of a change's key and value.
pub(super) fn change_bytes(change: &Change<'_>) -> usize {
    let value = match change.action {
        Action::Set { value, .. } => value.len(),
        Action::Delete | Action::Increment { .. } | Action::Expire { .. } | Action::Check => 0,
    };
    change.key.len() + value
}

/// Of a request that may stand in a pipeline; the others are never large.
fn own_bytes(request: &Request<'_>) -> usize {
    match request {
        Request::Set { key, value, .. } => key.len() + value.len(),
        Request::Get { key, .. }
        | Request::Exists { key, .. }
        | Request::Lifetime { key, .. }
        | Request::Delete { key, .. }
        | Request::Increment { key, .. }
        | Request::Expire { key, .. } => key.len(),
        Request::Ping
        | Request::Batch { .. }
        | Request::Pipeline(_)
        | Request::Scan(_)
        | Request::Watch(_)
        | Request::Cancel
        | Request::CreateTable { .. }
        | Request::DropTable { .. }
        | Request::Tables { .. }
        | Request::Statistics { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::v2::{Condition, Previous};

    fn set<'a>(value: &'a [u8]) -> Request<'a> {
        let (condition, previous) = (Condition::Any, Previous::Omit);
        Request::Set { table: "t", key: b"k", value, condition, expiry: None, previous }
    }

    #[test]
    fn what_is_large_in_all_is_encoded_without_the_lock() {
        let value = vec![0; MAX_PART_BYTES / 10];
        let action = Action::Set { value: &value, expiry: None };
        let change = || Change { key: b"k", condition: Condition::Any, action };
        let batch = |changes: usize| Request::Batch {
            table: "t",
            changes: (0..changes).map(|_| change()).collect(),
        };
        let pipeline =
            |requests: usize| Request::Pipeline((0..requests).map(|_| set(&value)).collect());
        assert_eq!(bulk(&set(&value)), None);
        assert_eq!((bulk(&batch(9)), bulk(&pipeline(9))), (None, None));
        let bytes = 11 * (value.len() + 1);
        assert_eq!((bulk(&batch(11)), bulk(&pipeline(11))), (Some(bytes), Some(bytes)));
        // As an estimate, no more than what it comes to.
        for request in [batch(11), pipeline(11), set(&vec![0; 2 * MAX_PART_BYTES])] {
            let mut message = BytesMut::new();
            request.encode(RequestId::ZERO, &mut message);
            assert!(bulk(&request).is_some_and(|bytes| bytes < message.len()));
        }
    }
}
