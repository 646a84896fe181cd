//! Where everything stands in etcd, as bytes. No I/O.
//!
//! Integers are big endian, so that keys stand in the order of their numbers. `P` is the prefix
//! with its `/`; a key is `P`, a letter, `/`, and what the row says:
//!
//! | key | value | what |
//! |---|---|---|
//! | `t/` name | `01` id (8) | a table; its create revision is what writes to it are bound to |
//! | `d/` id (8) `00` | nothing, or a time (8) | written with every sweep of the table: the deletes of such a revision are no changes; with a time by other deletes: those of what had ended then are none |
//! | `d/` id (8) `01` key | `01` value, or `02` end (8) value | a record; end: milliseconds since 1970 |
//! | `e/` bucket (8) random (8) | `01` id (8), for each key its end (8), its length (2) and it | records of one write, the first of which has ended by the bucket's time if it was not written again |
//! | `x/` id (8) | nothing | a table that was dropped, whose records have still to go |
//! | `w/` front end (8) | group (16) | the last group of writes of a front end |
//! | `r/` revision (8) random (8) | `made` or `not made` | what came of a change of tables or users that was begun at a revision |
//! | `f/` front end (8) | JSON | that a front end is there, under its lease |
//! | `c` | front end (8) | who takes care of what no request does, under its lease |
//! | `h/` time (8) | revision (8) | how far the store was at a time |
//! | `u/` name | what stands behind the name in a users file | a user |
//! | `m/` source (8) `/` table | JSON | how far a migration is |
//!
//! A table's id is random, and never the same again: a record can never be taken for one of a later
//! table of the same name. Next file to read: `link`.

use std::ops::{Bound, Range};

use bytes::Bytes;
use kvsd::UnixMillis;

/// The keys below one prefix.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    prefix: Vec<u8>,
}

/// What a key below a table's data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataKey<'a> {
    /// The mark of a sweep.
    Sweep,
    /// A record.
    Record(&'a [u8]),
}

/// A range of keys: from the first to the one behind the last.
pub(crate) type KeyRange = Range<Vec<u8>>;

