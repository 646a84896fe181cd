//! The client's settings: from a URL, from the environment, from the builder.
//!
//! Knows names and bounds; never opens anything but the CA file. Next file to read: `client`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::client::Client;
use crate::connection::Credentials;
use crate::error::{ConfigError, Error};
use crate::pool::{Pool, PoolConfig};
use crate::protocol::{MAX_PASSWORD_BYTES, MAX_USER_BYTES};
use crate::tcp::{Tcp, Tls};
use crate::transport::Transport;
use crate::types::TableName;

/// The port of a kvsd server.
pub const DEFAULT_PORT: u16 = 7379;
/// How long an operation may take in all, unless it says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long opening a connection may take, from its first byte to the server's welcome.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How many connections a client keeps, unless it is told otherwise.
pub const DEFAULT_POOL_SIZE: u32 = 2;
/// The most connections that a client keeps.
pub const MAX_POOL_SIZE: u32 = 1024;

/// Everything that [`Client::connect`] leaves at its default.
///
/// ```no_run
/// # async fn run() -> Result<(), kvsd::Error> {
/// use std::time::Duration;
///
/// let client = kvsd::Client::builder()
///     .url("kvsds://db.example/users")?
///     .credentials("app", std::env::var("APP_PASSWORD").unwrap_or_default())
///     .ca_file("ca.pem")
///     .pool_size(4)
///     .timeout(Duration::from_secs(2))
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct ClientBuilder {
    transport: Option<Box<dyn Transport>>,
    url: Url,
    ca_file: Option<PathBuf>,
}

impl ClientBuilder {
    /// Takes address, encryption and all else that a URL can say from `url`:
    /// `kvsd://` (plain TCP) or `kvsds://` (TLS), then `[user[:password]@]host[:port][/table]` and
    /// `?pool=4&timeout=2s&ca=FILE`, each part percent-decoded. The port defaults to 7379.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) names the part that is wrong.
    pub fn url(mut self, url: &str) -> Result<Self, Error> {
        self.url = Url::parse(url)?;
        Ok(self)
    }

    /// Goes through `transport` instead of TCP; of the URL only user, password, table and settings
    /// count then.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Box::new(transport));
        self
    }

    /// Says who the client is: at most 128 and 512 bytes. Takes the place of what the URL says.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.url.user = Some(user.into());
        self.url.password = Some(password.into());
        self
    }

    /// Says who the client is where the URL does not.
    pub fn default_credentials(mut self, user: Option<String>, password: Option<String>) -> Self {
        self.url.user = self.url.user.or(user);
        self.url.password = self.url.password.or(password);
        self
    }

    /// The PEM file of the CA that signed the server's certificate. Default: the platform's roots.
    pub fn ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(file.into());
        self
    }

    /// As [`ca_file`](Self::ca_file), where the URL names none.
    pub fn default_ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.url.ca.get_or_insert_with(|| file.into());
        self
    }

    /// The table that the client's operations act on. Default: the URL's, else `default`.
    pub fn table(mut self, table: TableName) -> Self {
        self.url.table = Some(table);
        self
    }

    /// How many connections to keep, 1 to 1,024, each used by many callers at once. Default: 2.
    pub fn pool_size(mut self, connections: u32) -> Self {
        self.url.pool = Some(connections.clamp(1, MAX_POOL_SIZE));
        self
    }

    /// How long an operation may take in all. Default: 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.url.timeout = Some(timeout);
        self
    }

    /// Connects: the first connection is open and authenticated when this returns, the others
    /// follow in the background.
    ///
    /// # Errors
    ///
    /// The failure of the first connection, as soon as it happens: unknown host, closed port,
    /// untrusted certificate, wrong password, each by name.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    pub async fn connect(self) -> Result<Client, Error> {
        let credentials = credentials(self.url.user, self.url.password)?;
        let ca_file = self.ca_file.or(self.url.ca);
        let transport: Box<dyn Transport> = match (self.transport, self.url.scheme) {
            (Some(transport), _) => transport,
            (None, Scheme::Plain) if ca_file.is_some() => {
                return Err(ConfigError::CaWithoutTls.into());
            }
            (None, Scheme::Plain) => Box::new(Tcp { host: self.url.host, port: self.url.port }),
            (None, Scheme::Tls) => {
                let tcp = Tcp { host: self.url.host, port: self.url.port };
                Box::new(Tls::new(tcp, ca_file.as_deref())?)
            }
        };
        let pool = Pool::connect(PoolConfig {
            transport,
            credentials,
            size: self.url.pool.unwrap_or(DEFAULT_POOL_SIZE),
            connect_timeout: CONNECT_TIMEOUT,
        })
        .await?;
        let timeout = self.url.timeout.unwrap_or(DEFAULT_TIMEOUT);
        Ok(Client::new(pool, self.url.table.unwrap_or_default(), timeout))
    }
}

