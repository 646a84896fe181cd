//! How a stored type changes, step by step. A page to read; there is nothing in it to call.
//!
//! What a program has stored outlives the type that it was stored with. So each stored value names
//! its type, the type's version and a fingerprint of its layout, and reading compares them before
//! it believes a byte. This page says what to do when a type has to change.
//!
//! | what changes | what to do |
//! |---|---|
//! | a field is added or removed, or gets another type or place | [a new version](#adding-a-field) |
//! | a field gets another name | `#[serde(rename = "old")]` on it, or [accept](#what-leaves-the-bytes-as-they-are) the older layout |
//! | a variant is added behind all others | [accept](#what-leaves-the-bytes-as-they-are) the older layout |
//! | variants are removed or change places | a new version |
//! | the Rust type gets another name | `#[kvsd(name = "Old")]` on it |
//! | the codec | `#[kvsd(codec = "..")]`, and [nothing else](#another-codec) |
//! | the type of a field, which is yours too, changes inside | a new version of every type that is stored and holds it |
//! | what a field means, in the same bytes | a new version: no fingerprint shows it |
//!
//! # Adding a field
//!
//! A program has stored users:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, kvsd::Value)]
//! struct User {
//!     id: u64,
//!     name: String,
//! }
//! ```
//!
//! Now a user gets tags. In four steps:
//!
//! 1. Copy the type as it is, call the copy `UserV1`, and have it keep its stored name and version:
//!    `#[kvsd(name = "User", version = 1)]`. It will only be read, so it needs no `Serialize`.
//! 2. Add the field to `User`.
//! 3. Say on `User` which version it is and what older values are read as:
//!    `#[kvsd(version = 2, from = UserV1)]`.
//! 4. Write how the one becomes the other: `impl From<UserV1> for User`.
//!
//! ```
//! use kvsd::Decode;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize, kvsd::Value)]
//! #[kvsd(name = "User", version = 1)]
//! struct UserV1 {
//!     id: u64,
//!     name: String,
//! }
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
//! #[kvsd(version = 2, from = UserV1)]
//! struct User {
//!     id: u64,
//!     name: String,
//!     tags: Vec<String>,
//! }
//!
//! impl From<UserV1> for User {
//!     fn from(old: UserV1) -> Self {
//!         Self { id: old.id, name: old.name, tags: Vec::new() }
//!     }
//! }
//!
//! # #[derive(Serialize, Deserialize, kvsd::Value)]
//! # #[kvsd(name = "User")]
//! # struct Before { id: u64, name: String }
//! # let before = Before { id: 7, name: "Ada".to_owned() };
//! # let stored = kvsd::value::encode_to_bytes(&before, 1000)?;
//! // What the program stored before reads as what it has now.
//! let user = User::decode(&stored)?;
//! assert_eq!(user, User { id: 7, name: "Ada".to_owned(), tags: Vec::new() });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The next change does the same again: `User` becomes `UserV2`, which keeps its `from = UserV1`,
//! and the new `User` says `version = 3, from = UserV2`. A value of version 1 goes up both steps.
//! The compiler checks that all of a chain carry one name and that the versions descend; gaps are
//! allowed. A type with parameters is checked where it is used:
//!
//! ```compile_fail
//! use kvsd::Decode;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, kvsd::Value)]
//! struct PageV1<T>(Vec<T>); // Its name is `PageV1`.
//!
//! #[derive(Serialize, Deserialize, kvsd::Value)]
//! #[kvsd(version = 2, from = PageV1<T>)]
//! struct Page<T>(Vec<T>);
//!
//! impl<T> From<PageV1<T>> for Page<T> {
//!     fn from(old: PageV1<T>) -> Self {
//!         Self(old.0)
//!     }
//! }
//!
//! let _ = Page::<u8>::decode(b"");
//! ```
//!
//! A type that borrows may be made from one that owns, and the other way round:
//! `from = UserView<'_>` borrows the older value from the stored bytes while it is converted.
//!
//! Reading upgrades what is read, not what is stored: a record keeps its older bytes until it is
//! written again. So an older type may go only when no record of its version is left.
//!
//! # An upgrade that may fail
//!
//! `try_from = UserV2` asks for `impl TryFrom<UserV2> for User`, with an error that is an
//! [`Error`](std::error::Error) or a text. What it returns is the source of
//! [`DecodeError::Upgrade`], which names the type and both versions and nothing of the value.
//!
//! ```
//! # use kvsd::{Decode, DecodeError};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize, kvsd::Value)]
//! # #[kvsd(name = "Port")]
//! # struct PortV1(u32);
//! #[derive(Debug, Serialize, Deserialize, kvsd::Value)]
//! #[kvsd(version = 2, try_from = PortV1)]
//! struct Port(u16);
//!
//! impl TryFrom<PortV1> for Port {
//!     type Error = std::num::TryFromIntError;
//!
//!     fn try_from(old: PortV1) -> Result<Self, Self::Error> {
//!         old.0.try_into().map(Self)
//!     }
//! }
//!
//! # let stored = kvsd::value::encode_to_bytes(&PortV1(70_000), 100)?;
//! let error = Port::decode(&stored).unwrap_err();
//! assert!(matches!(error, DecodeError::Upgrade { from: 1, to: 2, .. }));
//! # Ok::<(), kvsd::EncodeError>(())
//! ```
//!
//! # What leaves the bytes as they are
//!
//! A positional codec writes no names, so a field's new name changes no byte, and neither does a
//! variant that is added behind all others. The fingerprint changes all the same. `accept` lists
//! the fingerprints of earlier layouts of the same version whose bytes are read as they stand; you
//! answer for their being the same. [`DecodeError::OtherLayout`] prints what it found, and so does
//! `freeze`, below. With `codec = "json"`, which writes names, a renamed field needs an
//! `#[serde(alias = "old")]` too.
//!
//! ```
//! # use kvsd::Decode;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize, kvsd::Value)]
//! # #[kvsd(name = "User")]
//! # struct Before { name: String }
//! # let stored = kvsd::value::encode_to_bytes(&Before { name: "Ada".to_owned() }, 1000)?;
//! #[derive(Serialize, Deserialize, kvsd::Value)]
//! #[kvsd(accept = [0xe452_822c_c74c_91cd])]
//! struct User {
//!     full_name: String, // It was `name`.
//! }
//! assert_eq!(User::decode(&stored)?.full_name, "Ada");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Changing nothing by accident
//!
//! `freeze` holds a type to its fingerprint: a change of layout, here or deep inside a field's
//! type, no longer compiles, and the error tells the new fingerprint and what to do. Begin with
//! `freeze = 0` and copy what the compiler says. It is worth its line on every type whose values
//! are stored for longer than a release.
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! #[derive(Serialize, Deserialize, kvsd::Value)]
//! #[kvsd(freeze = 0xe452_822c_c74c_91cd)]
//! struct User {
//!     name: String,
//! }
//! ```
//!
//! ```compile_fail
//! # use serde::{Deserialize, Serialize};
//! #[derive(Serialize, Deserialize, kvsd::Value)]
//! #[kvsd(freeze = 0xe452_822c_c74c_91cd)]
//! struct User {
//!     name: String,
//!     tags: Vec<String>, // The layout of `User` has changed.
//! }
//! ```
//!
//! # Another codec
//!
//! A value is read by the codec that wrote it, whichever the type is written with today. So
//! `codec` may change at any time, with no new version, so long as the type is fit for both: from
//! `"json"` to another one always, and from a positional codec to `"json"` while no field is one
//! that only JSON can hold, is opaque, or has functions of its own. Otherwise the older type keeps
//! its codec and the newer one says `from`. The codec's feature must stay on.
//!
//! # Programs of different age
//!
//! A program that is older than a value says [`DecodeError::NewerVersion`]; it never guesses. Where
//! old and new programs share a table for a while, first roll out one that knows the new version
//! and still writes the older type (which then keeps its `Serialize`), and write the new one when
//! the last old program is gone.
//!
//! # What reading can say
//!
//! | the stored bytes are | error |
//! |---|---|
//! | a plain value | [`DecodeError::NotAnEnvelope`] |
//! | of another type | [`DecodeError::OtherType`]: which was found, which was expected |
//! | of a newer version | [`DecodeError::NewerVersion`] |
//! | of an older version that no type of the chain has | [`DecodeError::UnknownVersion`] |
//! | of a version that is known, with other fields | [`DecodeError::OtherLayout`]: both fingerprints |
//! | refused by a `TryFrom` | [`DecodeError::Upgrade`], with its source |
//! | of a codec that is not in this build, or not fit for the type | [`DecodeError::UnknownCodec`] |
//! | damaged | [`DecodeError::Corrupt`], [`DecodeError::Envelope`] |
//!
//! [`DecodeError::Corrupt`]: super::DecodeError::Corrupt
//! [`DecodeError::Envelope`]: super::DecodeError::Envelope
//! [`DecodeError::NewerVersion`]: super::DecodeError::NewerVersion
//! [`DecodeError::NotAnEnvelope`]: super::DecodeError::NotAnEnvelope
//! [`DecodeError::OtherLayout`]: super::DecodeError::OtherLayout
//! [`DecodeError::OtherType`]: super::DecodeError::OtherType
//! [`DecodeError::UnknownCodec`]: super::DecodeError::UnknownCodec
//! [`DecodeError::UnknownVersion`]: super::DecodeError::UnknownVersion
//! [`DecodeError::Upgrade`]: super::DecodeError::Upgrade
