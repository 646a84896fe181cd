//! The typed key/value store for async Rust.
//!
//! A struct derives [`Value`](macro@Value); a [`Client`] reads and writes it by key, over a few
//! pooled, multiplexed, authenticated connections to a kvsd server, or to one embedded in the same
//! process.
//!
//! ```
//! use kvsd::Value;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize, Value)]
//! struct User {
//!     name: String,
//!     tags: Vec<String>,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In a program: Client::connect("kvsds://app:secret@db.example").await?
//! let server = kvsd_server::Embedded::temporary().await?;
//! let client = server.client().await?;
//!
//! let user = User { name: "Ada".into(), tags: vec!["admin".into()] };
//! client.set("user/7", &user).await?;
//! assert_eq!(client.get::<User>("user/7").await?, Some(user));
//! # server.close().await?;
//! # Ok(()) }
//! ```
//!
//! # Where things are
//!
//! | module | what |
//! |---|---|
//! | [`Client`], [`ClientBuilder`] | connecting; one method for each operation |
//! | [`operation`] | what those methods return: futures with settings |
//! | [`stream`] | scans and watches: records, and changes to come, as streams |
//! | [`value`] | what can be stored, and how; the derive |
//! | [`key`] | records that know their keys; how keys are written |
//! | [`Error`] | what went wrong, and whether the operation happened all the same |
//! | [`transport`] | the seam below the client, for networks of your own |
//! | [`observe`] | the spans, events and metrics (feature `metrics`) that the client gives |
//! | `testing` (feature) | testing your program: an embedded server, a network that fails on demand |
//! | [`protocol`] | what goes over the wire, as specification and as code |
//!
//! # Operations
//!
//! | operation | resolves with | if its future is dropped |
//! |---|---|---|
//! | [`get::<T>`](Client::get) | `Option<T>` | nothing has changed |
//! | [`get::<T>(..).versioned()`](operation::read::Get::versioned) | `Option<`[`Versioned<T>`]`>` | nothing has changed |
//! | [`get_bytes`](Client::get_bytes) | `Option<`[`Stored`]`>`, to borrow from | nothing has changed |
//! | [`exists`](Client::exists) | `bool` | nothing has changed |
//! | [`ttl`](Client::ttl) | [`Ttl`] | nothing has changed |
//! | [`set`](Client::set) | the [`Version`] it got | it may still happen |
//! | [`swap::<T>`](Client::swap) | the value before: `Option<T>` | it may still happen |
//! | [`delete`](Client::delete) | whether there was a record | it may still happen |
//! | [`take::<T>`](Client::take) | `Option<T>`, removed | it may still happen |
//! | [`increment`](Client::increment) | the `i64` now | it may still happen |
//! | [`expire`](Client::expire), [`expire_at`](Client::expire_at), [`persist`](Client::persist) | whether there is a record | it may still happen |
//! | [`update::<T, _>`](Client::update), [`try_update`](Client::try_update) | the value now: `Option<T>` | it may still happen |
//! | [`put`](Client::put), [`fetch`](Client::fetch), [`remove`](Client::remove) | as `set`, `get`, `delete`, of records that [know their keys](key) | as theirs |
//! | [`get_many::<T>`](Client::get_many) | `Vec<Option<T>>` | nothing has changed |
//! | [`set_many`](Client::set_many) | `Vec<Version>` | any of it may still happen |
//! | [`delete_many`](Client::delete_many) | `Vec<bool>` | any of it may still happen |
//! | [`pipeline`](Client::pipeline) | its [`Answers`](operation::pipeline::Answers) | any of it may still happen |
//! | [`batch`](Client::batch) | [`Batched`](operation::batch::Batched) | it may still happen, as a whole |
//! | [`create_table`](Client::create_table), [`drop_table`](Client::drop_table) | whether that changed anything | it may still happen |
//! | [`tables`](Client::tables) | `Vec<`[`TableName`]`>` | nothing has changed |
//! | [`statistics`](Client::statistics) | `Option<`[`TableStatistics`]`>` | nothing has changed |
//! | [`ping`](Client::ping) | `()` | nothing has changed |
//!
//! Each can be refined before it is awaited: `.timeout(..)`, `.owned()`, and for writes
//! [conditions](operation::write::Set) and an end.
//!
//! # Deadlines and limits
//!
//! | what | default | where to change it |
//! |---|---|---|
//! | an operation in all: connection, queue, answer | 10 s | [`ClientBuilder::timeout`], `.timeout(..)` |
//! | opening a connection, TLS and welcome included | 5 s | - |
//! | a pause after connections that failed | 50 ms, doubling up to 2 s | - |
//! | silence of a server, busy or idle, before it is asked whether it is there | 10 s | [`ClientBuilder::keep_alive`] |
//! | its silence after that, before the connection counts as lost | 5 s | - |
//! | closing a connection that has stopped answering | 5 s | - |
//! | connections of a client | 2 | [`ClientBuilder::pool_size`] |
//! | requests in flight on a connection | 32,768 | - |
//! | bytes not yet written on a connection when another request joins | 32 MiB | - |
//! | attempts of an update that others spoil | 1,000 | [`.attempts(..)`](operation::update::Update::attempts) |
//! | a pause between them, from the third on | random, up to 2 ms, doubling up to 32 ms | - |
//! | changes of a batch; values of all of them together | 1,024; as one value | - |
//! | keys of `get_many` and its like, operations of a pipeline | any number, 1,024 and some 1 MiB in each message | - |
//! | a key | 1 to 1,024 bytes | - |
//! | a value | 10 MiB | the server's configuration |
//!
//! A request above the two limits of one connection fails with [`ErrorKind::Overloaded`]; nothing
//! queues without bound.
//!
//! # Retries
//!
//! An operation is sent again, within its deadline, only when it cannot have been carried out:
//!
//! - its connection was lost, or the server took its leave, before a write had left or while a read
//!   waited: at most three times, at once and then after a pause;
//! - the server said that it is [busy](protocol::v2::FailCode::Busy): after a pause.
//!
//! Pauses are random, from 20 ms doubling up to a second. All operations of a client together are
//! sent again at most once for every ten that begin, besides a reserve of 100; those that never left
//! do not count. Whoever is past that gets the error at once. Everything else is the caller's
//! decision; [`Error::outcome`] and [`Error::is_retryable`] say what is known.

