//! What is wrong with the settings of a client.

use std::path::PathBuf;

use thiserror::Error as ThisError;

use super::{Error, ErrorKind, Outcome};

/// What is wrong with the client's settings. Never shows the URL, which may hold a password.
///
/// ```
/// use std::error::Error;
/// use kvsd::{Client, ConfigError, ErrorKind};
///
/// let error = Client::builder().url("http://db.example").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Config);
/// let cause = error.source().and_then(|cause| cause.downcast_ref::<ConfigError>());
/// assert_eq!(cause, Some(&ConfigError::Scheme));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum ConfigError {
    /// The URL does not begin with `kvsd://` or `kvsds://`.
    #[error("the URL begins with kvsd:// (plain TCP) or kvsds:// (TLS)")]
    Scheme,
    /// The URL names no host.
    #[error("the URL names no host")]
    NoHost,
    /// One of several addresses is empty: two commas in a row, or one at an end.
    #[error("address {place} is empty")]
    EmptyAddress {
        /// Its place in the list, from 1.
        place: usize,
    },
    /// More addresses than a client takes.
    #[error("a client takes at most {limit} addresses")]
    TooManyAddresses {
        /// The bound.
        limit: usize,
    },
    /// An address that is there twice.
    #[error("{host:?} with port {port} is there twice; name each address once")]
    SameAddress {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// An address with more in it than a host and a port.
    #[error("an address is HOST, HOST:PORT or [IPV6]:PORT; all else belongs into the URL")]
    Address,
    /// User and password before more than one address.
    #[error(
        "user and password stand once, before the first address; in a user name or a password write \
         '@' as %40"
    )]
    CredentialsTwice,
    /// The host is none that a certificate can name.
    #[error("{host:?} is no host name")]
    Host {
        /// The host.
        host: String,
    },
    /// An IPv6 address without brackets, or with one of them.
    #[error("an IPv6 address stands in brackets: [::1]:7379")]
    Brackets,
    /// The port is no number from 1 to 65535.
    #[error("the port is a number from 1 to 65535")]
    Port,
    /// A percent escape that is none, or bytes that are not UTF-8.
    #[error("a percent escape in the URL is malformed")]
    Escape,
    /// An `@` behind the host's place: most likely a password with a `/` or a `?` in it.
    #[error(
        "an '@' stands behind a '/' or a '?'; in a user name, a password or a setting write '/' as \
         %2F, '?' as %3F and '@' as %40"
    )]
    Unescaped,
    /// A setting in the URL that there is none of.
    #[error("unknown setting {name:?} in the URL; there are: pool, timeout, ca, cert, key")]
    UnknownSetting {
        /// The name.
        name: String,
    },
    /// A setting that the URL has more than once.
    #[error("the URL says {name} more than once")]
    Twice {
        /// The setting's name.
        name: &'static str,
    },
    /// A setting's value that does not do.
    #[error("the setting {name} takes {wants}")]
    Setting {
        /// The setting's name.
        name: &'static str,
        /// What it takes.
        wants: &'static str,
    },
    /// The table's name is none.
    #[error("the table's name is none")]
    Table(#[from] crate::types::NameError),
    /// The CA file cannot be used.
    #[error("cannot use the CA file {}: {reason}", file.display())]
    Ca {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A CA for a connection without TLS.
    #[error("a CA is given, but the URL says kvsd://, which is plain TCP; use kvsds://")]
    CaWithoutTls,
    /// The client's certificate or its key cannot be used.
    #[error("cannot use the client's certificate or key {}: {reason}", file.display())]
    Cert {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A client's certificate without its key, or the reverse.
    #[error("a client's certificate needs both cert=FILE and key=FILE")]
    CertHalf,
    /// A client's certificate for a connection without TLS.
    #[error(
        "a client's certificate is given, but the URL says kvsd://, which is plain TCP; use kvsds://"
    )]
    CertWithoutTls,
    /// A user name or a password that is too long.
    #[error("{what} has at most {limit} bytes")]
    TooLong {
        /// User name or password.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// A password without a user name.
    #[error("a password is given, but no user name")]
    NoUser,
    /// The TLS library refused its settings.
    #[error("TLS cannot be set up: {reason}")]
    Tls {
        /// Why.
        reason: String,
    },
}

impl From<ConfigError> for Error {
    fn from(source: ConfigError) -> Self {
        Error::new(ErrorKind::Config, Outcome::NotSent, "").with_source(source)
    }
}
