//! What is done with each request: checked, then answered at once or handed on.
//!
//! A point read whose record is at hand is answered here, without a hop, a future or an allocation.
//! Everything else goes to `in_flight`. Next file to read: `writes`.

use std::sync::Arc;

use bytes::Bytes;
use kvsd::protocol::frame::Message;
use kvsd::protocol::v2::part::Backing;
use kvsd::protocol::v2::{self, FailCode, Previous, Reply, Request, RequestId, hello};
use kvsd::types::{check_key, check_table_name};

use super::in_flight::{InFlight, ReadKind};
use super::writes::Writes;
use crate::clock;
use crate::engine::{Action, BeforeDetail, Change, Condition, EngineError, Found, ReadNow, Write};
use crate::session::output::Output;
use crate::session::{Ended, Service, fail, tidy};

pub(super) struct Requests<'s> {
    service: &'s Service,
    writes: Writes,
    /// Where the engine puts the value of a read.
    scratch: Vec<u8>,
}

impl<'s> Requests<'s> {
    pub(super) fn new(service: &'s Service) -> Self {
        Self { service, writes: Writes::default(), scratch: Vec::new() }
    }

    /// Answers a request, or takes it on. An error ends the session.
    pub(super) fn take(
        &mut self,
        message: &Message<'_>,
        backing: Backing<'_>,
        in_flight: &mut InFlight,
        output: &mut Output,
    ) -> Result<(), Ended> {
        let (id, request) = match Request::parse(message) {
            Ok((id, Some(request))) => (id, request),
            Ok((_, None)) if message.kind() == hello::HELLO => {
                return Err(Ended::Misplaced("a second Hello"));
            }
            Ok((id, None)) => {
                refuse(id, FailCode::Unsupported, "this server has no such request", output);
                return Ok(());
            }
            Err(error) => {
                let Some(id) = error.id else {
                    return Err(Ended::Misplaced("a request without an id"));
                };
                refuse(id, FailCode::Invalid, &error.cause.to_string(), output);
                return Ok(());
            }
        };
        if let Err(reason) = self.check(&request) {
            refuse(id, FailCode::Invalid, &reason, output);
            return Ok(());
        }
        match request {
            Request::Ping => {
                output.answer(id, &Reply::Pong { server_time: clock::now() });
            }
            Request::Get { table, key } => {
                self.read(id, ReadKind::Value, table, key, in_flight, output);
            }
            Request::Exists { table, key } => {
                self.read(id, ReadKind::Presence, table, key, in_flight, output);
            }
            Request::Set { table, key, value, condition, expires_at, previous } => {
                let bytes = key.len() + value.len();
                let action = Action::Set { value: backing.keep(value), expires_at };
                let write = write(key, condition, action, previous);
                self.writes.add(id, table, write, &in_flight.count_write(bytes, previous));
            }
            Request::Delete { table, key, condition, previous } => {
                let bytes = key.len();
                let write = write(key, condition, Action::Delete, previous);
                self.writes.add(id, table, write, &in_flight.count_write(bytes, previous));
            }
        }
        Ok(())
    }

    /// Hands the writes that were gathered to the engine, one batch a table.
    pub(super) fn submit(&mut self, in_flight: &mut InFlight) {
        for batch in self.writes.drain() {
            in_flight.write(Arc::clone(&self.service.engine), batch);
        }
    }

    /// Gives back what an idle session need not hold.
    pub(super) fn tidy(&mut self) {
        tidy(&mut self.scratch);
    }

    /// Checks what the grammar does not: names, keys and sizes.
    fn check(&self, request: &Request<'_>) -> Result<(), String> {
        let (table, key, value) = match request {
            Request::Ping => return Ok(()),
            Request::Get { table, key }
            | Request::Exists { table, key }
            | Request::Delete { table, key, .. } => (table, key, &[][..]),
            Request::Set { table, key, value, .. } => (table, key, *value),
        };
        check_table_name(table).map_err(|error| error.to_string())?;
        check_key(key).map_err(|error| error.to_string())?;
        let limit = self.service.max_value_bytes;
        if value.len() > limit {
            let bytes = value.len();
            return Err(format!("a value has at most {limit} bytes here, this one has {bytes}"));
        }
        Ok(())
    }

    fn read(
        &mut self,
        id: RequestId,
        kind: ReadKind,
        table: &str,
        key: &[u8],
        in_flight: &mut InFlight,
        output: &mut Output,
    ) {
        match self.service.engine.read_now(table, key, &mut self.scratch) {
            ReadNow::Ready(result) => answer_read(id, kind, result, output),
            ReadNow::WouldBlock => {
                let (table, key) = (table.to_owned(), Bytes::copy_from_slice(key));
                in_flight.read(Arc::clone(&self.service.engine), id, kind, table, key);
            }
        }
    }
}

/// Answers a Get or an Exists with what the engine found.
pub(super) fn answer_read(
    id: RequestId,
    kind: ReadKind,
    result: Result<Option<Found<'_>>, EngineError>,
    output: &mut Output,
) {
    let reply = match (result, kind) {
        (Ok(found), ReadKind::Value) => Reply::Value(found.map(|found| v2::Record {
            version: found.version,
            expires_at: found.expires_at,
            value: found.value,
        })),
        (Ok(found), ReadKind::Presence) => Reply::Exists(found.is_some()),
        (Err(error), _) => return refuse_for(id, &error, output),
    };
    output.answer(id, &reply);
}

/// Answers with the Fail that an engine's error stands for.
pub(super) fn refuse_for(id: RequestId, error: &EngineError, output: &mut Output) {
    refuse(id, fail::code(error), &error.to_string(), output);
}

fn refuse(id: RequestId, code: FailCode, reason: &str, output: &mut Output) {
    output.answer(id, &Reply::Fail { code, message: fail::line(reason) });
}

/// The engine's form of a write. What it names is copied: the read buffer is wanted for more.
fn write(key: &[u8], condition: v2::Condition, action: Action, previous: Previous) -> Write {
    let condition = match condition {
        v2::Condition::Any => Condition::Any,
        v2::Condition::Absent => Condition::Absent,
        v2::Condition::Present => Condition::Present,
        v2::Condition::Version(version) => Condition::Version(version),
    };
    let before = match previous {
        Previous::Omit => BeforeDetail::Presence,
        Previous::Return => BeforeDetail::Record,
    };
    Write { changes: vec![Change { key: Bytes::copy_from_slice(key), condition, action }], before }
}
