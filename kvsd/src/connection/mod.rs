//! One multiplexed connection: a cheap handle, and the tasks that own the stream.
//!
//! ```text
//! caller -- encode under a short lock --> outbox -- writer task --> server
//! caller <-- waker -- slot <------------------------ reader task <-- server
//! ```
//!
//! Callers encode into the outbox; the writer task takes all small requests of it, and one part of a
//! large one, and writes them at once; the reader task joins the parts of large answers and pairs
//! each answer with its caller; the keeper task tells callers whose deadline has passed, and asks a
//! silent server whether it is there. So a large
//! value holds up a small one by the part that is being written, and by what the network holds. A
//! caller that goes away leaves its slot behind, which waits for the answer in its place; what it had
//! sent goes on, all parts of it. The tasks end when the stream does, or when the last handle is gone
//! and nothing is in flight; if their runtime dies, every caller is told. Next file to read: `slots`,
//! then `outbox` and `tasks`.

mod alive;
pub(crate) mod answer;
mod info;
mod open;
mod outbox;
mod slots;
mod statistics;
mod tasks;
pub(crate) mod verb;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::alive::Alive;
use self::answer::Answer;
use self::outbox::{Outbox, Put, bulk};
use self::slots::{Asked, Fate, Slots};
use self::verb::{Effect, Verb};
use crate::error::{Error, ErrorKind, Outcome};
use crate::observe::{self, Ending};
use crate::protocol::v2::{ANSWER_BYTES, Action, Change, Request, RequestId, limits};

pub use self::info::ServerInfo;
pub(crate) use self::open::{Credentials, open};
pub use self::statistics::TableStatistics;

/// The requests in flight from which on others had better go elsewhere: enough for large batches.
const CROWD_REQUESTS: usize = 1024;
/// The same in bytes that wait to be written: behind them small requests wait longest.
const CROWD_BYTES: usize = 1024 * 1024;
/// The requests that may be in flight on one connection, abandoned ones included.
pub(crate) const MAX_IN_FLIGHT: usize = 32_768;
/// While fewer bytes than this are not yet written on one connection, another request may join them.
pub(crate) const MAX_OUTBOX_BYTES: usize = 32 * 1024 * 1024;

/// A handle on a connection. The connection ends when the last one is gone.
#[derive(Clone)]
pub(crate) struct Connection {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
}

/// What handles, waiting callers and the tasks share.
struct Shared {
    address: Arc<str>,
    info: ServerInfo,
    /// Whether the phase is [`Phase::Open`], to be asked without the lock.
    open: AtomicBool,
    /// Whether it has so much to do that another one would do better.
    crowded: AtomicBool,
    /// Whether the server has done anything of what it was asked.
    served: AtomicBool,
    state: Mutex<State>,
    /// There is something to write, or the state of the connection has changed.
    write: Notify,
    /// A deadline earlier than all known ones has come, or nobody waits any more.
    keep: Notify,
    /// The connection has ended.
    ended: Notify,
}

/// How long a connection that nobody waits on any more has to write what is left, and the server to
/// close its side, which it does once it has carried out what it received.
const LINGER: Duration = Duration::from_secs(5);

struct State {
    phase: Phase,
    outbox: Outbox,
    /// How many batches the writer has taken from the outbox.
    taken: u64,
    slots: Slots,
    alive: Alive,
    /// No waiting caller's deadline is earlier.
    earliest: Option<Instant>,
}

/// What a connection was good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    /// It answered at least one request, with something else than a refusal.
    Some,
    Nothing,
}

enum Phase {
    Open,
    /// No handle is left, or the client is closing: ends when nobody waits any more.
    Draining,
    /// Nothing will be sent any more; the server still may.
    HalfClosed,
    /// Over, and why.
    Ended(Error),
}

