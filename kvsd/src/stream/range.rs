//! Which keys of a table a scan is about. Next file to read: `token`.

use std::fmt;
use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use bytes::Bytes;

use crate::error::Error;
use crate::key::Prefix;
use crate::operation::argument::invalid;
use crate::types::MAX_KEY_BYTES;

/// The keys of a table that a scan reads: those that begin alike, or those between two bounds.
///
/// **Bytes stand for the keys that begin with them**, a range of bytes for the keys in it, `..` for
/// all keys. Keys are compared byte by byte.
///
/// ```
/// use kvsd::stream::KeyRange;
///
/// let users = KeyRange::from("user/");
/// assert_eq!(users, KeyRange::from("user/".."user0"));
/// assert_eq!(KeyRange::from(""), KeyRange::from(..));
/// // Behind a byte 0xFF there is none: the end is that of the byte before it.
/// assert_eq!(KeyRange::from(b"a\xFF"), KeyRange::from(&b"a\xFF"[..]..b"b"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRange {
    from: Bound<Bytes>,
    to: Bound<Bytes>,
}

/// Where the lowest key is, and where the highest.
type Bounds = (Bound<Bytes>, Bound<Bytes>);

impl KeyRange {
    /// The keys that begin with `prefix`; all keys, if it is empty.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::KeyRange;
    ///
    /// client.set_many([([1, 0], "a"), ([1, 255], "b"), ([2, 0], "c")]).await?;
    /// let mut records = client.scan::<String>(KeyRange::prefix([1]));
    /// let mut values = String::new();
    /// while let Some(record) = records.next().await {
    ///     values += &record?.value;
    /// }
    /// assert_eq!(values, "ab");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn prefix(prefix: impl AsRef<[u8]>) -> Self {
        let prefix = prefix.as_ref();
        let to = match prefix.iter().rposition(|byte| *byte < u8::MAX) {
            Some(last) => {
                let mut end = prefix[..=last].to_vec();
                end[last] += 1;
                Bound::Excluded(end.into())
            }
            None => Bound::Unbounded,
        };
        let from = match prefix.is_empty() {
            true => Bound::Unbounded,
            false => Bound::Included(Bytes::copy_from_slice(prefix)),
        };
        Self { from, to }
    }

    /// The keys between these bounds.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::ops::Bound;
    /// use kvsd::KeyRange;
    ///
    /// client.set_many([("a", 1), ("b", 2), ("c", 3)]).await?;
    /// let behind_a = KeyRange::between(Bound::Excluded("a"), Bound::<&str>::Unbounded);
    /// assert_eq!(client.scan::<u8>(behind_a).next().await.ok_or("none")??.value, 2);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn between(from: Bound<impl AsRef<[u8]>>, to: Bound<impl AsRef<[u8]>>) -> Self {
        Self { from: own(from), to: own(to) }
    }

    /// The bounds as a server takes them; `None` if no key lies between them.
    pub(super) fn bounds(&self) -> Result<Option<Bounds>, Error> {
        for bound in [&self.from, &self.to] {
            if length(bound) > MAX_KEY_BYTES {
                return Err(invalid(format!("a range ends at keys of {MAX_KEY_BYTES} bytes")));
            }
        }
        // No key is empty.
        let from = match length(&self.from) {
            0 => Bound::Unbounded,
            _ => self.from.clone(),
        };
        let is_empty = match (&from, &self.to) {
            (_, Bound::Included(to) | Bound::Excluded(to)) if to.is_empty() => true,
            (Bound::Included(from), Bound::Included(to)) => from > to,
            (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to))
            | (Bound::Excluded(from), Bound::Included(to)) => from >= to,
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        };
        Ok((!is_empty).then(|| (from, self.to.clone())))
    }
}

fn own(bound: Bound<impl AsRef<[u8]>>) -> Bound<Bytes> {
    bound.map(|key| Bytes::copy_from_slice(key.as_ref()))
}

fn length(bound: &Bound<Bytes>) -> usize {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => key.len(),
        Bound::Unbounded => 0,
    }
}

macro_rules! from_prefix {
    ($($bytes:ty),*) => {$(
        /// The keys that begin with these bytes.
        impl From<$bytes> for KeyRange {
            fn from(prefix: $bytes) -> Self {
                Self::prefix(prefix)
            }
        }
    )*};
}

