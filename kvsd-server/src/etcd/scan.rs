//! Pages of a table in the order of its keys, all at the revision of the first.
//!
//! etcd bounds an answer by the number of its keys and not by their bytes, so a page is read in
//! pieces: the first of them tells how many may come with the next. Next file to read: `changes`.

use std::ops::Bound;
use std::sync::Arc;

use etcd_client::{GetOptions, SortOrder, SortTarget, TxnOp};
use kvsd::Version;

use super::directory::{Directory, TableRef};
use super::error::Fault;
use super::layout::{DataKey, Layout};
use super::link::{Ask, Failed, Link};
use super::reply::{self, Found};
use crate::engine::{EngineError, Freshness, Order, Scan, ScanDetail, ScanPage};
use crate::log::Clock;

/// Reads pages.
#[derive(Debug)]
pub(crate) struct Scanner {
    pub(super) link: Arc<Link>,
    pub(super) layout: Layout,
    pub(super) directory: Arc<Directory>,
    pub(super) clock: Arc<dyn Clock>,
}

/// A page that is being filled.
struct Filling {
    page: ScanPage,
    /// Bytes of keys and values, for the page's limit.
    bytes: usize,
    /// Records and bytes that were received, expired ones and values that are not shown included.
    received: (usize, usize),
    /// The last key that was looked at.
    last: Option<Vec<u8>>,
    is_full: bool,
}

impl Scanner {
    /// As [`crate::engine::Engine::scan`].
    pub(crate) async fn scan(&self, name: &str, scan: &Scan) -> Result<ScanPage, EngineError> {
        let deadline = self.link.deadline();
        let pinned = scan.at.map(|version| i64::try_from(version.get()));
        let mut at = pinned.transpose().map_err(|_| EngineError::ScanExpired)?.unwrap_or(0);
        let found = self.directory.find(name, scan.freshness).await;
        let mut table = found.map_err(|failed| failed.fault)?;
        let mut filling = Filling {
            page: ScanPage::default(),
            bytes: 0,
            received: (0, 0),
            last: None,
            is_full: false,
        };
        let mut most = FIRST_PIECE;
        let mut ask = scan.freshness.ask();
        let mut is_more = true;
        while is_more && !filling.is_full && filling.received.0 < MOST_LOOKED_AT {
            let limit = filling.next_piece(scan).min(most);
            let piece = self.piece(name, table, scan, &filling, (at, limit), (ask, deadline)).await;
            let mut found = match piece {
                Ok(found) => found,
                Err(Failed { fault: Fault::LongAnswer, .. }) if limit > 1 => {
                    most = limit.div_ceil(2);
                    continue;
                }
                // A member that is behind: the others have come as far.
                Err(Failed { fault: Fault::Future, .. }) if ask == Ask::Any => {
                    ask = Ask::Led;
                    continue;
                }
                Err(Failed { fault: Fault::Future, .. }) => return Err(EngineError::ScanExpired),
                Err(failed) => return Err(failed.fault.into()),
            };
            let records = found.ranges.pop().unwrap_or_default();
            let entry = found.ranges.pop().unwrap_or_default();
            let stands = reply::table_of(name, entry.kvs.first())?;
            if stands != table {
                if at == 0 && scan.freshness == Freshness::Latest {
                    self.directory.learn(name, stands);
                }
                table = stands;
                continue;
            }
            if at == 0 {
                at = found.revision;
            }
            is_more = records.more;
            most = limit.saturating_mul(GROWTH).min(MOST_PIECE);
            if let Some(table) = table {
                self.fill(name, table, scan, records.kvs, &mut filling)?;
            }
        }
        let is_whole = !is_more && !filling.is_full;
        let next = filling.last.filter(|_| !is_whole).map(Into::into);
        let page = filling.page.going_on_behind(next);
        Ok(match u64::try_from(at).ok().and_then(Version::new) {
            Some(version) => page.standing_at(version),
            None => page,
        })
    }

    /// Reads the table's key and the records that come next, at a revision, or as they are with 0.
    async fn piece(
        &self,
        name: &str,
        table: Option<TableRef>,
        scan: &Scan,
        filling: &Filling,
        (at, limit): (i64, usize),
        (ask, deadline): (Ask, tokio::time::Instant),
    ) -> Result<Found, Failed> {
        let base = || {
            let options = GetOptions::new().with_revision(at);
            match ask {
                Ask::Led => options,
                Ask::Any => options.with_serializable(),
            }
        };
        let (mut from, mut to) = (scan.from.as_ref(), scan.to.as_ref());
        let last = filling.last.clone().map(bytes::Bytes::from);
        if let Some(last) = &last {
            match scan.order {
                Order::Ascending => from = Bound::Excluded(last),
                Order::Descending => to = Bound::Excluded(last),
            }
        }
        let id = table.map_or(0, |table| table.id);
        let range = self.layout.records(id, from.map(|key| &key[..]), to.map(|key| &key[..]));
        let records = base().with_range(range.end).with_limit(i64::try_from(limit).unwrap_or(1));
        let records = match scan.order {
            Order::Ascending => records,
            Order::Descending => records.with_sort(SortTarget::Key, SortOrder::Descend),
        };
        let gets = vec![
            TxnOp::get(self.layout.table(name), Some(base())),
            TxnOp::get(range.start, Some(records)),
        ];
        reply::read(&self.link, deadline, ask, gets).await
    }

    /// Puts the records of a piece into the page, as far as it has room.
    fn fill(
        &self,
        name: &str,
        table: TableRef,
        scan: &Scan,
        records: Vec<etcd_client::proto::PbKeyValue>,
        filling: &mut Filling,
    ) -> Result<(), EngineError> {
        let now = self.clock.now();
        for mut kv in records {
            let Some(DataKey::Record(key)) = self.layout.data_of(table.id, &kv.key) else {
                return Err(reply::foreign(name, "a key"));
            };
            let key = key.to_vec();
            let (version, record) = reply::record_of(name, &mut kv)?;
            filling.received.0 += 1;
            filling.received.1 += key.len() + record.value.len();
            if !record.has_ended(now) {
                let value: &[u8] = match scan.detail {
                    ScanDetail::Records => &record.value,
                    ScanDetail::Keys => &[],
                };
                let bytes = filling.bytes + key.len() + value.len();
                let is_full =
                    filling.page.len() >= scan.limits.records.max(1) || bytes > scan.limits.bytes;
                if is_full && !filling.page.is_empty() {
                    filling.is_full = true;
                    return Ok(());
                }
                filling.page.push(&key, value, version, record.expires_at);
                filling.bytes = bytes;
            }
            filling.last = Some(key);
        }
        Ok(())
    }
}

impl Filling {
    /// How many records to ask for next: one more than there is room for, as far as that can be told
    /// from those that have come.
    fn next_piece(&self, scan: &Scan) -> usize {
        let records = scan.limits.records.max(1).saturating_sub(self.page.len());
        let (count, bytes) = self.received;
        let fit = match count {
            0 => records,
            _ => scan.limits.bytes.saturating_sub(self.bytes) / (bytes / count).max(1),
        };
        records.min(fit).saturating_add(1).min(MOST_PIECE)
    }
}

/// Few, because nothing is known of their size yet: the rest of a page's pieces go by these.
const FIRST_PIECE: usize = 8;
const MOST_PIECE: usize = 1001;
/// How much larger a piece may be than the one before: what follows small records may be large.
const GROWTH: usize = 16;
/// How many records a page goes through at most, those that have ended included.
const MOST_LOOKED_AT: usize = 8 * 1024;
