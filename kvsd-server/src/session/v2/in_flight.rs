//! The requests that are being carried out.
//!
//! Owns their futures, one for each group of writes and one for each other request, and what they
//! may hold in memory: at [`MAX_REQUESTS`], [`MAX_BYTES`] or [`MAX_RECORD_BYTES`] the session takes
//! no further message until answers have made room.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt};
use kvsd::TableName;
use kvsd::protocol::v2::{RequestId, limits};
use tokio::time::Instant;

use super::answer::Answer;
use super::watches::{TableWatch, Told, Watches};
use super::writes::Group;
use crate::engine::{Engine, WriteResult};
use crate::metrics::Operation;
use crate::session::meter::Meter;
use crate::session::output::Output;

#[derive(Debug)]
pub(super) struct InFlight {
    calls: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>,
    /// The requests that have no answer yet, those included that wait to be handed to the engine.
    requests: usize,
    held: Held,
    max_records: usize,
    /// Watches wait for long and hold little: they count apart.
    watches: Watches,
    /// The longest message.
    max_message_bytes: usize,
}

/// What requests are taken to hold in memory until they are answered.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) bytes: usize,
    /// How many of them have the engine read a record, or look for one on the disk: how large it is
    /// shows only afterwards.
    pub(super) records: usize,
}

/// What a future has come to.
enum Done {
    Writes {
        table: TableName,
        asked: Vec<Asked>,
        since: Instant,
        held: Held,
        results: Vec<WriteResult>,
    },
    Request {
        call: Call,
        held: Held,
        answer: Answer,
    },
    Watch {
        id: RequestId,
        answer: Answer,
        told: Option<Told>,
    },
}

/// A request as far as its answer is to know of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) id: RequestId,
    pub(super) operation: Operation,
    /// The length of its message.
    pub(super) bytes: u32,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) asked: Asked,
    /// The first table that it names; empty if it names none.
    pub(super) table: Box<str>,
    pub(super) since: Instant,
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
        Self {
            calls,
            requests: 0,
            held: Held::default(),
            max_records,
            watches: Watches::new(),
            max_message_bytes: limits(max_value_bytes).message_bytes,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests == 0 && self.watches.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        let Held { bytes, records } = self.held;
        self.requests < MAX_REQUESTS && bytes < MAX_BYTES && records < self.max_records
    }

    /// Counts a write that is about to be carried out.
    pub(super) fn count_write(&mut self, held: &Held) {
        self.requests += 1;
        self.held.add(held);
    }

    /// Hands writes that were counted to the engine.
    pub(super) fn write(&mut self, engine: Arc<dyn Engine>, group: Group, since: Instant) {
        self.calls.push(Box::pin(async move {
            let Group { table, asked, writes, held } = group;
            let results = engine.write(&table, writes).await;
            Done::Writes { table, asked, since, held, results }
        }));
    }

    /// Carries out a request that holds so much.
    pub(super) fn run(
        &mut self,
        call: Call,
        held: Held,
        request: impl Future<Output = Answer> + Send + 'static,
    ) {
        self.requests += 1;
        self.held.add(&held);
        self.calls.push(Box::pin(async move {
            let answer = request.await;
            Done::Request { call, held, answer }
        }));
    }

    /// Lets a watch wait for its news; the refusal if there is no room for it.
    pub(super) fn watch(
        &mut self,
        id: RequestId,
        watch: TableWatch,
        engine: Arc<dyn Engine>,
    ) -> Result<(), Answer> {
        let (place, message_bytes) = (self.watches.begin(id)?, self.max_message_bytes);
        self.calls.push(Box::pin(async move {
            let (answer, told) = watch.run(engine, place, message_bytes).await;
            Done::Watch { id, answer, told }
        }));
        Ok(())
    }

    /// Lets the watch with this id tell what it has, if there is one that waits.
    pub(super) fn cancel(&mut self, id: RequestId) {
        self.watches.cancel(id);
    }

    /// Lets all watches tell what they have.
    pub(super) fn cancel_all(&mut self) {
        self.watches.cancel_all();
    }

    /// The answers so far are on their way, or there is room for more.
    pub(super) fn forget_told(&mut self) {
        self.watches.forget_told();
    }

    /// Starts what is new and answers what is done.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        output: &mut Output,
        meter: &mut Meter<'_>,
    ) {
        while let Poll::Ready(Some(done)) = self.calls.poll_next_unpin(cx) {
            match done {
                Done::Writes { table, asked, since, held, results } => {
                    debug_assert_eq!(asked.len(), results.len(), "the engine answers each write");
                    self.requests -= asked.len();
                    self.held.remove(&held);
                    for (asked, result) in asked.into_iter().zip(results) {
                        asked.answer(
                            Answer::of_write(result),
                            table.as_str(),
                            since,
                            (output, meter),
                        );
                    }
                }
                Done::Request { call: Call { asked, table, since }, held, answer } => {
                    self.requests -= 1;
                    self.held.remove(&held);
                    asked.answer(answer, &table, since, (output, meter));
                }
                Done::Watch { id, answer, told } => {
                    self.watches.end(id, told);
                    meter.watched(answer.outcome());
                    answer.send(id, output);
                }
            }
        }
    }

    /// How many requests have no answer yet, watches aside.
    pub(super) fn requests(&self) -> usize {
        self.requests
    }
}

impl Asked {
    /// Answers the request, and counts what has come of it.
    fn answer(
        self,
        answer: Answer,
        table: &str,
        since: Instant,
        (output, meter): (&mut Output, &mut Meter<'_>),
    ) {
        let outcome = answer.outcome();
        let waiting = |output: &Output| output.len() + output.large_len();
        let before = waiting(output);
        answer.send(self.id, output);
        let answered = waiting(output).saturating_sub(before);
        let bytes = u64::from(self.bytes) + answered as u64;
        meter.finished((self.operation, outcome), table, bytes, since);
    }
}

impl Held {
    /// What holds so many bytes, and waits for no record.
    pub(super) fn of_bytes(bytes: usize) -> Self {
        Self { bytes, records: 0 }
    }

    pub(super) fn add(&mut self, more: &Self) {
        self.bytes += more.bytes;
        self.records += more.records;
    }

    fn remove(&mut self, less: &Self) {
        self.bytes -= less.bytes;
        self.records -= less.records;
    }
}

/// The requests of one session that may be carried out at a time.
const MAX_REQUESTS: usize = 4096;
/// What they may hold in memory: 16 MiB, and the request that passes it. More than a value of the
/// usual limit, so that small requests pass a large write that waits for the disk.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// What a record that the engine is to find is taken to hold as a rule.
pub(super) const READ_BYTES: usize = 64 * 1024;
/// What a read that waits for the disk is taken to hold.
pub(super) const READ: Held = Held { bytes: READ_BYTES, records: 1 };
/// What the records that the engine is to find may hold, were each of them as large as can be: 16
/// of 10 MiB, which is enough to keep all threads busy that read from the disk.
const MAX_RECORD_BYTES: usize = 160 * 1024 * 1024;
