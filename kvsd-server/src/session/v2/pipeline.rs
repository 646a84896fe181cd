//! Pipelines: requests that are carried out one after the other, and answered together.
//!
//! What can be answered at once is; from the first request on that may wait, one future does the
//! rest. Writes to one table that follow each other are handed to the engine together. Next file to
//! read: `scans`.

use std::sync::Arc;

use bytes::Bytes;
use kvsd::TableName;
use kvsd::protocol::v2::part::Chunk;
use kvsd::protocol::v2::{ANSWER_BYTES, Before, Expiry, PipelineReplies, Previous, Reply, Request};

use super::access;
use super::answer::Answer;
use super::batches::no_answer;
use super::in_flight::{Held, READ_BYTES};
use super::points::{Point, PointKind};
use super::reads::MOST_READS;
use super::rules::{Rules, Single, begin};
use crate::auth::Forbidden;
use crate::engine::{Engine, Freshness, Write};

/// A pipeline that waits for something.
#[derive(Debug, Default)]
pub(super) struct Pipeline {
    answers: Answers,
    steps: Vec<Step>,
    /// The tables that the steps name by their places. Steps that follow each other share one.
    tables: Vec<TableName>,
    /// How many bytes of keys and values the steps hold.
    bytes: usize,
    /// How many steps read a record.
    records: usize,
    max_value_bytes: usize,
    /// How many records are read together.
    at_once: usize,
}

/// A request that is not carried out yet.
#[derive(Debug)]
enum Step {
    Read {
        kind: PointKind,
        table: usize,
        key: Bytes,
        freshness: Freshness,
    },
    /// Its expiry is settled when it is its turn.
    Write {
        table: usize,
        write: Write,
        expiry: Option<Expiry>,
        previous: Previous,
    },
    Refused(Answer),
}

/// The answers so far.
#[derive(Debug, Default)]
struct Answers {
    replies: PipelineReplies,
    /// Bytes of values and explanations in them.
    bytes: usize,
}

/// What a pipeline has come to on the spot.
#[derive(Debug)]
pub(super) enum Begun {
    Answered(Answer),
    Waits(Pipeline),
}

