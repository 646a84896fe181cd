//! Who is connected: an entry for each connection, from its accept to its close.
//!
//! Sessions write what they do into their entry, administrators and the status page read it and end
//! connections by it. Owns counts and figures; never a stream, a task or a session. Next file to
//! read: [`crate::session`].

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::ops::Bound;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::network::Network;

/// All connections of a server.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    present: Mutex<Present>,
    /// What all of them hold, in bytes.
    memory: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Present {
    last_id: u64,
    entries: BTreeMap<u64, Arc<Entry>>,
    networks: HashMap<Network, usize>,
}

/// A connection's place in the roster. Dropping it takes the connection out.
#[derive(Debug)]
pub(crate) struct Guest {
    roster: Arc<Roster>,
    entry: Arc<Entry>,
}

/// What is known of one connection.
#[derive(Debug)]
pub(crate) struct Entry {
    id: u64,
    peer: Peer,
    since: Instant,
    user: OnceLock<Box<str>>,
    /// Milliseconds from `since` to the last round in which something was read or written.
    active: AtomicU64,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
    requests: AtomicU64,
    memory: AtomicUsize,
    memory_of_all: Arc<AtomicUsize>,
    eviction: OnceLock<Eviction>,
    evicted: Notify,
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A client over plain TCP.
    Plain(SocketAddr),
    /// A client over TLS.
    Tls(SocketAddr),
    /// A client in this process.
    Embedded,
}

/// What a session did since it last told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
    pub(crate) requests: u64,
}

/// Why a connection is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Eviction {
    /// An administrator wants it to end.
    Killed,
}

impl Roster {
    /// Takes a connection in.
    pub(crate) fn enter(self: &Arc<Self>, peer: Peer) -> Guest {
        let mut present = self.present();
        present.last_id += 1;
        let entry = Arc::new(Entry::new(present.last_id, peer, &self.memory));
        present.entries.insert(entry.id, Arc::clone(&entry));
        if let Some(network) = peer.network() {
            *present.networks.entry(network).or_default() += 1;
        }
        drop(present);
        Guest { roster: Arc::clone(self), entry }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.present().entries.len()
    }

    /// What all connections hold in memory, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Relaxed)
    }

    /// The connections with the next higher ids, in their order, at most so many.
    pub(crate) fn page(&self, after: u64, most: usize) -> Vec<Arc<Entry>> {
        let present = self.present();
        let rest = present.entries.range((Bound::Excluded(after), Bound::Unbounded));
        rest.take(most).map(|(_, entry)| Arc::clone(entry)).collect()
    }

    /// Ends the connection with this id, as [`Entry::evict`] does; `None` if there is none.
    pub(crate) fn kill(&self, id: u64) -> Option<Arc<Entry>> {
        let entry = self.present().entries.get(&id).map(Arc::clone)?;
        entry.evict(Eviction::Killed);
        Some(entry)
    }

    fn leave(&self, entry: &Entry) {
        entry.hold(0);
        let mut present = self.present();
        present.entries.remove(&entry.id);
        if let Some(network) = entry.peer.network()
            && let Some(count) = present.networks.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                present.networks.remove(&network);
            }
        }
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.roster.leave(&self.entry);
    }
}

impl Entry {
    fn new(id: u64, peer: Peer, memory_of_all: &Arc<AtomicUsize>) -> Self {
        Self {
            id,
            peer,
            since: Instant::now(),
            user: OnceLock::new(),
            active: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            memory: AtomicUsize::new(0),
            memory_of_all: Arc::clone(memory_of_all),
            eviction: OnceLock::new(),
            evicted: Notify::new(),
        }
    }

    /// Its number: from 1 up in the order of their coming, and never used again.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    /// Whose it is, once that is known; never, where anyone is let in.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.get().map(AsRef::as_ref)
    }

    /// How long it has been there.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// For how long nothing was read from it or written to it.
    pub(crate) fn idle(&self) -> Duration {
        self.age().saturating_sub(Duration::from_millis(self.active.load(Relaxed)))
    }

    /// What it has done so far.
    pub(crate) fn total(&self) -> Round {
        Round {
            read_bytes: self.read_bytes.load(Relaxed),
            written_bytes: self.written_bytes.load(Relaxed),
            requests: self.requests.load(Relaxed),
        }
    }

    /// What it was last known to hold in memory, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Relaxed)
    }

    /// Notes whose connection it is.
    pub(crate) fn belongs_to(&self, user: &str) {
        // Nobody logs in twice on one connection.
        let _ = self.user.set(user.into());
    }

    /// Notes what its session has done until `now`. For its session alone: what others note at the
    /// same time may be lost.
    pub(crate) fn note(&self, round: Round, now: Instant) {
        let active = now.saturating_duration_since(self.since).as_millis();
        self.active.store(u64::try_from(active).unwrap_or(u64::MAX), Relaxed);
        for (total, more) in [
            (&self.read_bytes, round.read_bytes),
            (&self.written_bytes, round.written_bytes),
            (&self.requests, round.requests),
        ] {
            total.store(total.load(Relaxed).wrapping_add(more), Relaxed);
        }
    }

    /// Notes what its session holds in memory now, in bytes; tells what all sessions hold.
    pub(crate) fn hold(&self, bytes: usize) -> usize {
        let before = self.memory.swap(bytes, Relaxed);
        let more = bytes.wrapping_sub(before);
        self.memory_of_all.fetch_add(more, Relaxed).wrapping_add(more)
    }

    /// Asks the session to end. Only the first word counts.
    pub(crate) fn evict(&self, why: Eviction) {
        if self.eviction.set(why).is_ok() {
            self.evicted.notify_waiters();
        }
    }

    /// Waits until the session has to end; why.
    pub(crate) async fn evicted(&self) -> Eviction {
        loop {
            let mut evicted = pin!(self.evicted.notified());
            // From here on no word is missed.
            evicted.as_mut().enable();
            if let Some(why) = self.eviction.get() {
                return *why;
            }
            evicted.await;
        }
    }
}

