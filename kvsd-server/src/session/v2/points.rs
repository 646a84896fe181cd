//! Reads of one record: is it there, what is it, how long does it still have.
//!
//! What is at hand is answered on the spot, without a hop, a future or an allocation. Next file to
//! read: `writes`.

use std::sync::Arc;

use bytes::Bytes;
use kvsd::UnixMillis;
use kvsd::protocol::v2::{Lifetime, Reply, Request, RequestId};

use super::answer::{Answer, found_of};
use super::rules::check_place;
use crate::engine::{Engine, EngineError, Found, ReadNow, Record};
use crate::session::output::Output;

/// A read of one record that breaks no rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point<'a> {
    pub(super) kind: PointKind,
    pub(super) table: &'a str,
    pub(super) key: &'a [u8],
}

/// What a read of one record is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PointKind {
    Value,
    Presence,
    Lifetime,
}

impl<'a> Point<'a> {
    /// Checks a Get, Exists or Lifetime.
    pub(super) fn check(request: &Request<'a>) -> Result<Self, String> {
        let (kind, table, key) = match *request {
            Request::Get { table, key } => (PointKind::Value, table, key),
            Request::Exists { table, key } => (PointKind::Presence, table, key),
            Request::Lifetime { table, key } => (PointKind::Lifetime, table, key),
            _ => return Err("this request reads no record".to_owned()),
        };
        check_place(table, key)?;
        Ok(Self { kind, table, key })
    }

    /// Answers if the engine has the record at hand; `false` if only the disk knows.
    pub(super) fn answer_now(
        self,
        id: RequestId,
        engine: &dyn Engine,
        scratch: &mut Vec<u8>,
        output: &mut Output,
    ) -> bool {
        let result = match engine.read_now(self.table, self.key, scratch) {
            ReadNow::Ready(result) => result,
            ReadNow::WouldBlock => return false,
        };
        match (self.kind, result) {
            (PointKind::Value, Ok(found)) => {
                output.answer(id, &Reply::Value(found.map(found_of)));
            }
            (kind, result) => kind.keep(result, engine, self.table).send(id, output),
        }
        true
    }

    /// The answer if the engine has the record at hand; `None` if only the disk knows.
    pub(super) fn read_now(self, engine: &dyn Engine, scratch: &mut Vec<u8>) -> Option<Answer> {
        match engine.read_now(self.table, self.key, scratch) {
            ReadNow::Ready(result) => Some(self.kind.keep(result, engine, self.table)),
            ReadNow::WouldBlock => None,
        }
    }

    /// The answer, from the disk if need be.
    pub(super) async fn read(self, engine: &dyn Engine) -> Answer {
        match engine.read(self.table, self.key).await {
            Ok(record) => self.kind.answer(record, engine, self.table),
            Err(error) => error.into(),
        }
    }

    /// As [`Point::read`], for later.
    pub(super) fn read_later(
        self,
        engine: Arc<dyn Engine>,
    ) -> impl Future<Output = Answer> + use<> {
        let (kind, table, key) =
            (self.kind, self.table.to_owned(), Bytes::copy_from_slice(self.key));
        async move { Point { kind, table: &table, key: &key }.read(&*engine).await }
    }
}

impl PointKind {
    /// The answer from a record that stands in a buffer which is wanted for more.
    fn keep(
        self,
        result: Result<Option<Found<'_>>, EngineError>,
        engine: &dyn Engine,
        table: &str,
    ) -> Answer {
        let record = |found: Found<'_>| Record {
            version: found.version,
            expires_at: found.expires_at,
            value: match self {
                Self::Value => Bytes::copy_from_slice(found.value),
                Self::Presence | Self::Lifetime => Bytes::new(),
            },
        };
        match result {
            Ok(found) => self.answer(found.map(record), engine, table),
            Err(error) => error.into(),
        }
    }

    fn answer(self, record: Option<Record>, engine: &dyn Engine, table: &str) -> Answer {
        match self {
            Self::Value => Answer::Value(record),
            Self::Presence => Answer::Flag(record.is_some()),
            Self::Lifetime => Answer::Lifetime(match record.map(|record| record.expires_at) {
                None => Lifetime::Absent,
                Some(None) => Lifetime::Endless,
                Some(Some(end)) => left(end, engine.time(table)),
            }),
        }
    }
}

/// The record was there a moment ago, and so it has some time left.
fn left(end: UnixMillis, now: UnixMillis) -> Lifetime {
    Lifetime::Left { millis: end.get().saturating_sub(now.get()).max(1) }
}