impl Connection {
    /// Whether requests can be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.handle.shared.open.load(Ordering::Relaxed)
    }

    /// Whether another connection had better take what is asked next.
    pub(crate) fn is_crowded(&self) -> bool {
        self.handle.shared.crowded.load(Ordering::Relaxed)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.handle.shared.has_ended()
    }

    /// What does not keep the connection from ending.
    pub(crate) fn life(&self) -> Life {
        Life { shared: Arc::clone(&self.handle.shared) }
    }

    /// The server's address.
    pub(crate) fn address(&self) -> &Arc<str> {
        &self.handle.shared.address
    }

    /// The largest value that the server takes, in bytes.
    pub(crate) fn max_value_bytes(&self) -> usize {
        self.info().max_value_bytes
    }

    /// What the server said of itself.
    pub(crate) fn info(&self) -> &ServerInfo {
        &self.handle.shared.info
    }

    /// Puts a request into the outbox; `waker` is woken when there is an answer, if it is known
    /// already who waits for that.
    ///
    /// # Errors
    ///
    /// The connection has ended, too much waits already, or the value, the batch or the message as
    /// a whole is more than this server takes, which may be less than the one for which it was
    /// encoded; nothing was sent.
    pub(crate) fn send(
        &self,
        request: &Request<'_>,
        deadline: Instant,
        waker: Option<&Waker>,
    ) -> Result<Pending, Error> {
        let shared = &self.handle.shared;
        let bulk = bulk(request);
        let max_value_bytes = shared.info.max_value_bytes;
        if largest_value(request) > max_value_bytes
            || bulk.is_some_and(|bytes| is_too_long(request, bytes, max_value_bytes))
        {
            let detail = format!("the server takes at most {max_value_bytes} bytes");
            return Err(Error::new(ErrorKind::ValueTooLarge, Outcome::NotSent, detail));
        }
        if let Request::Batch { changes, .. } = request {
            let bytes = changes.iter().map(outbox::change_bytes).sum();
            shared.info.check_batch(changes.len(), bytes)?;
        }
        let mut state = shared.lock();
        match &state.phase {
            Phase::Open => {}
            // Its pool has another, or says that it is closed.
            Phase::Draining | Phase::HalfClosed => {
                let error = shared.lost("it takes nothing any more");
                return Err(error.with_outcome(Outcome::NotSent));
            }
            Phase::Ended(error) => {
                return Err(error.clone().with_outcome(Outcome::NotSent));
            }
        }
        if state.slots.in_flight() >= MAX_IN_FLIGHT || state.outbox.len() >= MAX_OUTBOX_BYTES {
            return Err(shared.overloaded());
        }
        let verb = Verb::of(request);
        let slot = state.slots.insert(verb, deadline, waker.cloned());
        let id = RequestId::new(slot as u64).unwrap_or_else(|| unreachable!("slots are few"));
        let mut was_empty = false;
        let is_earliest = state.earliest.is_none_or(|earliest| deadline < earliest);
        if is_earliest {
            state.earliest = Some(deadline);
        }
        if let Some(bytes) = bulk {
            state.outbox.expect(bytes);
            drop(state);
            let mut message = BytesMut::new();
            request.encode(id, &mut message);
            state = shared.lock();
            // Unless the connection has ended meanwhile, with all that it had to do.
            if !matches!(state.phase, Phase::Ended(_)) {
                was_empty = state.outbox.is_empty();
                state.outbox.put_encoded(id, message.freeze(), bytes);
            }
        } else {
            was_empty = state.outbox.is_empty();
            if state.outbox.put(id, request) == Put::Whole {
                let batch = state.taken;
                state.slots.set_batch(slot as u64, batch);
            }
        }
        shared.tell_crowding(&state);
        drop(state);
        if was_empty {
            shared.write.notify_one();
        }
        if is_earliest {
            shared.keep.notify_one();
        }
        let sent_as = match verb.effect() {
            Effect::Write => Outcome::Unknown,
            Effect::Read => Outcome::Refused,
        };
        let stage = if waker.is_some() { Stage::Polled(slot) } else { Stage::Unpolled(slot) };
        Ok(Pending { shared: Arc::clone(shared), stage, deadline, sent_as })
    }

    /// Takes no new requests and ends when those in flight are answered or out of time.
    pub(crate) fn drain(&self) {
        self.handle.shared.start_draining();
    }
}

/// A connection's end, without a handle on it.
#[derive(Clone)]
pub(crate) struct Life {
    shared: Arc<Shared>,
}

