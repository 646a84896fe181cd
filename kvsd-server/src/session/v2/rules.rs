//! What the grammar does not say of a request: names, keys, sizes and ends; and the engine's form
//! of what passes.
//!
//! A refusal names the rule and the way out, never a key or a value. What a write names is copied:
//! the read buffer is wanted for more. Next file to read: `points`.

use std::sync::atomic::Ordering;

use kvsd::UnixMillis;
use kvsd::protocol::v2::part::{Backing, Chunk};
use kvsd::protocol::v2::{self, Expiry, FailCode, Previous, Request};
use kvsd::types::{MAX_KEY_BYTES, check_key, check_table_name};

use super::answer::Answer;
use super::in_flight::{Held, READ_BYTES};
use crate::engine::{Action, BeforeDetail, Change, Condition, Engine, Limits, Write};
use crate::metrics::Refusal;
use crate::session::{DISK_LOW, Service};

/// The rules of a server, for one message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'s> {
    pub(super) engine: &'s dyn Engine,
    pub(super) most: Limits,
    backing: Backing<'s>,
    service: &'s Service,
}

/// A write of one record that breaks no rule.
#[derive(Debug)]
pub(super) struct Single<'a> {
    pub(super) table: &'a str,
    pub(super) write: Write,
    /// How many bytes of keys and values it holds.
    pub(super) bytes: usize,
    pub(super) previous: Previous,
    /// When its record is to end, which [`begin`] sets.
    pub(super) expiry: Option<Expiry>,
}

impl Single<'_> {
    /// What it is taken to hold in memory.
    pub(super) fn held(&self) -> Held {
        let Self { write, bytes, previous, .. } = self;
        if *previous == Previous::Return || write.changes.iter().any(reads_record) {
            Held { bytes: bytes + READ_BYTES, records: 1 }
        } else {
            Held::of_bytes(*bytes)
        }
    }
}

impl<'s> Rules<'s> {
    /// For a message whose fields lie there.
    pub(super) fn of(service: &'s Service, backing: Backing<'s>) -> Self {
        Self { engine: &*service.engine, most: service.most, backing, service }
    }

    /// The refusal of a write while the disk has little room. What frees some is taken. The requests
    /// of a pipeline are looked at one by one.
    pub(super) fn refuse(&self, request: &Request<'_>) -> Option<Answer> {
        let needs_room = match request {
            Request::Set { .. }
            | Request::Increment { .. }
            | Request::Expire { .. }
            | Request::CreateTable { .. } => true,
            Request::Batch { changes, .. } => changes
                .iter()
                .any(|change| !matches!(change.action, v2::Action::Delete | v2::Action::Check)),
            Request::Ping
            | Request::Get { .. }
            | Request::Exists { .. }
            | Request::Lifetime { .. }
            | Request::Delete { .. }
            | Request::Pipeline(_)
            | Request::Scan(_)
            | Request::Watch(_)
            | Request::Cancel
            | Request::DropTable { .. }
            | Request::Tables { .. }
            | Request::Statistics { .. } => false,
        };
        if !needs_room || !self.service.disk_is_low.load(Ordering::Relaxed) {
            return None;
        }
        self.service.metrics.refuse(Refusal::DiskLow);
        Some(Answer::Fail { code: FailCode::DiskFull, message: DISK_LOW.to_owned() })
    }

