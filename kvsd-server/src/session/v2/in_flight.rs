//! The requests that the engine is carrying out.
//!
//! Owns the futures of the engine's calls, one for each batch of writes and each read that waits
//! for the disk, and what they may hold in memory: at [`MAX_REQUESTS`] or [`MAX_BYTES`] the session
//! takes no further message until answers have made room.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use kvsd::protocol::v2::{self, Previous, Reply, RequestId};

use super::requests::{answer_read, refuse_for};
use super::writes::Batch;
use crate::engine::{Before, Engine, EngineError, Found, Record, WriteResult, Written};
use crate::session::output::Output;

/// What a read is to be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadKind {
    Value,
    Presence,
}

#[derive(Debug)]
pub(super) struct InFlight {
    calls: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>,
    /// The requests that have no answer yet, those included that wait to be handed to the engine.
    requests: usize,
    /// What they hold in memory.
    bytes: usize,
}

/// What a call to the engine has come to.
enum Done {
    Writes { ids: Vec<RequestId>, bytes: usize, results: Vec<WriteResult> },
    Read { id: RequestId, kind: ReadKind, result: Result<Option<Record>, EngineError> },
}

impl Default for InFlight {
    fn default() -> Self {
        // `FuturesUnordered` wakes its own task again whenever it has polled as many futures as it
        // holds, which for a single call is always, and costs a wake-up of another thread each
        // time. One future that never ends keeps it from that.
        let calls = FuturesUnordered::new();
        calls.push(Box::pin(std::future::pending()) as Pin<Box<dyn Future<Output = Done> + Send>>);
        Self { calls, requests: 0, bytes: 0 }
    }
}

impl InFlight {
    pub(super) fn is_empty(&self) -> bool {
        self.requests == 0
    }

    pub(super) fn has_room(&self) -> bool {
        self.requests < MAX_REQUESTS && self.bytes < MAX_BYTES
    }

    /// Counts a write of so many bytes that is about to be carried out, and tells what it is taken
    /// to hold.
    pub(super) fn count_write(&mut self, bytes: usize, previous: Previous) -> usize {
        let answer = match previous {
            Previous::Omit => 0,
            Previous::Return => READ_BYTES,
        };
        self.count(bytes + answer);
        bytes + answer
    }

    fn count(&mut self, bytes: usize) {
        self.requests += 1;
        self.bytes += bytes;
    }

    /// Hands writes that were counted to the engine.
    pub(super) fn write(&mut self, engine: Arc<dyn Engine>, batch: Batch) {
        self.calls.push(Box::pin(async move {
            let Batch { table, ids, writes, bytes } = batch;
            let results = engine.write(&table, writes).await;
            Done::Writes { ids, bytes, results }
        }));
    }

    /// Has the engine read a record from the disk.
    pub(super) fn read(
        &mut self,
        engine: Arc<dyn Engine>,
        id: RequestId,
        kind: ReadKind,
        table: String,
        key: Bytes,
    ) {
        self.count(READ_BYTES);
        self.calls.push(Box::pin(async move {
            let result = engine.read(&table, &key).await;
            Done::Read { id, kind, result }
        }));
    }

    /// Starts what is new and answers what is done.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, output: &mut Output) {
        while let Poll::Ready(Some(done)) = self.calls.poll_next_unpin(cx) {
            match done {
                Done::Writes { ids, bytes, results } => {
                    debug_assert_eq!(ids.len(), results.len(), "the engine answers each write");
                    self.requests -= ids.len();
                    self.bytes -= bytes;
                    for (id, result) in ids.into_iter().zip(results) {
                        answer_write(id, result, output);
                    }
                }
                Done::Read { id, kind, result } => {
                    self.requests -= 1;
                    self.bytes -= READ_BYTES;
                    let found = result.as_ref().map(|record| record.as_ref().map(found));
                    answer_read(id, kind, found.map_err(Clone::clone), output);
                }
            }
        }
    }
}

fn answer_write(id: RequestId, result: WriteResult, output: &mut Output) {
    let written = match result {
        Ok(written) => written,
        Err(error) => return refuse_for(id, &error, output),
    };
    let reply = match &written {
        Written::Applied { version, before } => Reply::Written {
            version: *version,
            before: match before.first() {
                None | Some(Before::Absent) => v2::Before::Absent,
                Some(Before::Present) => v2::Before::Present,
                Some(Before::Record(record)) => v2::Before::Record(v2::Record {
                    version: record.version,
                    expires_at: record.expires_at,
                    value: &record.value,
                }),
            },
        },
        Written::Conflict { current, .. } => Reply::Conflict { current: *current },
    };
    reply.encode(id, output.buffer());
}

fn found(record: &Record) -> Found<'_> {
    Found { version: record.version, expires_at: record.expires_at, value: &record.value }
}

/// The requests of one session that the engine may be carrying out.
const MAX_REQUESTS: usize = 4096;
/// What they may hold in memory: 8 MiB, and the write that passes it.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// What a record that the engine is to find is taken to hold: its size shows only afterwards.
const READ_BYTES: usize = 64 * 1024;
