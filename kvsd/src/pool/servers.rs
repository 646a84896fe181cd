//! The addresses of a pool: how many connections each has, and which of them failed lately.
//!
//! Decides where the next connection goes; opens none. Next file to read: `attempt`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::{Backoff, jitter, random_below};
use crate::error::{Error, ErrorKind, Outcome, Unreachable};
use crate::transport::Transport;

/// One address, and the way to it.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) transport: Box<dyn Transport>,
    pub(super) address: Arc<str>,
}

/// All addresses, at least one.
#[derive(Debug)]
pub(super) struct Servers {
    all: Vec<Server>,
    /// Where the search among equals begins, so that small pools do not all choose the same.
    first: usize,
    /// All their names; of one, its own.
    name: Arc<str>,
    state: Mutex<Vec<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// How many connections are open or being opened.
    connections: usize,
    backoff: Backoff,
    /// Why the last attempt failed, until one succeeds.
    failure: Option<Error>,
    /// A connection of another address looks here no earlier.
    probe_at: Option<Instant>,
}

/// A connection's place at one address, from the attempt to open it to its end.
#[derive(Debug)]
pub(super) struct Place {
    servers: Arc<Servers>,
    index: usize,
}

/// Which addresses an attempt has tried.
#[derive(Debug, Default)]
pub(super) struct Tried(Vec<usize>);

impl Tried {
    /// The address may be tried once more.
    pub(super) fn again(&mut self, place: &Place) {
        self.0.retain(|index| *index != place.index);
    }
}

/// Which addresses have failed in an attempt.
#[derive(Debug, Default)]
pub(super) struct FailedOnce(Vec<usize>);

impl FailedOnce {
    /// Takes note of a failure; the answer is how many addresses have failed by now.
    pub(super) fn count(&mut self, place: &Place) -> usize {
        if !self.0.contains(&place.index) {
            self.0.push(place.index);
        }
        self.0.len()
    }
}

/// How long an address that did not take a connection over is left alone. What waiting hardly
/// mends, such as a wrong password, takes longer.
const PROBE_PAUSE: Duration = Duration::from_secs(5);

impl Servers {
    pub(super) fn new(transports: Vec<Box<dyn Transport>>) -> Arc<Self> {
        let server = |transport: Box<dyn Transport>| {
            let address = transport.address().into();
            Server { transport, address }
        };
        let all: Vec<_> = transports.into_iter().map(server).collect();
        let name = match &all[..] {
            [one] => Arc::clone(&one.address),
            several => {
                several.iter().map(|server| &*server.address).collect::<Vec<_>>().join(",").into()
            }
        };
        let first = random_below(all.len());
        let state = Mutex::new(all.iter().map(|_| State::default()).collect());
        Arc::new(Self { all, first, name, state })
    }

