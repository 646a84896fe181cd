//! The server over real sockets: who waits, who is closed, what survives a stop.

#![expect(clippy::unwrap_used, reason = "what a test does not expect ends it")]

mod embedded;
mod hostile;
mod limits;
mod logins;
mod stop;
mod support;
mod v1;
mod v2;
