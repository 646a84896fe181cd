//! The server of kvsd.
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
#[cfg(feature = "cli")]
mod init;
pub mod log;
mod secret_file;
mod server;
mod session;
pub mod tls;
pub mod users;

pub use config::Config;
pub use embedded::{Embedded, EmbeddedOptions, EmbeddedTransport};
pub use server::{ServeError, Server};

/// The code in the README is compiled and run with the doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
