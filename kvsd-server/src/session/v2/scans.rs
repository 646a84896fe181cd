//! Scans: pages of a table in the order of its keys.
//!
//! Checks bounds and passes on; the order is the engine's. Next file to read: `watches`.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use kvsd::protocol::v2::{self, ANSWER_BYTES, Detail, MAX_PAGE};
use kvsd::types::MAX_KEY_BYTES;

use super::answer::Answer;
use super::in_flight::{Held, READ_BYTES};
use super::points::freshness_of;
use super::rules::{check_part, check_table};
use crate::engine::{Engine, EngineError, Order, PageLimits, Scan, ScanDetail, ScanPage};

/// A scan that breaks no rule.
#[derive(Debug)]
pub(super) struct TableScan {
    table: String,
    scan: Scan,
}

impl TableScan {
    /// Checks a scan.
    pub(super) fn check(asked: &v2::Scan<'_>) -> Result<Self, String> {
        check_table(asked.table)?;
        for bound in [asked.from, asked.to] {
            if let Bound::Included(key) | Bound::Excluded(key) = bound {
                check_part("a bound", key)?;
            }
        }
        let limit = asked.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MAX_PAGE);
        let scan = Scan {
            from: asked.from.map(Bytes::copy_from_slice),
            to: asked.to.map(Bytes::copy_from_slice),
            order: match asked.order {
                v2::Order::Ascending => Order::Ascending,
                v2::Order::Descending => Order::Descending,
            },
            detail: match asked.detail {
                Detail::Keys => ScanDetail::Keys,
                Detail::Records => ScanDetail::Records,
            },
            limits: PageLimits { records: limit.clamp(1, MAX_PAGE), bytes: ANSWER_BYTES },
            freshness: freshness_of(asked.freshness),
            at: asked.at,
        };
        Ok(Self { table: asked.table.to_owned(), scan })
    }

    /// The answer if no key can be in the range. No engine is asked for such a range: an ordered
    /// map takes it for a mistake of its caller.
    pub(super) fn answer_now(&self) -> Option<Answer> {
        let Scan { from, to, detail, at, .. } = &self.scan;
        let is_empty = match (from, to) {
            (Bound::Included(from), Bound::Included(to)) => from > to,
            (
                Bound::Included(from) | Bound::Excluded(from),
                Bound::Included(to) | Bound::Excluded(to),
            ) => from >= to,
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        };
        is_empty.then(|| {
            let page = match at {
                Some(at) => ScanPage::default().standing_at(*at),
                None => ScanPage::default(),
            };
            Answer::Page { page, detail: *detail }
        })
    }

    /// What it is taken to hold in memory.
    pub(super) fn held(&self) -> Held {
        let records = self.scan.limits.records;
        let bytes = match self.scan.detail {
            // However few they are, a thread has to look for them.
            ScanDetail::Keys => (records * MAX_KEY_BYTES).max(READ_BYTES),
            ScanDetail::Records => records * READ_BYTES,
        };
        Held { bytes: bytes.min(ANSWER_BYTES), records: 1 }
    }

    /// Reads the page. One that stands elsewhere than was asked for is not shown: the client would
    /// take it for what follows the pages before. An engine that knows no moments is asked for one
    /// by who has begun the scan at another engine.
    pub(super) async fn run(self, engine: Arc<dyn Engine>) -> Answer {
        match engine.scan(&self.table, &self.scan).await {
            Ok(page) if self.scan.at.is_some() && page.at() != self.scan.at => {
                EngineError::ScanExpired.into()
            }
            Ok(page) => Answer::Page { page, detail: self.scan.detail },
            Err(error) => error.into(),
        }
    }
}
