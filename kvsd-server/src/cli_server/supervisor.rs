//! What the service manager is told: that the server is ready, that it lives, that it stops.
//!
//! The words are those of systemd's notification protocol, one datagram each to the socket that
//! `NOTIFY_SOCKET` names: a path, or `@` and an abstract name. Without that variable nobody is told
//! and nothing here costs anything. A manager that cannot be told never keeps the server from
//! serving. Next file to read: `serve`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{self, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::config::EngineKind;

/// Whoever has started this process and wants to know how it is. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Supervisor {
    socket: Option<Arc<UnixDatagram>>,
    /// After how long without a word the manager takes the server for hung.
    watchdog: Option<Duration>,
}

/// What a manager can be told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Word {
    /// The data folder is being opened, or the cluster asked; nobody is served yet.
    Opening(EngineKind),
    /// Clients are served on this address from now on.
    Serving(SocketAddr),
    /// The server ends, within this time.
    Stopping(Duration),
    /// The server still does its work.
    Alive,
}

impl Supervisor {
    /// Finds the manager by the variables that it has set. One that cannot be reached is named in
    /// the log, and is none.
    pub(super) fn from_environment() -> Self {
        let named = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let socket = named.and_then(|name| {
            let connected = connect(&name);
            let told = |error: &io::Error| {
                warn!(socket = %name.display(), %error, "the service manager cannot be told anything");
            };
            connected.inspect_err(told).ok()
        });
        let watchdog = watchdog(env::var_os("WATCHDOG_USEC"), env::var_os("WATCHDOG_PID"));
        Self { socket: socket.map(Arc::new), watchdog }
    }

    /// Passes a word on. Blocks for a moment at most.
    pub(super) fn tell(&self, word: Word) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(word.text().as_bytes())
        {
            warn!(?word, %error, "the service manager was not told");
        }
    }

    /// Says that the server lives, as often as the manager wants to hear it. Ends at once where
    /// nobody does. Runs beside the sessions, on the same threads: what stops those, stops this.
    pub(super) async fn reassure(self) {
        let Some(patience) = self.watchdog.filter(|_| self.socket.is_some()) else {
            return;
        };
        // Half of its patience is what the protocol asks for; a period of nothing would panic.
        let mut rounds = interval((patience / 2).max(Duration::from_millis(1)));
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            self.tell(Word::Alive);
        }
    }
}

impl Word {
    fn text(self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Opening(EngineKind::Log) => write!(text, "STATUS=opening the data folder"),
            Self::Opening(EngineKind::Etcd) => write!(text, "STATUS=asking etcd"),
            Self::Serving(address) => write!(text, "READY=1\nSTATUS=serving on {address}"),
            Self::Stopping(within) => write!(
                text,
                "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC={}",
                within.as_micros()
            ),
            Self::Alive => write!(text, "WATCHDOG=1"),
        };
        text
    }
}

/// Opens a socket to the one of this name.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', hidden @ ..] => net::SocketAddr::from_abstract_name(hidden)?,
        [b'/', ..] => net::SocketAddr::from_pathname(name)?,
        _ => {
            let said = "NOTIFY_SOCKET must be an absolute path, or @ and a name";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, said));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that does not read must not hold up those that serve.
    socket.set_write_timeout(Some(LONGEST_SEND))?;
    Ok(socket)
}

/// The patience that the manager has with this process, if it is with this one.
fn watchdog(patience: Option<OsString>, process: Option<OsString>) -> Option<Duration> {
    let number = |text: OsString| text.to_str()?.parse::<u64>().ok();
    if process.is_some_and(|id| number(id) != Some(std::process::id().into())) {
        return None;
    }
    patience.and_then(number).filter(|&patience| patience > 0).map(Duration::from_micros)
}

/// How long one word may take to be sent.
const LONGEST_SEND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: impl ToString) -> Option<OsString> {
        Some(number.to_string().into())
    }

    #[test]
    fn the_watchdog_is_for_this_process_or_for_nobody() {
        let own = std::process::id();
        let three = Some(Duration::from_secs(3));
        assert_eq!(watchdog(text(3_000_000), None), three);
        assert_eq!(watchdog(text(3_000_000), text(own)), three);
        assert_eq!(watchdog(text(3_000_000), text(u64::from(own) + 1)), None);
        assert_eq!(watchdog(text(3_000_000), text("me")), None);
        assert_eq!(watchdog(None, text(own)), None);
        assert_eq!(watchdog(text(0), None), None);
        assert_eq!(watchdog(text("soon"), None), None);
    }

    #[test]
    fn a_name_that_is_no_socket_is_refused() {
        for name in ["", "relative", "vsock:2:1234", "/absent/socket", "@"] {
            assert!(connect(OsStr::new(name)).is_err(), "{name}");
        }
    }
}
