//! An answer that owns what it tells, for whatever is not answered on the spot.
//!
//! Turns what the engine says into a [`Reply`]; never decides what is answered. Next file to read:
//! `in_flight`.

use std::sync::Arc;

use kvsd::protocol::v2::part::MAX_PART_BYTES;
use kvsd::protocol::v2::{
    self, FailCode, Lifetime, Names, News, NewsChange, Page, PageRecord, PipelineReplies, Reply,
    RequestId, Statistics,
};
use kvsd::{TableName, Version};

use super::watches::Selected;
use crate::engine::{
    Before, ChangePage, EngineError, Found, Position, Record, ScanDetail, ScanPage,
    TableStatistics, WriteResult, Written,
};
use crate::metrics::Outcome;
use crate::session::fail;
use crate::session::output::Output;

/// What a request is answered with.
#[derive(Debug)]
pub(super) enum Answer {
    Value(Option<Record>),
    Flag(bool),
    Lifetime(Lifetime),
    Counter {
        version: Version,
        value: i64,
    },
    Written {
        version: Option<Version>,
        before: Before,
    },
    Conflict {
        current: Option<Version>,
        change: u64,
    },
    Batch {
        version: Option<Version>,
        changed: Vec<v2::Changed>,
    },
    Pipeline(PipelineReplies),
    Page {
        page: ScanPage,
        detail: ScanDetail,
    },
    /// What the page tells up to a position.
    News {
        page: Arc<ChangePage>,
        until: Position,
        select: Selected,
    },
    Gap {
        now: Position,
    },
    Tables {
        more: bool,
        names: Vec<TableName>,
    },
    Statistics(Option<TableStatistics>),
    Fail {
        code: FailCode,
        message: String,
    },
}

impl Answer {
    /// To what breaks a rule; the reason names the rule, and never holds a key or a value.
    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self::Fail { code: FailCode::Invalid, message: reason.into() }
    }

    /// To a write of one record.
    pub(super) fn of_write(result: WriteResult) -> Self {
        match result {
            Ok(Written::Applied { version, before, counters }) => {
                match (version, counters.first()) {
                    (Some(version), Some(value)) => Self::Counter { version, value: *value },
                    _ => {
                        let before = before.into_iter().next().unwrap_or(Before::Absent);
                        Self::Written { version, before }
                    }
                }
            }
            Ok(Written::Conflict { current, change }) => {
                Self::Conflict { current, change: change as u64 }
            }
            Err(error) => error.into(),
        }
    }

    /// What it counts as.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Conflict { .. } => Outcome::NotApplied,
            Self::Fail { code, .. } => fail::outcome(*code),
            Self::Value(_)
            | Self::Flag(_)
            | Self::Lifetime(_)
            | Self::Counter { .. }
            | Self::Written { .. }
            | Self::Batch { .. }
            | Self::Pipeline(_)
            | Self::Page { .. }
            | Self::News { .. }
            | Self::Gap { .. }
            | Self::Tables { .. }
            | Self::Statistics(_) => Outcome::Ok,
        }
    }

    /// Answers the request with this id.
    pub(super) fn send(self, id: RequestId, output: &mut Output) {
        match self {
            Self::Value(Some(record)) if record.value.len() > MAX_PART_BYTES => {
                let Record { version, expires_at, value } = record;
                let record = v2::Record { version, expires_at, value: &[] };
                output.answer_with(id, &Reply::Value(Some(record)), value);
            }
            answer => match answer.reply() {
                Ok(reply) => output.answer(id, &reply),
                Err(replies) => output.answer_all(id, replies),
            },
        }
    }

    /// The reply; of a pipeline its replies, which are encoded already.
    pub(super) fn reply(&self) -> Result<Reply<'_>, &PipelineReplies> {
        Ok(match self {
            Self::Value(record) => Reply::Value(record.as_ref().map(record_of)),
            Self::Flag(flag) => Reply::Flag(*flag),
            Self::Lifetime(lifetime) => Reply::Lifetime(*lifetime),
            Self::Counter { version, value } => Reply::Counter { version: *version, value: *value },
            Self::Written { version, before } => {
                let before = match before {
                    Before::Absent => v2::Before::Absent,
                    Before::Present => v2::Before::Present,
                    Before::Record(record) => v2::Before::Record(record_of(record)),
                };
                Reply::Written { version: *version, before }
            }
            Self::Conflict { current, change } => {
                Reply::Conflict { current: *current, change: *change }
            }
            Self::Batch { version, changed } => {
                Reply::Batch { version: *version, changed: changed.clone() }
            }
            Self::Pipeline(replies) => return Err(replies),
            Self::Page { page, detail } => Reply::Page(page_of(page, *detail)),
            Self::News { page, until, select } => Reply::News(news_of(page, *until, select)),
            Self::Gap { now } => Reply::Gap { now: position_of(*now) },
            Self::Tables { more, names } => {
                let names = names.iter().map(TableName::as_str).collect();
                Reply::Tables(Names { more: *more, names })
            }
            Self::Statistics(statistics) => {
                Reply::Statistics(statistics.as_ref().map(statistics_of))
            }
            Self::Fail { code, message } => Reply::Fail { code: *code, message },
        })
    }
}

impl From<EngineError> for Answer {
    fn from(error: EngineError) -> Self {
        Self::Fail { code: fail::code(&error), message: fail::message(&error) }
    }
}

/// The record that a point read has found.
pub(super) fn found_of(found: Found<'_>) -> v2::Record<'_> {
    let Found { version, expires_at, value } = found;
    v2::Record { version, expires_at, value }
}

fn record_of(record: &Record) -> v2::Record<'_> {
    let Record { version, expires_at, value } = record;
    v2::Record { version: *version, expires_at: *expires_at, value }
}

fn page_of(page: &ScanPage, detail: ScanDetail) -> Page<'_> {
    let records = page.iter().map(|record| PageRecord {
        key: record.key,
        version: record.version,
        value: match detail {
            ScanDetail::Keys => None,
            ScanDetail::Records => Some(record.value),
        },
        expires_at: record.expires_at,
    });
    Page { at: page.at(), next: page.next().map(|next| &**next), records: records.collect() }
}

fn news_of<'a>(page: &'a ChangePage, until: Position, select: &Selected) -> News<'a> {
    let told = page.iter().take_while(|change| change.version.get() <= until.version);
    let changes = told.filter(|change| select.takes(change.key)).map(|change| NewsChange {
        key: change.key,
        version: change.version,
        value: change.value,
        expires_at: change.expires_at,
    });
    News { until: position_of(until), changes: changes.collect() }
}

fn position_of(position: Position) -> v2::Position {
    let Position { incarnation, version } = position;
    v2::Position { incarnation, version }
}

fn statistics_of(statistics: &TableStatistics) -> Statistics<'_> {
    let TableStatistics {
        keys,
        live_bytes,
        dead_bytes,
        segments,
        disk_bytes,
        last_version,
        incarnation,
        stopped,
    } = statistics;
    Statistics {
        keys: *keys,
        live_bytes: *live_bytes,
        dead_bytes: *dead_bytes,
        segments: *segments,
        disk_bytes: *disk_bytes,
        last_version: *last_version,
        incarnation: *incarnation,
        stopped: stopped.as_ref().map(|_| fail::STOPPED),
    }
}