    /// Checks a Set, Delete, Increment or Expire that is carried out now.
    pub(super) fn write<'a>(
        &self,
        request: &Request<'a>,
        chunk: &mut Chunk,
    ) -> Result<Single<'a>, String> {
        let mut single = self.write_later(request, chunk)?;
        begin(self.engine, single.table, &mut single.write, single.expiry)?;
        Ok(single)
    }

    /// Checks one that is carried out when it [begins](begin).
    pub(super) fn write_later<'a>(
        &self,
        request: &Request<'a>,
        chunk: &mut Chunk,
    ) -> Result<Single<'a>, String> {
        let (table, key, condition, action, previous) = match *request {
            Request::Set { table, key, value, condition, expiry, previous } => {
                (table, key, condition, v2::Action::Set { value, expiry }, previous)
            }
            Request::Delete { table, key, condition, previous } => {
                (table, key, condition, v2::Action::Delete, previous)
            }
            Request::Increment { table, key, by, condition } => {
                (table, key, condition, v2::Action::Increment { by }, Previous::Omit)
            }
            Request::Expire { table, key, expiry, condition } => {
                (table, key, condition, v2::Action::Expire { expiry }, Previous::Omit)
            }
            Request::Ping
            | Request::Get { .. }
            | Request::Exists { .. }
            | Request::Lifetime { .. }
            | Request::Batch { .. }
            | Request::Pipeline(_)
            | Request::Scan(_)
            | Request::Watch(_)
            | Request::Cancel
            | Request::CreateTable { .. }
            | Request::DropTable { .. }
            | Request::Tables { .. }
            | Request::Statistics { .. } => return Err("this request writes no record".to_owned()),
        };
        check_table(table)?;
        let (change, expiry) = self.check_change(&v2::Change { key, condition, action }, chunk)?;
        let bytes = change.bytes();
        let before = match previous {
            Previous::Omit => BeforeDetail::Presence,
            Previous::Return => BeforeDetail::Record,
        };
        Ok(Single {
            table,
            write: Write { changes: [change].into(), before },
            bytes,
            previous,
            expiry,
        })
    }

    /// A change as the engine takes it. What time it is is asked only if it ends.
    pub(super) fn change(
        &self,
        change: &v2::Change<'_>,
        chunk: &mut Chunk,
        now: impl FnOnce() -> UnixMillis,
    ) -> Result<Change, String> {
        let (mut change, expiry) = self.check_change(change, chunk)?;
        set_end(&mut change, end(expiry, now)?);
        Ok(change)
    }

    /// A change that does not end yet, and when it is to.
    fn check_change(
        &self,
        change: &v2::Change<'_>,
        chunk: &mut Chunk,
    ) -> Result<(Change, Option<Expiry>), String> {
        check_key(change.key).map_err(|error| error.to_string())?;
        let condition = match change.condition {
            v2::Condition::Any => Condition::Any,
            v2::Condition::Absent => Condition::Absent,
            v2::Condition::Present => Condition::Present,
            v2::Condition::Version(version) => Condition::Version(version),
        };
        let (action, expiry) = match change.action {
            v2::Action::Set { value, expiry } => {
                self.check_value(value)?;
                (Action::Set { value: self.backing.keep(value, chunk), expires_at: None }, expiry)
            }
            v2::Action::Delete => (Action::Delete, None),
            v2::Action::Increment { by } => (Action::Increment { by }, None),
            v2::Action::Expire { expiry } => (Action::Expire { at: None }, expiry),
            v2::Action::Check => (Action::Check, None),
        };
        Ok((Change { key: chunk.keep(change.key), condition, action }, expiry))
    }

    fn check_value(&self, value: &[u8]) -> Result<(), String> {
        let (limit, bytes) = (self.most.max_value_bytes, value.len());
        if bytes > limit {
            return Err(format!("a value has at most {limit} bytes here, this one has {bytes}"));
        }
        Ok(())
    }
}

/// Lets the record of a write end as it was asked: a ttl counts from now, when the write is carried
/// out. An error is the rule that the expiry breaks.
pub(super) fn begin(
    engine: &dyn Engine,
    table: &str,
    write: &mut Write,
    expiry: Option<Expiry>,
) -> Result<(), String> {
    let end = end(expiry, || engine.time(table))?;
    write.changes.iter_mut().for_each(|change| set_end(change, end));
    Ok(())
}

fn set_end(change: &mut Change, end: Option<UnixMillis>) {
    match &mut change.action {
        Action::Set { expires_at: at, .. } | Action::Expire { at } => *at = end,
        Action::Delete | Action::Increment { .. } | Action::Check => {}
    }
}

/// When a record is to end.
fn end(
    expiry: Option<Expiry>,
    now: impl FnOnce() -> UnixMillis,
) -> Result<Option<UnixMillis>, String> {
    let Some(expiry) = expiry else {
        return Ok(None);
    };
    let now = now();
    let end = match expiry {
        Expiry::At(time) => time,
        Expiry::After(millis) => {
            let end = now.get().saturating_add(millis.get()).min(i64::MAX as u64);
            UnixMillis::new(end).unwrap_or(now)
        }
    };
    if end <= now {
        return Err("an expiry in the past: to end a record now, delete it".to_owned());
    }
    Ok(Some(end))
}

pub(super) fn check_table(table: &str) -> Result<(), String> {
    check_table_name(table).map_err(|error| error.to_string())
}

/// Checks what both tells where a record is.
pub(super) fn check_place(table: &str, key: &[u8]) -> Result<(), String> {
    check_table(table)?;
    check_key(key).map_err(|error| error.to_string())
}

/// Checks the start of keys, or where a range of them begins or ends. It may be empty.
pub(super) fn check_part(what: &str, part: &[u8]) -> Result<(), String> {
    let bytes = part.len();
    if bytes > MAX_KEY_BYTES {
        return Err(format!("{what} has at most {MAX_KEY_BYTES} bytes, this one has {bytes}"));
    }
    Ok(())
}

/// Whether the engine may read a large record to make the change: one of a few bytes may read and
/// write as much as a value may have. An integer is short, and what is none is seen to be none.
pub(super) fn reads_record(change: &Change) -> bool {
    match change.action {
        Action::Expire { .. } => true,
        Action::Set { .. } | Action::Delete | Action::Increment { .. } | Action::Check => false,
    }
}