    /// The names of all addresses.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn at(&self, place: &Place) -> &Server {
        &self.all[place.index]
    }

    /// A place at an address that was not tried: of those that need not wait the one with the
    /// fewest connections, else the one whose wait ends first, and when.
    pub(super) fn next(self: &Arc<Self>, tried: &mut Tried) -> Option<(Place, Option<Instant>)> {
        let now = Instant::now();
        let ready = self
            .take(tried, |state| state.backoff.wait(now).is_none().then_some(state.connections));
        if let Some(place) = ready {
            return Some((place, None));
        }
        let until = |state: &State| state.backoff.wait(now).unwrap_or(now);
        let place = self.take(tried, |state| Some(until(state)))?;
        let time = until(&self.lock()[place.index]);
        Some((place, Some(time)))
    }

    /// When one that was not tried need not wait any more.
    pub(super) fn due(&self, tried: &Tried) -> Option<Instant> {
        let (now, states) = (Instant::now(), self.lock());
        let untried = states.iter().zip(0..).filter(|(_, index)| !tried.0.contains(index));
        untried.map(|(state, _)| state.backoff.wait(now).unwrap_or(now)).min()
    }

    /// A place where the connection of `place` is needed more: at an address that has fewer even
    /// with it, and did not fail lately. Among equals one that was not asked in vain comes first, or
    /// the one of which that is longest ago: none that stays silent keeps another waiting.
    pub(super) fn take_emptier(self: &Arc<Self>, place: &Place) -> Option<Place> {
        let now = Instant::now();
        let here = self.lock()[place.index].connections;
        self.take(&mut Tried::default(), |state| {
            let may =
                state.backoff.wait(now).is_none() && state.probe_at.is_none_or(|time| time <= now);
            (may && state.connections + 2 <= here).then_some((state.connections, state.probe_at))
        })
    }

    /// A place where `rank` is lowest.
    fn take<R: Ord>(
        self: &Arc<Self>,
        tried: &mut Tried,
        rank: impl Fn(&State) -> Option<R>,
    ) -> Option<Place> {
        let mut states = self.lock();
        let order = (0..states.len()).map(|step| (self.first + step) % states.len());
        let untried = order.filter(|index| !tried.0.contains(index));
        let ranked = untried.filter_map(|index| Some((rank(&states[index])?, index)));
        let (_, index) = ranked.min_by(|(one, _), (other, _)| one.cmp(other))?;
        states[index].connections += 1;
        tried.0.push(index);
        Some(Place { servers: Arc::clone(self), index })
    }

    /// When the next attempt need not wait; `None` if no address has failed.
    pub(super) fn soonest(&self) -> Option<Instant> {
        self.lock().iter().filter_map(|state| state.backoff.not_before).min()
    }

    /// What to say when an attempt has failed at all addresses: of one its error, of several what
    /// is wrong with each.
    pub(super) fn unreachable(&self) -> Error {
        let causes: Vec<_> = self.all.iter().zip(self.lock().iter()).map(cause).collect();
        if let [one] = &causes[..] {
            return one.clone();
        }
        let mut kinds = causes.iter().map(Error::kind);
        let kind = kinds.next().filter(|first| kinds.all(|kind| kind == *first));
        let kind = kind.unwrap_or(ErrorKind::Connect);
        let detail = format!("none of {} addresses", causes.len());
        Error::new(kind, Outcome::NotSent, detail)
            .at(&self.name)
            .with_source(Unreachable::new(causes))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<State>> {
        // Nothing panics while it holds the lock; if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong with one address.
fn cause((server, state): (&Server, &State)) -> Error {
    let unknown = || {
        let detail = "its connections end as soon as they are open";
        Error::new(ErrorKind::Connect, Outcome::NotSent, detail).at(&server.address)
    };
    state.failure.clone().unwrap_or_else(unknown)
}

impl Place {
    /// An attempt to connect has failed.
    pub(super) fn fail(&self, error: Error) {
        let mut states = self.servers.lock();
        states[self.index].backoff.fail();
        states[self.index].failure = Some(error);
    }

    /// Another address was quicker by far.
    pub(super) fn lag(&self) {
        let detail = "no connection and welcome before another address gave both";
        let error = Error::new(ErrorKind::Connect, Outcome::NotSent, detail);
        self.fail(error.at(&self.servers.at(self).address));
    }

    /// A connection has ended young, without having served anybody.
    pub(super) fn disappoint(&self) {
        self.servers.lock()[self.index].backoff.fail();
    }

    /// A connection works.
    pub(super) fn succeed(&self) {
        let mut states = self.servers.lock();
        let state = &mut states[self.index];
        state.backoff.succeed();
        (state.failure, state.probe_at) = (None, None);
    }

    /// The address did not take over a connection; the next asks later.
    pub(super) fn put_off(&self, rarely: Option<Duration>) {
        let pause = rarely.unwrap_or_else(|| jitter(PROBE_PAUSE));
        self.servers.lock()[self.index].probe_at = Some(Instant::now() + pause);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.servers.lock()[self.index].connections -= 1;
    }
}
