//! The server of [kvsd], the typed key/value store for async Rust: as a library, as the binary
//! `kvsd-server`, and the command line `kvsd`.
//!
//! To put a store into a program or a test, use [`Embedded`]: the same sessions, engine and client,
//! without a port. To serve a network, fill a [`Config`], check it, and start a [`Server`]:
//!
//! ```
//! use kvsd_server::{Config, Server};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let mut config = Config::default();
//! config.dev = true; // anyone on this machine may connect
//! config.listen = "127.0.0.1:0".parse()?;
//! # config.data_dir = folder.path().join("data");
//! let server = Server::bind(config.check()?).await?;
//! let url = format!("kvsd://{}", server.local_addr());
//!
//! let (stop, stopped) = tokio::sync::oneshot::channel();
//! let serving = tokio::spawn(server.serve(async {
//!     let _ = stopped.await;
//! }));
//! kvsd::Client::connect(&url).await?.set("greeting", "hello").await?;
//! let _ = stop.send(());
//! serving.await??;
//! # Ok(()) }
//! ```
//!
//! Reading order of the source, each file naming the next: [`config`] (what there is to set and
//! what is refused), `server` (accepting, stopping), `session` (from bytes to requests and back),
//! [`auth`] and [`users`] (who gets in), [`engine`] (the seam to storage), [`log`](mod@log) (the engine that
//! keeps tables on disk). Without the feature `cli`, which is on by default, only the library is
//! built.

mod audit;
pub mod auth;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli_server;
mod clock;
pub mod config;
mod embedded;
pub mod engine;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(feature = "cli")]
mod init;
mod limits;
pub mod log;
mod metrics;
mod network;
#[cfg(feature = "cli")]
mod password_prompt;
#[cfg(feature = "cli")]
mod record_line;
mod secret_file;
mod server;
mod session;
mod status;
pub mod tls;
mod units;
pub mod users;

pub use audit::AuditError;
pub use config::Config;
pub use embedded::{Embedded, EmbeddedOptions, EmbeddedTransport};
pub use server::{Reloader, ServeError, Server};

/// The code in the README is compiled and run with the doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
