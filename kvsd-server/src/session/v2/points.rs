//! Reads of one record: is it there, what is it, how long does it still have.
//!
//! What is at hand is answered on the spot, without a hop, a future or an allocation. Next file to
//! read: `writes`.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kvsd::UnixMillis;
use kvsd::protocol::v2::{self, Lifetime, Reply, Request, RequestId};

use super::answer::{Answer, found_of};
use super::rules::check_place;
use crate::engine::{Engine, Found, Freshness, Head, ReadNow, Record};
use crate::metrics::Outcome;
use crate::session::output::Output;

/// A read of one record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point<'a> {
    pub(super) kind: PointKind,
    pub(super) table: &'a str,
    pub(super) key: &'a [u8],
    /// How old the answer may be. What is at hand is the latest.
    pub(super) freshness: Freshness,
}

/// What a read of one record is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PointKind {
    Value,
    Presence,
    Lifetime,
}

impl<'a> Point<'a> {
    /// What a Get, Exists or Lifetime reads; `None` for another request.
    pub(super) fn of(request: &Request<'a>) -> Option<Self> {
        let (kind, table, key, freshness) = match *request {
            Request::Get { table, key, freshness } => (PointKind::Value, table, key, freshness),
            Request::Exists { table, key, freshness } => {
                (PointKind::Presence, table, key, freshness)
            }
            Request::Lifetime { table, key, freshness } => {
                (PointKind::Lifetime, table, key, freshness)
            }
            Request::Ping
            | Request::Set { .. }
            | Request::Delete { .. }
            | Request::Increment { .. }
            | Request::Expire { .. }
            | Request::Batch { .. }
            | Request::Pipeline(_)
            | Request::Scan(_)
            | Request::Watch(_)
            | Request::Cancel
            | Request::CreateTable { .. }
            | Request::DropTable { .. }
            | Request::Tables { .. }
            | Request::Statistics { .. } => return None,
        };
        let freshness = freshness_of(freshness);
        Some(Self { kind, table, key, freshness })
    }

    /// The read if it breaks no rule.
    pub(super) fn check(self) -> Result<Self, String> {
        check_place(self.table, self.key)?;
        Ok(self)
    }

    /// Answers if the engine has the record at hand; `None` if only the disk knows. Tells what came
    /// of it, and how many bytes of a value that took.
    pub(super) fn answer_now(
        self,
        id: RequestId,
        engine: &dyn Engine,
        scratch: &mut Vec<u8>,
        output: &mut Output,
    ) -> Option<(Outcome, usize)> {
        if self.kind != PointKind::Value {
            let answer = self.read_now(engine, &mut Room::new(scratch))?;
            let outcome = answer.outcome();
            answer.send(id, output);
            return Some((outcome, 0));
        }
        match engine.read_now(self.table, self.key, scratch) {
            ReadNow::Ready(Ok(found)) => {
                output.answer(id, &Reply::Value(found.map(found_of)));
                Some((Outcome::Ok, found.map_or(0, |found| found.value.len())))
            }
            ReadNow::Ready(Err(error)) => {
                let answer = Answer::from(error);
                let outcome = answer.outcome();
                answer.send(id, output);
                Some((outcome, 0))
            }
            ReadNow::WouldBlock => None,
        }
    }

    /// The answer if the engine has the record at hand; `None` if only the disk knows.
    pub(super) fn read_now(self, engine: &dyn Engine, room: &mut Room<'_>) -> Option<Answer> {
        let Self { kind, table, key, freshness: _ } = self;
        let Room { scratch, values } = room;
        let answer = match kind {
            PointKind::Value => match engine.read_now(table, key, scratch) {
                ReadNow::Ready(found) => {
                    found.map(|found| Answer::Value(found.map(|found| record_of(found, values))))
                }
                ReadNow::WouldBlock => return None,
            },
            PointKind::Presence => engine.find_now(table, key, scratch)?.map(presence),
            PointKind::Lifetime => {
                engine.find_now(table, key, scratch)?.map(|head| lifetime(head, engine, table))
            }
        };
        Some(answer.unwrap_or_else(Answer::from))
    }