impl fmt::Display for Eviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed => f.write_str("an administrator has ended this connection"),
        }
    }
}

impl Peer {
    /// Its address, if it has one.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(address) | Self::Tls(address) => Some(*address),
            Self::Embedded => None,
        }
    }

    fn network(&self) -> Option<Network> {
        self.address().map(|address| Network::of(address.ip()))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(address) | Self::Tls(address) => address.fmt(f),
            Self::Embedded => f.write_str("embedded"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(host: u8) -> Peer {
        Peer::Plain(SocketAddr::from(([192, 0, 2, host], 7000)))
    }

    fn ids(page: &[Arc<Entry>]) -> Vec<u64> {
        page.iter().map(|entry| entry.id()).collect()
    }

    #[tokio::test]
    async fn pages_go_on_behind_an_id_whoever_has_left_meanwhile() {
        let roster = Arc::<Roster>::default();
        let mut guests: Vec<_> = (1..=5).map(|host| roster.enter(plain(host))).collect();
        let first = roster.page(0, 2);
        assert_eq!(ids(&first), [1, 2]);
        drop(guests.remove(1));
        assert_eq!(ids(&roster.page(2, 2)), [3, 4]);
        assert_eq!(ids(&roster.page(4, 2)), [5]);
        assert_eq!(ids(&roster.page(5, 2)), [0; 0]);
        assert_eq!(ids(&roster.page(u64::MAX, 2)), [0; 0]);
        guests.push(roster.enter(Peer::Embedded));
        assert_eq!(ids(&roster.page(0, 9)), [1, 3, 4, 5, 6], "no id comes twice");
        drop(guests);
        assert_eq!(roster.len(), 0);
        assert!(roster.present().networks.is_empty(), "an address is forgotten with its last");
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_shows_what_its_session_did() {
        let roster = Arc::<Roster>::default();
        let guest = roster.enter(Peer::Embedded);
        let entry = guest.entry();
        assert_eq!((entry.user(), entry.total()), (None, Round::default()));
        entry.belongs_to("app");
        assert_eq!(entry.user(), Some("app"));
        tokio::time::advance(Duration::from_secs(3)).await;
        let round = Round { read_bytes: 10, written_bytes: 20, requests: 1 };
        entry.note(round, Instant::now());
        entry.note(round, Instant::now());
        let twice = Round { read_bytes: 20, written_bytes: 40, requests: 2 };
        assert_eq!(roster.page(0, 1)[0].total(), twice);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!((entry.age().as_secs(), entry.idle().as_secs()), (5, 2));
    }

    #[tokio::test]
    async fn what_all_hold_is_the_sum_and_goes_with_them() {
        let roster = Arc::<Roster>::default();
        let (first, second) = (roster.enter(plain(1)), roster.enter(plain(2)));
        assert_eq!(first.entry().hold(1000), 1000);
        assert_eq!(second.entry().hold(500), 1500);
        assert_eq!(first.entry().hold(200), 700);
        assert_eq!((first.entry().memory(), roster.memory()), (200, 700));
        drop(first);
        assert_eq!(roster.memory(), 500);
        drop(second);
        assert_eq!(roster.memory(), 0);
    }

    #[tokio::test]
    async fn a_kill_reaches_whoever_waits_and_whoever_asks_later() {
        let roster = Arc::<Roster>::default();
        let (guest, other) = (roster.enter(plain(1)), roster.enter(plain(1)));
        let entry = Arc::clone(guest.entry());
        let waits = tokio::spawn(async move { entry.evicted().await });
        tokio::task::yield_now().await;
        assert!(roster.kill(guest.entry().id()).is_some());
        assert_eq!(waits.await.unwrap(), Eviction::Killed);
        assert_eq!(guest.entry().evicted().await, Eviction::Killed);
        assert!(roster.kill(99).is_none());
        let waits = tokio::time::timeout(Duration::ZERO, other.entry().evicted());
        assert!(waits.await.is_err(), "another one goes on");
    }
}
