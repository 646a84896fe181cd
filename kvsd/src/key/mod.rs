//! Typed keys: how the parts of a record's identity become the bytes of its key.
//!
//! A type says in `#[kvsd(key = "order/{customer}/{id}")]` how its key is made of its fields, and
//! has [`Keyed`] then: its records know their keys, a key knows the type of its record, and the
//! records of one customer lie together, in order.
//!
//! ```
//! use kvsd::Keyed;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, kvsd::Value)]
//! #[kvsd(table = "orders", key = "order/{customer}/{id}")]
//! struct Order {
//!     customer: String,
//!     id: u32,
//!     total: u64,
//! }
//!
//! let order = Order { customer: "ada".to_owned(), id: 12, total: 990 };
//! assert_eq!(order.key(), Order::key_of(("ada", 12)));
//! assert_eq!(order.key().as_ref(), b"order/ada\x00\x01/0000000012");
//! // For scans: all orders, and all of one customer.
//! assert_eq!(Order::prefix().as_ref(), b"order/");
//! assert_eq!(Order::prefix_of("ada").as_ref(), b"order/ada\x00\x01/");
//! ```
//!
//! # Encodings
//!
//! A key is the template with each field in braces replaced by its part, and nothing else. The
//! encodings never change: keys that are stored must be found again.
//!
//! | part | written as | for example |
//! |---|---|---|
//! | `u8`, `u16`, `u32`, `u64`, `u128` | decimal, filled up with zeros to 3, 5, 10, 20, 39 digits | `7_u16`: `00007` |
//! | `i8`, `i16`, `i32`, `i64`, `i128` | the same after adding 2^(bits - 1) | `-1_i8`: `127` |
//! | `bool` | `0` or `1` | `true`: `1` |
//! | `[u8; N]` | 2 * N lower-case hexadecimal digits | `[0, 255]`: `00ff` |
//! | `str`, `String`, `[u8]`, `Vec<u8>`, `Bytes`, at the end of the key | as it is | `"ada"`: `ada` |
//! | the same anywhere else | each byte 00 as 00 FF, and 00 01 after the last | `"ada"`: `ada` 00 01 |
//! | `uuid::Uuid` (feature `uuid`) | its 36 characters, lower case, with hyphens | |
//! | `NaiveDate` (feature `chrono`), `civil::Date` (`jiff`), `Date` (`time`) | ten characters, as ISO 8601 has it | `2026-01-07` |
//! | `DateTime<Utc>` (`chrono`), `Timestamp` (`jiff`), `UtcDateTime` (`time`) | thirty characters, always with nanoseconds | `2026-01-07T10:20:00.000000000Z` |
//! | `&T`, `Box<T>`, `Rc<T>`, `Arc<T>`, `Cow<T>` | as `T` | |
//!
//! ```
//! # #[cfg(feature = "chrono")]
//! # {
//! use kvsd::Keyed;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, kvsd::Value)]
//! #[kvsd(key = "visit/{day}/{room}")]
//! struct Visit {
//!     day: chrono::NaiveDate,
//!     room: u8,
//! }
//!
//! let day = chrono::NaiveDate::from_ymd_opt(2026, 1, 7).unwrap();
//! assert_eq!(Visit::key_of((day, 3)).as_ref(), b"visit/2026-01-07/003");
//! // For scans: all visits of the day.
//! assert_eq!(Visit::prefix_of(day).as_ref(), b"visit/2026-01-07/");
//! # }
//! ```
//!
//! ```text
//! order/{customer}/{id}
//!
//! +--------+------------+-------+---+------------+
//! | order/ |    ada     | 00 01 | / | 0000000012 |
//! +--------+------------+-------+---+------------+
//!  literal  customer:    closed      id: u32, always
//!           String                   ten digits
//! ```
//!
//! Years from 0 to 9999 are four digits. `chrono` and `time` know others, and they order rightly,
//! but are no ISO 8601: a later year is `y` and six digits, an earlier one `-` and the six digits
//! of the year plus 1,000,000. So a leap second of `chrono` stands behind its second, with `y`
//! before the nanoseconds. A local time or one with an offset is no part: of two, the first to come
//! may be written as the later one.
//!
//! # Order and collisions
//!
//! Keys of one template order as the tuples of their parts do (texts by their bytes), and two
//! different tuples never have the same key. Text between two parts changes neither, whatever it
//! is, digits or nothing at all included: no part that something follows is the beginning of
//! another value of that part (numbers have one width; a closed text holds 00 01 only at its end),
//! so two keys with different parts differ within the first different part, and everything before
//! it is the same in both.
//!
//! Only a text at the very end of a key may be the beginning of another one, and there the shorter
//! one comes first, as texts do. A text with a literal after it is not at the end, and is closed:
//! else `a!` + `/x` would come before `a` + `/x`. To read well where keys are printed, a template
//! has its texts last.
//!
//! Nothing is promised between two templates. Types that share a table need literals in front of
//! which none begins with another one, as `user/` and `order/`: a scan of `user/` would meet the
//! records of `user/admin/`.
//!
//! # Change
//!
//! A record stays under the key that it was put with. Another template, or another type of a part
//! (a `u32` that becomes a `u64` is ten digits longer), gives other keys: the records that are
//! stored are read with the old ones and put again with the new ones.
//!
//! # Length
//!
//! Making a key never fails. The operation that it is given to refuses one that is empty or longer
//! than [`MAX_KEY_BYTES`](crate::types::MAX_KEY_BYTES), before anything is sent.
//!
//! This module knows bytes only: no client, no operation, no value. Reading order: `keyed`,
//! `typed`, `part`, `writer`, `standard`, `times`.

mod keyed;
mod part;
mod standard;
#[cfg(test)]
mod tests;
#[cfg(any(feature = "chrono", feature = "jiff", feature = "time"))]
mod times;
mod typed;
#[cfg(feature = "uuid")]
mod uuid;
mod writer;

pub use keyed::{Keyed, PrefixOf};
pub use part::KeyPart;
pub use typed::{Key, Prefix};
pub use writer::KeyWriter;
