//! What the compiler knows of how a type is stored: whether it is still the same, and whether a
//! positional codec can hold it at all.
//!
//! Nothing here runs: all of it is constants. Next file to read: `standard.rs`.

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
    const FINGERPRINT: u64;

    /// The fewest bytes that a positional codec writes for a value.
    ///
    /// To evaluate it is to ask whether a positional codec can hold the type: for one that it
    /// cannot hold (a sequence of elements without bytes, a type whose serde attributes want a
    /// self-describing codec) it does not compile. An implementation evaluates it for all it is
    /// made of.
    ///
    /// For a type with parameters it is evaluated where the type is used:
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
    const MIN_BYTES: usize;
}

/// Does not compile for a type that a positional codec cannot hold.
#[doc(hidden)]
pub const fn check_positional<T: Layout + ?Sized>() {
    let _: usize = T::MIN_BYTES;
}

/// The bytes of several parts, one after the other.
#[doc(hidden)]
#[must_use]
pub const fn total(parts: &[usize]) -> usize {
    let mut sum: usize = 0;
    let mut at = 0;
    while at < parts.len() {
        sum = sum.saturating_add(parts[at]);
        at += 1;
    }
    sum
}

/// The bytes of the smallest of several alternatives.
#[doc(hidden)]
#[must_use]
pub const fn least(alternatives: &[usize]) -> usize {
    let mut least = usize::MAX;
    let mut at = 0;
    while at < alternatives.len() {
        if alternatives[at] < least {
            least = alternatives[at];
        }
        at += 1;
    }
    if alternatives.is_empty() { 0 } else { least }
}

/// The bytes of a field of which only its Rust type is known: what has a size in memory is taken to
/// have one when it is stored.
#[doc(hidden)]
#[must_use]
pub const fn opaque_bytes<T>() -> usize {
    if size_of::<T>() == 0 { 0 } else { 1 }
}

/// The bytes of a sequence: its length at least; nothing if the sequence cannot be held.
pub(super) const fn sequence_of(element_bytes: usize) -> Option<usize> {
    if element_bytes == 0 { None } else { Some(1) }
}

/// What the compiler says where [`sequence_of`] gave nothing. Unwrapped where the type stands, so
/// that the error shows the type and not the inside of a function.
pub(super) const NO_BYTES: &str = "a positional codec cannot hold a sequence whose elements have \
    no bytes: stored bytes could claim any number of them; store their number instead, or use \
    `codec = \"json\"`";

/// The bytes of a tag, what follows it being left out in the smallest case but checked all the
/// same.
pub(super) const fn tag_before(_checked: usize) -> usize {
    1
}
