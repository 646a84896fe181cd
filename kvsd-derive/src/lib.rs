//! The derive macros of kvsd: `#[derive(kvsd::Value)]` and `#[derive(kvsd::Layout)]`.
//!
//! Use them through the crate `kvsd`, which re-exports them and holds the traits.
//!
//! The macros read the type and its `#[kvsd(..)]` and `#[serde(..)]` attributes, and write trait
//! implementations; never inherent items, never serde's own implementations. What the written code
//! does stands in `kvsd::value` and `kvsd::key`, not here. Reading order: `ast` (what was read),
//! `attr` (the attributes), `evolve` (those of versions), `check` (what a positional codec would
//! corrupt), `key` (how keys are made), `expand` (what is written), `chain` (what for older
//! versions).

mod ast;
mod attr;
mod case;
mod chain;
mod check;
mod evolve;
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
/// bytes. The types of the fields implement `kvsd::Layout`: standard types do, those of some other
/// crates by a feature of `kvsd`, and yours derive it.
///
/// A type without `serde::Serialize` is read and never written: older versions of a type are such.
///
/// ```
/// use kvsd::Decode;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, kvsd::Value)]
/// #[kvsd(name = "User", version = 1)]
/// struct UserV1 {
///     name: String,
/// }
///
/// #[derive(Serialize, Deserialize, kvsd::Value)]
/// #[kvsd(version = 2, from = UserV1, codec = "json")]
/// struct User {
///     name: String,
///     #[serde(skip_serializing_if = "Option::is_none")]
///     mail: Option<String>,
/// }
///
/// impl From<UserV1> for User {
///     fn from(old: UserV1) -> Self {
///         Self { name: old.name, mail: None }
///     }
/// }
///
/// let user = User { name: "Ada".to_owned(), mail: None };
/// let stored = kvsd::value::encode_to_bytes(&user, 1000)?;
/// assert!(stored.ends_with(br#"{"name":"Ada"}"#));
/// assert_eq!(User::decode(&stored)?.name, "Ada");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Attributes of the type
///
/// | attribute | what it says | default | example |
/// |---|---|---|---|
/// | `name` | the name in the envelope, 1 to 32 bytes; keep it when you rename the type | the type's identifier | `name = "User"` |
/// | `codec` | how it is written: `bincode`, `postcard` or `json` (the latter two are features of `kvsd`) | `"bincode"` | `codec = "json"` |
/// | `version` | the version of the schema, 1 to 65535 | `1` | `version = 2` |
/// | `from` | the type that values of older versions are read as; `From` upgrades them | none are read | `from = UserV1` |
/// | `try_from` | the same, by a `TryFrom` that may refuse | none are read | `try_from = UserV1` |
/// | `freeze` | the fingerprint that the layout has: another one does not compile | it may change | `freeze = 0x0123_4567_89ab_cdef` |
/// | `accept` | fingerprints of earlier layouts of this version whose bytes are the same | none | `accept = [0x0123_4567_89ab_cdef]` |
/// | `key` | how the key of a record is made of its fields, which gives the type `kvsd::Keyed`: see below | no key of its own | `key = "order/{customer}/{id}"` |
/// | `table` | beside `key`: the table of the records | that of the client | `table = "orders"` |
/// | `ttl` | beside `key`: how long a record lives after it was put, a number and one of `ms`, `s`, `m`, `h`, `d`, at most 36,500 days | until it is removed | `ttl = "15m"` |
/// | `crate` | where the crate `kvsd` is found | `::kvsd` | `crate = path::to::kvsd` |
///
/// The page `kvsd::value::evolution` shows how `version`, `from`, `freeze` and `accept` are used.
/// All versions of a type carry one `name`, and the one behind `from` has the lower version: the
/// compiler checks both. A type with parameters cannot be frozen. Behind `from`, a lifetime `'_` is
/// that of the stored bytes.
///
/// # Attributes of a field
///
/// | attribute | what it says |
/// |---|---|
/// | `opaque` | the field's type has no `kvsd::Layout`; its name as written stands for its layout, and you answer for its not changing and for its not being recursive |
///
/// # Keys
///
/// A template is text with the names of fields in braces; `{{` and `}}` are braces in the key. A
/// field goes by its name in Rust, whatever serde calls it, or by its number (`{0}`); it stands
/// there once; its type is a `kvsd::KeyPart`, and as visible as the record. At least one field
/// stands there, none that serde skips, and all text together has at most 1,024 bytes. The fields
/// of an enum differ from variant to variant: there `kvsd::Keyed` is implemented by hand.
///
/// Text between two fields may be anything: it changes neither the order of the keys nor that
/// different fields have different keys. The module `kvsd::key` says why, and how each part is
/// written.
///
/// # Serde's attributes
///
/// bincode and postcard write values one after the other without names. What relies on names
/// (`flatten`, `untagged`, `tag`), leaves fields out on one side only (`skip_serializing_if`,
/// `skip_serializing` without `skip_deserializing`) or shifts variants (`skip` on one) would
/// silently read as something else, so it does not compile. With `codec = "json"` all of it is
/// allowed. Recursive types need `codec = "json"` too, and so do sequences of elements that take no
/// bytes.
///
/// `#[serde(default)]` fills nothing in under bincode and postcard: a value with fewer fields is an
/// error, and `version` with `from` is what reads it.
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
/// Takes those attributes of `#[derive(kvsd::Value)]`, which includes it, that say something of a
/// layout: `codec`, `name`, `freeze` and `crate`. A type that is only ever stored as JSON says so
/// with `#[kvsd(codec = "json")]`. It has no version of its own: when it changes, the types that
/// are stored and hold it get a new one.
#[proc_macro_derive(Layout, attributes(kvsd, serde))]
pub fn derive_layout(input: TokenStream) -> TokenStream {
    derive(parse_macro_input!(input), expand::Derive::Layout)
}

fn derive(input: DeriveInput, derive: expand::Derive) -> TokenStream {
    let mut errors = attr::Errors::default();
    let container = ast::Container::read(&input, &mut errors);
    if derive == expand::Derive::Layout {
        container.kvsd.evolution.refuse_on_layout(&mut errors);
    }
    let positional = check::positional(&container, &mut errors);
    let keyed = key::Keyed::judge(&container, derive, &mut errors);
    let written = match errors.finish() {
        Ok(()) => expand::expand(&container, derive, &positional, keyed.as_ref()),
        Err(error) => error.into_compile_error(),
    };
    written.into()
}