#[cfg(feature = "blocking")]
pub mod blocking;
mod client;
mod config;
mod connection;
mod error;
pub mod key;
pub mod observe;
pub mod operation;
mod pool;
pub mod protocol;
pub mod stream;
mod tcp;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transport;
pub mod types;
pub mod value;

pub use client::Client;
pub use config::{
    CONNECT_TIMEOUT, ClientBuilder, DEFAULT_KEEP_ALIVE, DEFAULT_POOL_SIZE, DEFAULT_PORT,
    DEFAULT_TIMEOUT, MAX_POOL_SIZE,
};
pub use connection::ServerInfo;
pub use error::{ConfigError, Error, ErrorKind, Outcome};
pub use key::{Key, KeyPart, Keyed, Prefix};
pub use operation::lifetime::Ttl;
pub use operation::read::{Stored, Versioned};
pub use operation::tables::TableStatistics;
pub use operation::update::Change;
pub use stream::{Entry, Event, KeyRange, ScanToken, WatchToken};
pub use types::{KeyError, NameError, TableName, UnixMillis, Version};
#[cfg(feature = "json")]
pub use value::Json;
pub use value::{Bincode, Decode, DecodeError, Encode, EncodeError, Layout, Value};

#[cfg(feature = "derive")]
pub use kvsd_derive::{Layout, Value};

#[doc(hidden)]
pub use value::__private;
