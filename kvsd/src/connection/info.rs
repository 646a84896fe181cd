//! What a server says of itself in its welcome.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Outcome};
use crate::protocol::v2::Welcome;

/// What a server said of itself when a connection to it was opened.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::ServerInfo;
///
/// let info: ServerInfo = client.server_info();
/// assert!(info.server.starts_with("kvsd-server/"));
/// assert_eq!(info.limits["max-batch"], 1024);
/// assert!(["always", "interval", "never", "replicated"].contains(&info.durability.as_str()));
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The address at which it was reached, such as `db.example:7379`.
    pub address: String,
    /// Its program and version, such as `kvsd-server/0.2.0`.
    pub server: String,
    /// The engine that keeps the data.
    pub engine: String,
    /// When a write is acknowledged: `always`, `interval` or `never` synced, or `replicated`.
    pub durability: String,
    /// The largest value that it takes, in bytes.
    pub max_value_bytes: usize,
    /// What else it limits, by the names of its [welcome](crate::protocol::v2): sizes in bytes,
    /// times in milliseconds where the name ends in `-ms`. Of a batch, `max-batch` bounds the
    /// changes and `max-write-bytes` the bytes of its keys and values. Empty for a server that does
    /// not tell.
    pub limits: BTreeMap<String, u64>,
}

impl ServerInfo {
    /// Refuses a batch of so many changes, with so many bytes of keys and values, that is larger
    /// than the server takes.
    pub(super) fn check_batch(&self, changes: usize, bytes: usize) -> Result<(), Error> {
        let over = |name: &str, number: usize| {
            let limit = usize::try_from(*self.limits.get(name)?).unwrap_or(usize::MAX);
            (number > limit).then_some(limit)
        };
        let detail = if let Some(limit) = over("max-batch", changes) {
            format!(
                "it has {changes} changes, and this server takes at most {limit} in one \
                 (max-batch): send several"
            )
        } else if let Some(limit) = over("max-write-bytes", bytes) {
            format!(
                "its keys and values have {bytes} bytes, and this server takes at most {limit} in \
                 one (max-write-bytes): send several"
            )
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::BatchTooLarge, Outcome::NotSent, detail))
    }

    pub(super) fn new(address: &str, welcome: Welcome<'_>) -> Self {
        Self {
            address: address.to_owned(),
            server: welcome.server.to_owned(),
            engine: welcome.engine.to_owned(),
            durability: welcome.durability.to_owned(),
            max_value_bytes: usize::try_from(welcome.max_value_bytes).unwrap_or(usize::MAX),
            limits: welcome.limits.into_iter().map(|(name, limit)| (name.into(), limit)).collect(),
        }
    }
}