impl Pipeline {
    /// Carries out the reads that it begins with, as far as none of them waits, and takes in the
    /// rest, each if the client `may`. Tells also how many bytes of values it has read.
    pub(super) fn begin(
        rules: &Rules<'_>,
        may: impl Fn(&Request<'_>) -> Result<(), Forbidden>,
        requests: &[Request<'_>],
        (scratch, chunk): (&mut Vec<u8>, &mut Chunk),
    ) -> (Begun, usize) {
        let mut pipeline = Self {
            max_value_bytes: rules.most.max_value_bytes,
            at_once: rules.engine.description().reads_at_once,
            ..Self::default()
        };
        for (number, request) in requests.iter().enumerate() {
            if pipeline.steps.is_empty() {
                if pipeline.answers.are_full() {
                    break;
                }
                if number % MOST_READS == 0 {
                    look_ahead(rules.engine, requests.get(number..).unwrap_or_default());
                }
                match may(request) {
                    Ok(()) if pipeline.answers.read_at_once(rules, request, scratch) => {}
                    Ok(()) => pipeline.take_in(rules, request, chunk),
                    Err(forbidden) => pipeline.answers.push(&access::refusal(forbidden)),
                }
            } else if let Err(forbidden) = may(request) {
                pipeline.steps.push(Step::Refused(access::refusal(forbidden)));
            } else {
                pipeline.take_in(rules, request, chunk);
            }
        }
        let bytes = pipeline.answers.bytes;
        match pipeline.steps.is_empty() {
            true => (Begun::Answered(pipeline.answers.into_one()), bytes),
            false => (Begun::Waits(pipeline), bytes),
        }
    }

    fn take_in(&mut self, rules: &Rules<'_>, request: &Request<'_>, chunk: &mut Chunk) {
        if let Some(refused) = rules.refuse(request) {
            self.steps.push(Step::Refused(refused));
            return;
        }
        let step = match Point::of(request) {
            Some(point) => point.check().and_then(|point| self.read_step(point, chunk)),
            None => rules.write_later(request, chunk).and_then(|single| self.write_step(single)),
        };
        self.steps.push(step.unwrap_or_else(|why| Step::Refused(Answer::invalid(why))));
    }

    fn read_step(&mut self, point: Point<'_>, chunk: &mut Chunk) -> Result<Step, String> {
        let Point { kind, table, key, freshness } = point;
        let table = self.place_of(table)?;
        self.bytes += key.len();
        self.records += 1;
        Ok(Step::Read { kind, table, key: chunk.keep(key), freshness })
    }

    fn write_step(&mut self, single: Single<'_>) -> Result<Step, String> {
        let records = single.held().records;
        let Single { table, write, bytes, previous, expiry } = single;
        let table = self.place_of(table)?;
        self.bytes += bytes;
        self.records += records;
        Ok(Step::Write { table, write, expiry, previous })
    }

    fn place_of(&mut self, table: &str) -> Result<usize, String> {
        if self.tables.last().is_none_or(|last| last.as_str() != table) {
            self.tables.push(TableName::parse(table).map_err(|error| error.to_string())?);
        }
        Ok(self.tables.len() - 1)
    }

    /// What it is taken to hold in memory: of the records that it finds, only those may be as large as
    /// can be that are read together.
    pub(super) fn held(&self) -> Held {
        let answers = (self.records * READ_BYTES).min(ANSWER_BYTES);
        let steps = self.bytes + self.steps.len() * STEP_BYTES;
        let records = self.records.min(self.at_once);
        Held { bytes: self.answers.replies.byte_len() + steps + answers, records }
    }

    /// Carries out what is left, until the answer is full.
    pub(super) async fn run(self, engine: Arc<dyn Engine>) -> Answer {
        let Self { mut answers, steps, tables, max_value_bytes, at_once, .. } = self;
        let mut steps = steps.into_iter().peekable();
        let mut scratch = Vec::new();
        while !answers.are_full() {
            let Some(step) = steps.next() else {
                break;
            };
            let (table, write, previous) = match step {
                Step::Refused(answer) => {
                    answers.push(&answer);
                    continue;
                }
                Step::Read { kind, table, key, freshness } => {
                    let name = tables[table].as_str();
                    let point = Point { kind, table: name, key: &key, freshness };
                    if answers.read_now(point, &*engine, &mut scratch) {
                        continue;
                    }
                    let follows = |step: &Step| {
                        kind == PointKind::Value
                            && matches!(step, Step::Read { kind: PointKind::Value, table: of, freshness: how, .. }
                                if *of == table && *how == freshness)
                    };
                    let most = at_once.min(answers.fitting());
                    let mut keys = Vec::new();
                    while keys.len() + 1 < most
                        && let Some(Step::Read { key, .. }) = steps.next_if(follows)
                    {
                        keys.push(key);
                    }
                    if keys.is_empty() {
                        answers.push(&point.read(&*engine).await);
                        continue;
                    }
                    keys.insert(0, key);
                    let found = engine.read_several(name, &keys, freshness).await;
                    let none = keys.len().saturating_sub(found.len());
                    let found = found
                        .into_iter()
                        .map(|found| found.map_or_else(Answer::from, Answer::Value));
                    for answer in found.chain((0..none).map(|_| no_answer())) {
                        // What is read and not answered was not carried out, for all that anybody
                        // can tell.
                        if !answers.are_full() {
                            answers.push(&answer);
                        }
                    }
                    continue;
                }
                Step::Write { table, mut write, expiry, previous } => {
                    match begin(&*engine, tables[table].as_str(), &mut write, expiry) {
                        Ok(()) => (table, write, previous),
                        Err(why) => {
                            answers.push(&Answer::invalid(why));
                            continue;
                        }
                    }
                }
            };
            // How much is in the answer if every record is as large as can be: what is carried out
            // must be answered.
            let room = |previous| match previous {
                Previous::Omit => 0,
                Previous::Return => max_value_bytes,
            };
            let mut most = answers.bytes.saturating_add(room(previous));
            let (mut writes, mut refused) = (vec![write], None);
            while most < ANSWER_BYTES && refused.is_none() {
                let follows =
                    |step: &Step| matches!(step, Step::Write { table: of, .. } if *of == table);
                let Some(Step::Write { mut write, expiry, previous, .. }) = steps.next_if(follows)
                else {
                    break;
                };
                match begin(&*engine, tables[table].as_str(), &mut write, expiry) {
                    Ok(()) => {
                        most = most.saturating_add(room(previous));
                        writes.push(write);
                    }
                    // It is answered behind those before it.
                    Err(why) => refused = Some(Answer::invalid(why)),
                }
            }
            let mut left = writes.len();
            for result in engine.write(&tables[table], writes).await {
                left -= 1;
                answers.push(&Answer::of_write(result));
            }
            (0..left).for_each(|_| answers.push(&no_answer()));
            refused.iter().for_each(|answer| answers.push(answer));
        }
        answers.into_one()
    }
}

impl Answers {
    fn push(&mut self, answer: &Answer) {
        // None of a pipeline stands in another.
        if let Ok(reply) = answer.reply() {
            self.tell(&reply);
        }
    }

    fn tell(&mut self, reply: &Reply<'_>) {
        self.bytes += match reply {
            Reply::Value(Some(record)) | Reply::Written { before: Before::Record(record), .. } => {
                record.value.len()
            }
            Reply::Fail { message, .. } => message.len(),
            _ => 0,
        };
        self.replies.push(reply);
    }

    /// Answers a read if the engine has the record at hand, or nothing is to be read. Says whether.
    fn read_at_once(
        &mut self,
        rules: &Rules<'_>,
        request: &Request<'_>,
        scratch: &mut Vec<u8>,
    ) -> bool {
        match Point::of(request).map(Point::check) {
            Some(Ok(point)) => self.read_now(point, rules.engine, scratch),
            Some(Err(why)) => {
                self.push(&Answer::invalid(why));
                true
            }
            None => false,
        }
    }

    fn read_now(&mut self, point: Point<'_>, engine: &dyn Engine, scratch: &mut Vec<u8>) -> bool {
        point.read_now(engine, scratch, |reply| self.tell(reply)).is_some()
    }

    /// How many more answers may be asked for at once, if they are as long as those before.
    fn fitting(&self) -> usize {
        match self.replies.len() {
            0 => FIRST_AT_ONCE,
            count => {
                let room = ANSWER_BYTES.saturating_sub(self.bytes);
                (room / (self.bytes / count).max(1)).max(1)
            }
        }
    }

    fn are_full(&self) -> bool {
        self.bytes >= ANSWER_BYTES
    }

    fn into_one(self) -> Answer {
        Answer::Pipeline(self.replies)
    }
}

/// Tells the engine of the reads of values that come next.
fn look_ahead<'a>(engine: &dyn Engine, requests: &[Request<'a>]) {
    let place = |request: &Request<'a>| match *request {
        Request::Get { table, key, .. } => Some((table, key)),
        _ => None,
    };
    let next = requests.get(..MOST_READS).unwrap_or(requests);
    let table = |request: &Request<'a>| place(request).map(|(table, _)| table);
    for reads in next.chunk_by(|a, b| table(a) == table(b)) {
        if let Some(table) = reads.first().and_then(table) {
            engine.look_ahead(table, &mut reads.iter().filter_map(place).map(|(_, key)| key));
        }
    }
}

/// How many records are read together before it is known how large they are.
const FIRST_AT_ONCE: usize = 16;
/// What a step holds beside its key and value.
const STEP_BYTES: usize = 256;