fn credentials(
    user: Option<String>,
    password: Option<String>,
) -> Result<Option<Credentials>, ConfigError> {
    let Some(user) = user else {
        return if password.is_some() { Err(ConfigError::NoUser) } else { Ok(None) };
    };
    let password = password.unwrap_or_default();
    if user.len() > MAX_USER_BYTES {
        return Err(ConfigError::TooLong { what: "a user name", limit: MAX_USER_BYTES });
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(ConfigError::TooLong { what: "a password", limit: MAX_PASSWORD_BYTES });
    }
    Ok(Some(Credentials { user, password }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Plain,
    Tls,
}

#[derive(Clone, PartialEq, Eq)]
struct Url {
    scheme: Scheme,
    user: Option<String>,
    password: Option<String>,
    host: String,
    port: u16,
    table: Option<TableName>,
    pool: Option<u32>,
    timeout: Option<Duration>,
    ca: Option<PathBuf>,
}

/// A server on this machine, without TLS.
impl Default for Url {
    fn default() -> Self {
        Self {
            scheme: Scheme::Plain,
            user: None,
            password: None,
            host: "127.0.0.1".into(),
            port: DEFAULT_PORT,
            table: None,
            pool: None,
            timeout: None,
            ca: None,
        }
    }
}

impl Url {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("kvsd", rest)) => (Scheme::Plain, rest),
            Some(("kvsds", rest)) => (Scheme::Tls, rest),
            _ => return Err(ConfigError::Scheme),
        };
        let mut url = Self { scheme, ..Self::default() };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, table) = rest.split_once('/').unwrap_or((rest, ""));
        let address = match authority.rsplit_once('@') {
            None => authority,
            Some((credentials, address)) => {
                let (user, password) = match credentials.split_once(':') {
                    None => (credentials, None),
                    Some((user, password)) => (user, Some(password)),
                };
                url.user = Some(decode(user)?);
                url.password = password.map(decode).transpose()?;
                address
            }
        };
        (url.host, url.port) = parse_address(address)?;
        if !table.is_empty() {
            url.table = Some(TableName::parse(&decode(table)?)?);
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            url.set(name, &decode(value)?)?;
        }
        Ok(url)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        match name {
            "pool" => {
                let size = value.parse().ok().filter(|size| (1..=MAX_POOL_SIZE).contains(size));
                let wants = "a number of connections from 1 to 1024";
                self.pool = Some(size.ok_or(ConfigError::Setting { name: "pool", wants })?);
            }
            "timeout" => {
                let wants = "a time such as 500ms or 2s";
                let timeout = parse_duration(value);
                self.timeout =
                    Some(timeout.ok_or(ConfigError::Setting { name: "timeout", wants })?);
            }
            "ca" if value.is_empty() => {
                return Err(ConfigError::Setting { name: "ca", wants: "a file" });
            }
            "ca" => self.ca = Some(value.into()),
            _ => return Err(ConfigError::UnknownSetting { name: name.into() }),
        }
        Ok(())
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn parse_address(text: &str) -> Result<(String, u16), ConfigError> {
    let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or(ConfigError::NoHost)?;
        match rest.strip_prefix(':') {
            Some(port) => (host.to_owned(), Some(port)),
            None if rest.is_empty() => (host.to_owned(), None),
            None => return Err(ConfigError::Port),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (decode(host)?, Some(port)),
            None => (decode(text)?, None),
        }
    };
    if host.is_empty() {
        return Err(ConfigError::NoHost);
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(ConfigError::Port)?,
    };
    Ok((host, port))
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

