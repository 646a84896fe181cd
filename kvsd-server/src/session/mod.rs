//! One connection's life: who it is, which dialect it speaks, what it asks, and how it ends.
//!
//! ```text
//! opening --> v1 (one request after the other) --+--> farewell
//!         \-> v2 (multiplexed) ------------------/
//! ```
//!
//! Knows messages, the engine's seam and any stream of bytes; never a socket, a port, or where
//! tables live. Nothing that a peer sends may panic here, and no key, value or password may reach
//! a log line. Next file to read: `opening`, then `v2`.

mod denied;
mod fail;
mod farewell;
mod input;
mod leave;
mod meter;
mod opening;
mod output;
mod v1;
mod v2;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use kvsd::protocol::BEFORE_AUTHENTICATION;
use kvsd::protocol::frame::FrameError;
use kvsd::protocol::v2::part::PartError;
use kvsd::protocol::v2::{ANSWER_BYTES, MAX_BATCH};
use kvsd::types::MAX_KEY_BYTES;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};

use self::farewell::hang_up;
pub(crate) use self::farewell::{linger, turn_away};
use self::input::Input;
use self::leave::Leave;
use self::opening::Dialect;
use crate::audit::Audit;
use crate::auth::Authenticator;
use crate::engine::{Engine, Limits};
use crate::limits::InForce;
use crate::metrics::{Metrics, Refusal};
use crate::server::roster::{Eviction, Guest};
use crate::server::stop::Stop;

/// What all sessions of a server share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) audit: Arc<Audit>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) authenticator: Authenticator,
    pub(crate) metrics: Arc<Metrics>,
    /// What a write may hold, as [`most_of`] says.
    pub(crate) most: Limits,
    /// How many connections there may be.
    pub(crate) max_connections: usize,
    /// How many tables there may be.
    pub(crate) max_tables: usize,
    pub(crate) limits: Arc<InForce>,
    /// Whether the disk has too little room for writes.
    pub(crate) disk_is_low: Arc<AtomicBool>,
}

/// What a write may hold on a server that takes values of so many bytes: the least of what the
/// protocol, the server's settings and its engine allow. A value that fits here fits beside any
/// key.
pub(crate) fn most_of(engine: &dyn Engine, max_value_bytes: usize) -> Limits {
    let own = engine.description().limits;
    let beside_a_key = own.max_write_bytes.saturating_sub(MAX_KEY_BYTES);
    let max_value_bytes = max_value_bytes.min(own.max_value_bytes).min(beside_a_key);
    // So that a watch can tell of all of it in one message.
    let in_a_message = max_value_bytes.saturating_add(ANSWER_BYTES);
    Limits {
        max_batch: own.max_batch.min(MAX_BATCH),
        max_value_bytes,
        max_write_bytes: own.max_write_bytes.min(in_a_message),
    }
}

/// Where a session's client comes from.
#[derive(Debug)]
pub(crate) struct Newcomer {
    /// Its place in the roster, which says where it comes from.
    pub(crate) guest: Guest,
    /// The user whom its certificate names, which was checked.
    pub(crate) certified: Option<String>,
    /// Until when the client has to have said who it is. That the server looks into it does not
    /// count.
    pub(crate) deadline: Instant,
}

impl Newcomer {
    /// Where it comes from; `None` for a client in this process.
    fn address(&self) -> Option<IpAddr> {
        self.guest.entry().peer().address().map(|address| address.ip())
    }
}

/// As [`run`], and closes the stream so that what was said last gets across a network. Whoever was
/// told nothing is not waited for: a stop, or a slot for others, would wait with it.
pub(crate) async fn run_and_close<S>(
    stream: &mut S,
    service: &Service,
    newcomer: &Newcomer,
    stop: &mut Stop,
) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ended = run(stream, service, newcomer, stop).await;
    if matches!(
        ended,
        Ended::Dismissed | Ended::TimedOut | Ended::Revoked | Ended::Evicted(_) | Ended::Deaf
    ) {
        hang_up(stream).await;
    } else {
        linger(stream).await;
    }
    ended
}

