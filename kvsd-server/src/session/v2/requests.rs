//! What is done with each request: checked, then answered at once or handed on.
//!
//! Each kind of request has a file of its own; this one says which. Reads of values and writes are
//! gathered first; everything that may wait goes to `in_flight`. Next file to read: `access`, then
//! `rules`.

use std::sync::Arc;

use kvsd::protocol::frame::Message;
use kvsd::protocol::v2::part::{Backing, Chunk};
use kvsd::protocol::v2::{FailCode, Reply, Request, hello};
use tokio::time::Instant;

use super::access;
use super::answer::Answer;
use super::batches::Batch;
use super::in_flight::{Asked, Call, InFlight, READ};
use super::pipeline::{Begun, Pipeline};
use super::points::{Point, PointKind};
use super::reads::Reads;
use super::rules::Rules;
use super::scans::TableScan;
use super::tables::{TableRequest, Turns};
use super::watches::TableWatch;
use super::writes::Writes;
use crate::auth::Login;
use crate::clock;
use crate::metrics::{Operation, Outcome, Refusal};
use crate::server::roster::Entry;
use crate::session::leave::Leave;
use crate::session::meter::Meter;
use crate::session::output::Output;
use crate::session::{Ended, MEMORY_FULL, Service, denied, tidy};

pub(super) struct Requests<'s> {
    service: &'s Service,
    login: Login,
    entry: Arc<Entry>,
    reads: Reads,
    writes: Writes,
    turns: Turns,
    /// Where the engine puts the value of a read.
    scratch: Vec<u8>,
    /// Where the keys and values of the writes that came together stand until these are carried out.
    chunk: Chunk,
    /// Whether all sessions together hold so much that no more is to be taken on.
    pub(super) memory_is_full: bool,
    /// What was read on the spot since the last rest, in bytes.
    work: usize,
}

/// A request that is looked at, as far as others are to know of it.
#[derive(Debug, Clone, Copy)]
struct Subject<'a> {
    asked: Asked,
    table: &'a str,
    since: Instant,
}

impl Subject<'_> {
    fn call(self) -> Call {
        let Self { asked, table, since } = self;
        Call { asked, table: table.into(), since }
    }
}

impl<'s> Requests<'s> {
    pub(super) fn new(service: &'s Service, leave: &Leave<'_>) -> Self {
        Self {
            service,
            login: leave.login.clone(),
            entry: Arc::clone(&leave.entry),
            reads: Reads::default(),
            writes: Writes::default(),
            turns: Turns::default(),
            scratch: Vec::new(),
            chunk: Chunk::default(),
            memory_is_full: false,
            work: 0,
        }
    }

