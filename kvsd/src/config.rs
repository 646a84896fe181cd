//! The client's settings: from a URL and from the builder.
//!
//! Knows names and bounds; never opens anything but the CA file. Next file to read: `client`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::client::Client;
use crate::connection::Credentials;
use crate::error::{ConfigError, Error};
use crate::pool::{Pool, PoolConfig, YEAR};
use crate::protocol::{MAX_PASSWORD_BYTES, MAX_USER_BYTES};
use crate::tcp::{Tcp, Tls};
#[cfg(feature = "testing")]
use crate::testing::Faults;
use crate::transport::Transport;
use crate::types::TableName;

/// The port of a kvsd server.
///
/// ```
/// // So these are the same server.
/// let short = kvsd::Client::builder().url("kvsd://db.example");
/// let long = kvsd::Client::builder().url(&format!("kvsd://db.example:{}", kvsd::DEFAULT_PORT));
/// assert_eq!(format!("{short:?}"), format!("{long:?}"));
/// ```
pub const DEFAULT_PORT: u16 = 7379;
/// How long an operation may take in all, unless it says otherwise.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// // Twice as long as other operations, for one that is known to be large.
/// let read = client.get::<String>("report").timeout(2 * kvsd::DEFAULT_TIMEOUT);
/// assert_eq!(read.await?, None);
/// # server.close().await?;
/// # Ok(()) }
/// ```
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long opening a connection may take, from its first byte to the server's welcome.
///
/// ```
/// // Within one operation's time there is room for a second attempt.
/// assert!(2 * kvsd::CONNECT_TIMEOUT <= kvsd::DEFAULT_TIMEOUT);
/// ```
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server may be silent before it is asked whether it is there, unless the client is told
/// otherwise.
///
/// ```
/// // Half as long: a machine that has gone without a word is found within 10 s.
/// let builder = kvsd::Client::builder().keep_alive(kvsd::DEFAULT_KEEP_ALIVE / 2);
/// assert!(format!("{builder:?}").contains("5s"));
/// ```
pub const DEFAULT_KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How many connections a client keeps, unless it is told otherwise.
///
/// ```
/// let builder = kvsd::Client::builder().pool_size(2 * kvsd::DEFAULT_POOL_SIZE);
/// assert!(format!("{builder:?}").contains("pool: Some(4)"));
/// ```
pub const DEFAULT_POOL_SIZE: u32 = 2;
/// The most connections that a client keeps.
///
/// ```
/// let builder = kvsd::Client::builder().pool_size(u32::MAX);
/// assert!(format!("{builder:?}").contains(&format!("pool: Some({})", kvsd::MAX_POOL_SIZE)));
/// ```
pub const MAX_POOL_SIZE: u32 = 1024;

/// Everything that [`Client::connect`] leaves at its default. The order of the calls does not matter:
/// what is said here counts more than the URL, and the URL more than what is said to be a default.
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
///
/// Here over a transport, since this example runs without a network:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// use kvsd::{Client, TableName};
///
/// let client = Client::builder()
///     .url("kvsd://localhost/users?pool=4")?
///     .transport(server.transport())
///     .table(TableName::parse("people")?) // counts more than the URL's
///     .connect()
///     .await?;
/// client.set("7", "Ada").await?;
/// assert_eq!(client.tables().await?[0].as_str(), "people");
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct ClientBuilder {
    transport: Option<Box<dyn Transport>>,
    #[cfg(feature = "testing")]
    faults: Option<Faults>,
    url: Url,
    /// What takes the place of the URL's settings.
    settings: Settings,
    /// What counts where the URL says nothing.
    defaults: Settings,
    keep_alive: Option<Duration>,
}

