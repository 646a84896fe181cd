//! Between what the engine's callers say and what storage says.

use std::ops::Bound;

use bytes::Bytes;
use kvsd::{TableName, UnixMillis, Version};

use super::storage::entry::{self, KeyRange};
use super::storage::error::StorageError;
use super::storage::history::{self, PageChange};
use super::storage::page::{self, Page, PageRecord, PageRequest};
use super::storage::rotation::Demand;
use super::storage::writer::Current;
use crate::engine::{
    Action, ChangePage, Condition, EngineError, Order, Position, Record, Scan, ScanDetail,
    ScanPage, Write,
};

/// What a group of these writes will need, at most.
pub(super) fn demand_of(writes: &[Write]) -> Demand {
    let mut demand = Demand::default();
    for change in writes.iter().flat_map(|write| &write.changes) {
        let value_bytes = match &change.action {
            Action::Set { value, .. } => value.len(),
            Action::Delete => 0,
        };
        demand.add(change.key.len(), value_bytes);
    }
    demand
}

/// A record as the engine's callers see it.
pub(super) fn record(version: u64, expires: u64, value: Bytes) -> Option<Record> {
    Some(Record { version: Version::new(version)?, expires_at: UnixMillis::new(expires), value })
}

/// A scan as storage understands it.
pub(super) fn page_request(scan: &Scan, now: u64) -> PageRequest<'_> {
    fn bound(bound: &Bound<Bytes>) -> Bound<&[u8]> {
        bound.as_ref().map(|key| &**key)
    }
    PageRequest {
        range: KeyRange { from: bound(&scan.from), to: bound(&scan.to) },
        order: match scan.order {
            Order::Ascending => entry::Order::Ascending,
            Order::Descending => entry::Order::Descending,
        },
        detail: match scan.detail {
            ScanDetail::Keys => page::Detail::Keys,
            ScanDetail::Records => page::Detail::Records,
        },
        records: scan.limits.records,
        bytes: scan.limits.bytes,
        now,
    }
}

/// A page as the engine's callers see it.
pub(super) fn scan_page(page: Page) -> ScanPage {
    let Page { bytes, records, last } = page;
    let mut shown = ScanPage::of_bytes(bytes, records.len(), last.map(Bytes::from));
    for record in records {
        let PageRecord { key_bytes, value_bytes, version, expires_at } = record;
        shown.push_span(key_bytes, value_bytes, version, expires_at);
    }
    shown
}

/// Changes as the engine's callers see them.
pub(super) fn change_page(page: history::ChangePage, incarnation: u64) -> ChangePage {
    let history::ChangePage { bytes, changes, until } = page;
    let until = Position { incarnation: Some(incarnation), version: until };
    let mut shown = ChangePage::of_bytes(bytes, changes.len(), until);
    for change in changes {
        let PageChange { key_bytes, value_bytes, version, expires_at } = change;
        shown.push_span(key_bytes, value_bytes, version, expires_at);
    }
    shown
}

/// A storage error as the engine's callers see it.
pub(super) fn in_table(table: &TableName, error: &StorageError) -> EngineError {
    match error {
        StorageError::Corrupt { file, offset, .. } => EngineError::Corrupt {
            table: table.to_string(),
            place: format!("{}, byte {offset}", file.display()),
        },
        error if error.is_full() => EngineError::DiskFull,
        StorageError::Io { source, .. } => {
            EngineError::Io { context: error.to_string(), cause: source.to_string() }
        }
        StorageError::NewerFormat { .. } => {
            EngineError::Io { context: format!("table {table}"), cause: error.to_string() }
        }
    }
}

pub(super) fn with_cause(error: &StorageError) -> String {
    match error {
        StorageError::Io { source, .. } => format!("{error}: {source}"),
        StorageError::Corrupt { .. } | StorageError::NewerFormat { .. } => error.to_string(),
    }
}

pub(super) fn holds(condition: Condition, live: Option<&Current>) -> bool {
    match condition {
        Condition::Any => true,
        Condition::Absent => live.is_none(),
        Condition::Present => live.is_some(),
        Condition::Version(version) => live.is_some_and(|live| live.version == version.get()),
    }
}
