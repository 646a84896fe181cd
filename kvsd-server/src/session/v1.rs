//! A session of version 1: one request is carried out and answered before the next is looked at.
//!
//! Serves the clients of kvsd 0.1, on the table `default`. Next file to read: `v2`.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use kvsd::TableName;
use kvsd::protocol::frame::Message;
use kvsd::protocol::v1::{self, FailCode, Reply, Request};
use kvsd::types::check_key;
use tokio::io::{AsyncRead, AsyncWrite};

use super::input::Input;
use super::leave::Leave;
use super::meter::Meter;
use super::output::Output;
use super::{DISK_LOW, Ended, MEMORY_FULL, Service, denied, fail, tidy};
use crate::auth::access::Operation;
use crate::auth::{Forbidden, Login};
use crate::clock;
use crate::engine::{
    Action, Before, BeforeDetail, Change, Condition, EngineError, Freshness, ReadNow, Record,
    Write, Written,
};
use crate::metrics::{self, Outcome, Refusal};
use crate::server::roster::Entry;

/// Serves an authenticated client to its end.
pub(super) async fn serve<S>(
    stream: &mut S,
    mut input: Input,
    service: &Service,
    mut leave: Leave<'_>,
) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // More than its clients take would be a value that they cannot read back.
    let max_value_bytes = service.most.max_value_bytes.min(v1::MAX_VALUE_BYTES);
    input.set_limits(v1::limits(max_value_bytes));
    let mut session = Session {
        service,
        login: leave.login.clone(),
        entry: Arc::clone(&leave.entry),
        max_value_bytes,
        output: Output::default(),
        scratch: Vec::new(),
        memory_is_full: false,
        outcome: Outcome::Ok,
    };
    let mut meter = Meter::new(&leave.entry, &service.metrics);
    let mut limits = service.limits.follow();
    loop {
        match input.next() {
            Ok(Some(message)) => {
                meter.count();
                meter.begin();
                session.outcome = Outcome::Ok;
                session.memory_is_full = meter.memory_is_full(limits.get());
                let operation = session.answer(&message).await;
                meter.answered(operation, session.outcome, TABLE.as_str());
                meter.tell(&mut input, &mut session.output, 0);
                // A client that does not read holds this until it does.
                limits.look();
                let besides = session.scratch.capacity();
                meter.hold(&input, &session.output, besides, limits.get());
            }
            Ok(None) => {
                if let Err(error) = session.output.flush(stream).await {
                    return Ended::Broken(error);
                }
                meter.tell(&mut input, &mut session.output, 0);
                tidy(&mut session.scratch);
                limits.look();
                let besides = session.scratch.capacity();
                meter.hold(&input, &session.output, besides, limits.get());
                let read = tokio::select! {
                    biased;
                    ended = leave.asked() => return ended,
                    read = input.read(stream) => read,
                };
                match read {
                    Ok(0) => return Ended::Left,
                    Ok(_) => {}
                    Err(error) => return Ended::Broken(error),
                }
            }
            Err(error) => {
                session.fail(FailCode::UnexpectedMessage, &error.to_string());
                return match session.output.flush(stream).await {
                    Ok(()) => Ended::Garbled(error),
                    Err(error) => Ended::Broken(error),
                };
            }
        }
        if session.output.len() >= MAX_OUTPUT_BYTES
            && let Err(error) = session.output.flush(stream).await
        {
            return Ended::Broken(error);
        }
    }
}

struct Session<'s> {
    service: &'s Service,
    login: Login,
    entry: Arc<Entry>,
    max_value_bytes: usize,
    output: Output,
    /// Where the engine puts the value of a read.
    scratch: Vec<u8>,
    /// Whether all sessions together hold so much that no more is to be taken on.
    memory_is_full: bool,
    /// How the request ends that is being answered.
    outcome: Outcome,
}