impl ClientBuilder {
    /// Takes address, encryption and all else that a URL can say from `url`:
    /// `kvsd://` (plain TCP) or `kvsds://` (TLS), then `[user[:password]@]host[:port][/table]` and
    /// `?pool=4&timeout=2s&ca=FILE`, each part percent-decoded. The port defaults to 7379. In a user
    /// name or password `/` is written `%2F`, `?` is `%3F`, `@` is `%40`, `%` is `%25`, and in a
    /// user name `:` is `%3A`. Times have the unit `ms`, `s` or `m`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) names the part that is wrong.
    ///
    /// ```
    /// use kvsd::Client;
    ///
    /// let url = "kvsds://app:s%2Fcret@db.example:7000/users?pool=4&timeout=500ms&ca=ca.pem";
    /// let builder = Client::builder().url(url)?;
    /// assert!(!format!("{builder:?}").contains("cret"), "the password is never shown");
    ///
    /// let error = Client::builder().url("kvsd://db.example/users?size=4").unwrap_err();
    /// assert!(format!("{error:#}").contains("unknown setting \"size\""));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn url(mut self, url: &str) -> Result<Self, Error> {
        self.url = Url::parse(url)?;
        Ok(self)
    }

    /// Goes through `transport` instead of TCP; of the URL only user, password, table, `pool` and
    /// `timeout` count then.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use kvsd::Client;
    ///
    /// // The server in this process; a transport of your own goes in the same way.
    /// let client = Client::builder().transport(server.transport()).connect().await?;
    /// client.set("k", "v").await?;
    /// assert!(client.exists("k").await?);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Box::new(transport));
        self
    }

    /// Puts a network that misbehaves between the client and its transport, whichever that is:
    /// [`crate::testing`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use kvsd::Client;
    /// use kvsd::testing::Faults;
    ///
    /// let faults = Faults::seeded(1);
    /// let client =
    ///     Client::builder().transport(server.transport()).faults(&faults).connect().await?;
    /// faults.cut_all();
    /// assert!(!client.exists("k").await?, "a read goes over another connection");
    /// assert!(faults.counts().cuts >= 1);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "testing")]
    pub fn faults(mut self, faults: &Faults) -> Self {
        self.faults = Some(faults.clone());
        self
    }

    /// Says who the client is: at most 128 and 512 bytes, which [`connect`](Self::connect) checks.
    /// Takes the place of what the URL says.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use kvsd::{Client, ErrorKind};
    ///
    /// let builder = Client::builder().url("kvsd://nobody@localhost")?;
    /// let builder = builder.credentials("app", "secret");
    /// assert!(format!("{builder:?}").contains("app"), "and not nobody");
    /// assert!(!format!("{builder:?}").contains("secret"));
    ///
    /// let error = builder.credentials("app", "x".repeat(513)).connect().await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Config);
    /// # Ok(()) }
    /// ```
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.settings.user = Some(user.into());
        self.settings.password = Some(password.into());
        self
    }

    /// Says who the client is where the URL does not. A password without a user name, from here or
    /// from the URL, is an error when the client [connects](Self::connect).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use std::env::var;
    /// use kvsd::Client;
    ///
    /// let client = Client::builder()
    ///     .url("kvsd://localhost")? // names nobody, so the environment counts
    ///     .default_credentials(var("APP_USER").ok(), var("APP_PASSWORD").ok())
    ///     .transport(server.transport())
    ///     .connect()
    ///     .await?;
    /// assert!(client.ping().await.is_ok());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn default_credentials(mut self, user: Option<String>, password: Option<String>) -> Self {
        self.defaults.user = user;
        self.defaults.password = password;
        self
    }

    /// The PEM file of the CA that signed the server's certificate. Default: the platform's roots.
    /// Beside a `kvsd://` URL, which is plain TCP, it is an error: nothing would be checked by it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use kvsd::{Client, ErrorKind};
    ///
    /// // The file is read when the client connects.
    /// let builder = Client::builder().url("kvsds://db.example")?.ca_file("no/such.pem");
    /// let error = builder.connect().await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Config);
    /// assert!(format!("{error:#}").contains("no/such.pem"));
    /// # Ok(()) }
    /// ```
    pub fn ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.settings.ca = Some(file.into());
        self
    }

    /// As [`ca_file`](Self::ca_file), where the URL names none. Beside a `kvsd://` URL it is an
    /// error as well.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use kvsd::Client;
    ///
    /// let url = "kvsds://db.example?ca=of-the-url.pem";
    /// let builder = Client::builder().url(url)?.default_ca_file("of-the-program.pem");
    /// let error = builder.connect().await.unwrap_err();
    /// assert!(format!("{error:#}").contains("of-the-url.pem"));
    /// # Ok(()) }
    /// ```
    pub fn default_ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.defaults.ca = Some(file.into());
        self
    }

    /// The table that the client's operations act on. Default: the URL's, else `default`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use kvsd::{Client, TableName};
    ///
    /// let builder = Client::builder().transport(server.transport());
    /// let users = builder.table(TableName::parse("users")?).connect().await?;
    /// users.set("7", "Ada").await?;
    /// assert_eq!(users.statistics().await?.ok_or("no table")?.keys, 1);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn table(mut self, table: TableName) -> Self {
        self.settings.table = Some(table);
        self
    }

    /// How many connections to keep, each used by many callers at once. Default: 2. Less than 1
    /// counts as 1, more than [`MAX_POOL_SIZE`] as that.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// // One connection is enough for any number of operations at once.
    /// let builder = kvsd::Client::builder().transport(server.transport());
    /// let client = builder.pool_size(1).connect().await?;
    /// let (a, b) = tokio::join!(client.set("a", 1), client.set("b", 2));
    /// assert!(a? != b?);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn pool_size(mut self, connections: u32) -> Self {
        self.settings.pool = Some(connections.clamp(1, MAX_POOL_SIZE));
        self
    }

    /// How long an operation may take in all, at most a year. Default: 10 s. With zero none is sent
    /// that does not say otherwise.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use std::time::Duration;
    /// use kvsd::ErrorKind;
    ///
    /// let builder = kvsd::Client::builder().transport(server.transport());
    /// let client = builder.timeout(Duration::ZERO).connect().await?;
    /// assert_eq!(client.ping().await.unwrap_err().kind(), ErrorKind::Timeout);
    /// // An operation has its own say.
    /// client.ping().timeout(Duration::from_secs(2)).await?;
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }

    /// How long a connection may bring nothing, busy or idle, before the server is asked whether it
    /// is still there. If nothing at all comes within 5 s then, the connection counts as lost and is
    /// replaced: a machine that has gone without a word is found within 15 s by default. Default:
    /// 10 s. Less than a second counts as that; a year or more turns it off.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use std::time::Duration;
    ///
    /// // A machine that has gone without a word is found within 3 + 5 s.
    /// let builder = kvsd::Client::builder().transport(server.transport());
    /// let client = builder.keep_alive(Duration::from_secs(3)).connect().await?;
    /// assert!(client.ping().await.is_ok());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn keep_alive(mut self, silence: Duration) -> Self {
        self.keep_alive = Some(silence.max(Duration::from_secs(1)));
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
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use kvsd::{Client, ErrorKind};
    ///
    /// # let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    /// // Nothing listens there, and this says so at once.
    /// let url = format!("kvsd://{free}");
    /// let error = Client::builder().url(&url)?.connect().await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Connect);
    /// assert_eq!(error.address(), Some(free.to_string().as_str()));
    /// # Ok(()) }
    /// ```
    pub async fn connect(self) -> Result<Client, Error> {
        let Url { scheme, host, port, settings } = self.url;
        let settings = self.settings.or(settings).or(self.defaults);
        let credentials = credentials(settings.user, settings.password)?;
        let tcp = Tcp { host, port };
        let transport: Box<dyn Transport> = match (self.transport, scheme) {
            (Some(transport), _) => transport,
            (None, Scheme::Plain) if settings.ca.is_some() => {
                return Err(ConfigError::CaWithoutTls.into());
            }
            (None, Scheme::Plain) => Box::new(tcp),
            (None, Scheme::Tls) => Box::new(Tls::new(tcp, settings.ca.as_deref())?),
        };
        #[cfg(feature = "testing")]
        let transport = match self.faults {
            Some(faults) => Box::new(faults.wrap_box(transport)),
            None => transport,
        };
        let pool = Pool::connect(PoolConfig {
            transport,
            credentials,
            size: settings.pool.unwrap_or(DEFAULT_POOL_SIZE),
            connect_timeout: CONNECT_TIMEOUT,
            keep_alive: Some(self.keep_alive.unwrap_or(DEFAULT_KEEP_ALIVE))
                .filter(|silence| *silence < YEAR),
        })
        .await?;
        let timeout = settings.timeout.unwrap_or(DEFAULT_TIMEOUT);
        Ok(Client::new(pool, settings.table.unwrap_or_default(), timeout))
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

#[derive(Clone, PartialEq, Eq, Debug)]
struct Url {
    scheme: Scheme,
    host: String,
    port: u16,
    settings: Settings,
}

/// What a URL may say and another source may say as well.
#[derive(Clone, PartialEq, Eq, Default)]
struct Settings {
    user: Option<String>,
    password: Option<String>,
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
            host: "127.0.0.1".into(),
            port: DEFAULT_PORT,
            settings: Settings::default(),
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
        let (authority, behind) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if behind.contains('@') {
            // A password that was cut in two: no part of it may get into an error or to a host.
            return Err(ConfigError::Unescaped);
        }
        let (path, query) = behind.split_once('?').unwrap_or((behind, ""));
        let table = path.strip_prefix('/').unwrap_or(path);
        let mut settings = Settings::default();
        let address = match authority.rsplit_once('@') {
            None => authority,
            Some((credentials, address)) => {
                let (user, password) = match credentials.split_once(':') {
                    None => (credentials, None),
                    Some((user, password)) => (user, Some(password)),
                };
                settings.user = Some(decode(user)?).filter(|user| !user.is_empty());
                settings.password = password.map(decode).transpose()?;
                address
            }
        };
        let (host, port) = parse_address(address)?;
        if !table.is_empty() {
            settings.table = Some(TableName::parse(&decode(table)?)?);
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            settings.set(name, &decode(value)?)?;
        }
        Ok(Self { scheme, host, port, settings })
    }
}

