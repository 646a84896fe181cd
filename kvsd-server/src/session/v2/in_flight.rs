//! The requests that the engine is carrying out.
//!
//! Owns the futures of the engine's calls, one for each batch of writes and each read that waits
//! for the disk, and what they may hold in memory: at [`MAX_REQUESTS`], [`MAX_BYTES`] or
//! [`MAX_RECORD_BYTES`] the session takes no further message until answers have made room.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use kvsd::protocol::v2::part::MAX_PART_BYTES;
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
    held: Held,
    max_records: usize,
}

/// What requests are taken to hold in memory until they are answered.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: usize,
    /// The answers to come that are whole records: how large they are shows only afterwards.
    records: usize,
}

/// What a call to the engine has come to.
enum Done {
    Writes { ids: Vec<RequestId>, held: Held, results: Vec<WriteResult> },
    Read { id: RequestId, kind: ReadKind, result: Result<Option<Record>, EngineError> },
}

impl InFlight {
    /// For a session whose answers hold values of at most so many bytes.
    pub(super) fn new(max_value_bytes: usize) -> Self {
        // `FuturesUnordered` wakes its own task again whenever it has polled as many futures as it
        // holds, which for a single call is always, and costs a wake-up of another thread each
        // time. One future that never ends keeps it from that.
        let calls = FuturesUnordered::new();
        calls.push(Box::pin(std::future::pending()) as Pin<Box<dyn Future<Output = Done> + Send>>);
        let max_records = (MAX_RECORD_BYTES / max_value_bytes.max(1)).max(1);
        Self { calls, requests: 0, held: Held::default(), max_records }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests == 0
    }

    pub(super) fn has_room(&self) -> bool {
        let Held { bytes, records } = self.held;
        self.requests < MAX_REQUESTS && bytes < MAX_BYTES && records < self.max_records
    }

    /// Counts a write of so many bytes that is about to be carried out, and tells what it is taken
    /// to hold.
    pub(super) fn count_write(&mut self, bytes: usize, previous: Previous) -> Held {
        let held = match previous {
            Previous::Omit => Held { bytes, records: 0 },
            Previous::Return => Held { bytes: bytes + READ_BYTES, records: 1 },
        };
        self.requests += 1;
        self.held.add(&held);
        held
    }

    /// Hands writes that were counted to the engine.
    pub(super) fn write(&mut self, engine: Arc<dyn Engine>, batch: Batch) {
        self.calls.push(Box::pin(async move {
            let Batch { table, ids, writes, held } = batch;
            let results = engine.write(&table, writes).await;
            Done::Writes { ids, held, results }
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
        self.requests += 1;
        self.held.add(&READ);
        self.calls.push(Box::pin(async move {
            let result = engine.read(&table, &key).await;
            Done::Read { id, kind, result }
        }));
    }

    /// Starts what is new and answers what is done.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, output: &mut Output) {
        while let Poll::Ready(Some(done)) = self.calls.poll_next_unpin(cx) {
            match done {
                Done::Writes { ids, held, results } => {
                    debug_assert_eq!(ids.len(), results.len(), "the engine answers each write");
                    self.requests -= ids.len();
                    self.held.remove(&held);
                    for (id, result) in ids.into_iter().zip(results) {
                        answer_write(id, result, output);
                    }
                }
                Done::Read { id, kind, result } => {
                    self.requests -= 1;
                    self.held.remove(&READ);
                    let result = match (kind, result) {
                        (ReadKind::Value, Ok(Some(record))) if is_large(&record) => {
                            let Record { version, expires_at, value } = record;
                            let record = v2::Record { version, expires_at, value: &[] };
                            output.answer_with(id, &Reply::Value(Some(record)), value);
                            continue;
                        }
                        (_, result) => result,
                    };
                    let found = result.as_ref().map(|record| record.as_ref().map(found));
                    answer_read(id, kind, found.map_err(Clone::clone), output);
                }
            }
        }
    }
}

impl Held {
    pub(super) fn add(&mut self, more: &Self) {
        self.bytes += more.bytes;
        self.records += more.records;
    }

    fn remove(&mut self, less: &Self) {
        self.bytes -= less.bytes;
        self.records -= less.records;
    }
}

fn answer_write(id: RequestId, result: WriteResult, output: &mut Output) {
    let written = match result {
        Ok(written) => written,
        Err(error) => return refuse_for(id, &error, output),
    };
    let reply = match &written {
        Written::Applied { version, before, .. } => Reply::Written {
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
    output.answer(id, &reply);
}

/// Whether an answer with the record goes in parts for its value alone.
fn is_large(record: &Record) -> bool {
    record.value.len() > MAX_PART_BYTES
}

fn found(record: &Record) -> Found<'_> {
    Found { version: record.version, expires_at: record.expires_at, value: &record.value }
}

/// The requests of one session that the engine may be carrying out.
const MAX_REQUESTS: usize = 4096;
/// What they may hold in memory: 8 MiB, and the write that passes it.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// What a record that the engine is to find is taken to hold as a rule.
const READ_BYTES: usize = 64 * 1024;
const READ: Held = Held { bytes: READ_BYTES, records: 1 };
/// What the records that the engine is to find may hold, were each of them as large as can be: 16
/// of 10 MiB, which is enough to keep all threads busy that read from the disk.
const MAX_RECORD_BYTES: usize = 160 * 1024 * 1024;
