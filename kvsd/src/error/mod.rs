//! What went wrong, who is at fault, and whether the operation may have happened all the same.
//!
//! One type for every operation of the client. It never shows a key, a value or a password of its
//! own accord. Next file to read: `config`.

mod config;
mod unreachable;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::protocol::v2::FailCode;
use crate::types::Version;
use crate::value::DecodeError;

pub use self::config::ConfigError;
pub use self::unreachable::Unreachable;

/// The error of every operation.
///
/// Two questions matter to a program: what kind of failure it was ([`Error::kind`]), and whether
/// the operation may have been carried out ([`Error::outcome`]).
///
/// `{}` shows what this layer knows, `{:#}` the causes behind it as well. Neither they nor `{:?}`
/// ever show a key, a value or a password. The one exception is what a type of yours says itself:
/// `{:#}` shows the text of the error with which its own `TryFrom` refused an older value
/// ([`UpgradeError`](crate::value::UpgradeError)).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::{ErrorKind, Outcome};
///
/// client.set("age", "forty").await?;
/// let error = client.get::<u32>("age").await.unwrap_err();
/// assert_eq!((error.kind(), error.outcome()), (ErrorKind::Decode, Outcome::Refused));
/// // Where it happened and why, and nothing of the value.
/// let shown = format!("{error:#}");
/// assert!(shown.starts_with("get: ") && shown.contains("decimal text"));
/// assert!(!shown.contains("forty"));
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    outcome: Outcome,
    /// For people; empty where the kind and the source say it all.
    detail: String,
    address: Option<Arc<str>>,
    operation: Option<&'static str>,
    table: Option<Box<str>>,
    place: Option<usize>,
    /// Told when it is asked for, never shown.
    key: Option<Box<[u8]>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What kind of failure it was.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::ErrorKind;
///
/// client.set("k", "v").await?;
/// let told = match client.set("k", "w").if_absent().await.unwrap_err().kind() {
///     ErrorKind::Conflict { current: Some(version) } => format!("version {version} is there"),
///     ErrorKind::Timeout | ErrorKind::Overloaded => "later, perhaps".to_owned(),
///     kind => kind.to_string(),
/// };
/// assert!(told.ends_with("is there"));
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The URL, the environment or the builder's settings are wrong.
    Config,
    /// An argument that no server would take: a table's name that is none, an empty key or one that
    /// is too long, an expiry that is past, a batch that names a key twice.
    InvalidArgument,
    /// The stored value is not an integer as [`Client::increment`](crate::Client::increment) keeps
    /// them: decimal text of 64 bits. Nothing was written.
    NotAnInteger,
    /// The integer would leave the range of an `i64`. Nothing was written.
    Overflow,
    /// The value is larger than the server takes.
    ValueTooLarge,
    /// The batch has more changes, or more bytes, than the server takes in one; less than the
    /// protocol allows. Send several: what must happen together has to fit into one.
    BatchTooLarge,
    /// The value could not be encoded.
    Encode,
    /// The stored bytes are not a value of the type that was asked for.
    Decode,
    /// The server cannot be reached: unknown host, closed port, no answer in time.
    Connect,
    /// TLS failed: an untrusted certificate, another host's, or one side speaks plain TCP.
    Tls,
    /// User or password are wrong, or missing.
    Unauthenticated,
    /// The user may not do this with this table. Nothing was done; trying again is of no use until an
    /// administrator has granted it.
    PermissionDenied,
    /// The operation's deadline passed.
    Timeout,
    /// Too many requests, or bytes, wait for the server.
    Overloaded,
    /// The connection ended before the answer came.
    ConnectionLost,
    /// The client was closed.
    Closed,
    /// The server is there, and cannot reach what keeps its data: a cluster without a quorum, say.
    /// Nothing was done. An operation is sent again on its own, as far as its deadline and the
    /// client's budget for that allow; then this is its error, and another attempt may succeed.
    Unavailable,
    /// What stood when the scan began is not kept any more. Begin the scan again, or go on behind
    /// its token at a later moment: [`ScanToken::unpinned`](crate::ScanToken::unpinned).
    ScanExpired,
    /// A condition of the write does not hold.
    Conflict {
        /// The version of the record that stands there; `None` if there is none.
        current: Option<Version>,
    },
    /// The server refused or failed; the code says why.
    Server(FailCode),
    /// The server broke the protocol.
    Protocol,
}