impl Layout {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: [prefix.as_bytes(), b"/"].concat() }
    }

    pub(crate) fn table(&self, name: &str) -> Vec<u8> {
        self.key(b"t/", &[name.as_bytes()])
    }

    pub(crate) fn tables(&self) -> KeyRange {
        self.all(b"t/")
    }

    /// The name in a table's key.
    pub(crate) fn table_of<'k>(&self, key: &'k [u8]) -> Option<&'k str> {
        std::str::from_utf8(self.behind(b"t/", key)?).ok()
    }

    pub(crate) fn record(&self, id: u64, key: &[u8]) -> Vec<u8> {
        self.key(b"d/", &[&id.to_be_bytes(), &[RECORD], key])
    }

    /// The records of a table between two keys of the user's.
    pub(crate) fn records(&self, id: u64, from: Bound<&[u8]>, to: Bound<&[u8]>) -> KeyRange {
        let start = match from {
            Bound::Included(key) => self.record(id, key),
            Bound::Excluded(key) => behind(self.record(id, key)),
            Bound::Unbounded => self.record(id, b""),
        };
        let end = match to {
            Bound::Included(key) => behind(self.record(id, key)),
            Bound::Excluded(key) => self.record(id, key),
            Bound::Unbounded => self.key(b"d/", &[&id.to_be_bytes(), &[RECORD + 1]]),
        };
        start..end
    }

    pub(crate) fn sweep(&self, id: u64) -> Vec<u8> {
        self.key(b"d/", &[&id.to_be_bytes(), &[SWEEP]])
    }

    /// Everything of a table: what a watch of it has to see.
    pub(crate) fn data(&self, id: u64) -> KeyRange {
        self.sweep(id)..self.key(b"d/", &[&id.to_be_bytes(), &[RECORD + 1]])
    }

    /// What a key below the data of the table `id` is.
    pub(crate) fn data_of<'k>(&self, id: u64, key: &'k [u8]) -> Option<DataKey<'k>> {
        match self.behind(b"d/", key)?.strip_prefix(&id.to_be_bytes())? {
            [SWEEP] => Some(DataKey::Sweep),
            [RECORD, key @ ..] => Some(DataKey::Record(key)),
            _ => None,
        }
    }

    pub(crate) fn hint(&self, bucket: UnixMillis, random: u64) -> Vec<u8> {
        self.key(b"e/", &[&bucket.get().to_be_bytes(), &random.to_be_bytes()])
    }

    /// The random part of a hint's key.
    pub(crate) fn hint_of(&self, key: &[u8]) -> Option<u64> {
        number(self.behind(b"e/", key)?.get(8..)?)
    }

    /// The hints of all buckets up to a time.
    pub(crate) fn hints_until(&self, time: UnixMillis) -> KeyRange {
        let behind = time.get().saturating_add(1);
        self.all(b"e/").start..self.key(b"e/", &[&behind.to_be_bytes()])
    }

    pub(crate) fn garbage(&self, id: u64) -> Vec<u8> {
        self.key(b"x/", &[&id.to_be_bytes()])
    }

    pub(crate) fn garbages(&self) -> KeyRange {
        self.all(b"x/")
    }

    pub(crate) fn garbage_of(&self, key: &[u8]) -> Option<u64> {
        number(self.behind(b"x/", key)?)
    }

    pub(crate) fn slot(&self, front_end: u64) -> Vec<u8> {
        self.key(b"w/", &[&front_end.to_be_bytes()])
    }

    pub(crate) fn slots(&self) -> KeyRange {
        self.all(b"w/")
    }

    pub(crate) fn slot_of(&self, key: &[u8]) -> Option<u64> {
        number(self.behind(b"w/", key)?)
    }

    pub(crate) fn receipt(&self, revision: i64, random: u64) -> Vec<u8> {
        self.key(b"r/", &[&revision.to_be_bytes(), &random.to_be_bytes()])
    }

    /// The receipts of changes that were begun at a revision or before.
    pub(crate) fn receipts_until(&self, revision: i64) -> KeyRange {
        self.all(b"r/").start..self.key(b"r/", &[&revision.saturating_add(1).to_be_bytes()])
    }

    pub(crate) fn presence(&self, front_end: u64) -> Vec<u8> {
        self.key(b"f/", &[&front_end.to_be_bytes()])
    }

    pub(crate) fn presences(&self) -> KeyRange {
        self.all(b"f/")
    }

    pub(crate) fn presence_of(&self, key: &[u8]) -> Option<u64> {
        number(self.behind(b"f/", key)?)
    }

    pub(crate) fn election(&self) -> Vec<u8> {
        self.key(b"c", &[])
    }

    pub(crate) fn moment(&self, time: UnixMillis) -> Vec<u8> {
        self.key(b"h/", &[&time.get().to_be_bytes()])
    }

    pub(crate) fn moments(&self) -> KeyRange {
        self.all(b"h/")
    }

    pub(crate) fn user(&self, name: &str) -> Vec<u8> {
        self.key(b"u/", &[name.as_bytes()])
    }

    pub(crate) fn users(&self) -> KeyRange {
        self.all(b"u/")
    }

    pub(crate) fn user_of<'k>(&self, key: &'k [u8]) -> Option<&'k str> {
        std::str::from_utf8(self.behind(b"u/", key)?).ok()
    }

    pub(crate) fn migration(&self, source: u64, table: &str) -> Vec<u8> {
        self.key(b"m/", &[&source.to_be_bytes(), b"/", table.as_bytes()])
    }

    fn key(&self, kind: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        let mut key = Vec::with_capacity(
            self.prefix.len() + kind.len() + parts.iter().map(|part| part.len()).sum::<usize>(),
        );
        key.extend_from_slice(&self.prefix);
        key.extend_from_slice(kind);
        parts.iter().for_each(|part| key.extend_from_slice(part));
        key
    }

    /// All keys of a kind: the byte behind `/` is `0`.
    fn all(&self, kind: &[u8; 2]) -> KeyRange {
        self.key(kind, &[])..self.key(&[kind[0], kind[1] + 1], &[])
    }

    fn behind<'k>(&self, kind: &[u8], key: &'k [u8]) -> Option<&'k [u8]> {
        key.strip_prefix(self.prefix.as_slice())?.strip_prefix(kind)
    }
}