/// Serves one stream to its end. The client must authenticate itself in time. The stream is left
/// for the caller to close.
pub(crate) async fn run<S>(
    stream: &mut S,
    service: &Service,
    newcomer: &Newcomer,
    stop: &mut Stop,
) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut input = Input::new(BEFORE_AUTHENTICATION);
    let opened = tokio::select! {
        biased;
        () = stop.draining() => Err(Ended::Dismissed),
        why = newcomer.guest.entry().evicted() => Err(Ended::Evicted(why)),
        opened = opening::open(stream, &mut input, service, newcomer) => opened,
    };
    let (dialect, login) = match opened {
        Ok(opened) => opened,
        Err(ended) => return ended,
    };
    service.metrics.log_in();
    let mut user = login.clone();
    let entry = newcomer.guest.entry();
    let leave = Leave { stop, login, entry: Arc::clone(newcomer.guest.entry()) };
    let served = async {
        match dialect {
            Dialect::V1 => v1::serve(stream, input, service, leave).await,
            Dialect::V2 => v2::serve(stream, input, service, leave).await,
        }
    };
    let cut = async {
        let ended = tokio::select! {
            () = user.revoked() => Ended::Revoked,
            why = entry.evicted() => Ended::Evicted(why),
        };
        if matches!(ended, Ended::Evicted(Eviction::Shed)) {
            // What it holds is wanted now.
            return ended;
        }
        sleep(LAST_WORD).await;
        ended
    };
    tokio::select! {
        biased;
        ended = served => ended,
        ended = cut => ended,
    }
}

/// Why a session ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The client closed its side.
    Left,
    /// The server stops.
    Stopped,
    /// The client's user is no more, or has another password or other grants.
    Revoked,
    /// The connection was ended from outside.
    Evicted(Eviction),
    /// The client does not read what it has asked for.
    Deaf,
    /// The server stops, and the client had not authenticated itself.
    Dismissed,
    /// TLS did not come about.
    Unencrypted(io::Error),
    /// The client did not authenticate itself in time.
    TimedOut,
    /// The client was not let in.
    Denied(Refusal, &'static str),
    /// The client left the grammar.
    Garbled(FrameError),
    /// The client's messages in parts break their rules.
    Parted(PartError),
    /// The client sent a message that has no place where it stands.
    Misplaced(&'static str),
    /// The stream failed.
    Broken(io::Error),
}

impl Ended {
    /// What the end is counted as; `None` if the client was not refused.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self {
            Ended::Left
            | Ended::Stopped
            | Ended::Revoked
            | Ended::Evicted(Eviction::Killed)
            | Ended::Dismissed
            | Ended::Broken(_) => None,
            Ended::Evicted(Eviction::Idle) => Some(Refusal::Idle),
            Ended::Evicted(Eviction::Displaced) => Some(Refusal::UnauthenticatedFull),
            Ended::Evicted(Eviction::Shed) => Some(Refusal::MemoryFull),
            Ended::Deaf => Some(Refusal::OutputFull),
            Ended::Unencrypted(_) => Some(Refusal::Tls),
            Ended::TimedOut => Some(Refusal::HandshakeLate),
            Ended::Denied(why, _) => Some(*why),
            Ended::Garbled(FrameError::Tls) => Some(Refusal::TlsOnPlain),
            Ended::Garbled(
                FrameError::TooManyFrames { .. }
                | FrameError::MessageTooLarge { .. }
                | FrameError::LineTooLong { .. },
            )
            | Ended::Parted(PartError::TooLarge { .. } | PartError::TooMany) => {
                Some(Refusal::OverLimit)
            }
            Ended::Garbled(_) | Ended::Parted(_) | Ended::Misplaced(_) => Some(Refusal::Garbage),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Left => f.write_str("the client closed"),
            Ended::Stopped | Ended::Dismissed => f.write_str("the server stops"),
            Ended::Revoked => f.write_str("its user has gone or has changed"),
            Ended::Evicted(why) => why.fmt(f),
            Ended::Deaf => f.write_str("its answers reached max_output_bytes_hard unread"),
            Ended::Unencrypted(error) => write!(f, "TLS failed: {error}"),
            Ended::TimedOut => f.write_str("not authenticated in time"),
            Ended::Denied(_, reason) => write!(f, "not let in: {reason}"),
            Ended::Garbled(error) => write!(f, "off the protocol: {error}"),
            Ended::Parted(error) => write!(f, "off the protocol: {error}"),
            Ended::Misplaced(reason) => write!(f, "off the protocol: {reason}"),
            Ended::Broken(error) => write!(f, "the connection failed: {}", error.kind()),
        }
    }
}

/// Gives a buffer for values back if one of them has made it large.
fn tidy(scratch: &mut Vec<u8>) {
    if scratch.capacity() > MAX_SCRATCH_BYTES {
        *scratch = Vec::new();
    }
}

/// What a client is told whose request finds no room.
const MEMORY_FULL: &str =
    "all connections together hold as much memory as connection_memory allows: try again";
/// What a client is told whose write finds no room.
const DISK_LOW: &str =
    "the server's disk has less than min_free_disk left: deletes are taken, other writes are not";
/// How long a client that has to go may take to read what is left for it. With the time until
/// the change is noticed, less than a second.
const LAST_WORD: Duration = Duration::from_millis(400);
/// What an idle session keeps to read values into, in bytes.
const MAX_SCRATCH_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests;
