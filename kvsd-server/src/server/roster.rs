//! Who is connected: an entry for each connection, from its accept to its close.
//!
//! Sessions write what they do into their entry; administrators, the status page and `watchman` read
//! it and end connections by it. Owns counts and figures, and decides who gives way when there are
//! too many or when they hold too much; never a stream, a task or a session. Next file to read:
//! [`crate::session`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::ops::Bound;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::network::Network;

/// All connections of a server.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    present: Mutex<Present>,
    memory: Arc<Memory>,
}

#[derive(Debug, Default)]
struct Present {
    last_id: u64,
    entries: BTreeMap<u64, Arc<Entry>>,
    networks: HashMap<Network, usize>,
    /// Those that have not said who they are, and have not been told to go.
    strangers: BTreeMap<u64, Arc<Entry>>,
}

/// What all connections hold.
#[derive(Debug, Default)]
struct Memory {
    bytes: AtomicUsize,
    /// Woken when it is too much.
    crowded: Notify,
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
    memory_of_all: Arc<Memory>,
    /// Whether it was let in.
    is_known: AtomicBool,
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
    /// Nothing has come or gone for too long.
    Idle,
    /// It had not said who it is, and there were too many like it.
    Displaced,
    /// All connections together held too much, and it was among those that held most.
    Shed,
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    /// Of one address.
    pub(crate) of_address: usize,
    /// That have not said who they are.
    pub(crate) unauthenticated: usize,
}

/// There are as many connections of the address as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AddressFull;

impl Roster {
    /// Takes a connection in. If there are too many then that have not said who they are, one of
    /// those gives way. Whoever is in this process has no address that could be full.
    pub(crate) fn enter(self: &Arc<Self>, peer: Peer, most: Most) -> Result<Guest, AddressFull> {
        let mut present = self.present();
        if let Some(network) = peer.network() {
            let count = present.networks.entry(network).or_default();
            if *count >= most.of_address {
                return Err(AddressFull);
            }
            *count += 1;
        }
        present.last_id += 1;
        let entry = Arc::new(Entry::new(present.last_id, peer, &self.memory));
        present.entries.insert(entry.id, Arc::clone(&entry));
        if present.strangers.len() >= most.unauthenticated {
            present.displace();
        }
        present.strangers.insert(entry.id, Arc::clone(&entry));
        drop(present);
        Ok(Guest { roster: Arc::clone(self), entry })
    }

