//! How a server runs.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::cell::Sync;

/// How a server runs. What does not concern one kind of server is passed over there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) sync: Sync,
    pub(crate) link: Link,
    /// Redis writes its log anew from time to time.
    pub(crate) rewrites: Rewrites,
    /// kvsd spreads the keys over so many tables.
    pub(crate) tables: usize,
    /// kvsd serves more connections at once than by default.
    pub(crate) most_connections: Option<u32>,
    /// How closely kvsd looks at what it does.
    pub(crate) watch: Watch,
}

/// How closely a server looks at what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    /// As it comes.
    Usual,
    /// No metrics, no slow log, no log.
    Off,
    /// Metrics, the slow log, the log and the status page.
    On,
}

/// How clients and servers speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Plain,
    Tls,
}

/// Whether Redis writes its log anew on its own, as it does by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewrites {
    On,
    Off,
}

impl Setting {
    /// Over plain TCP, with one table.
    pub(crate) fn new(sync: Sync) -> Self {
        let (link, rewrites) = (Link::Plain, Rewrites::Off);
        Self { sync, link, rewrites, tables: 1, most_connections: None, watch: Watch::Usual }
    }
}

/// A certificate for [`HOST`] that signs itself, and its key.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    pub(super) pem: String,
}

impl Certificate {
    /// Makes one in a folder.
    pub(super) fn make(folder: &Path) -> Result<Self, Error> {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
        let (cert, key, pem) = (folder.join("cert.pem"), folder.join("key.pem"), made.cert.pem());
        std::fs::write(&cert, &pem)?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { cert, key, pem })
    }
}

/// Where all servers are.
pub(super) const HOST: &str = "127.0.0.1";
