//! What a read-only transaction has found, taken out without copies.

use std::sync::Arc;

use bytes::Bytes;
use etcd_client::proto::{PbKeyValue, PbRangeResponse, PbTxnOpResponse};
use etcd_client::{Txn, TxnOp, TxnResponse};
use kvsd::Version;
use tokio::time::Instant;

use super::directory::TableRef;
use super::error::Fault;
use super::layout::{StoredRecord, TableEntry};
use super::link::{Ask, Door, Failed, Link};
use crate::engine::{EngineError, Freshness};

/// What a transaction of gets has found, in their order.
pub(super) struct Found {
    /// How far the store was.
    pub(super) revision: i64,
    pub(super) ranges: Vec<PbRangeResponse>,
}

impl Freshness {
    /// Who can be asked for it.
    pub(super) fn ask(self) -> Ask {
        match self {
            Self::Latest => Ask::Led,
            Self::Stale => Ask::Any,
        }
    }
}

/// Reads several keys or ranges at one moment.
pub(super) async fn read(
    link: &Link,
    deadline: Instant,
    ask: Ask,
    gets: Vec<TxnOp>,
) -> Result<Found, Failed> {
    let count = gets.len();
    let txn = Txn::new().and_then(gets);
    let call = |door: Arc<Door>| {
        let txn = txn.clone();
        async move { door.kv().txn(txn).await }
    };
    let TxnResponse(answer) = link.call(deadline, ask, call).await?;
    let revision = answer.header.map_or(0, |header| header.revision);
    let ranges: Vec<_> = answer
        .responses
        .into_iter()
        .filter_map(|response| match response.response {
            Some(PbTxnOpResponse::ResponseRange(range)) => Some(range),
            _ => None,
        })
        .collect();
    if ranges.len() == count {
        return Ok(Found { revision, ranges });
    }
    Err(Failed { fault: in_part(), in_doubt: false })
}

/// etcd has not answered all that was asked.
pub(super) fn in_part() -> Fault {
    let cause = "a transaction was answered in part".to_owned();
    Fault::Other { endpoint: "etcd".to_owned(), cause }
}

/// The table that stands at a table's key, if there is one.
pub(super) fn table_of(
    name: &str,
    kv: Option<&PbKeyValue>,
) -> Result<Option<TableRef>, EngineError> {
    let Some(kv) = kv else { return Ok(None) };
    match TableEntry::parse(&kv.value) {
        Some(TableEntry { id }) => Ok(Some(TableRef { id, created: kv.create_revision })),
        None => Err(foreign(name, "the table's entry")),
    }
}

/// The record at a record's key, expired or not.
pub(super) fn record_of(
    table: &str,
    kv: &mut PbKeyValue,
) -> Result<(Version, StoredRecord), EngineError> {
    let version = u64::try_from(kv.mod_revision).ok().and_then(Version::new);
    let record = StoredRecord::parse(Bytes::from(std::mem::take(&mut kv.value)));
    version.zip(record).ok_or_else(|| foreign(table, "a record"))
}

/// Something below our prefix is not ours.
pub(super) fn foreign(table: &str, what: &str) -> EngineError {
    EngineError::Corrupt {
        table: table.to_owned(),
        place: format!("{what} in etcd, which this version of kvsd has not written"),
    }
}