from_prefix!(&str, String, &String, &[u8], Vec<u8>, &Vec<u8>, Bytes);

/// The keys that begin with these bytes.
impl<const N: usize> From<&[u8; N]> for KeyRange {
    fn from(prefix: &[u8; N]) -> Self {
        Self::prefix(prefix)
    }
}

/// The keys that begin so.
impl<T> From<Prefix<T>> for KeyRange {
    fn from(prefix: Prefix<T>) -> Self {
        Self::prefix(prefix)
    }
}

/// All keys.
impl From<RangeFull> for KeyRange {
    fn from(_: RangeFull) -> Self {
        Self { from: Bound::Unbounded, to: Bound::Unbounded }
    }
}

/// The keys from one up to another, without that.
impl<A: AsRef<[u8]>> From<Range<A>> for KeyRange {
    fn from(range: Range<A>) -> Self {
        Self::between(Bound::Included(range.start), Bound::Excluded(range.end))
    }
}

/// The keys from one up to another.
impl<A: AsRef<[u8]>> From<RangeInclusive<A>> for KeyRange {
    fn from(range: RangeInclusive<A>) -> Self {
        let (from, to) = range.into_inner();
        Self::between(Bound::Included(from), Bound::Included(to))
    }
}

/// The keys from one on.
impl<A: AsRef<[u8]>> From<RangeFrom<A>> for KeyRange {
    fn from(range: RangeFrom<A>) -> Self {
        Self { from: own(Bound::Included(range.start)), to: Bound::Unbounded }
    }
}

/// The keys before one.
impl<A: AsRef<[u8]>> From<RangeTo<A>> for KeyRange {
    fn from(range: RangeTo<A>) -> Self {
        Self { from: Bound::Unbounded, to: own(Bound::Excluded(range.end)) }
    }
}

/// The keys up to one.
impl<A: AsRef<[u8]>> From<RangeToInclusive<A>> for KeyRange {
    fn from(range: RangeToInclusive<A>) -> Self {
        Self { from: Bound::Unbounded, to: own(Bound::Included(range.end)) }
    }
}

/// The keys between two bounds.
impl<A: AsRef<[u8]>, B: AsRef<[u8]>> From<(Bound<A>, Bound<B>)> for KeyRange {
    fn from((from, to): (Bound<A>, Bound<B>)) -> Self {
        Self::between(from, to)
    }
}

/// Shows the form of the bounds; never a key.
impl fmt::Debug for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = |bound: &Bound<Bytes>| bound.as_ref().map(Bytes::len);
        write!(f, "KeyRange({:?} bytes, {:?} bytes)", form(&self.from), form(&self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_first_key_that_does_not_begin_so() {
        let end = |prefix: &[u8]| KeyRange::from(prefix).to;
        assert_eq!(end(b"a"), Bound::Excluded("b".into()));
        assert_eq!(end(b"a\xFF\xFF"), Bound::Excluded("b".into()));
        assert_eq!(end(b"a\xFEz"), Bound::Excluded(b"a\xFE{"[..].into()));
        assert_eq!(end(b"\xFF\xFF"), Bound::Unbounded);
        assert_eq!(end(b""), Bound::Unbounded);
        assert_eq!(KeyRange::from(b"\xFF").from, Bound::Included(b"\xFF"[..].into()));
    }

    #[test]
    fn a_range_without_keys_is_known_to_have_none() {
        let is_empty = |range: KeyRange| range.bounds().unwrap().is_none();
        for nothing in [
            KeyRange::from("b".."a"),
            KeyRange::from("a".."a"),
            KeyRange::from("b"..="a"),
            KeyRange::from(..""),
            KeyRange::from(..=""),
            KeyRange::from((Bound::Excluded("a"), Bound::Included("a"))),
        ] {
            assert!(is_empty(nothing.clone()), "{nothing:?}");
        }
        for some in [
            KeyRange::from(..),
            KeyRange::from("a"..="a"),
            KeyRange::from("".."a"),
            KeyRange::from((Bound::Excluded(""), Bound::<&str>::Unbounded)),
        ] {
            assert!(!is_empty(some.clone()), "{some:?}");
        }
        let long = "x".repeat(MAX_KEY_BYTES);
        assert!(KeyRange::from(&long).bounds().is_ok());
        assert!(KeyRange::from(format!("{long}x")).bounds().is_err());
    }
}
