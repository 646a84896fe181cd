//! Between what the engine's callers say and what storage says.

use std::ops::Bound;

use bytes::Bytes;
use kvsd::{TableName, UnixMillis, Version};
use smallvec::smallvec;

use super::storage::entry::{self, KeyRange};
use super::storage::error::StorageError;
use super::storage::history::{self, PageChange};
use super::storage::page::{self, Page, PageRecord, PageRequest};
use super::storage::rotation::Demand;
use super::storage::writer::Current;
use crate::engine::{
    Action, Before, Change, ChangePage, Condition, EngineError, Order, Position, Record, Scan,
    ScanDetail, ScanPage, Write, Written,
};

/// What a group of these writes will need, at most.
pub(super) fn demand_of(writes: &[Write]) -> Demand {
    let mut demand = Demand::default();
    for change in writes.iter().flat_map(|write| &write.changes) {
        let value_bytes = match &change.action {
            Action::Set { value, .. } => value.len(),
            Action::Delete => 0,
            Action::Increment { .. } => MOST_INTEGER_BYTES,
            Action::Check => continue,
            // Only the disk knows how long the value is; a segment's limits are soft.
            Action::Expire { .. } => 0,
        };
        demand.add(change.key.len(), value_bytes);
    }
    demand
}

/// What a write comes to where there is no table; `None` if it writes something.
pub(super) fn on_nothing(write: &Write) -> Option<Written> {
    let refused = |change: &Change| !holds(change.condition, None);
    if let Some(change) = write.changes.iter().position(refused) {
        return Some(Written::Conflict { change, current: None });
    }
    let writes_nothing = |change: &Change| match change.action {
        Action::Delete | Action::Expire { .. } | Action::Check => true,
        Action::Set { .. } | Action::Increment { .. } => false,
    };
    write.changes.iter().all(writes_nothing).then(|| Written::Applied {
        version: None,
        before: smallvec![Before::Absent; write.changes.len()],
        counters: Vec::new(),
    })
}

/// The integer that a value holds, if it is written as integers are stored: no plus sign, no
/// leading zero, no minus zero.
pub(super) fn integer(value: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == value).then_some(number)
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

/// `i64::MIN` in decimal.
pub(super) const MOST_INTEGER_BYTES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_read_only_as_it_is_written() {
        for number in [0, 1, -1, 10, i64::MAX, i64::MIN] {
            assert_eq!(integer(number.to_string().as_bytes()), Some(number));
            assert!(number.to_string().len() <= MOST_INTEGER_BYTES);
        }
        for other in ["", "-", "+1", "01", "-0", " 1", "1\n", "1.0", "9223372036854775808", "ten"] {
            assert_eq!(integer(other.as_bytes()), None, "{other:?}");
        }
        assert_eq!(integer(b"\xff"), None);
    }
}