    /// The answer, from the disk if need be.
    pub(super) async fn read(self, engine: &dyn Engine) -> Answer {
        let Self { kind, table, key, freshness } = self;
        let answer = match kind {
            PointKind::Value => engine.read(table, key, freshness).await.map(Answer::Value),
            PointKind::Presence => engine.find(table, key, freshness).await.map(presence),
            PointKind::Lifetime => {
                let found = engine.find(table, key, freshness).await;
                found.map(|head| lifetime(head, engine, table))
            }
        };
        answer.unwrap_or_else(Answer::from)
    }

    /// As [`Point::read`], for later.
    pub(super) fn read_later(
        self,
        engine: Arc<dyn Engine>,
    ) -> impl Future<Output = Answer> + use<> {
        let Self { kind, table, key, freshness } = self;
        let (table, key) = (table.to_owned(), Bytes::copy_from_slice(key));
        async move { Point { kind, table: &table, key: &key, freshness }.read(&*engine).await }
    }
}

/// How old the answer to a read may be, as the engine is asked for it.
pub(super) fn freshness_of(freshness: v2::Freshness) -> Freshness {
    match freshness {
        v2::Freshness::Latest => Freshness::Latest,
        v2::Freshness::Stale => Freshness::Stale,
    }
}

/// Where reads that are answered together put their values.
#[derive(Debug)]
pub(super) struct Room<'s> {
    /// For the engine, one after the other.
    scratch: &'s mut Vec<u8>,
    /// All of them that are small: one allocation is for many.
    values: Values,
}

#[derive(Debug)]
struct Values {
    room: BytesMut,
    /// How much is allocated next: few values must not hold much.
    next: usize,
}

impl<'s> Room<'s> {
    pub(super) fn new(scratch: &'s mut Vec<u8>) -> Self {
        let values = Values { room: BytesMut::new(), next: LARGEST_SHARED_BYTES };
        Self { scratch, values }
    }
}

/// A record whose value stood in a buffer that is wanted for more.
fn record_of(found: Found<'_>, values: &mut Values) -> Record {
    let Found { version, expires_at, value } = found;
    if value.len() > LARGEST_SHARED_BYTES {
        return Record { version, expires_at, value: Bytes::copy_from_slice(value) };
    }
    if values.room.capacity() < value.len() {
        // What is full belongs to the values in it.
        values.room = BytesMut::with_capacity(values.next);
        values.next = (2 * values.next).min(SHARED_BYTES);
    }
    values.room.extend_from_slice(value);
    Record { version, expires_at, value: values.room.split().freeze() }
}

/// How much is allocated for small values at a time, at first and at most, in bytes.
const LARGEST_SHARED_BYTES: usize = 1024;
const SHARED_BYTES: usize = 16 * 1024;

fn presence(head: Option<Head>) -> Answer {
    Answer::Flag(head.is_some())
}

fn lifetime(head: Option<Head>, engine: &dyn Engine, table: &str) -> Answer {
    Answer::Lifetime(match head.map(|head| head.expires_at) {
        None => Lifetime::Absent,
        Some(None) => Lifetime::Endless,
        Some(Some(end)) => left(end, engine.time(table)),
    })
}

/// The record was there a moment ago, and so it has some time left.
fn left(end: UnixMillis, now: UnixMillis) -> Lifetime {
    Lifetime::Left { millis: end.get().saturating_sub(now.get()).max(1) }
}

#[cfg(test)]
mod tests {
    use kvsd::Version;

    use super::*;

    #[test]
    fn few_values_hold_little_and_many_share_what_they_hold() {
        let mut scratch = Vec::new();
        let mut room = Room::new(&mut scratch);
        let version = Version::new(1).unwrap();
        let mut keep = |value: &[u8]| {
            record_of(Found { version, expires_at: None, value }, &mut room.values).value
        };
        let first = keep(b"one");
        let records: Vec<_> = (0..200_u8).map(|byte| keep(&[byte; 100])).collect();
        assert_eq!(first, "one");
        for (byte, value) in (0..).zip(&records) {
            assert_eq!(value[..], [byte; 100]);
        }
        let large = vec![7; LARGEST_SHARED_BYTES + 1];
        assert_eq!(keep(&large), large);

        let mut scratch = Vec::new();
        let mut room = Room::new(&mut scratch);
        record_of(Found { version, expires_at: None, value: b"one" }, &mut room.values);
        assert!(room.values.room.capacity() <= LARGEST_SHARED_BYTES, "more than is counted");
    }
}