/// The first key behind a key.
fn behind(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// The integer that some bytes are, if they are exactly one.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// What stands at a table's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableEntry {
    /// Which of the tables that have had the name it is.
    pub(crate) id: u64,
}

impl TableEntry {
    pub(crate) fn encode(self) -> Vec<u8> {
        [&[TABLE_FORMAT][..], &self.id.to_be_bytes()].concat()
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [TABLE_FORMAT, id @ ..] => number(id).map(|id| Self { id }),
            _ => None,
        }
    }
}

/// What stands at a record's key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoredRecord {
    /// When it ends.
    pub(crate) expires_at: Option<UnixMillis>,
    /// The user's value.
    pub(crate) value: Bytes,
}

/// Never shows the value.
impl std::fmt::Debug for StoredRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredRecord({} bytes, ends {:?})", self.value.len(), self.expires_at)
    }
}

impl StoredRecord {
    pub(crate) fn encode(expires_at: Option<UnixMillis>, value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(9 + value.len());
        match expires_at {
            None => bytes.push(ENDLESS),
            Some(end) => {
                bytes.push(ENDS);
                bytes.extend_from_slice(&end.get().to_be_bytes());
            }
        }
        bytes.extend_from_slice(value);
        bytes
    }

    /// Takes stored bytes apart; `None` if nobody here wrote them.
    pub(crate) fn parse(bytes: impl Into<Bytes>) -> Option<Self> {
        let bytes: Bytes = bytes.into();
        let (expires_at, value_at) = match *bytes.first()? {
            ENDLESS => (None, 1),
            ENDS => (Some(UnixMillis::new(number(bytes.get(1..9)?)?)?), 9),
            _ => return None,
        };
        Some(Self { expires_at, value: bytes.slice(value_at..) })
    }

    /// Whether it has ended at a time.
    pub(crate) fn has_ended(&self, now: UnixMillis) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// Which records may have ended when.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hint {
    /// The table.
    pub(crate) id: u64,
    /// The ends, and the users' keys.
    pub(crate) keys: Vec<(UnixMillis, Bytes)>,
}

/// Never shows a key.
impl std::fmt::Debug for Hint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hint({} keys)", self.keys.len())
    }
}

impl Hint {
    /// The bucket of what ends at a time: no earlier than that.
    pub(crate) fn bucket(end: UnixMillis) -> UnixMillis {
        let rounded = end.get().div_ceil(BUCKET_MILLIS).saturating_mul(BUCKET_MILLIS);
        UnixMillis::new(rounded).unwrap_or(end)
    }

    /// The bucket of the first that ends, where the hint is filed; `None` if there is none.
    pub(crate) fn first_bucket(&self) -> Option<UnixMillis> {
        self.keys.iter().map(|(end, _)| *end).min().map(Self::bucket)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![HINT_FORMAT];
        bytes.extend_from_slice(&self.id.to_be_bytes());
        for (end, key) in &self.keys {
            bytes.extend_from_slice(&end.get().to_be_bytes());
            let length = u16::try_from(key.len()).expect("a key has at most 1024 bytes");
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(key);
        }
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (&HINT_FORMAT, rest) = bytes.split_first()? else { return None };
        let (id, mut rest) = rest.split_first_chunk()?;
        let mut keys = Vec::new();
        while !rest.is_empty() {
            let (end, behind) = rest.split_first_chunk()?;
            let end = UnixMillis::new(u64::from_be_bytes(*end))?;
            let (length, behind) = behind.split_first_chunk()?;
            let (key, behind) = behind.split_at_checked(u16::from_be_bytes(*length).into())?;
            keys.push((end, Bytes::copy_from_slice(key)));
            rest = behind;
        }
        Some(Self { id: u64::from_be_bytes(*id), keys })
    }
}