impl Life {
    /// Resolves when the connection has ended; with whether the server did anything of what it was
    /// asked.
    pub(crate) async fn ended(&self) -> Served {
        let ended = self.shared.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        if !self.shared.has_ended() {
            ended.await;
        }
        if self.shared.served.load(Ordering::Relaxed) { Served::Some } else { Served::Nothing }
    }

    /// As [`Connection::drain`].
    pub(crate) fn retire(&self) {
        self.shared.start_draining();
    }
}

/// The length of the largest value in a request.
fn largest_value(request: &Request<'_>) -> usize {
    match request {
        Request::Set { value, .. } => value.len(),
        Request::Pipeline(requests) => requests.iter().map(largest_value).max().unwrap_or(0),
        Request::Batch { changes, .. } => {
            let value = |change: &Change<'_>| match change.action {
                Action::Set { value, .. } => value.len(),
                Action::Delete
                | Action::Increment { .. }
                | Action::Expire { .. }
                | Action::Check => 0,
            };
            changes.iter().map(value).max().unwrap_or(0)
        }
        _ => 0,
    }
}

/// Whether a request with keys and values of so many bytes is longer than a message may be, which
/// would cost the connection that others use.
fn is_too_long(request: &Request<'_>, bytes: usize, max_value_bytes: usize) -> bool {
    let limit = limits(max_value_bytes).message_bytes;
    // What stands beside keys and values is less than this: almost nothing need be measured.
    if bytes.saturating_add(ANSWER_BYTES) <= limit {
        return false;
    }
    let mut message = BytesMut::with_capacity(bytes);
    request.encode(RequestId::ZERO, &mut message);
    // Its id may have more digits.
    message.len().saturating_add(20) > limit
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.start_draining();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self) -> bool {
        matches!(self.lock().phase, Phase::Ended(_))
    }

    /// Tells those who look for a connection how much this one has to do.
    fn tell_crowding(&self, state: &State) {
        let is_crowded =
            state.slots.in_flight() >= CROWD_REQUESTS || state.outbox.len() >= CROWD_BYTES;
        // It is read by all threads, and changes seldom.
        if self.crowded.load(Ordering::Relaxed) != is_crowded {
            self.crowded.store(is_crowded, Ordering::Relaxed);
        }
    }

    fn start_draining(&self) {
        let mut state = self.lock();
        if let Phase::Open = state.phase {
            self.open.store(false, Ordering::Relaxed);
            state.phase = Phase::Draining;
            // They would hold up the end for as long as nothing happens.
            for watch in state.slots.watches() {
                self.cancel(&mut state, watch);
            }
            self.after_departure(state);
        }
    }

    /// Lets the server answer a watch at once.
    fn cancel(&self, state: &mut State, watch: usize) {
        if let Phase::Open | Phase::Draining = state.phase {
            let id = RequestId::new(watch as u64).unwrap_or_else(|| unreachable!("slots are few"));
            state.outbox.put(id, &Request::Cancel);
            self.write.notify_one();
        }
    }

    /// Tells writer and keeper when the last caller that a draining connection waited for is gone.
    fn after_departure(&self, state: MutexGuard<'_, State>) {
        let is_drained = state.is_drained();
        drop(state);
        if is_drained {
            self.write.notify_one();
            self.keep.notify_one();
        }
    }

    /// Ends the connection and tells every caller. Only the first reason counts.
    fn end(&self, reason: Error) {
        let mut wakers = Vec::new();
        let ending = {
            let mut state = self.lock();
            let ending = match state.phase {
                Phase::Open => Ending::Lost,
                Phase::Draining | Phase::HalfClosed => Ending::Closed,
                Phase::Ended(_) => return,
            };
            self.open.store(false, Ordering::Relaxed);
            state.phase = Phase::Ended(reason.clone());
            state.outbox = Outbox::default();
            let unsent = state.taken;
            state.slots.lose(unsent, &mut wakers);
            ending
        };
        // Without the lock: who listens may use the client.
        observe::ended(&self.address, ending, &reason);
        wakers.into_iter().for_each(Waker::wake);
        self.write.notify_one();
        self.keep.notify_one();
        self.ended.notify_waiters();
    }

    fn overloaded(&self) -> Error {
        let detail = format!(
            "{MAX_IN_FLIGHT} requests or {} MiB on one connection; slow down or raise the pool size",
            MAX_OUTBOX_BYTES / (1024 * 1024)
        );
        Error::new(ErrorKind::Overloaded, Outcome::NotSent, detail).at(&self.address)
    }
}

