//! Testing your program: a server in the test, and a network that fails on demand.
//!
//! This module is there with the feature `testing`; put both crates among the development
//! dependencies, so that no part of it gets into the program:
//!
//! ```toml
//! [dev-dependencies]
//! kvsd = { version = "0.2", features = ["testing"] }
//! kvsd-server = { version = "0.2", default-features = false }
//! ```
//!
//! # A server of its own for each test
//!
//! `kvsd_server::Embedded::temporary()` is the whole server on a thread of this process, on a
//! temporary folder that goes with it: no port, no fixture, nothing shared between tests, which can
//! run side by side. Its client is the ordinary one, so the code under test need not know.
//!
//! ```
//! use kvsd::Client;
//! use kvsd_server::Embedded;
//!
//! // The program: it takes a client and does not ask where it leads.
//! async fn visit(client: &Client, page: &str) -> Result<u64, kvsd::Error> {
//!     let visits = client.get::<u64>(page).await?.unwrap_or(0) + 1;
//!     client.set(page, visits).await?;
//!     Ok(visits)
//! }
//!
//! // Its test: in a program of yours, below `#[tokio::test]`.
//! # #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Embedded::temporary().await?;
//!     let client = server.client().await?;
//!     assert_eq!(visit(&client, "/").await?, 1);
//!     assert_eq!(visit(&client, "/").await?, 2);
//!     server.close().await?;
//!     Ok(())
//! }
//! ```
//!
//! What outlives a restart is tested with `Embedded::open` on a folder of the test's own: close the
//! server, open it again. Leave tokio's clock running in such tests: a paused one jumps to the next
//! deadline whenever its runtime is idle, and the server answers from another thread.
//!
//! # A network that fails
//!
//! [`Faults`] stands between a client and its transport, whichever it is, and does what the test
//! says, when it says it: splits, delays, cuts, refuses, goes silent.
//!
//! ```
//! use std::time::Duration;
//!
//! use kvsd::testing::{Connects, Faults};
//! use kvsd::{Client, ErrorKind, Outcome};
//! # use kvsd_server::Embedded;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Embedded::temporary().await?;
//! let faults = Faults::seeded(7);
//! let client = Client::builder()
//!     .transport(server.transport()) // or a URL
//!     .faults(&faults)
//!     .timeout(Duration::from_millis(200))
//!     .connect()
//!     .await?;
//! client.set("k", "v").await?;
//!
//! // The server is gone without a word: a write ends at its deadline, and nobody knows.
//! faults.half_open_all();
//! let error = client.set("k", "w").await.unwrap_err();
//! assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Unknown));
//!
//! // Nothing listens any more: every attempt says so at once.
//! faults.connects(Connects::Refuse);
//! faults.cut_all();
//! let error = client.get::<String>("k").await.unwrap_err();
//! assert!(error.is_retryable());
//!
//! // The network is well again, and so is the client.
//! faults.calm();
//! let read = client.get::<String>("k").timeout(Duration::from_secs(10));
//! assert_eq!(read.await?.as_deref(), Some("v"));
//! # server.close().await?;
//! # Ok(()) }
//! ```
//!
//! `tests/storm` in the repository of kvsd is a large example: tens of thousands of operations in
//! such weather, over a server that is restarted in between. Reading order of the source: `faults`
//! (the handle), `line` (one connection).

mod faults;
mod line;
mod random;

use std::io;

use async_trait::async_trait;

use self::faults::Purpose;
use self::line::{Reader, Writer};
use crate::transport::{ConnectError, Stream, Transport};

pub use self::faults::{Connects, FaultCounts, Faults};

/// A transport over a network that misbehaves: [`Faults::wrap`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// use kvsd::testing::{Faults, FaultyTransport};
/// use kvsd::transport::Transport;
///
/// // It bears the address of the one that it stands before.
/// let transport: FaultyTransport = Faults::seeded(7).wrap(server.transport());
/// assert_eq!(transport.address(), server.transport().address());
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct FaultyTransport {
    inner: Box<dyn Transport>,
    faults: Faults,
}

#[async_trait]
impl Transport for FaultyTransport {
    async fn connect(&self) -> Result<Stream, ConnectError> {
        let number = self.faults.number();
        if !self.faults.admit(number).await {
            let source = io::Error::from(io::ErrorKind::ConnectionRefused);
            return Err(ConnectError::Connect { source });
        }
        let (reader, writer) = self.inner.connect().await?.into_split();
        let line = self.faults.line(number);
        let random = |purpose| self.faults.random(number, purpose);
        Ok(Stream::new(
            Reader::new(line.clone(), reader, random(Purpose::Read)),
            Writer::new(line, writer, random(Purpose::Write)),
        ))
    }

    fn address(&self) -> String {
        self.inner.address()
    }
}