/// Whether the operation was carried out.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use std::time::Duration;
/// use kvsd::Outcome;
///
/// let write = client.set("k", "v").timeout(Duration::ZERO);
/// let told = match write.await.unwrap_err().outcome() {
///     Outcome::NotSent | Outcome::Refused => "it did not happen",
///     Outcome::Unknown => "read the record to know",
///     Outcome::Done | Outcome::Partly => "it happened, or some of it",
/// };
/// assert_eq!(told, "it did not happen");
/// assert!(!client.exists("k").await?);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It never left this process.
    NotSent,
    /// It changed nothing: the server did not carry it out, or it is one that only reads.
    Refused,
    /// It may or may not have been carried out.
    Unknown,
    /// It was carried out; only its answer is unusable.
    Done,
    /// It consists of several writes, of which some were carried out and at least one was not, or
    /// perhaps not.
    Partly,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, outcome: Outcome, detail: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                outcome,
                detail: printable(detail.into()),
                address: None,
                operation: None,
                table: None,
                place: None,
                key: None,
                source: None,
            }),
        }
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.inner.source = Some(Arc::new(source));
        self
    }

    pub(crate) fn at(mut self, address: &Arc<str>) -> Self {
        self.inner.address = Some(Arc::clone(address));
        self
    }

    pub(crate) fn during(mut self, operation: &'static str) -> Self {
        self.inner.operation = Some(operation);
        self
    }

    pub(crate) fn on(mut self, table: &str) -> Self {
        self.inner.table = Some(table.into());
        self
    }

    pub(crate) fn at_place(mut self, place: usize) -> Self {
        self.inner.place = Some(place);
        self
    }

    /// Of several records it is about the one at this key.
    pub(crate) fn of_key(mut self, key: &[u8]) -> Self {
        self.inner.key = Some(key.into());
        self
    }

    pub(crate) fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.inner.outcome = outcome;
        self
    }

    /// What kind of failure it was.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::ErrorKind;
    ///
    /// let error = client.get::<String>("").await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Whether the operation was carried out.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::Outcome;
    ///
    /// // `take` removes the record; that it is no integer shows only then.
    /// client.set("job", "none").await?;
    /// let error = client.take::<u64>("job").await.unwrap_err();
    /// assert_eq!(error.outcome(), Outcome::Done);
    /// assert!(!client.exists("job").await?);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.inner.outcome
    }

    /// Whether the same operation may succeed when it is tried again after a while, and cannot
    /// thereby be applied twice.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::Duration;
    ///
    /// // It never left: another attempt cannot be a second write.
    /// let late = client.set("k", "v").timeout(Duration::ZERO).await.unwrap_err();
    /// assert!(late.is_retryable());
    /// // This would fail in the same way each time.
    /// let invalid = client.set("", "v").await.unwrap_err();
    /// assert!(!invalid.is_retryable());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        let passing = match self.inner.kind {
            ErrorKind::Connect
            | ErrorKind::Timeout
            | ErrorKind::Overloaded
            | ErrorKind::ConnectionLost
            | ErrorKind::Unavailable => true,
            ErrorKind::Server(code) => {
                matches!(
                    code,
                    FailCode::Busy | FailCode::Unavailable | FailCode::DiskFull | FailCode::Closing
                )
            }
            ErrorKind::Config
            | ErrorKind::InvalidArgument
            | ErrorKind::NotAnInteger
            | ErrorKind::Overflow
            | ErrorKind::ValueTooLarge
            | ErrorKind::BatchTooLarge
            | ErrorKind::Encode
            | ErrorKind::Decode
            | ErrorKind::Tls
            | ErrorKind::Unauthenticated
            | ErrorKind::PermissionDenied
            | ErrorKind::Closed
            | ErrorKind::ScanExpired
            | ErrorKind::Conflict { .. }
            | ErrorKind::Protocol => false,
        };
        passing && matches!(self.inner.outcome, Outcome::NotSent | Outcome::Refused)
    }

    /// Whether a condition of the write did not hold.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.set("leader", "a").if_absent().await?;
    /// let error = client.set("leader", "b").if_absent().await.unwrap_err();
    /// assert!(error.is_conflict());
    /// assert_eq!(client.get::<String>("leader").await?.as_deref(), Some("a"));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self.inner.kind, ErrorKind::Conflict { .. })
    }

    /// The server's address, once it is known. Of several the one that the operation was last sent
    /// to; all of them, with commas, where it was sent to none, and of a stream, whose pages may
    /// come from any.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.set("k", "v").await?;
    /// let error = client.get::<u64>("k").await.unwrap_err();
    /// assert_eq!(error.address(), Some("embedded")); // else such as "db.example:7379"
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.inner.address.as_deref()
    }

    /// The operation's name, such as `get`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let error = client.delete("").await.unwrap_err();
    /// assert_eq!(error.operation(), Some("delete"));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn operation(&self) -> Option<&str> {
        self.inner.operation
    }

    /// The table that the operation was about, if it was about one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let error = client.table("users")?.delete("").await.unwrap_err();
    /// assert_eq!(error.table(), Some("users"));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.inner.table.as_deref()
    }

    /// Of an operation on several keys, the place, from 0, of the one that failed: in what was
    /// given to [`get_many`](crate::Client::get_many) and its like, among the changes of a batch,
    /// among the requests of a pipeline.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let error = client.get_many::<String>(["a", "", "c"]).await.unwrap_err();
    /// assert_eq!(error.place(), Some(1));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn place(&self) -> Option<usize> {
        self.inner.place
    }

    /// The key of the record that a [scan](crate::Client::scan) or a [watch](crate::Client::watch)
    /// has come upon and whose value is none of the type that was asked for. It is never part of
    /// what the error shows.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.set("age/ada", 36).await?;
    /// client.set("age/bob", "unknown").await?;
    /// let (mut sum, mut odd) = (0, Vec::new());
    /// let mut ages = client.scan::<u32>("age/");
    /// while let Some(entry) = ages.next().await {
    ///     match entry {
    ///         Ok(entry) => sum += entry.value,
    ///         Err(error) => odd.push(error.key().ok_or("it ends here")?.to_vec()),
    ///     }
    /// }
    /// assert_eq!((sum, odd), (36, vec![b"age/bob".to_vec()]));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.inner.key.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, outcome, detail, address, operation, table, place, key: _, source: _ } =
            &*self.inner;
        if let Some(operation) = operation {
            write!(f, "{operation}: ")?;
        }
        if let Some(place) = place {
            write!(f, "at place {place}: ")?;
        }
        write!(f, "{kind}")?;
        if !detail.is_empty() {
            write!(f, ": {detail}")?;
        }
        match (address, table) {
            (Some(address), Some(table)) => write!(f, " (table {table}, server {address})")?,
            (Some(address), None) => write!(f, " (server {address})")?,
            (None, Some(table)) => write!(f, " (table {table})")?,
            (None, None) => {}
        }
        f.write_str(match outcome {
            Outcome::NotSent | Outcome::Refused => "",
            Outcome::Unknown => "; it may or may not have been carried out",
            Outcome::Done => "; the server carried it out",
            Outcome::Partly => "; part of it was carried out",
        })?;
        if f.alternate() {
            let mut cause = self.source();
            while let Some(error) = cause {
                write!(f, ": {}", printable(error.to_string()))?;
                cause = error.source();
            }
        }
        Ok(())
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::Config => "the client's settings are wrong",
            ErrorKind::InvalidArgument => "the argument is not valid",
            ErrorKind::NotAnInteger => "the stored value is not an integer",
            ErrorKind::Overflow => "the integer would leave the range of 64 bits",
            ErrorKind::ValueTooLarge => "the value is too large",
            ErrorKind::BatchTooLarge => "the batch is too large",
            ErrorKind::Encode => "the value cannot be encoded",
            ErrorKind::Decode => "the stored bytes are not a value of this type",
            ErrorKind::Connect => "cannot reach the server",
            ErrorKind::Tls => "no TLS connection",
            ErrorKind::Unauthenticated => "not authenticated",
            ErrorKind::PermissionDenied => "not allowed",
            ErrorKind::Timeout => "the deadline passed",
            ErrorKind::Overloaded => "too much waits for the server already",
            ErrorKind::ConnectionLost => "the connection was lost",
            ErrorKind::Closed => "the client is closed",
            ErrorKind::Unavailable => "the server cannot reach what keeps its data",
            ErrorKind::ScanExpired => "the scan cannot go on at the moment at which it began",
            ErrorKind::Conflict { current: Some(version) } => {
                return write!(f, "a condition does not hold: the record has version {version}");
            }
            ErrorKind::Conflict { current: None } => {
                "a condition does not hold: there is no record"
            }
            ErrorKind::Server(code) => return write!(f, "the server says {}", code.as_str()),
            ErrorKind::Protocol => "the server broke the protocol",
        })
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, outcome, detail, address, operation, table, place, key: _, source } =
            &*self.inner;
        f.debug_struct("Error")
            .field("kind", kind)
            .field("outcome", outcome)
            .field("detail", detail)
            .field("address", address)
            .field("operation", operation)
            .field("table", table)
            .field("place", place)
            .field("source", source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

/// A text without what a terminal or a log would take for more than text: some of it is what the
/// server said, and the server may be anyone's.
fn printable(text: String) -> String {
    if !text.contains(is_unprintable) {
        return text;
    }
    text.replace(is_unprintable, " ")
}

/// Control characters, ends of lines, and those that turn the direction of the text around.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Of bytes that were read before: nothing was changed.
impl From<DecodeError> for Error {
    fn from(source: DecodeError) -> Self {
        Error::new(ErrorKind::Decode, Outcome::Refused, "").with_source(source)
    }
}