const SWEEP: u8 = 0;
const RECORD: u8 = 1;
const TABLE_FORMAT: u8 = 1;
const HINT_FORMAT: u8 = 1;
const ENDLESS: u8 = 1;
const ENDS: u8 = 2;
/// Hints are rounded up to this, so that many records share a place to look.
const BUCKET_MILLIS: u64 = 10_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layout() -> Layout {
        Layout::new("kvsd")
    }

    fn time(millis: u64) -> UnixMillis {
        UnixMillis::new(millis).unwrap()
    }

    #[test]
    fn the_formats_do_not_change() {
        let layout = layout();
        let id = 0x0102_0304_0506_0708;
        let shown = |key: Vec<u8>| key.escape_ascii().to_string();
        let id_shown = r"\x01\x02\x03\x04\x05\x06\x07\x08";
        assert_eq!(shown(layout.table("users")), "kvsd/t/users");
        assert_eq!(shown(layout.record(id, b"k")), format!(r"kvsd/d/{id_shown}\x01k"));
        assert_eq!(shown(layout.sweep(id)), format!(r"kvsd/d/{id_shown}\x00"));
        assert_eq!(
            shown(layout.hint(time(0x0102), 3)),
            r"kvsd/e/\x00\x00\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x00\x00\x00\x03"
        );
        assert_eq!(shown(layout.garbage(id)), format!("kvsd/x/{id_shown}"));
        assert_eq!(shown(layout.slot(id)), format!("kvsd/w/{id_shown}"));
        assert_eq!(
            shown(layout.receipt(7, id)),
            format!(r"kvsd/r/\x00\x00\x00\x00\x00\x00\x00\x07{id_shown}")
        );
        assert_eq!(shown(layout.presence(id)), format!("kvsd/f/{id_shown}"));
        assert_eq!(shown(layout.election()), "kvsd/c");
        assert_eq!(shown(layout.moment(time(7))), r"kvsd/h/\x00\x00\x00\x00\x00\x00\x00\x07");
        assert_eq!(shown(layout.user("ada")), "kvsd/u/ada");
        assert_eq!(shown(layout.migration(id, "t")), format!("kvsd/m/{id_shown}/t"));
        assert_eq!(TableEntry { id }.encode(), [1, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(StoredRecord::encode(None, b"v"), *b"\x01v");
        assert_eq!(
            StoredRecord::encode(Some(time(0x0102)), b"v"),
            *b"\x02\x00\x00\x00\x00\x00\x00\x01\x02v"
        );
        let keys = vec![(time(0x0102), Bytes::from_static(b"ab")), (time(3), Bytes::new())];
        let hint = Hint { id, keys };
        let ends = [&[0, 0, 0, 0, 0, 0, 1, 2][..], &[0, 0, 0, 0, 0, 0, 0, 3]];
        let expected = [&[1, 1, 2, 3, 4, 5, 6, 7, 8], ends[0], b"\0\x02ab", ends[1], b"\0\0"];
        assert_eq!(hint.encode(), expected.concat());
        assert_eq!(hint.first_bucket(), Some(time(10_000)));
        assert_eq!(layout.hint_of(&layout.hint(time(5), 9)), Some(9));
    }

    #[test]
    fn a_bucket_is_never_before_what_ends_in_it() {
        for (end, bucket) in [(1, 10_000), (10_000, 10_000), (10_001, 20_000)] {
            assert_eq!(Hint::bucket(time(end)), time(bucket), "{end}");
        }
        let last =
            (1..=64).rev().find_map(|bits| UnixMillis::new(u64::MAX >> (64 - bits))).unwrap();
        assert!(Hint::bucket(last) >= last);
    }

    #[test]
    fn kinds_do_not_overlap() {
        let layout = layout();
        let ranges = [
            layout.tables(),
            layout.data(u64::MAX),
            layout.data(0),
            layout.garbages(),
            layout.slots(),
            layout.receipts_until(i64::MAX),
            layout.presences(),
            layout.moments(),
            layout.users(),
            layout.election()..behind(layout.election()),
            layout.migration(0, "")..layout.migration(u64::MAX, "~"),
            layout.hints_until(time(1 << 40)),
        ];
        for (at, one) in ranges.iter().enumerate() {
            for other in &ranges[at + 1..] {
                assert!(one.end <= other.start || other.end <= one.start, "{one:?} {other:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn records_stand_in_the_order_of_their_keys_and_come_back(
            id: u64, keys: Vec<Vec<u8>>, value: Vec<u8>, end in 1_u64..1 << 50,
        ) {
            let layout = layout();
            let mut sorted = keys.clone();
            sorted.sort();
            let mut stored: Vec<_> = keys.iter().map(|key| layout.record(id, key)).collect();
            stored.sort();
            for (key, stored) in sorted.iter().zip(&stored) {
                prop_assert_eq!(layout.data_of(id, stored), Some(DataKey::Record(key)));
                prop_assert!(layout.data(id).contains(stored));
                prop_assert!(layout.data_of(id.wrapping_add(1), stored).is_none());
                let all = layout.records(id, Bound::Unbounded, Bound::Unbounded);
                prop_assert!(all.contains(stored));
            }
            for expires_at in [None, UnixMillis::new(end)] {
                let bytes = StoredRecord::encode(expires_at, &value);
                let record = StoredRecord::parse(bytes).unwrap();
                prop_assert_eq!((record.expires_at, &record.value[..]), (expires_at, &value[..]));
            }
        }

        #[test]
        fn bounds_are_those_of_the_users_keys(
            id: u64, key: Vec<u8>, from: Vec<u8>, to: Vec<u8>, from_kind in 0..3, to_kind in 0..3,
        ) {
            let bound = |kind, key| match kind {
                0 => Bound::Included(key),
                1 => Bound::Excluded(key),
                _ => Bound::Unbounded,
            };
            let (low, high) = (bound(from_kind, &from[..]), bound(to_kind, &to[..]));
            let range = layout().records(id, low, high);
            let stored = layout().record(id, &key);
            let is_behind = match low {
                Bound::Included(low) => key[..] >= *low,
                Bound::Excluded(low) => key[..] > *low,
                Bound::Unbounded => true,
            };
            let is_before = match high {
                Bound::Included(high) => key[..] <= *high,
                Bound::Excluded(high) => key[..] < *high,
                Bound::Unbounded => true,
            };
            prop_assert_eq!(range.contains(&stored), is_behind && is_before);
        }

        #[test]
        fn foreign_bytes_are_refused_or_read_and_never_more(bytes: Vec<u8>) {
            if let Some(hint) = Hint::parse(&bytes) {
                prop_assert_eq!(hint.encode(), bytes.clone());
            }
            if let Some(entry) = TableEntry::parse(&bytes) {
                prop_assert_eq!(entry.encode(), bytes.clone());
            }
            if let Some(record) = StoredRecord::parse(bytes.clone()) {
                prop_assert_eq!(StoredRecord::encode(record.expires_at, &record.value), bytes);
            }
        }

        #[test]
        fn hints_come_back(id: u64, keys in prop::collection::vec(
            (0..1_u64 << 50, prop::collection::vec(any::<u8>(), 0..1024)), 0..8,
        )) {
            let keys = keys.into_iter().map(|(end, key)| (time(end), Bytes::from(key)));
            let hint = Hint { id, keys: keys.collect() };
            prop_assert_eq!(Hint::parse(&hint.encode()), Some(hint));
        }
    }
}