fn decode(text: &str) -> Result<String, ConfigError> {
    let is_hex = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    if text.match_indices('%').any(|(at, _)| !is_hex(at + 1) || !is_hex(at + 2)) {
        return Err(ConfigError::Escape);
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(ConfigError::Escape),
    }
}

/// Never shows the password.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Url")
            .field("scheme", &self.scheme)
            .field("user", &self.user)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_url_says_everything() {
        let url = Url::parse(
            "kvsds://app:p%40ss%3Aw@db.example:1234/users?pool=4&timeout=250ms&ca=%2Fetc%2Fca.pem",
        )
        .unwrap();
        let expected = Url {
            scheme: Scheme::Tls,
            user: Some("app".into()),
            password: Some("p@ss:w".into()),
            host: "db.example".into(),
            port: 1234,
            table: Some(TableName::parse("users").unwrap()),
            pool: Some(4),
            timeout: Some(Duration::from_millis(250)),
            ca: Some("/etc/ca.pem".into()),
        };
        assert!(url == expected, "{url:?}");
    }

    #[test]
    fn the_shortest_url_names_only_a_host() {
        let url = Url::parse("kvsd://localhost").unwrap();
        assert!(url == Url { host: "localhost".into(), ..Url::default() }, "{url:?}");
        assert!(Url::parse("kvsd://localhost/").unwrap() == url);
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        let url = Url::parse("kvsd://[::1]:99").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("::1", 99));
        assert_eq!(Url::parse("kvsd://[::1]").unwrap().port, DEFAULT_PORT);
        assert!(Url::parse("kvsd://[::1").is_err());
        assert!(Url::parse("kvsd://[::1]x").is_err());
    }

    #[test]
    fn each_mistake_in_a_url_has_its_own_error() {
        let cases = [
            ("redis://localhost", ConfigError::Scheme),
            ("localhost:7379", ConfigError::Scheme),
            ("kvsd://", ConfigError::NoHost),
            ("kvsd://user@", ConfigError::NoHost),
            ("kvsd://host:0", ConfigError::Port),
            ("kvsd://host:65536", ConfigError::Port),
            ("kvsd://host:x", ConfigError::Port),
            ("kvsd://a%zz@host", ConfigError::Escape),
            ("kvsd://a%ff@host", ConfigError::Escape),
            ("kvsd://host?pol=4", ConfigError::UnknownSetting { name: "pol".into() }),
        ];
        for (text, error) in cases {
            assert_eq!(Url::parse(text).unwrap_err(), error, "{text}");
        }
        for text in ["kvsd://host/a%2Fb", "kvsd://host/.."] {
            assert!(matches!(Url::parse(text), Err(ConfigError::Table(_))), "{text}");
        }
        for text in ["pool=0", "pool=x", "timeout=5", "timeout=0s", "timeout=1h", "ca="] {
            let result = Url::parse(&format!("kvsd://host?{text}"));
            assert!(matches!(result, Err(ConfigError::Setting { .. })), "{text}");
        }
    }

    #[test]
    fn no_debug_text_shows_the_password() {
        let builder = Client::builder().url("kvsd://app:canary@host").unwrap();
        assert!(!format!("{builder:?}").contains("canary"));
        let credentials = credentials(Some("app".into()), Some("canary".into())).unwrap();
        assert!(!format!("{credentials:?}").contains("canary"));
    }
}
