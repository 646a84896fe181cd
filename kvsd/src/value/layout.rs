//! What the compiler knows of how a type is stored: whether it is still the same, and whether a
//! positional codec can hold it at all.
//!
//! Nothing here runs: all of it is constants. Next file to read: `message.rs`.

/// A type whose stored form has a fingerprint.
///
/// Derived together with [`kvsd::Value`](macro@crate::Value), or alone, with
/// [`kvsd::Layout`](macro@crate::Layout), for the types of a value's fields.
///
/// Types that contain each other have no layout, and do not compile:
///
/// ```compile_fail
/// #[derive(kvsd::Layout)]
/// struct Folder {
///     files: Vec<File>,
/// }
/// #[derive(kvsd::Layout)]
/// struct File {
///     parent: Option<Box<Folder>>,
/// }
/// ```
///
/// A type that is stored as another one has that one's, or one of its own:
///
/// ```
/// use kvsd::Layout;
/// use kvsd::value::Fingerprint;
///
/// struct Celsius(f64);
///
/// impl Layout for Celsius {
///     const FINGERPRINT: u64 =
///         Fingerprint::of("Celsius").number(f64::FINGERPRINT).finish();
///     const MIN_BYTES: Result<usize, &'static str> = f64::MIN_BYTES;
/// }
///
/// // A `Vec<Celsius>` is no `Vec<f64>`, and the reader of one is told so.
/// assert_ne!(Vec::<Celsius>::FINGERPRINT, Vec::<f64>::FINGERPRINT);
/// ```
#[diagnostic::on_unimplemented(
    message = "the layout of `{Self}` is not known",
    label = "kvsd must know at compile time how this type is stored",
    note = "if the type is yours, add `#[derive(kvsd::Layout)]` to it",
    note = "if it is another crate's, mark the field `#[kvsd(opaque)]`: its type as written then \
            stands for its layout"
)]
pub trait Layout {
    /// Changes whenever the stored form does: a hash of names, order and types, never of module
    /// paths.
    ///
    /// ```
    /// use kvsd::Layout;
    ///
    /// mod then {
    ///     #[derive(kvsd::Layout)]
    ///     pub struct Point(pub u8, pub u8);
    /// }
    /// mod now {
    ///     #[derive(kvsd::Layout)]
    ///     pub struct Point(pub u16, pub u16);
    /// }
    /// assert_ne!(then::Point::FINGERPRINT, now::Point::FINGERPRINT);
    /// ```
    const FINGERPRINT: u64;

    /// The fewest bytes that a positional codec (bincode, postcard) writes for a value, or why such
    /// a codec cannot hold the type: because it is, or holds, a sequence of elements without bytes,
    /// or because its serde attributes want a codec with names. A smaller number than the fewest
    /// does too, but not 0 if a value has bytes.
    ///
    /// For a type without parameters that is derived for a positional codec the derive checks it
    /// where the type stands.
    /// For one with parameters it is checked where the type is used:
    ///
    /// ```compile_fail
    /// #[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]
    /// struct Page<T> {
    ///     items: Vec<T>,
    /// }
    /// # fn main() -> Result<(), kvsd::EncodeError> {
    /// // Stored bytes could claim any number of elements that have no bytes.
    /// let page: Page<()> = Page { items: vec![()] };
    /// kvsd::value::encode_to_bytes(&page, 1000).map(drop)
    /// # }
    /// ```
    const MIN_BYTES: Result<usize, &'static str>;
}

/// Does not compile for a type that a positional codec cannot hold.
#[doc(hidden)]
pub const fn check_positional<T: Layout + ?Sized>() {
    if let Err(why) = T::MIN_BYTES {
        panic!("{}", why);
    }
}

/// The bytes of several parts, one after the other.
#[doc(hidden)]
pub const fn total(parts: &[Result<usize, &'static str>]) -> Result<usize, &'static str> {
    let mut sum: usize = 0;
    let mut at = 0;
    while at < parts.len() {
        match parts[at] {
            Ok(bytes) => sum = sum.saturating_add(bytes),
            refused => return refused,
        }
        at += 1;
    }
    Ok(sum)
}

/// The bytes of an enum: of its tag and of the smallest of its variants.
#[doc(hidden)]
pub const fn choice(variants: &[Result<usize, &'static str>]) -> Result<usize, &'static str> {
    let mut least = usize::MAX;
    let mut at = 0;
    while at < variants.len() {
        match variants[at] {
            Ok(bytes) if bytes < least => least = bytes,
            Ok(_) => (),
            refused => return refused,
        }
        at += 1;
    }
    Ok(if variants.is_empty() { 1 } else { least.saturating_add(1) })
}

/// The bytes of a field of which only its Rust type is known: what has a size in memory is taken to
/// have one when it is stored.
#[doc(hidden)]
#[must_use]
pub const fn opaque_bytes<T>() -> usize {
    if size_of::<T>() == 0 { 0 } else { 1 }
}

/// The bytes of an array of `count` elements.
pub(super) const fn array_of(
    element: Result<usize, &'static str>,
    count: usize,
) -> Result<usize, &'static str> {
    match element {
        Ok(bytes) => Ok(bytes.saturating_mul(count)),
        refused => refused,
    }
}

/// The bytes of a sequence: its length at least.
pub(super) const fn sequence_of(
    element: Result<usize, &'static str>,
) -> Result<usize, &'static str> {
    match element {
        Ok(0) => Err(NO_BYTES),
        Ok(_) => Ok(1),
        refused => refused,
    }
}

/// The bytes of a tag, what follows it being left out in the smallest case.
pub(super) const fn tag_before(
    followed_by: Result<usize, &'static str>,
) -> Result<usize, &'static str> {
    match followed_by {
        Ok(_) => Ok(1),
        refused => refused,
    }
}

const NO_BYTES: &str = "a positional codec cannot hold a sequence whose elements have no bytes: \
    stored bytes could claim any number of them; store their number instead, or use \
    `codec = \"json\"`";

/// Layouts of types without parts: their name, and the fewest bytes of a positional codec.
macro_rules! leaves {
    ($($type:ty = $name:literal, $min_bytes:expr;)*) => { $(
        impl Layout for $type {
            const FINGERPRINT: u64 = Fingerprint::of($name).finish();
            const MIN_BYTES: Result<usize, &'static str> = Ok($min_bytes);
        }
    )* };
}
pub(super) use leaves;
