//! The client's settings: from a URL and from the builder.
//!
//! Knows names and bounds; never opens anything but the CA file. Reading order: `builder`, `url`,
//! `address`. Next file to read: `client`.

mod address;
mod builder;
mod url;

use std::time::Duration;

pub use self::builder::ClientBuilder;

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
/// How long a server may be silent before it is asked whether it is there, unless the client is
/// told otherwise.
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
/// The most addresses that a client takes.
///
/// ```
/// let hosts: Vec<_> = (0..=kvsd::MAX_ADDRESSES).map(|number| format!("db{number}")).collect();
/// let url = |hosts: &[String]| format!("kvsd://{}", hosts.join(","));
/// assert!(kvsd::Client::builder().url(&url(&hosts[1..])).is_ok());
/// assert!(kvsd::Client::builder().url(&url(&hosts)).is_err());
/// ```
pub const MAX_ADDRESSES: usize = 16;
