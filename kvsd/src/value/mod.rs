//! Typed values: how a Rust value becomes the bytes of a record and comes back.
//!
//! | what | stored as |
//! |---|---|
//! | `str`, `String`, `[u8]`, `[u8; N]`, `Vec<u8>`, `Bytes` | as it is |
//! | integers | canonical decimal text: `-7`, never `+7` or `007` |
//! | `f32`, `f64` | as `{:?}` prints it: `1.0`, `NaN`; the shortest text that reads back the same |
//! | `bool` | `true` or `false` |
//! | `Json<T>` (feature `json`) | JSON text |
//! | [`Bincode<T>`] | bincode, bare |
//! | `#[derive(kvsd::Value)]` | an [`Envelope`], then a codec's bytes |
//!
//! So the command line, `increment` and a client in another language see what they expect of plain
//! values, and a derived value that no longer fits its type is an error that says why, never
//! nonsense.
//!
//! ```
//! use kvsd::value::encode_to_bytes;
//! use kvsd::{Decode, DecodeError};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
//! struct User {
//!     id: u64,
//!     name: String,
//! }
//!
//! let user = User { id: 7, name: "Ada".to_owned() };
//! let stored = encode_to_bytes(&user, 1000)?;
//! assert_eq!(User::decode(&stored)?, user);
//! assert!(matches!(String::decode(&stored), Err(DecodeError::Enveloped { .. })));
//!
//! // Reading can borrow: a type with a lifetime, and the same name and fields.
//! #[derive(Serialize, Deserialize, kvsd::Value)]
//! #[kvsd(name = "User")]
//! struct UserView<'a> {
//!     id: u64,
//!     name: &'a str,
//! }
//! assert_eq!(UserView::decode(&stored)?.name, "Ada");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # When a type changes
//!
//! A value that an older version of its type wrote is read with that version and upgraded: the page
//! [`evolution`] says how to add a field, rename one, change the codec, and have the compiler watch
//! over all of it.
//!
//! # Fields of other crates' types
//!
//! The types of a derived value's fields have a [`Layout`]. Those of the standard library and of
//! `bytes` do, and by the feature of each crate's name:
//!
//! | feature | types |
//! |---|---|
//! | `uuid` | `Uuid`, `NonNilUuid` |
//! | `chrono` | `DateTime<Utc>`, `DateTime<FixedOffset>`, `NaiveDate`, `NaiveTime`, `NaiveDateTime`, `TimeDelta`, `Weekday`, `Month` |
//! | `time` | `Date`, `Time`, `PrimitiveDateTime`, `UtcDateTime`, `OffsetDateTime`, `UtcOffset`, `Duration`, `Weekday`, `Month` |
//! | `jiff` | `Timestamp`, `Zoned` (read where jiff finds its zone by name), `Span`, `SignedDuration`, `civil::{Date, Time, DateTime, ISOWeekDate}` |
//! | `rust_decimal` | `Decimal`, by that crate's feature `serde-str`; its `serde-float` would change what is stored |
//!
//! A field of any other type is marked `#[kvsd(opaque)]`. Two more features are codecs: `json` and
//! `postcard`.
//!
//! ```
//! # #[cfg(all(feature = "uuid", feature = "chrono"))]
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! #[derive(serde::Serialize, serde::Deserialize, kvsd::Value)]
//! struct Session {
//!     id: uuid::Uuid,
//!     since: chrono::DateTime<chrono::Utc>,
//! }
//! let session = Session { id: uuid::Uuid::nil(), since: chrono::DateTime::UNIX_EPOCH };
//! let stored = kvsd::value::encode_to_bytes(&session, 1000)?;
//! # use kvsd::Decode;
//! assert_eq!(Session::decode(&stored)?.since, session.since);
//! # Ok(()) }
//! # #[cfg(all(feature = "uuid", feature = "chrono"))]
//! # example().unwrap();
//! ```
//!
//! This module never sees a key, a connection or a clock, and its errors never hold what a value
//! holds. Reading order: `encode`, `decode`, `plain`, `envelope`, `typed`, `layout`, `codec`.

mod codec;
mod decode;
mod encode;
mod envelope;
mod error;
pub mod evolution;
mod fingerprint;
#[cfg(any(
    feature = "chrono",
    feature = "jiff",
    feature = "rust_decimal",
    feature = "time",
    feature = "uuid"
))]
mod foreign;
mod layout;
mod message;
mod plain;
mod standard;
mod typed;
mod upgrade;
mod wrap;
mod writer;

pub use codec::{CodecId, Fault};
pub use decode::{Decode, Value};
pub use encode::{Encode, encode_to_bytes};
pub use envelope::{Envelope, EnvelopeError, MAX_TYPE_NAME_BYTES};
pub use error::{DecodeError, EncodeError};
pub use fingerprint::Fingerprint;
pub use layout::Layout;
pub use upgrade::UpgradeError;
pub use wrap::Bincode;
#[cfg(feature = "json")]
pub use wrap::Json;
pub use writer::ValueWriter;

/// What the code that `kvsd-derive` writes calls. No promise of stability.
#[doc(hidden)]
pub mod __private {
    pub use super::codec::{BincodeCodec, JsonCodec, PostcardCodec};
    pub use super::layout::{check_positional, choice, opaque_bytes, total};
    pub use super::message::{Message, chained, frozen};
    pub use super::typed::{
        BoxError, Generation, Typed, decode, encode, encode_and_read_back, read_oldest,
        read_or_from, read_or_try_from,
    };
    pub use serde;
}