impl Settings {
    /// These settings, and where they say nothing the `others`.
    fn or(self, others: Self) -> Self {
        Self {
            user: self.user.or(others.user),
            password: self.password.or(others.password),
            table: self.table.or(others.table),
            pool: self.pool.or(others.pool),
            timeout: self.timeout.or(others.timeout),
            ca: self.ca.or(others.ca),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        match name {
            "pool" if self.pool.is_some() => return Err(ConfigError::Twice { name: "pool" }),
            "timeout" if self.timeout.is_some() => {
                return Err(ConfigError::Twice { name: "timeout" });
            }
            "ca" if self.ca.is_some() => return Err(ConfigError::Twice { name: "ca" }),
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
        let (host, rest) = bracketed.split_once(']').ok_or(ConfigError::Brackets)?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err(ConfigError::Port),
        }
    } else {
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(ConfigError::Brackets),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err(ConfigError::NoHost);
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(ConfigError::Port)?,
    };
    // The zone of an IPv6 address is escaped too: `[fe80::1%25eth0]`.
    Ok((decode(host)?, port))
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
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("user", &self.user)
            .field("table", &self.table)
            .field("pool", &self.pool)
            .field("timeout", &self.timeout)
            .field("ca", &self.ca)
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
            host: "db.example".into(),
            port: 1234,
            settings: Settings {
                user: Some("app".into()),
                password: Some("p@ss:w".into()),
                table: Some(TableName::parse("users").unwrap()),
                pool: Some(4),
                timeout: Some(Duration::from_millis(250)),
                ca: Some("/etc/ca.pem".into()),
            },
        };
        assert!(url == expected, "{url:?}");
    }

    #[test]
    fn the_shortest_url_names_only_a_host() {
        let url = Url::parse("kvsd://localhost").unwrap();
        assert!(url == Url { host: "localhost".into(), ..Url::default() }, "{url:?}");
        for text in ["kvsd://localhost/", "kvsd://localhost:7379?", "kvsd://@localhost/?&"] {
            assert!(Url::parse(text).unwrap() == url, "{text}");
        }
    }

    #[test]
    fn a_password_is_any_text() {
        let password = |text: &str| Url::parse(text).unwrap().settings.password;
        let escaped = "kvsd://app:%2F%3F%40%3A%25%26%23@host:1/t?pool=1";
        assert_eq!(password(escaped).as_deref(), Some("/?@:%&#"));
        // What cannot be misread need not be escaped.
        assert_eq!(password("kvsd://app:a:b@c#&@host").as_deref(), Some("a:b@c#&"));
        assert_eq!(password("kvsd://app:@host").as_deref(), Some(""));
    }

    #[test]
    fn no_part_of_a_password_gets_into_an_error() {
        for text in [
            "kvsd://app:123/canary@host",
            "kvsd://app:123?canary@host",
            "kvsd://app:123?canary=x@host",
            "kvsd://app:canary/1@host",
            "kvsd://app:canary?1@host/t?pool=2",
            "kvsds://app:%zzcanary@host",
        ] {
            let error = Error::from(Url::parse(text).unwrap_err());
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn what_is_said_counts_whatever_the_order() {
        let url = "kvsds://ann:url@host/urls?pool=7&timeout=7s&ca=url.pem";
        let orders = |says: fn(ClientBuilder) -> ClientBuilder, url: &str| {
            [says(Client::builder()).url(url).unwrap(), says(Client::builder().url(url).unwrap())]
        };
        let merged =
            |builder: ClientBuilder| builder.settings.or(builder.url.settings).or(builder.defaults);
        let said = |builder: ClientBuilder| {
            let table = TableName::parse("said").unwrap();
            let timeout = Duration::from_secs(3);
            let builder = builder.credentials("bob", "said").table(table).pool_size(3);
            builder.timeout(timeout).ca_file("said.pem")
        };
        for settings in orders(said, url).map(merged) {
            let expected = Settings {
                user: Some("bob".into()),
                password: Some("said".into()),
                table: Some(TableName::parse("said").unwrap()),
                pool: Some(3),
                timeout: Some(Duration::from_secs(3)),
                ca: Some("said.pem".into()),
            };
            assert!(settings == expected, "{settings:?}");
        }
        let defaults = |builder: ClientBuilder| {
            let (user, password) = (Some("carl".into()), Some("default".into()));
            builder.default_credentials(user, password).default_ca_file("default.pem")
        };
        for settings in orders(defaults, url).map(merged) {
            assert!(settings == Url::parse(url).unwrap().settings, "{settings:?}");
        }
        for settings in orders(defaults, "kvsds://host").map(merged) {
            assert_eq!(settings.user.as_deref(), Some("carl"));
            assert_eq!(settings.password.as_deref(), Some("default"));
            assert_eq!(settings.ca.as_deref(), Some("default.pem".as_ref()));
        }
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        let url = Url::parse("kvsd://[::1]:99").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("::1", 99));
        assert_eq!(Url::parse("kvsd://[::1]").unwrap().port, DEFAULT_PORT);
        assert_eq!(Url::parse("kvsd://[fe80::1%25eth0]:1").unwrap().host, "fe80::1%eth0");
        for text in ["kvsd://[::1", "kvsd://::1", "kvsd://fe80::1", "kvsd://::1:7379"] {
            assert_eq!(Url::parse(text).unwrap_err(), ConfigError::Brackets, "{text}");
        }
        assert_eq!(Url::parse("kvsd://[::1]x").unwrap_err(), ConfigError::Port);
    }

    #[test]
    fn each_mistake_in_a_url_has_its_own_error() {
        let cases = [
            ("redis://localhost", ConfigError::Scheme),
            ("localhost:7379", ConfigError::Scheme),
            ("kvsd://", ConfigError::NoHost),
            ("kvsd://user@", ConfigError::NoHost),
            ("kvsd://:7379", ConfigError::NoHost),
            ("kvsd://[]", ConfigError::NoHost),
            ("kvsd://user@[]:1", ConfigError::NoHost),
            ("kvsd://host:", ConfigError::Port),
            ("kvsd://host:0", ConfigError::Port),
            ("kvsd://host:65536", ConfigError::Port),
            ("kvsd://host:x", ConfigError::Port),
            ("kvsd://a%zz@host", ConfigError::Escape),
            ("kvsd://a%ff@host", ConfigError::Escape),
            ("kvsd://user:a/b@host", ConfigError::Unescaped),
            ("kvsd://host?pol=4", ConfigError::UnknownSetting { name: "pol".into() }),
            ("kvsd://host?pool=2&pool=4", ConfigError::Twice { name: "pool" }),
            ("kvsd://host?timeout=1s&timeout=1s", ConfigError::Twice { name: "timeout" }),
            ("kvsd://host?ca=a&ca=b", ConfigError::Twice { name: "ca" }),
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
        let builder = builder.credentials("app", "canary");
        let builder = builder.default_credentials(None, Some("canary".into()));
        assert!(!format!("{builder:?}").contains("canary"));
        let credentials = credentials(Some("app".into()), Some("canary".into())).unwrap();
        assert!(!format!("{credentials:?}").contains("canary"));
    }
}