    /// What all connections hold in memory, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.memory.bytes.load(Relaxed)
    }

    /// Waits until a session has found that all together hold too much.
    pub(crate) async fn crowded(&self) {
        self.memory.crowded.notified().await;
    }

    /// Ends the connections that hold most until the others hold at most so many bytes; how many.
    pub(crate) fn shed(&self, most: usize) -> usize {
        let present = self.present();
        // What the others hold that have been told to go is as good as free.
        let stay = present.entries.values().filter(|entry| entry.eviction.get().is_none());
        let mut sizes: Vec<_> = stay.map(|entry| (entry.memory(), entry)).collect();
        let mut held: usize = sizes.iter().map(|(bytes, _)| bytes).sum();
        sizes.sort_unstable_by_key(|(bytes, entry)| (Reverse(*bytes), entry.id));
        let mut count = 0;
        for (bytes, entry) in sizes {
            if held <= most {
                break;
            }
            entry.evict(Eviction::Shed);
            held -= bytes;
            count += 1;
        }
        count
    }

    /// Ends the connections of those who have said who they are and nothing for so long.
    pub(crate) fn evict_idle(&self, longest: Duration) {
        let mut last = 0;
        loop {
            let page = self.page(last, SWEEP);
            let Some(end) = page.last() else {
                return;
            };
            last = end.id;
            for entry in page {
                if entry.is_known.load(Relaxed) && entry.idle() >= longest {
                    entry.evict(Eviction::Idle);
                }
            }
        }
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
        present.strangers.remove(&entry.id);
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

impl Present {
    /// Tells one of those to go that have not said who they are: of the address that has most of
    /// them the one that has been silent longest. Who is quick is in before its turn comes, and
    /// whoever floods the server from one address is in the way of itself.
    fn displace(&mut self) {
        let mut counts: HashMap<Option<Network>, usize> = HashMap::new();
        for entry in self.strangers.values() {
            *counts.entry(entry.peer.network()).or_default() += 1;
        }
        let most = counts.values().max().copied().unwrap_or_default();
        let is_of_most = |entry: &&Arc<Entry>| counts.get(&entry.peer.network()) == Some(&most);
        if let Some(entry) = self.strangers.values().find(is_of_most).map(Arc::clone) {
            self.strangers.remove(&entry.id);
            entry.evict(Eviction::Displaced);
        }
    }
}

impl Guest {
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Notes that it has said who it is, and that the server looks into it: it need not give way any
    /// more, and nobody has to because of it.
    pub(crate) fn has_spoken(&self) {
        self.roster.present().strangers.remove(&self.entry.id);
    }

    /// Notes that it was let in, and as whom.
    pub(crate) fn is_known(&self, user: Option<&str>) {
        // Nobody logs in twice on one connection.
        user.map(|user| self.entry.user.set(user.into()));
        self.entry.is_known.store(true, Relaxed);
        self.roster.present().strangers.remove(&self.entry.id);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.roster.leave(&self.entry);
    }
}

impl Entry {
    fn new(id: u64, peer: Peer, memory_of_all: &Arc<Memory>) -> Self {
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
            is_known: AtomicBool::new(false),
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

    /// Notes what its session holds in memory now, in bytes; if that has changed, tells what all
    /// of them hold, else 0. For its session alone, as [`Entry::note`] is.
    pub(crate) fn hold(&self, bytes: usize) -> usize {
        let before = self.memory.load(Relaxed);
        if bytes == before {
            return 0;
        }
        self.memory.store(bytes, Relaxed);
        let more = bytes.wrapping_sub(before);
        self.memory_of_all.bytes.fetch_add(more, Relaxed).wrapping_add(more)
    }

    /// What all sessions hold, in bytes.
    pub(crate) fn memory_of_all(&self) -> usize {
        self.memory_of_all.bytes.load(Relaxed)
    }

    /// Says that all sessions hold too much.
    pub(crate) fn is_crowded(&self) {
        self.memory_of_all.crowded.notify_one();
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
            Self::Idle => f.write_str("the connection was idle for too long"),
            Self::Displaced => {
                f.write_str("too many connections at once that had not authenticated")
            }
            Self::Shed => {
                f.write_str("the connections held too much memory, and this one the most")
            }
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

/// How many entries are looked at before others may come and go.
const SWEEP: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Most = Most { of_address: usize::MAX, unauthenticated: usize::MAX };

    impl Roster {
        /// How many there are.
        pub(crate) fn len(&self) -> usize {
            self.present().entries.len()
        }

        fn take(self: &Arc<Self>, peer: Peer) -> Guest {
            self.enter(peer, ANY).unwrap()
        }
    }

    fn reason(guest: &Guest) -> Option<Eviction> {
        guest.entry().eviction.get().copied()
    }

    fn plain(host: u8) -> Peer {
        Peer::Plain(SocketAddr::from(([192, 0, 2, host], 7000)))
    }

    fn ids(page: &[Arc<Entry>]) -> Vec<u64> {
        page.iter().map(|entry| entry.id()).collect()
    }

    #[tokio::test]
    async fn pages_go_on_behind_an_id_whoever_has_left_meanwhile() {
        let roster = Arc::<Roster>::default();
        let mut guests: Vec<_> = (1..=5).map(|host| roster.take(plain(host))).collect();
        let first = roster.page(0, 2);
        assert_eq!(ids(&first), [1, 2]);
        drop(guests.remove(1));
        assert_eq!(ids(&roster.page(2, 2)), [3, 4]);
        assert_eq!(ids(&roster.page(4, 2)), [5]);
        assert_eq!(ids(&roster.page(5, 2)), [0; 0]);
        assert_eq!(ids(&roster.page(u64::MAX, 2)), [0; 0]);
        guests.push(roster.take(Peer::Embedded));
        assert_eq!(ids(&roster.page(0, 9)), [1, 3, 4, 5, 6], "no id comes twice");
        drop(guests);
        assert_eq!(roster.len(), 0);
        assert!(roster.present().networks.is_empty(), "an address is forgotten with its last");
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_shows_what_its_session_did() {
        let roster = Arc::<Roster>::default();
        let guest = roster.take(Peer::Embedded);
        let entry = guest.entry();
        assert_eq!((entry.user(), entry.total()), (None, Round::default()));
        guest.is_known(Some("app"));
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
        let (first, second) = (roster.take(plain(1)), roster.take(plain(2)));
        first.entry().hold(1000);
        second.entry().hold(500);
        assert_eq!((first.entry().memory_of_all(), roster.memory()), (1500, 1500));
        first.entry().hold(200);
        assert_eq!((first.entry().memory(), roster.memory()), (200, 700));
        drop(first);
        assert_eq!(roster.memory(), 500);
        drop(second);
        assert_eq!(roster.memory(), 0);
    }

    #[tokio::test]
    async fn a_kill_reaches_whoever_waits_and_whoever_asks_later() {
        let roster = Arc::<Roster>::default();
        let (guest, other) = (roster.take(plain(1)), roster.take(plain(1)));
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

    #[tokio::test]
    async fn an_address_has_so_many_connections_and_others_have_theirs() {
        let roster = Arc::<Roster>::default();
        let most = Most { of_address: 2, ..ANY };
        let enter = |peer| roster.enter(peer, most);
        let first = enter(plain(1)).unwrap();
        let _second = enter(plain(1)).unwrap();
        assert_eq!(enter(plain(1)).unwrap_err(), AddressFull);
        let _other = enter(plain(2)).unwrap();
        let _inside: Vec<_> = (0..9).map(|_| enter(Peer::Embedded).unwrap()).collect();
        drop(first);
        let _third = enter(plain(1)).unwrap();
        assert_eq!(enter(plain(1)).unwrap_err(), AddressFull);
        assert_eq!(roster.len(), 12, "who was refused has left nothing");
    }

    #[tokio::test]
    async fn the_one_that_was_silent_longest_gives_way_where_most_are_silent() {
        let roster = Arc::<Roster>::default();
        let most = Most { unauthenticated: 4, ..ANY };
        let enter = |host| roster.enter(plain(host), most).unwrap();
        let (early, known, spoken) = (enter(1), enter(2), enter(2));
        known.is_known(None);
        spoken.has_spoken();
        let silent = [enter(2), enter(2), enter(2)];
        let all = [&early, &known, &spoken, &silent[0], &silent[1], &silent[2]];
        assert_eq!(all.map(reason), [None; 6], "four have not said who they are");
        let newcomer = enter(3);
        let displaced = Some(Eviction::Displaced);
        assert_eq!(all.map(reason), [None, None, None, displaced, None, None]);
        let _next = enter(3);
        assert_eq!(all.map(reason), [None, None, None, displaced, displaced, None]);
        let _last = enter(4);
        assert_eq!((reason(&early), reason(&newcomer)), (None, displaced), "two are of host 3");
    }

    #[tokio::test]
    async fn those_whose_passwords_are_looked_into_displace_nobody() {
        let roster = Arc::<Roster>::default();
        let most = Most { unauthenticated: 4, ..ANY };
        let enter = |host| roster.enter(plain(host), most).unwrap();
        let honest = enter(2);
        let flood: Vec<_> = (0..20).map(|_| enter(1)).inspect(Guest::has_spoken).collect();
        assert_eq!(reason(&honest), None);
        drop(flood);
    }

    #[tokio::test]
    async fn whoever_holds_most_goes_first_and_no_more_than_have_to() {
        let roster = Arc::<Roster>::default();
        let guests = [300, 100, 500, 200].map(|bytes| {
            let guest = roster.take(plain(1));
            guest.entry().hold(bytes);
            guest
        });
        assert_eq!(roster.shed(1100), 0);
        assert_eq!(roster.shed(500), 2);
        let shed = Some(Eviction::Shed);
        assert_eq!(guests.each_ref().map(reason), [shed, None, shed, None]);
        assert_eq!(roster.shed(500), 0, "those are on their way out");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_in_and_silent_for_too_long_goes() {
        let roster = Arc::<Roster>::default();
        let (busy, silent, stranger) =
            (roster.take(plain(1)), roster.take(plain(1)), roster.take(plain(1)));
        busy.is_known(None);
        silent.is_known(None);
        tokio::time::advance(Duration::from_secs(9)).await;
        busy.entry().note(Round { read_bytes: 1, ..Round::default() }, Instant::now());
        roster.evict_idle(Duration::from_secs(10));
        assert_eq!(reason(&silent), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        roster.evict_idle(Duration::from_secs(10));
        let all = [&busy, &silent, &stranger].map(reason);
        assert_eq!(all, [None, Some(Eviction::Idle), None], "a stranger has a deadline of its own");
    }
}