impl State {
    /// Asks the server whether it is there. Nobody waits for the answer.
    fn ask(&mut self, now: Instant) {
        let slot = self.slots.insert(Verb::Ping, now, None);
        // It has no waker yet.
        let _ = self.slots.abandon(slot);
        let id = RequestId::new(slot as u64).unwrap_or_else(|| unreachable!("slots are few"));
        self.outbox.put(id, &Request::Ping);
    }

    /// Whether the connection is ending and nobody waits for it any more. It stays so: an ending
    /// connection takes no new requests.
    fn is_drained(&self) -> bool {
        match self.phase {
            Phase::Draining => self.slots.waiting() == 0,
            Phase::HalfClosed => true,
            Phase::Open | Phase::Ended(_) => false,
        }
    }
}

/// A request that was sent: resolves with its answer.
///
/// Dropping it leaves the request with the server, but for a watch, which is cancelled; its answer
/// is thrown away when it comes.
#[must_use]
pub(crate) struct Pending {
    shared: Arc<Shared>,
    stage: Stage,
    deadline: Instant,
    /// What to say of the request if its answer is lost: a read changes nothing.
    sent_as: Outcome,
}

/// How a request's slot was asked for its fate.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Unpolled(usize),
    /// It knows whom to wake.
    Polled(usize),
    /// The fate was fetched.
    Over,
}

/// A caller whose deadline has passed for so long tells itself so: the keeper has not, because the
/// runtime of the connection stands still.
const LATE: Duration = Duration::from_millis(100);

impl Pending {
    /// As the future, and in time though the runtime of the connection may stand still. It takes a
    /// timer of the caller's runtime, which the fast path does without.
    pub(crate) async fn in_time(mut self) -> Result<Answer, Error> {
        match tokio::time::timeout_at(self.deadline + LATE, &mut self).await {
            Ok(result) => result,
            // It has been polled, and now says what it has to say.
            Err(_) => self.await,
        }
    }

    /// The server's address.
    pub(crate) fn address(&self) -> &Arc<str> {
        &self.shared.address
    }

    fn timed_out(&self) -> Error {
        Error::new(ErrorKind::Timeout, self.sent_as, "no answer in time").at(&self.shared.address)
    }
}

impl Future for Pending {
    type Output = Result<Answer, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (Stage::Unpolled(slot) | Stage::Polled(slot)) = self.stage else {
            unreachable!("polled after it was ready");
        };
        let mut state = self.shared.lock();
        let fate = match state.slots.poll(slot, context.waker()) {
            Asked::Told(fate) => fate,
            Asked::Waits(replaced) => {
                drop(state);
                drop(replaced);
                return match self.stage {
                    // The fast path asks no clock.
                    Stage::Unpolled(_) | Stage::Over => {
                        self.stage = Stage::Polled(slot);
                        Poll::Pending
                    }
                    Stage::Polled(_) if Instant::now() < self.deadline + LATE => Poll::Pending,
                    Stage::Polled(_) => Poll::Ready(Err(self.timed_out())),
                };
            }
        };
        let end = match (&fate, &state.phase) {
            (Fate::Lost { .. }, Phase::Ended(error)) => Some(error.clone()),
            _ => None,
        };
        drop(state);
        self.stage = Stage::Over;
        Poll::Ready(match fate {
            Fate::Answered(answer) => Ok(answer),
            Fate::TimedOut => Err(self.timed_out()),
            Fate::Lost { sent } => {
                let error = end.unwrap_or_else(|| unreachable!("only an end loses requests"));
                Err(error.with_outcome(if sent { self.sent_as } else { Outcome::NotSent }))
            }
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Stage::Unpolled(slot) | Stage::Polled(slot) = self.stage {
            let mut state = self.shared.lock();
            let (asked, waker) = state.slots.abandon(slot);
            if asked == Some(Verb::Watch) {
                self.shared.cancel(&mut state, slot);
            }
            self.shared.after_departure(state);
            drop(waker);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.handle.shared.address)
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({:?})", self.stage)
    }
}
