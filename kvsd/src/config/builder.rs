//! The builder of a client: whose word counts, and what comes of all settings. Next file to read:
//! `url`.

use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;
use super::url::{Scheme, Settings, Url};
use super::{
    CONNECT_TIMEOUT, DEFAULT_KEEP_ALIVE, DEFAULT_POOL_SIZE, DEFAULT_TIMEOUT, MAX_ADDRESSES,
    MAX_POOL_SIZE,
};
use crate::client::Client;
use crate::connection::Credentials;
use crate::error::{ConfigError, Error};
use crate::pool::{Pool, PoolConfig, YEAR};
use crate::protocol::{MAX_PASSWORD_BYTES, MAX_USER_BYTES};
use crate::tcp::{Identity, Tcp, Tls};
#[cfg(feature = "testing")]
use crate::testing::Faults;
use crate::transport::Transport;
use crate::types::TableName;

/// Everything that [`Client::connect`] leaves at its default. The order of the calls does not
/// matter: what is said here counts more than the URL, and the URL more than what is said to be a
/// default.
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
    /// In place of TCP to the addresses.
    transports: Option<Vec<Box<dyn Transport>>>,
    #[cfg(feature = "testing")]
    faults: Option<Faults>,
    url: Url,
    /// In place of the URL's.
    addresses: Option<Vec<Address>>,
    /// What takes the place of the URL's settings.
    settings: Settings,
    /// What counts where the URL says nothing.
    defaults: Settings,
    keep_alive: Option<Duration>,
}

