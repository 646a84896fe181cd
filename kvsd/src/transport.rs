//! The seam between the client and the network: whatever carries bytes both ways.
//!
//! Knows streams and why they could not be opened; never a message. TCP and TLS implement it here
//! (`tcp`), the embedded server's pipes elsewhere. Next file to read: `connection`.

use std::fmt;
use std::io;

use async_trait::async_trait;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

/// Opens streams to one server.
///
/// A server that is reached in a way of the program's own:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use async_trait::async_trait;
/// use kvsd::transport::{ConnectError, Stream, Transport};
/// # use tokio::net::TcpStream;
///
/// #[derive(Debug)]
/// struct Forwarded {
///     address: std::net::SocketAddr,
/// }
///
/// #[async_trait]
/// impl Transport for Forwarded {
///     async fn connect(&self) -> Result<Stream, ConnectError> {
///         let stream = TcpStream::connect(self.address).await;
///         let stream = stream.map_err(|source| ConnectError::Connect { source })?;
///         let (reader, writer) = stream.into_split();
///         Ok(Stream::new(reader, writer))
///     }
///
///     fn address(&self) -> String {
///         format!("forwarded from {}", self.address)
///     }
/// }
///
/// # let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
/// let builder = kvsd::Client::builder().transport(Forwarded { address });
/// let error = builder.connect().await.unwrap_err();
/// assert!(error.to_string().contains("forwarded from")); // nothing listens there
/// # Ok(()) }
/// ```
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Opens one stream, encryption included. The client bounds the time it takes.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] names the step that failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use kvsd::transport::Transport;
    ///
    /// // A client does this for each connection of its pool.
    /// let stream = server.transport().connect().await?;
    /// let (mut reader, writer) = stream.into_split();
    /// drop(writer); // says nothing, so that the server has nothing to say either
    /// let mut heard = Vec::new();
    /// tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut heard).await?;
    /// assert!(heard.is_empty());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    async fn connect(&self) -> Result<Stream, ConnectError>;

    /// The server's address as errors and logs name it; no secret in it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use kvsd::transport::Transport;
    ///
    /// assert_eq!(server.transport().address(), "embedded");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    fn address(&self) -> String;
}

/// A stream of bytes each way.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use kvsd::transport::Stream;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// let (here, there) = tokio::io::duplex(64);
/// let (reader, writer) = tokio::io::split(here);
/// let (mut reader, _writer) = Stream::new(reader, writer).into_split();
/// let (_, mut other_end) = tokio::io::split(there);
/// other_end.write_all(b"h").await?;
/// assert_eq!(reader.read_u8().await?, b'h');
/// # Ok(()) }
/// ```
pub struct Stream {
    pub(crate) reader: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) writer: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Stream {
    /// A stream from its halves.
    ///
    /// ```
    /// use kvsd::transport::Stream;
    ///
    /// // Any two halves; these lead nowhere.
    /// let stream = Stream::new(tokio::io::empty(), tokio::io::sink());
    /// assert_eq!(format!("{stream:?}"), "Stream");
    /// ```
    pub fn new(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        Self { reader: Box::new(reader), writer: Box::new(writer) }
    }

    /// Its halves, for a transport that puts something of its own around those of another.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use kvsd::transport::{Stream, Transport};
    /// use tokio::io::BufWriter;
    ///
    /// let (reader, writer) = server.transport().connect().await?.into_split();
    /// let buffered = Stream::new(reader, BufWriter::new(writer));
    /// assert_eq!(format!("{buffered:?}"), "Stream");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn into_split(
        self,
    ) -> (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>) {
        (self.reader, self.writer)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

/// Why no stream could be opened.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::error::Error;
/// use kvsd::transport::ConnectError;
///
/// # let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
/// let error = kvsd::Client::connect(&format!("kvsd://{free}")).await.unwrap_err();
/// let cause = error.source().and_then(|cause| cause.downcast_ref::<ConnectError>());
/// assert!(matches!(cause, Some(ConnectError::Connect { .. })));
/// # Ok(()) }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host's name has no address.
    #[error("cannot find the host {host}")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// The host cannot be reached, or nothing listens there.
    #[error("cannot connect: {}", source.kind())]
    Connect {
        /// The system's error.
        source: io::Error,
    },
    /// The server's certificate is not one that the client trusts, or names another host.
    #[error("the server's certificate was not accepted: {reason}")]
    Certificate {
        /// What is wrong with it, and the way out.
        reason: String,
        /// The error of the TLS library.
        source: io::Error,
    },
    /// The server does not speak TLS.
    #[error("the server does not speak TLS on this port; use a kvsd:// URL for plain TCP")]
    NotTls {
        /// The error of the TLS library.
        source: io::Error,
    },
    /// The stream ended before both sides had agreed on TLS.
    #[error(
        "the connection ended during the TLS handshake ({}); does the server speak TLS on this port?",
        source.kind()
    )]
    HandshakeCut {
        /// The system's error.
        source: io::Error,
    },
    /// Another failure of the TLS handshake.
    #[error("the TLS handshake failed")]
    Tls {
        /// The error of the TLS library.
        source: io::Error,
    },
}
