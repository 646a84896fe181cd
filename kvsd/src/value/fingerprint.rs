//! The hash of a type's layout, computed by the compiler.
//!
//! The algorithm is FNV-1a, 64 bits, as its authors Fowler, Noll and Vo publish it (offset basis
//! `0xcbf29ce484222325`, prime `0x100000001b3`). It is no defence against an attacker: it tells a
//! changed type from an unchanged one. Stored values hold its results, so it never changes.
//! Next file to read: `layout.rs`.

/// A hash under construction: what [`Layout::FINGERPRINT`](super::Layout::FINGERPRINT) is made of.
///
/// ```
/// use kvsd::value::{Fingerprint, Layout};
/// const PAIR: u64 = Fingerprint::of("tuple")
///     .number(2)
///     .number(u8::FINGERPRINT)
///     .number(String::FINGERPRINT)
///     .finish();
/// assert_eq!(PAIR, <(u8, String)>::FINGERPRINT);
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Begins the hash of a kind of type.
    ///
    /// ```
    /// use kvsd::value::Fingerprint;
    ///
    /// const METERS: u64 = Fingerprint::of("Meters").finish();
    /// const FEET: u64 = Fingerprint::of("Feet").finish();
    /// assert_ne!(METERS, FEET);
    /// ```
    pub const fn of(kind: &str) -> Self {
        Self(OFFSET_BASIS).text(kind)
    }

    /// Adds a text, with its length, so that neighbours cannot run into each other.
    ///
    /// ```
    /// use kvsd::value::Fingerprint;
    ///
    /// let fields = |a, b| Fingerprint::of("struct").text(a).text(b).finish();
    /// assert_ne!(fields("ab", "c"), fields("a", "bc"));
    /// ```
    pub const fn text(self, text: &str) -> Self {
        self.number(text.len() as u64).bytes(text.as_bytes())
    }

    /// Adds a number, as eight little-endian bytes.
    ///
    /// ```
    /// use kvsd::value::{Fingerprint, Layout};
    ///
    /// // A type that is stored as a list of so many numbers, and not as any other.
    /// let point = |axes| Fingerprint::of("Point").number(axes).number(f64::FINGERPRINT).finish();
    /// assert_ne!(point(2), point(3));
    /// ```
    pub const fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// The hash.
    ///
    /// ```
    /// use kvsd::value::Fingerprint;
    ///
    /// // The same in every program: stored values hold it.
    /// assert_eq!(Fingerprint::of("Celsius").finish(), 0x2c32_0338_06fc_e33e);
    /// ```
    #[must_use]
    pub const fn finish(self) -> u64 {
        self.0
    }

    const fn bytes(mut self, bytes: &[u8]) -> Self {
        let mut at = 0;
        while at < bytes.len() {
            self.0 = (self.0 ^ bytes[at] as u64).wrapping_mul(PRIME);
            at += 1;
        }
        self
    }
}

const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_fnv_1a_by_its_published_vectors() {
        let hash = |text: &str| Fingerprint(OFFSET_BASIS).bytes(text.as_bytes()).finish();
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn neighbouring_texts_do_not_run_into_each_other() {
        let joined = |a, b| Fingerprint::of("struct").text(a).text(b).finish();
        assert_ne!(joined("ab", "c"), joined("a", "bc"));
    }
}