impl ClientBuilder {
    /// Takes address, encryption and all else that a URL can say from `url`:
    /// `kvsd://` (plain TCP) or `kvsds://` (TLS), then `[user[:password]@]host[:port][/table]` and
    /// `?pool=4&timeout=2s&ca=FILE&cert=FILE&key=FILE`, each part percent-decoded. The port defaults
    /// to 7379. In a user name or password `/` is written `%2F`, `?` is `%3F`, `@` is `%40`, `%` is
    /// `%25`, and in a user name `:` is `%3A`. Times have the unit `ms`, `s` or `m`.
    ///
    /// # Several addresses
    ///
    /// Up to [`MAX_ADDRESSES`], with commas between them, each with its own port:
    /// `kvsd://app@a:7379,b:7379,[::1]:7380/users`. **All of them must lead to the same data**, as
    /// the front ends of one replicated store do; nothing checks that. User, password, table and
    /// settings are the same for all, and so is the way: with `kvsds://` the certificate of each
    /// names its own host.
    ///
    /// The connections of the pool are spread evenly, beginning anywhere in the list: a pool that
    /// is to reach all addresses has as many connections at least. A connection serves any number
    /// of operations, and each operation goes to whichever is at hand.
    ///
    /// - A connection that its server or the network closes is left at once; one over which nothing
    ///   comes any more within [15 s](Self::keep_alive). What cannot have been carried out is sent
    ///   again to another address, as in [Retries](crate#retries).
    /// - An address that cannot be reached holds up a new connection for a second at most; then the
    ///   next has its turn. While it is away the pool keeps its size with the others.
    /// - One that is back gets its first connection within 10 s, and its whole share within 30 s:
    ///   connections of those that have more are replaced one by one, each after its successor is
    ///   open and once what is in flight on it is answered.
    /// - Where none can be reached, the error says why of each: [`Unreachable`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) names the part that is wrong.
    ///
    /// [`Unreachable`]: crate::Unreachable
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
    ///
    /// assert!(Client::builder().url("kvsd://a.example,b.example:7000,[::1]:7380/users").is_ok());
    /// let error = Client::builder().url("kvsd://a.example,,b.example").unwrap_err();
    /// assert!(format!("{error:#}").contains("address 2 is empty"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn url(mut self, url: &str) -> Result<Self, Error> {
        self.url = Url::parse(url)?;
        Ok(self)
    }

    /// Where the servers are, in place of the URL's addresses: each `HOST`, `HOST:PORT` or
    /// `[IPV6]:PORT`, at most [`MAX_ADDRESSES`], and all of them with the same data. How several are
    /// used: [`url`](Self::url).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) names what is wrong.
    ///
    /// ```
    /// use kvsd::Client;
    ///
    /// let builder = Client::builder().url("kvsds://app@localhost/users?ca=ca.pem")?;
    /// let builder = builder.addresses(["a.example", "b.example:7000"])?;
    /// let shown = format!("{builder:?}");
    /// assert!(shown.contains("a.example") && shown.contains("7000"));
    ///
    /// assert!(Client::builder().addresses(["a.example", "a.example:7379"]).is_err());
    /// # Ok::<(), kvsd::Error>(())
    /// ```
    pub fn addresses<T: AsRef<str>>(
        mut self,
        addresses: impl IntoIterator<Item = T>,
    ) -> Result<Self, Error> {
        let texts: Vec<_> = addresses.into_iter().collect();
        // Not shown: whoever puts a URL here may have put a password into it.
        if texts.iter().any(|text| text.as_ref().contains([',', '/', '?', '@'])) {
            return Err(ConfigError::Address.into());
        }
        self.addresses = Some(Address::parse_all(texts.iter().map(AsRef::as_ref))?);
        Ok(self)
    }

    /// Goes through `transport` instead of TCP; of the URL only user, password, table, `pool` and
    /// `timeout` count then. [`transports`](Self::transports) takes several.
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
        self.transports = Some(vec![Box::new(transport)]);
        self
    }

    /// Goes through `transports` instead of TCP, each of which leads to another server of the same
    /// data; at most [`MAX_ADDRESSES`], which [`connect`](Self::connect) checks. They are used as
    /// several addresses are: [`url`](Self::url).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// use kvsd::Client;
    ///
    /// // Two ways to the same server, here.
    /// let ways = [server.transport(), server.transport()];
    /// let client = Client::builder().transports(ways).connect().await?;
    /// client.set("k", "v").await?;
    /// assert!(client.exists("k").await?);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn transports<T: Transport>(mut self, transports: impl IntoIterator<Item = T>) -> Self {
        let boxed = |transport| Box::new(transport) as Box<dyn Transport>;
        self.transports = Some(transports.into_iter().map(boxed).collect());
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

    /// The certificate that the client shows, and its private key: PEM files, the certificate first
    /// in its own and not the CA's. A server that asks for it knows the user by it and needs no
    /// password; one that does not, never sees it. Takes the place of the URL's `cert=FILE&key=FILE`.
    /// Default: none. Beside a `kvsd://` URL, which is plain TCP, it is an error.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use kvsd::{Client, ErrorKind};
    ///
    /// // The files are read when the client connects.
    /// let builder = Client::builder().url("kvsds://db.example")?;
    /// let error = builder.client_cert("no/such.pem", "no/such.key").connect().await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Config);
    /// assert!(format!("{error:#}").contains("no/such.pem"));
    ///
    /// let builder = Client::builder().url("kvsds://db.example?cert=app.pem")?;
    /// let error = builder.connect().await.unwrap_err();
    /// assert!(format!("{error:#}").contains("needs both"));
    /// # Ok(()) }
    /// ```
    pub fn client_cert(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.settings.cert = Some(cert.into());
        self.settings.key = Some(key.into());
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
    /// is still there. If nothing at all comes within 5 s then, the connection counts as lost and
    /// is replaced: a machine that has gone without a word is found within 15 s by default.
    /// Default: 10 s. Less than a second counts as that; a year or more turns it off.
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
    /// untrusted certificate, wrong password, each by name. Of several addresses one has to be
    /// reached; a wrong password is told at once all the same, and if none can be reached the error
    /// names each with its cause ([`Unreachable`](crate::Unreachable)), within twice
    /// [`CONNECT_TIMEOUT`].
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
        let Url { scheme, addresses, settings } = self.url;
        let addresses = self.addresses.unwrap_or(addresses);
        let settings = self.settings.or(settings).or(self.defaults);
        let credentials = credentials(settings.user, settings.password)?;
        let identity = match (settings.cert, settings.key) {
            (Some(cert), Some(key)) => Some(Identity { cert, key }),
            (None, None) => None,
            _ => return Err(ConfigError::CertHalf.into()),
        };
        let tcps = addresses.into_iter().map(|Address { host, port }| Tcp { host, port });
        let transports: Vec<Box<dyn Transport>> = match (self.transports, scheme) {
            (Some(transports), _) => transports,
            (None, Scheme::Plain) if settings.ca.is_some() => {
                return Err(ConfigError::CaWithoutTls.into());
            }
            (None, Scheme::Plain) if identity.is_some() => {
                return Err(ConfigError::CertWithoutTls.into());
            }
            (None, Scheme::Plain) => tcps.map(|tcp| Box::new(tcp) as _).collect(),
            (None, Scheme::Tls) => {
                let all = Tls::all(tcps.collect(), settings.ca.as_deref(), identity.as_ref())?;
                all.into_iter().map(|tls| Box::new(tls) as _).collect()
            }
        };
        match transports.len() {
            0 => return Err(ConfigError::NoHost.into()),
            1..=MAX_ADDRESSES => {}
            _ => return Err(ConfigError::TooManyAddresses { limit: MAX_ADDRESSES }.into()),
        }
        #[cfg(feature = "testing")]
        let transports = match self.faults {
            Some(faults) => {
                let wrap = |transport| Box::new(faults.wrap_box(transport)) as Box<dyn Transport>;
                transports.into_iter().map(wrap).collect()
            }
            None => transports,
        };
        let pool = Pool::connect(
            transports,
            PoolConfig {
                credentials,
                size: settings.pool.unwrap_or(DEFAULT_POOL_SIZE),
                connect_timeout: CONNECT_TIMEOUT,
                keep_alive: Some(self.keep_alive.unwrap_or(DEFAULT_KEEP_ALIVE))
                    .filter(|silence| *silence < YEAR),
            },
        )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_counts_whatever_the_order() {
        let url = "kvsds://ann:url@host/urls?pool=7&timeout=7s&ca=url.pem&cert=c&key=k";
        let orders = |says: fn(ClientBuilder) -> ClientBuilder, url: &str| {
            [says(Client::builder()).url(url).unwrap(), says(Client::builder().url(url).unwrap())]
        };
        let merged =
            |builder: ClientBuilder| builder.settings.or(builder.url.settings).or(builder.defaults);
        let said = |builder: ClientBuilder| {
            let table = TableName::parse("said").unwrap();
            let timeout = Duration::from_secs(3);
            let builder = builder.credentials("bob", "said").table(table).pool_size(3);
            builder.timeout(timeout).ca_file("said.pem").client_cert("said.crt", "said.key")
        };
        for settings in orders(said, url).map(merged) {
            let expected = Settings {
                user: Some("bob".into()),
                password: Some("said".into()),
                table: Some(TableName::parse("said").unwrap()),
                pool: Some(3),
                timeout: Some(Duration::from_secs(3)),
                ca: Some("said.pem".into()),
                cert: Some("said.crt".into()),
                key: Some("said.key".into()),
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