    /// Answers a request, or takes it on. An error ends the session.
    pub(super) fn take(
        &mut self,
        message: &Message<'_>,
        backing: Backing<'_>,
        (in_flight, output, meter): (&mut InFlight, &mut Output, &mut Meter<'_>),
    ) -> Result<(), Ended> {
        let (id, request) = match Request::parse(message) {
            Ok((id, Some(request))) => (id, request),
            Ok((_, None)) if message.kind() == hello::HELLO => {
                return Err(Ended::Misplaced("a second Hello"));
            }
            Ok((id, None)) => {
                let message = "this server has no such request";
                output.answer(id, &Reply::Fail { code: FailCode::Unsupported, message });
                meter.answered(Operation::Malformed, Outcome::Refused, "");
                return Ok(());
            }
            Err(error) => {
                let Some(id) = error.id else {
                    return Err(Ended::Misplaced("a request without an id"));
                };
                Answer::invalid(error.cause.to_string()).send(id, output);
                meter.answered(Operation::Malformed, Outcome::Refused, "");
                return Ok(());
            }
        };
        let (operation, table) = about(&request);
        if let Err(forbidden) = access::check(&self.login, &request) {
            denied::note(self.service, &self.entry, forbidden, access::table_of(&request));
            access::refusal(forbidden).send(id, output);
            meter.answered(operation, Outcome::Refused, table);
            return Ok(());
        }
        if self.memory_is_full && !matches!(request, Request::Ping | Request::Cancel) {
            self.service.metrics.refuse(Refusal::MemoryFull);
            output.answer(id, &Reply::Fail { code: FailCode::Busy, message: MEMORY_FULL });
            meter.answered(operation, Outcome::Refused, table);
            return Ok(());
        }
        let rules = Rules::of(self.service, backing);
        if let Some(refused) = rules.refuse(&request) {
            refused.send(id, output);
            meter.answered(operation, Outcome::Refused, table);
            return Ok(());
        }
        let bytes = u32::try_from(message.byte_len()).unwrap_or(u32::MAX);
        let subject = Subject { asked: Asked { id, operation, bytes }, table, since: meter.now() };
        let answered = match self.carry_out(subject, &request, rules, (in_flight, output)) {
            Ok(answered) => answered,
            Err(reason) => {
                Answer::invalid(reason).send(id, output);
                Some(Outcome::Refused)
            }
        };
        if let Some(outcome) = answered {
            meter.answered(operation, outcome, table);
        }
        Ok(())
    }

    /// The reads that were gathered.
    pub(super) fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Tells the engine of the reads that were gathered.
    pub(super) fn look_ahead(&self) {
        self.reads.look_ahead(&*self.service.engine);
    }

    /// Answers the next one of the reads that were gathered, or takes it on. Says whether there was
    /// one.
    pub(super) fn answer_read(
        &mut self,
        (in_flight, output, meter): (&mut InFlight, &mut Output, &mut Meter<'_>),
    ) -> bool {
        let engine = &self.service.engine;
        let Some((asked, point)) = self.reads.next() else {
            return false;
        };
        match point.answer_now(asked.id, &**engine, &mut self.scratch, output) {
            Some((outcome, bytes)) => {
                meter.answered(asked.operation, outcome, point.table);
                self.spend(1, bytes);
            }
            None => {
                let subject = Subject { asked, table: point.table, since: meter.now() };
                in_flight.run(subject.call(), READ, point.read_later(Arc::clone(engine)));
            }
        }
        true
    }

    /// Tells what came of a request that is answered already. An error is the rule that it breaks:
    /// nothing was done.
    fn carry_out(
        &mut self,
        subject: Subject<'_>,
        request: &Request<'_>,
        rules: Rules<'_>,
        (in_flight, output): (&mut InFlight, &mut Output),
    ) -> Result<Option<Outcome>, String> {
        let Subject { asked, since, .. } = subject;
        let id = asked.id;
        let answer = |answer: Answer, output: &mut Output| {
            let outcome = answer.outcome();
            answer.send(id, output);
            Some(outcome)
        };
        let engine = || Arc::clone(&self.service.engine);
        match request {
            Request::Ping => {
                output.answer(id, &Reply::Pong { server_time: clock::now() });
                return Ok(Some(Outcome::Ok));
            }
            Request::Get { .. } | Request::Exists { .. } | Request::Lifetime { .. } => {
                let point = Point::of(request).ok_or("this request reads no record")?.check()?;
                if point.kind == PointKind::Value {
                    self.reads.add(asked, &point);
                    return Ok(None);
                }
                match point.answer_now(id, &*self.service.engine, &mut self.scratch, output) {
                    Some((outcome, bytes)) => {
                        self.spend(1, bytes);
                        return Ok(Some(outcome));
                    }
                    None => in_flight.run(subject.call(), READ, point.read_later(engine())),
                }
            }
            Request::Set { .. }
            | Request::Delete { .. }
            | Request::Increment { .. }
            | Request::Expire { .. } => {
                let single = rules.write(request, &mut self.chunk)?;
                let held = single.held();
                in_flight.count_write(&held);
                self.writes.add(asked, single.table, single.write, &held);
                if self.writes.are_full() {
                    self.submit(in_flight, since);
                }
            }
            Request::Batch { table, changes } => {
                let batch = Batch::check(&rules, table, changes, &mut self.chunk)?;
                in_flight.run(subject.call(), batch.held(), batch.run(engine()));
            }
            Request::Pipeline(requests) => {
                let may = |request: &Request<'_>| {
                    access::check(&self.login, request).inspect_err(|forbidden| {
                        let table = access::table_of(request);
                        denied::note(self.service, &self.entry, *forbidden, table);
                    })
                };
                let (begun, bytes) =
                    Pipeline::begin(&rules, may, requests, (&mut self.scratch, &mut self.chunk));
                self.spend(requests.len(), bytes);
                match begun {
                    Begun::Answered(done) => return Ok(answer(done, output)),
                    Begun::Waits(pipeline) => {
                        in_flight.run(subject.call(), pipeline.held(), pipeline.run(engine()));
                    }
                }
            }
            Request::Scan(scan) => {
                let scan = TableScan::check(scan)?;
                match scan.answer_now() {
                    Some(page) => return Ok(answer(page, output)),
                    None => in_flight.run(subject.call(), scan.held(), scan.run(engine())),
                }
            }
            Request::Watch(watch) => {
                if let Err(busy) = in_flight.watch(id, TableWatch::check(watch)?, engine()) {
                    return Ok(answer(busy, output));
                }
            }
            Request::Cancel => in_flight.cancel(id),
            Request::CreateTable { .. }
            | Request::DropTable { .. }
            | Request::Tables { .. }
            | Request::Statistics { .. } => {
                let request = TableRequest::check(request, &self.login)?;
                in_flight.run(
                    subject.call(),
                    request.held(),
                    request.run(engine(), self.turns.clone()),
                );
            }
        }
        Ok(None)
    }

    /// Hands the writes that were gathered to the engine, one call a table. They are under way since
    /// then.
    pub(super) fn submit(&mut self, in_flight: &mut InFlight, since: Instant) {
        for group in self.writes.drain() {
            in_flight.write(Arc::clone(&self.service.engine), group, since);
        }
        // What comes later must not keep the memory of these, nor the other way round.
        self.chunk = Chunk::default();
    }

    /// Whether so much was read on the spot that others should have the thread.
    pub(super) fn are_tired(&self) -> bool {
        self.work >= MAX_WORK_BYTES
    }

    /// Others had the thread.
    pub(super) fn rest(&mut self) {
        self.work = 0;
    }

    /// What it holds in memory beside the requests that are counted elsewhere, in bytes.
    pub(super) fn held(&self) -> usize {
        self.scratch.capacity() + self.reads.held()
    }

    fn spend(&mut self, reads: usize, bytes: usize) {
        self.work += reads * READ_WORK_BYTES + bytes;
    }

    /// Gives back what an idle session need not hold.
    pub(super) fn tidy(&mut self) {
        tidy(&mut self.scratch);
        self.reads.tidy();
        self.writes.tidy();
    }
}

/// What a request counts as, and the first table that it names. A Cancel has no answer and counts
/// as nothing.
fn about<'a>(request: &Request<'a>) -> (Operation, &'a str) {
    match request {
        Request::Ping => (Operation::Ping, ""),
        Request::Get { table, .. } => (Operation::Get, table),
        Request::Exists { table, .. } => (Operation::Exists, table),
        Request::Lifetime { table, .. } => (Operation::Lifetime, table),
        Request::Set { table, .. } => (Operation::Set, table),
        Request::Delete { table, .. } => (Operation::Delete, table),
        Request::Increment { table, .. } => (Operation::Increment, table),
        Request::Expire { table, .. } => (Operation::Expire, table),
        Request::Batch { table, .. } => (Operation::Batch, table),
        Request::Pipeline(requests) => {
            (Operation::Pipeline, requests.first().map_or("", |first| about(first).1))
        }
        Request::Scan(scan) => (Operation::Scan, scan.table),
        Request::Watch(watch) => (Operation::Watch, watch.table),
        Request::Cancel => (Operation::Watch, ""),
        Request::CreateTable { table } => (Operation::CreateTable, table),
        Request::DropTable { table } => (Operation::DropTable, table),
        Request::Tables { .. } => (Operation::Tables, ""),
        Request::Statistics { table } => (Operation::Statistics, table),
    }
}

/// What is read on the spot before others get the thread: some milliseconds of it.
const MAX_WORK_BYTES: usize = 1024 * 1024;
/// What finding a record costs beside its value, as if that were so much longer.
const READ_WORK_BYTES: usize = 256;
