//! What `Debug` shows of what an engine takes and gives: how large keys and values are, never which.
//! It may end up in a log.

use std::fmt::{Debug, Formatter, Result};
use std::ops::Bound;

use super::{Action, Change, Changed, Found, Record, Scan, ScanRecord};

/// Stands for so many bytes.
pub(super) struct Hidden(pub(super) usize);

impl Debug for Hidden {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} bytes", self.0)
    }
}

impl Debug for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Change")
            .field("key", &Hidden(self.key.len()))
            .field("condition", &self.condition)
            .field("action", &self.action)
            .finish()
    }
}

impl Debug for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Set { value, expires_at } => f
                .debug_struct("Set")
                .field("value", &Hidden(value.len()))
                .field("expires_at", expires_at)
                .finish(),
            Self::Delete => f.write_str("Delete"),
            // The number added is part of a value.
            Self::Increment { .. } => f.write_str("Increment"),
            Self::Expire { at } => f.debug_struct("Expire").field("at", at).finish(),
            Self::Check => f.write_str("Check"),
        }
    }
}

impl Debug for Found<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Found")
            .field("version", &self.version)
            .field("expires_at", &self.expires_at)
            .field("value", &Hidden(self.value.len()))
            .finish()
    }
}

impl Debug for Record {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Record")
            .field("version", &self.version)
            .field("expires_at", &self.expires_at)
            .field("value", &Hidden(self.value.len()))
            .finish()
    }
}

impl Debug for ScanRecord<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("ScanRecord")
            .field("key", &Hidden(self.key.len()))
            .field("version", &self.version)
            .field("expires_at", &self.expires_at)
            .field("value", &Hidden(self.value.len()))
            .finish()
    }
}

impl Debug for Changed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Changed")
            .field("key", &Hidden(self.key.len()))
            .field("version", &self.version)
            .field("expires_at", &self.expires_at)
            .field("value", &self.value.map(|value| Hidden(value.len())))
            .finish()
    }
}

impl Debug for Scan {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let hidden = |bound: &Bound<bytes::Bytes>| bound.as_ref().map(|key| Hidden(key.len()));
        f.debug_struct("Scan")
            .field("from", &hidden(&self.from))
            .field("to", &hidden(&self.to))
            .field("order", &self.order)
            .field("detail", &self.detail)
            .field("limits", &self.limits)
            .field("freshness", &self.freshness)
            .field("at", &self.at)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::engine::{
        ChangePage, Condition, Freshness, Order, PageLimits, Position, ScanDetail, ScanPage,
    };

    #[test]
    fn no_key_and_no_value_is_shown() {
        let (key, value) = (&b"canary-key"[..], &b"canary-value"[..]);
        let bytes = Bytes::from_static;
        let (version, expires_at) = (kvsd::Version::new(1).unwrap(), None);
        let held = [key, value].concat();
        let page = ScanPage::of_bytes(held.clone(), 1, Some(bytes(key)));
        let until = Position { incarnation: None, version: 1 };
        let changes = ChangePage::of_bytes(held, 1, until);
        let shown: [&dyn Debug; 9] = [
            &Change {
                key: bytes(key),
                condition: Condition::Any,
                action: Action::Set { value: bytes(value), expires_at },
            },
            &Found { version, expires_at, value },
            &Record { version, expires_at, value: bytes(value) },
            &ScanRecord { key, version, expires_at, value },
            &Changed { key, version, expires_at, value: Some(value) },
            &Scan {
                from: Bound::Included(bytes(key)),
                to: Bound::Excluded(bytes(key)),
                order: Order::Ascending,
                detail: ScanDetail::Records,
                limits: PageLimits { records: 1, bytes: 1 },
                freshness: Freshness::Latest,
                at: None,
            },
            &page,
            &changes,
            &Action::Set { value: bytes(value), expires_at },
        ];
        for what in shown {
            for text in [format!("{what:?}"), format!("{what:#?}")] {
                assert!(!text.contains("canary") && !text.contains("99, 97"), "{text}");
                assert!(!text.replace(char::is_whitespace, "").contains("99,97,110"), "{text}");
            }
        }
    }
}
