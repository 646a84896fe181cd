//! The derive macros of kvsd: `#[derive(kvsd::Value)]` and `#[derive(kvsd::Layout)]`.
//!
//! Use them through the crate `kvsd`, which re-exports them and holds the traits.
//!
//! The macros read the type and its `#[kvsd(..)]` and `#[serde(..)]` attributes, and write trait
//! implementations; never inherent items, never serde's own implementations. What the written code
//! does stands in `kvsd::value`, not here. Reading order: `ast` (what was read), `attr` (the
//! attributes), `check` (what a positional codec would corrupt), `expand` (what is written).

mod ast;
mod attr;
mod case;
mod check;
mod expand;
mod key;
mod layout;
mod tokens;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a serde type a value that kvsd stores: `kvsd::Encode`, `kvsd::Decode` and `kvsd::Layout`.
///
/// The type derives `serde::Serialize` and `serde::Deserialize` as well. It is stored in an
/// envelope (`kvsd::value::Envelope`) that carries its name and a fingerprint of its layout, so
/// that reading it as another type, or after its fields have changed, is an error. The module
/// `kvsd::value` has an example.
///
/// Structs, enums, generics and lifetimes all work. A type with a lifetime borrows from the stored
/// bytes. The types of the fields implement `kvsd::Layout`: standard types do, and yours derive it.
///
/// # Attributes of the type
///
/// - `#[kvsd(codec = "bincode")]`, the default, or `"json"` (feature `json` of `kvsd`).
/// - `#[kvsd(name = "User")]`: the name in the envelope, at most 32 bytes; by default the type's
///   identifier. Keep it when you rename the type.
/// - `#[kvsd(crate = path::to::kvsd)]`: where the crate `kvsd` is found; by default `::kvsd`.
///
/// # Attributes of a field
///
/// - `#[kvsd(opaque)]`: the field's type has no `kvsd::Layout`; its name as written stands for its
///   layout, and you answer for its not changing and for its not being recursive.
///
/// # Serde's attributes
///
/// bincode writes values one after the other without names. What relies on names
/// (`flatten`, `untagged`, `tag`), leaves fields out on one side only (`skip_serializing_if`,
/// `skip_serializing` without `skip_deserializing`) or shifts variants (`skip` on one) would
/// silently read as something else, so it does not compile. With `codec = "json"` all of it is
/// allowed. Recursive types need `codec = "json"` too, and so do sequences of elements that take no
/// bytes.
///
/// `#[serde(default)]` fills nothing in under bincode: a value with fewer fields is an error.
///
/// # Debug builds
///
/// In debug builds each write reads back what it wrote and fails if that fails, except for types
/// with type or const parameters.
#[proc_macro_derive(Value, attributes(kvsd, serde))]
pub fn derive_value(input: TokenStream) -> TokenStream {
    derive(parse_macro_input!(input), expand::Derive::Value)
}

/// Tells kvsd the layout of a type that stands inside a derived value: `kvsd::Layout`.
///
/// Takes the same attributes as `#[derive(kvsd::Value)]`, which includes it. A type that is only
/// ever stored as JSON says so with `#[kvsd(codec = "json")]`.
#[proc_macro_derive(Layout, attributes(kvsd, serde))]
pub fn derive_layout(input: TokenStream) -> TokenStream {
    derive(parse_macro_input!(input), expand::Derive::Layout)
}

fn derive(input: DeriveInput, derive: expand::Derive) -> TokenStream {
    let mut errors = attr::Errors::default();
    let container = ast::Container::read(&input, &mut errors);
    let positional = check::positional(&container, &mut errors);
    let keyed = key::Keyed::judge(&container, derive, &mut errors);
    let written = match errors.finish() {
        Ok(()) => expand::expand(&container, derive, &positional, keyed.as_ref()),
        Err(error) => error.into_compile_error(),
    };
    written.into()
}
