//! Reads of one record: is it there, what is it, how long does it still have.
//!
//! What is at hand is answered on the spot, without a hop, a future or an allocation. Next file to
//! read: `reads`.

use std::sync::Arc;

use bytes::Bytes;
use kvsd::UnixMillis;
use kvsd::protocol::v2::{self, Lifetime, Reply, Request, RequestId};

use super::answer::{Answer, found_of};
use super::rules::check_place;
use crate::engine::{Engine, Freshness, Head, ReadNow};
use crate::metrics::Outcome;
use crate::session::fail;
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
        self.read_now(engine, scratch, |reply| {
            output.answer(id, reply);
            match reply {
                Reply::Value(Some(record)) => (Outcome::Ok, record.value.len()),
                Reply::Fail { code, .. } => (fail::outcome(*code), 0),
                _ => (Outcome::Ok, 0),
            }
        })
    }

    /// Tells the reply if the engine has the record at hand; `None` if only the disk knows.
    pub(super) fn read_now<T>(
        self,
        engine: &dyn Engine,
        scratch: &mut Vec<u8>,
        tell: impl FnOnce(&Reply<'_>) -> T,
    ) -> Option<T> {
        let Self { kind, table, key, freshness: _ } = self;
        let reply = match kind {
            PointKind::Value => match engine.read_now(table, key, scratch) {
                ReadNow::Ready(found) => found.map(|found| Reply::Value(found.map(found_of))),
                ReadNow::WouldBlock => return None,
            },
            PointKind::Presence => {
                engine.find_now(table, key, scratch)?.map(|head| Reply::Flag(head.is_some()))
            }
            PointKind::Lifetime => engine
                .find_now(table, key, scratch)?
                .map(|head| Reply::Lifetime(lifetime(head, engine, table))),
        };
        Some(match reply {
            Ok(reply) => tell(&reply),
            Err(error) => {
                tell(&Reply::Fail { code: fail::code(&error), message: &fail::message(&error) })
            }
        })
    }

    /// The answer, from the disk if need be.
    pub(super) async fn read(self, engine: &dyn Engine) -> Answer {
        let Self { kind, table, key, freshness } = self;
        let answer = match kind {
            PointKind::Value => engine.read(table, key, freshness).await.map(Answer::Value),
            PointKind::Presence => {
                let found = engine.find(table, key, freshness).await;
                found.map(|head| Answer::Flag(head.is_some()))
            }
            PointKind::Lifetime => {
                let found = engine.find(table, key, freshness).await;
                found.map(|head| Answer::Lifetime(lifetime(head, engine, table)))
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

fn lifetime(head: Option<Head>, engine: &dyn Engine, table: &str) -> Lifetime {
    match head.map(|head| head.expires_at) {
        None => Lifetime::Absent,
        Some(None) => Lifetime::Endless,
        Some(Some(end)) => left(end, engine.time(table)),
    }
}

/// The record was there a moment ago, and so it has some time left.
fn left(end: UnixMillis, now: UnixMillis) -> Lifetime {
    Lifetime::Left { millis: end.get().saturating_sub(now.get()).max(1) }
}