impl Session<'_> {
    /// Tells what the request counts as.
    async fn answer(&mut self, message: &Message<'_>) -> metrics::Operation {
        let request = Request::parse(message);
        let operation = match &request {
            Ok(Some(Request::Ping { .. })) => metrics::Operation::Ping,
            Ok(Some(Request::Get { .. })) => metrics::Operation::Get,
            Ok(Some(Request::Set { .. })) => metrics::Operation::Set,
            Ok(Some(Request::Delete { .. })) => metrics::Operation::Delete,
            Ok(Some(Request::Authenticate { .. }) | None) | Err(_) => metrics::Operation::Malformed,
        };
        if let Ok(Some(request)) = &request
            && let Err(forbidden) = self.check(request)
        {
            denied::note(self.service, &self.entry, forbidden, TABLE.as_str());
            // Those clients know no code for it.
            self.fail(FailCode::Undefined, &forbidden.to_string());
            return operation;
        }
        match request {
            Ok(Some(Request::Ping { client_time })) => {
                let server_time = clock::now_rfc3339();
                Reply::Pong { client_time, server_time: &server_time }.encode(self.output.buffer());
            }
            Ok(Some(Request::Get { .. } | Request::Set { .. } | Request::Delete { .. }))
                if self.memory_is_full =>
            {
                self.service.metrics.refuse(Refusal::MemoryFull);
                self.fail(FailCode::Undefined, MEMORY_FULL);
            }
            Ok(Some(Request::Get { key })) => self.get(key).await,
            Ok(Some(Request::Set { key, value })) => self.set(key, value).await,
            Ok(Some(Request::Delete { key })) => self.delete(key).await,
            Ok(Some(Request::Authenticate { .. })) => {
                self.fail(FailCode::UnexpectedMessage, "the session is authenticated already");
            }
            Ok(None) => self.fail(FailCode::UnexpectedMessage, "no request has this type"),
            Err(error) => self.fail(FailCode::UnexpectedMessage, &error.to_string()),
        }
        operation
    }

    fn check(&self, request: &Request<'_>) -> Result<(), Forbidden> {
        let operation = match request {
            Request::Get { .. } => Operation::Get,
            Request::Set { .. } => Operation::Set,
            Request::Delete { .. } => Operation::Delete,
            // A second Authenticate is refused as such.
            Request::Ping { .. } | Request::Authenticate { .. } => Operation::Ping,
        };
        self.login.check(operation, TABLE.as_str())
    }

    async fn get(&mut self, key: &[u8]) {
        if !self.check_key(key) {
            return;
        }
        let table = TABLE.as_str();
        match self.service.engine.read_now(table, key, &mut self.scratch) {
            ReadNow::Ready(Ok(found)) => {
                answer_value(found.map(|found| found.value), "", &mut self.output);
            }
            ReadNow::Ready(Err(error)) => self.engine_fail(&error),
            ReadNow::WouldBlock => {
                match self.service.engine.read(table, key, Freshness::Latest).await {
                    Ok(record) => {
                        let value = record.as_ref().map(|record| record.value.as_ref());
                        answer_value(value, "", &mut self.output);
                    }
                    Err(error) => self.engine_fail(&error),
                }
            }
        }
    }

    async fn set(&mut self, key: &[u8], value: &[u8]) {
        if !self.check_key(key) {
            return;
        }
        if self.service.disk_is_low.load(Ordering::Relaxed) {
            self.service.metrics.refuse(Refusal::DiskLow);
            return self.fail(FailCode::Undefined, DISK_LOW);
        }
        if value.len() > self.max_value_bytes {
            let text = format!("a value has at most {} bytes here", self.max_value_bytes);
            return self.fail(FailCode::Undefined, &text);
        }
        let value = Bytes::copy_from_slice(value);
        let action = Action::Set { value, expires_at: None };
        match self.write(key, action, BeforeDetail::Presence).await {
            Ok(_) => Reply::Success { value: None }.encode(self.output.buffer()),
            Err(error) => self.engine_fail(&error),
        }
    }

    async fn delete(&mut self, key: &[u8]) {
        if !self.check_key(key) {
            return;
        }
        match self.write(key, Action::Delete, BeforeDetail::Record).await {
            Ok(before) => {
                let value = before.as_ref().map(|record| record.value.as_ref());
                answer_value(value, "deleted, but ", &mut self.output);
            }
            Err(error) => self.engine_fail(&error),
        }
    }

    /// Changes one key; the record before it, where `before` asks for that.
    async fn write(
        &mut self,
        key: &[u8],
        action: Action,
        before: BeforeDetail,
    ) -> Result<Option<Record>, EngineError> {
        let key = Bytes::copy_from_slice(key);
        let change = Change { key, condition: Condition::Any, action };
        let write = Write { changes: [change].into(), before };
        match self.service.engine.write(&TABLE, vec![write]).await.pop() {
            Some(Ok(Written::Applied { mut before, .. })) => match before.pop() {
                Some(Before::Record(record)) => Ok(Some(record)),
                Some(Before::Absent | Before::Present) | None => Ok(None),
            },
            Some(Err(error)) => Err(error),
            // Without a condition there is no conflict, and each write has its answer.
            Some(Ok(Written::Conflict { .. })) | None => {
                debug_assert!(false, "the engine answers one write without a condition");
                Err(EngineError::UnknownOutcome { cause: "the engine gave no answer".to_owned() })
            }
        }
    }

    fn check_key(&mut self, key: &[u8]) -> bool {
        let checked = check_key(key);
        if let Err(error) = &checked {
            self.fail(FailCode::Undefined, &error.to_string());
        }
        checked.is_ok()
    }

    fn engine_fail(&mut self, error: &EngineError) {
        self.fail(FailCode::Undefined, &fail::message(error));
        self.outcome = fail::outcome(fail::code(error));
    }

    fn fail(&mut self, code: FailCode, message: &str) {
        self.outcome = Outcome::Refused;
        Reply::Fail { code, message }.encode(self.output.buffer());
    }
}

/// Answers with a value, or with a Fail if no client of this version could take it.
fn answer_value(value: Option<&[u8]>, done: &str, output: &mut Output) {
    let bytes = value.map_or(0, <[u8]>::len);
    if bytes <= v1::MAX_VALUE_BYTES {
        return Reply::Success { value }.encode(output.buffer());
    }
    let limit = v1::MAX_VALUE_BYTES;
    let message =
        format!("{done}the value has {bytes} bytes, and version 1 carries at most {limit}");
    Reply::Fail { code: FailCode::Undefined, message: &message }.encode(output.buffer());
}

static TABLE: LazyLock<TableName> = LazyLock::new(TableName::default);

/// How much may wait to be written before the next request is looked at, in bytes.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;
