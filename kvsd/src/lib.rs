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
//! # Concepts
//!
//! **A client** is a cheap handle: clone it, share it between any number of tasks. It keeps a few
//! connections, sends any number of requests over each at once, and opens new ones when they are
//! lost. [`Client::connect`] fails at once, with its cause: a closed port, a wrong password, an
//! untrusted certificate.
//!
//! **A table** is a set of records with a log, an order and versions of its own. A handle acts on
//! one, the URL's or `default`; [`Client::table`] makes a handle on another, [`Client::of`] on that
//! of a type. A table comes into being with its first write.
//!
//! **A key** is 1 to 1,024 bytes, ordered byte by byte. Write keys by hand (`"user/7"`), or let a
//! type know its own: `#[kvsd(key = "order/{customer}/{id}")]`, see [`key`].
//!
//! **A value** is text, bytes, a number, or a type that derives [`Value`](macro@Value): then it
//! carries its type's name, version and layout, so that reading it as something else is an error
//! and not nonsense. How a type changes without losing what is stored: [`value::evolution`].
//!
//! **An operation** is a future with settings: nothing happens before the first poll, and until
//! then it can be refined. It borrows the client only; `.owned()` makes it `'static`.
//!
//! **A version** is the number that each write of a table gets; it only grows. It is what
//! [`if_version`](operation::write::Set::if_version) compares and where a
//! [watch](Client::watch) begins.
//!
//! **An outcome** is what an error says of the operation: not sent, refused, done, or unknown. A
//! write whose connection was lost may have happened: only [`Outcome`] says what is known, and only
//! what cannot happen twice is ever sent again.
//!
//! **Dropping a future is safe** at any point: its answer goes to nobody, least of all to another
//! caller. What it means for the data stands with each operation, under *Cancel safety*.
//!
//! # Where things are
//!
//! | module | what |
//! |---|---|
//! | [`Client`], [`ClientBuilder`] | connecting; one method for each operation |
//! | [`operation`] | what those methods return: futures with settings |
//! | [`stream`] | scans and watches: records, and changes to come, as streams |
//! | [`value`] | what can be stored, and how; the derive; [`value::evolution`] |
//! | [`key`] | records that know their keys; how keys are written |
//! | [`Error`] | what went wrong, and whether the operation happened all the same |
//! | [`transport`] | the seam below the client, for networks of your own |
//! | [`observe`] | the spans, events and metrics that the client gives |
//! | `testing` | testing your program: an embedded server, a network that fails on demand |
//! | `blocking` | the same operations for programs without `async` |
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
//! | [`renew`](Client::renew) | one of these, that lives on: `Option<T>` | it may still happen |
//! | [`get_many::<T>`](Client::get_many) | `Vec<Option<T>>` | nothing has changed |
//! | [`get_many::<T>(..).versioned()`](operation::many::GetMany::versioned) | `Vec<Option<`[`Versioned<T>`]`>>` | nothing has changed |
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
//! | stream | yields | if it is dropped |
//! |---|---|---|
//! | [`scan::<T>`](Client::scan), [`scan_all`](Client::scan_all) | [`Entry<T>`], in the order of the keys | nothing is lost: its token goes on |
//! | [`watch::<T>`](Client::watch), [`watch_key`](Client::watch_key), [`watch_all`](Client::watch_all) | [`Event<T>`], in the order of the versions | nothing is lost: its token goes on |
//!
//! # Recipes
//!
//! Change a value that others change too; the closure may run several times:
//!
//! ```
//! use kvsd::Change;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = kvsd_server::Embedded::temporary().await?;
//! # let client = server.client().await?;
//! let names: Option<String> = client
//!     .update("names", |names: Option<String>| match names {
//!         Some(names) if names.contains("Ada") => Change::Keep,
//!         Some(names) => Change::Set(names + ", Ada"),
//!         None => Change::Set("Ada".into()),
//!     })
//!     .await?;
//! assert_eq!(names.as_deref(), Some("Ada"));
//! # server.close().await?;
//! # Ok(()) }
//! ```
//!
//! Take a lock that ends by itself, and is let go of only by who holds it:
//!
//! ```
//! # use std::time::Duration;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = kvsd_server::Embedded::temporary().await?;
//! # let client = server.client().await?;
//! let lock = client.set("lock/report", "worker 3").if_absent().ttl(Duration::from_secs(60));
//! match lock.await {
//!     Ok(mine) => {
//!         // .. the work ..
//!         client.delete("lock/report").if_version(mine).await?;
//!     }
//!     Err(error) if error.is_conflict() => println!("somebody else has it"),
//!     Err(error) => return Err(error.into()),
//! }
//! # server.close().await?;
//! # Ok(()) }
//! ```
//!
//! Decide what to do with a write whose answer was lost:
//!
//! ```
//! use kvsd::{Client, Error, Outcome};
//!
//! /// `id` is new with each order, so that a record that is there already is this one.
//! async fn order(client: &Client, id: &str, order: &str) -> Result<(), Error> {
//!     let mut attempts = 0;
//!     loop {
//!         attempts += 1;
//!         match client.set(id, order).if_absent().await {
//!             Ok(_) => return Ok(()),
//!             Err(error) if error.is_conflict() && attempts > 1 => return Ok(()),
//!             Err(error) if attempts == 3 => return Err(error),
//!             Err(error) if error.is_retryable() || error.outcome() == Outcome::Unknown => {}
//!             Err(error) => return Err(error),
//!         }
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = kvsd_server::Embedded::temporary().await?;
//! # order(&server.client().await?, "order/1", "tea").await?;
//! # server.close().await?;
//! # Ok(()) }
//! ```
//!
//! Programs of a page each, in `examples/`: typed records, a schema that evolves, counters, a
//! cache, a transfer between accounts, a live view, sessions of a web service, a tool that embeds
//! its store, tests with a network that fails.
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
//! | a page of a scan or a watch | 1,000 records, or some 1 MiB | [`.page_size(..)`](stream::Scan::page_size) |
//! | pages in memory: of a scan, of a watch | 2, 1 | - |
//! | a request of a watch, while nothing happens | 30 s, and then another | - |
//! | a pause of a watch after one that failed | 50 ms, doubling up to 2 s | - |
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
//! sent again at most once for every ten that begin, besides a reserve of 100; those that never
//! left do not count. Whoever is past that gets the error at once. Everything else is the caller's
//! decision; [`Error::outcome`] and [`Error::is_retryable`] say what is known.
//!
//! # Features
//!
//! | feature | gives |
//! |---|---|
//! | `derive` (default) | `#[derive(kvsd::Value)]`, `#[derive(kvsd::Layout)]` |
//! | `json`, `postcard` | the codecs of these names; `Json<T>` |
//! | `uuid`, `chrono`, `time`, `jiff`, `rust_decimal` | types of these crates as fields of derived values; uuids, days and moments also in keys |
//! | `blocking` | `kvsd::blocking`: operations and streams that are waited for |
//! | `metrics` | figures through the facade `metrics`; without it they are compiled out |
//! | `testing` | `kvsd::testing`: a network that fails on demand |
//!
//! # Platforms
//!
//! Wherever tokio has TCP and the crate `ring` builds: nothing here is bound to one system. What is
//! tested is Linux on x86-64. The server and `kvsd_server::Embedded` want Linux.

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
    DEFAULT_TIMEOUT, MAX_ADDRESSES, MAX_POOL_SIZE,
};
pub use connection::{ServerInfo, TableStatistics};
pub use error::{ConfigError, Error, ErrorKind, Outcome, Unreachable};
pub use key::{Key, KeyPart, Keyed, Prefix};
pub use operation::lifetime::Ttl;
pub use operation::read::{Stored, Versioned};
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
