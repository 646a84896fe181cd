//! The actor of a table: the task that takes its writes, batch by batch.
//!
//! It takes everything that is queued and answers it together: group commit. Only what waits for
//! the disk leaves the runtime (syncs, rotation, records that are not in memory); meanwhile the next
//! batch collects in the queue. There is at most one sync of a table at a time. A submission that is
//! too much for one group lets what others wait for in between, but nothing of the task that waits
//! for it. The actor closes the table when it is told to, or when the last handle is gone; when the
//! table is dropped, it hands back the writes that are left.
//!
//! Where each write is synced before it is acknowledged, the whole actor goes to a thread that may
//! wait ([`commit`]).
//!
//! Next file to read: [`super::table`].

mod commit;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until};

use super::config::SyncPolicy;
use super::convert::demand_of;
use super::counts::Counts;
use super::pool::{Lost, Pool, Running};
use super::storage::backup::Pinned;
use super::storage::chore::Done;
use super::storage::disk::Lock;
use super::storage::error::StorageError;
use super::storage::reader::Access;
use super::storage::rotation::Demand;
use super::storage::writer::Sync;
use super::submission::Submission;
use super::turn::{Batch, Taken, Turn};
use crate::engine::{CompactSummary, EngineError, Write};

/// What a handle asks of the actor.
#[derive(Debug)]
pub(super) enum Message {
    /// Writes, answered together.
    Writes(Submission),
    /// Hold on to all that was written before this, for a backup.
    Pin(oneshot::Sender<Result<Pinned, EngineError>>),
    /// Free all that may go.
    Clear(oneshot::Sender<Result<CompactSummary, EngineError>>),
    /// Close the table; everything that was asked before comes first.
    Close(oneshot::Sender<Result<(), EngineError>>),
    /// The table is dropped: write nothing more, and hand back what is not carried out.
    Drop(oneshot::Sender<()>),
}

/// How the actor ends.
#[derive(Debug)]
enum Ending {
    Close(oneshot::Sender<Result<(), EngineError>>),
    Drop(oneshot::Sender<()>),
}

/// What all actors of an engine share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) policy: SyncPolicy,
    pub(super) most_write_bytes: usize,
    pub(super) counts: Arc<Counts>,
    pub(super) sync_pool: Pool,
    pub(super) read_pool: Pool,
    /// One thread: at most one chore of the whole engine at a time.
    pub(super) chore_pool: Pool,
    /// One thread: what changes the list of tables has its turn there, and however much of it is
    /// asked for, no sync of a write waits behind it.
    pub(super) catalog_pool: Pool,
}

/// The actor, but for its [`Turn`], which travels to the pools and back.
#[derive(Debug)]
pub(super) struct Actor {
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<Message>,
    received: Vec<Message>,
    queue: VecDeque<Submission>,
    pins: Vec<oneshot::Sender<Result<Pinned, EngineError>>>,
    /// Who wants the table cleared; it is the first one's turn.
    clearings: VecDeque<oneshot::Sender<Result<CompactSummary, EngineError>>>,
    ending: Option<Ending>,
    syncing: Option<Syncing>,
    /// A chore under way while the actor goes on.
    chore: Option<Running<Done>>,
    /// How long writes must still wait because room is short.
    owed: Duration,
    /// When to look again for what has expired.
    next_look: Instant,
    /// Since when something written is neither durable nor on its way.
    dirty_since: Option<Instant>,
    last_write: Instant,
    alarm: Pin<Box<Sleep>>,
    armed: bool,
    /// Notified with every batch that readers see: one uncontended lock if nobody waits.
    published: Arc<Notify>,
    /// Whether a thread that syncs waits for the next writes, and since when there is none.
    lingers: bool,
    left_at: std::time::Instant,
    lock: Arc<dyn Lock>,
}

/// A sync under way while the actor goes on.
#[derive(Debug)]
struct Syncing {
    started: Instant,
    done: Running<(Sync, Result<(), StorageError>)>,
}

/// Submissions that are carried out together.
#[derive(Debug)]
struct Submissions(Vec<Submission>);

/// What a group had no room for.
#[derive(Debug, Default)]
struct Leftover {
    /// The submission that the group has ended in.
    begun: Option<Submission>,
    /// Those behind it.
    untouched: Vec<Submission>,
}

impl Leftover {
    fn is_empty(&self) -> bool {
        self.begun.is_none() && self.untouched.is_empty()
    }
}

impl Batch for Submissions {
    fn submissions(&self) -> impl Iterator<Item = &[Write]> {
        self.0.iter().map(Submission::open)
    }
}

impl Actor {
    /// Starts the actor of a table on this runtime; writes go into the answer.
    pub(super) fn spawn(
        runtime: &tokio::runtime::Handle,
        shared: Arc<Shared>,
        turn: Turn,
        published: Arc<Notify>,
        lock: Arc<dyn Lock>,
    ) -> mpsc::Sender<Message> {
        let (sender, inbox) = mpsc::channel(QUEUE_SUBMISSIONS);
        let turn = Box::new(turn);
        runtime.spawn(async move {
            let now = Instant::now();
            let actor = Box::new(Self {
                shared,
                inbox,
                received: Vec::new(),
                queue: VecDeque::new(),
                pins: Vec::new(),
                clearings: VecDeque::new(),
                ending: None,
                syncing: None,
                chore: None,
                owed: Duration::ZERO,
                next_look: now + LOOK_AGAIN,
                dirty_since: None,
                last_write: now,
                alarm: Box::pin(sleep_until(now)),
                armed: false,
                published,
                lingers: true,
                left_at: std::time::Instant::now(),
                lock,
            });
            let stopped = turn.stopped();
            if actor.run(turn).await.is_err() {
                let _ = stopped.set("its writer panicked".to_owned());
                tracing::error!("a table's writer panicked; the table takes no more writes");
            }
        });
        sender
    }

    async fn run(mut self: Box<Self>, mut turn: Box<Turn>) -> Result<(), Lost> {
        self.begin_chore(&mut turn);
        loop {
            tokio::select! {
                // Writes may come without end: what must not wait for them stands first.
                biased;
                result = wait_sync(&mut self.syncing), if self.syncing.is_some() => {
                    self.end_sync(&mut turn, result?);
                }
                done = wait(&mut self.chore), if self.chore.is_some() => {
                    turn = self.end_chore(turn, done?).await?;
                }
                () = &mut self.alarm, if self.armed => self.ring(&mut turn),
                count = self.inbox.recv_many(&mut self.received, QUEUE_SUBMISSIONS),
                    if self.queue.is_empty() =>
                {
                    if count == 0 {
                        break;
                    }
                    self.sort_received();
                }
                () = std::future::ready(()), if !self.queue.is_empty() => {}
                () = std::future::ready(()), if turn.is_adopting() => {
                    tokio::task::yield_now().await;
                }
            }
            if !self.queue.is_empty() {
                let began = Instant::now();
                (self, turn) = match self.shared.policy {
                    SyncPolicy::Always => self.commit_away(turn).await?,
                    SyncPolicy::Interval(_) | SyncPolicy::Never => {
                        turn = self.batch(turn).await?;
                        (self, turn)
                    }
                };
                self.wait_for_room(&turn, began).await;
            }
            turn.adopt_more();
            // A pin need not wait for the end of what is long, as nobody has its answer yet.
            if self.queue.is_empty() || self.queue.iter().any(Submission::has_begun) {
                turn = self.pin(turn).await?;
            }
            if self.queue.is_empty() && self.ending.is_some() {
                break;
            }
            turn = self.clear(turn).await?;
            self.begin_chore(&mut turn);
        }
        self.end(turn).await
    }

    fn sort_received(&mut self) {
        for message in self.received.drain(..) {
            match (message, &self.ending) {
                (Message::Writes(submission), None) => self.queue.push_back(submission),
                (Message::Writes(submission), Some(Ending::Close(_))) => submission.refuse(),
                (Message::Writes(submission), Some(Ending::Drop(_))) => submission.hand_back(),
                (Message::Pin(reply), None) => self.pins.push(reply),
                (Message::Clear(reply), None) => self.clearings.push_back(reply),
                (Message::Close(reply), None) => self.ending = Some(Ending::Close(reply)),
                (Message::Drop(reply), None) => {
                    self.ending = Some(Ending::Drop(reply));
                    self.queue.drain(..).for_each(Submission::hand_back);
                }
                // The other end hears that this one is gone.
                (
                    Message::Pin(_) | Message::Clear(_) | Message::Close(_) | Message::Drop(_),
                    Some(_),
                ) => {}
            }
        }
    }

    /// Carries out the queue, and what comes meanwhile, on a thread that may wait for the disk.
    async fn commit_away(
        mut self: Box<Self>,
        mut turn: Box<Turn>,
    ) -> Result<(Box<Self>, Box<Turn>), Lost> {
        let batch = self.next_batch();
        let (shared, version) = (Arc::clone(&self.shared), turn.writer.version());
        let work = move || {
            let left = self.commit(&mut turn, batch);
            (self, turn, left)
        };
        let (mut actor, turn, left) = shared.sync_pool.run(work).await?;
        if turn.writer.version() != version {
            actor.last_write = Instant::now();
        }
        actor.put_back(left);
        if !actor.armed {
            actor.arm(&turn);
        }
        Ok((actor, turn))
    }

    /// Carries out as much of the queue as fits one group.
    async fn batch(&mut self, mut turn: Box<Turn>) -> Result<Box<Turn>, Lost> {
        self.hold_back(&mut turn).await?;
        let (mut batch, demand) = self.next_batch();
        let mut taken = Taken::Answered;
        let mut prepared = Ok(());
        if turn.needs_preparation(&demand) {
            self.await_sync(&mut turn).await?;
            let work = move || {
                let prepared = turn.prepare(&batch, &demand);
                (turn, batch, prepared)
            };
            (turn, batch, prepared) = self.shared.sync_pool.run(work).await?;
        }
        if prepared.is_ok() {
            taken = match demand.bytes > MAX_INLINE_BYTES {
                // Copying, checking and writing so much would hold up the runtime's thread.
                true => Taken::NotCached,
                false => turn.take(&batch, Access::Cached),
            };
        }
        if taken == Taken::NotCached {
            let work = move || {
                let taken = turn.take(&batch, Access::Wait);
                (turn, batch, taken)
            };
            (turn, batch, taken) = self.shared.read_pool.run(work).await?;
        }
        if taken == Taken::Written {
            self.after_write(&mut turn);
        }
        let left = self.answer(batch, &mut turn, taken);
        self.put_back(left);
        Ok(turn)
    }

    /// Answers a batch; the answer is what its group had no room for.
    fn answer(&self, batch: Submissions, turn: &mut Turn, taken: Taken) -> Leftover {
        let mut left = Leftover::default();
        let mut writes = 0;
        for (submission, results) in batch.0.into_iter().zip(turn.results()) {
            let is_untouched = results.is_empty();
            writes += results.len() as u64;
            match submission.answer(results) {
                Some(submission) if is_untouched => left.untouched.push(submission),
                unfinished => left.begun = left.begun.or(unfinished),
            }
        }
        if taken == Taken::Written {
            self.shared.counts.groups.add(writes, 1);
            // Not before the writers have their answers: there may be many who wait for changes.
            self.published.notify_waiters();
        }
        left
    }

    /// Puts what is left of a batch back to where its turn is.
    fn put_back(&mut self, left: Leftover) {
        left.untouched.into_iter().rev().for_each(|submission| self.queue.push_front(submission));
        if let Some(begun) = left.begun {
            self.give_way(begun);
        }
    }

    fn is_asked_for_more_than_writes(&self) -> bool {
        self.ending.is_some() || !self.pins.is_empty()
    }

    /// Puts a submission back behind all that others wait for by now, but before what its own task
    /// has handed in later.
    fn give_way(&mut self, begun: Submission) {
        while self.queue.len() + self.received.len() < QUEUE_SUBMISSIONS
            && let Ok(message) = self.inbox.try_recv()
        {
            self.received.push(message);
        }
        self.sort_received();
        if let Some(Ending::Drop(_)) = self.ending {
            return begun.hand_back();
        }
        let queued = std::mem::take(&mut self.queue).into_iter();
        let (own, mut others): (VecDeque<_>, VecDeque<_>) =
            queued.partition(|submission| submission.is_of_same_task(&begun));
        others.push_back(begun);
        others.extend(own);
        self.queue = others;
    }

    /// Has what was written so far pinned for those who have asked for it.
    async fn pin(&mut self, mut turn: Box<Turn>) -> Result<Box<Turn>, Lost> {
        for reply in std::mem::take(&mut self.pins) {
            self.await_sync(&mut turn).await?;
            let work = move || {
                let pinned = turn.pin();
                (turn, pinned)
            };
            let pinned;
            (turn, pinned) = self.shared.sync_pool.run(work).await?;
            // Nobody waits for an answer any more: that is normal.
            let _ = reply.send(pinned);
        }
        Ok(turn)
    }

    /// Ends the clearing under way once it is over, and begins the next one that is asked for.
    async fn clear(&mut self, mut turn: Box<Turn>) -> Result<Box<Turn>, Lost> {
        loop {
            if let Some(result) = turn.end_clearing() {
                self.answer_clearing(result);
            }
            let is_ready = self.chore.is_none() && !turn.is_clearing() && !turn.is_adopting();
            if self.clearings.is_empty() || !is_ready {
                return Ok(turn);
            }
            self.await_sync(&mut turn).await?;
            let work = move || {
                let begun = turn.begin_clearing();
                (turn, begun)
            };
            let begun;
            (turn, begun) = self.shared.sync_pool.run(work).await?;
            if let Err(error) = begun {
                self.answer_clearing(Err(error));
            }
        }
    }

    fn answer_clearing(&mut self, result: Result<CompactSummary, EngineError>) {
        if let Some(reply) = self.clearings.pop_front() {
            // Nobody waits for an answer any more: that is normal.
            let _ = reply.send(result);
        }
    }

    fn next_batch(&mut self) -> (Submissions, Demand) {
        let mut demand = Demand::default();
        let mut count = 0;
        for submission in &self.queue {
            let more = demand_of(submission.open());
            if count > 0
                && (demand.bytes + more.bytes > BATCH_BYTES
                    || demand.records + more.records > BATCH_RECORDS)
            {
                break;
            }
            demand.bytes += more.bytes;
            demand.records += more.records;
            demand.key_bytes += more.key_bytes;
            count += 1;
        }
        (Submissions(self.queue.drain(..count).collect()), demand)
    }

    /// Leaves time to a compaction that must free room, the more the less there is of it.
    async fn wait_for_room(&mut self, turn: &Turn, began: Instant) {
        if !turn.frees_room() {
            self.owed = Duration::ZERO;
            return;
        }
        // Below one: a part of the time is always left to writes.
        let crowding = u32::try_from(turn.crowding()).unwrap_or(u32::MAX).min(999);
        self.owed += began.elapsed() * crowding / (1000 - crowding);
        if self.owed >= LEAST_WAIT {
            tokio::time::sleep(std::mem::take(&mut self.owed).min(LONGEST_WAIT)).await;
        }
    }

    /// Publishes a written group, which will be synced in time.
    fn after_write(&mut self, turn: &mut Turn) {
        self.last_write = Instant::now();
        let mut needs_alarm = !self.armed;
        if let SyncPolicy::Interval(_) = self.shared.policy
            && self.dirty_since.is_none()
        {
            self.dirty_since = Some(self.last_write);
            needs_alarm = true;
        }
        turn.settle();
        if needs_alarm {
            self.arm(turn);
        }
    }

    fn run_sync(&self, sync: Sync) -> Running<(Sync, Result<(), StorageError>)> {
        let counts = Arc::clone(&self.shared.counts);
        self.shared.sync_pool.run(move || {
            let result = counts.sync(|| sync.run());
            (sync, result)
        })
    }

    /// Waits for a sync that is late, so that no more than the policy says is at stake.
    async fn hold_back(&mut self, turn: &mut Turn) -> Result<(), Lost> {
        match (self.shared.policy, &self.syncing) {
            (SyncPolicy::Interval(interval), Some(syncing))
                if syncing.started.elapsed() >= interval =>
            {
                self.await_sync(turn).await
            }
            _ => Ok(()),
        }
    }

    /// Waits for the sync under way, if there is one.
    async fn await_sync(&mut self, turn: &mut Turn) -> Result<(), Lost> {
        if self.syncing.is_some() {
            let result = wait_sync(&mut self.syncing).await?;
            self.end_sync(turn, result);
        }
        Ok(())
    }

    fn begin_sync(&mut self, turn: &Turn) {
        self.dirty_since = None;
        let done = self.run_sync(turn.sync());
        self.syncing = Some(Syncing { started: Instant::now(), done });
    }

    /// Begins what can be done beside the batches, unless something is under way.
    fn begin_chore(&mut self, turn: &mut Turn) {
        if self.chore.is_some() {
            return;
        }
        self.chore = turn.next_chore().map(|chore| {
            // The chore outlives an actor whose runtime goes away.
            let (lock, counts) = (Arc::clone(&self.lock), Arc::clone(&self.shared.counts));
            self.shared.chore_pool.run(move || {
                let done = counts.run(chore);
                drop(lock);
                done
            })
        });
    }

    async fn end_chore(&mut self, mut turn: Box<Turn>, done: Done) -> Result<Box<Turn>, Lost> {
        self.chore = None;
        self.await_sync(&mut turn).await?;
        let work = move || {
            turn.chore_done(done);
            turn
        };
        self.shared.sync_pool.run(work).await
    }

    fn end_sync(&mut self, turn: &mut Turn, (sync, result): (Sync, Result<(), StorageError>)) {
        self.syncing = None;
        if turn.synced(&sync, result) {
            self.arm(turn);
        } else {
            self.dirty_since = None;
        }
    }

    /// The alarm: sync what is due, and say what is durable once the table is idle.
    fn ring(&mut self, turn: &mut Turn) {
        self.armed = false;
        let now = Instant::now();
        if self.sync_due().is_some_and(|due| due <= now) {
            self.begin_sync(turn);
        } else if turn.has_undeclared() && self.last_write + IDLE <= now && self.syncing.is_none() {
            turn.declare_durable();
            turn.idle();
            // Without room for it, the next attempt can wait.
            self.last_write = if turn.has_undeclared() { now + TRY_AGAIN } else { now };
        }
        if self.next_look <= now {
            self.next_look = now + LOOK_AGAIN;
            if turn.may_expire() {
                turn.idle();
            }
        }
        self.arm(turn);
    }

    /// When the next sync is to begin, under [`SyncPolicy::Interval`].
    fn sync_due(&self) -> Option<Instant> {
        match (self.shared.policy, self.dirty_since, &self.syncing) {
            (SyncPolicy::Interval(interval), Some(since), None) => Some(since + interval),
            _ => None,
        }
    }

    /// Sets the alarm to what is due next, if anything is.
    fn arm(&mut self, turn: &Turn) {
        let declaration = (turn.has_undeclared() && self.syncing.is_none())
            .then(|| (self.last_write + IDLE).max(Instant::now()));
        let look = turn.may_expire().then_some(self.next_look);
        let due = [self.sync_due(), declaration, look].into_iter().flatten().min();
        self.armed = due.is_some();
        if let Some(due) = due {
            self.alarm.as_mut().reset(due);
        }
    }

    async fn end(mut self: Box<Self>, turn: Box<Turn>) -> Result<(), Lost> {
        self.inbox.close();
        while let Ok(message) = self.inbox.try_recv() {
            self.received.push(message);
        }
        // From here on nothing is carried out.
        self.sort_received();
        match self.ending.take() {
            Some(Ending::Drop(reply)) => self.leave(turn, reply).await,
            Some(Ending::Close(reply)) => self.close(turn, Some(reply)).await,
            None => self.close(turn, None).await,
        }
    }

    async fn close(
        mut self: Box<Self>,
        mut turn: Box<Turn>,
        reply: Option<oneshot::Sender<Result<(), EngineError>>>,
    ) -> Result<(), Lost> {
        self.await_sync(&mut turn).await?;
        if self.chore.is_some() {
            turn.cancel_chore();
            let done = wait(&mut self.chore).await?;
            turn = self.end_chore(turn, done).await?;
        }
        let result = self.shared.sync_pool.run(move || turn.close()).await?;
        if let Err(error) = &result {
            tracing::warn!(%error, "a table was not closed cleanly; opening will repair it");
        }
        // Whoever hears that the table is closed may open the folder again.
        drop(self);
        if let Some(reply) = reply {
            // Nobody waits for an answer any more: that is normal.
            let _ = reply.send(result);
        }
        Ok(())
    }

    /// Waits for what is under way, and leaves the files as they are.
    async fn leave(
        mut self: Box<Self>,
        turn: Box<Turn>,
        reply: oneshot::Sender<()>,
    ) -> Result<(), Lost> {
        if self.syncing.is_some() {
            // How it ends does not matter any more.
            let _ = wait_sync(&mut self.syncing).await?;
        }
        if self.chore.is_some() {
            turn.cancel_chore();
            drop(wait(&mut self.chore).await?);
        }
        drop(turn);
        drop(self);
        // Nobody waits for an answer any more: that is normal.
        let _ = reply.send(());
        Ok(())
    }
}

/// The end of the sync under way; never, if there is none.
async fn wait_sync(
    syncing: &mut Option<Syncing>,
) -> Result<(Sync, Result<(), StorageError>), Lost> {
    match syncing {
        Some(syncing) => (&mut syncing.done).await,
        None => std::future::pending().await,
    }
}

/// The end of a job under way; never, if there is none.
async fn wait<T>(running: &mut Option<Running<T>>) -> Result<T, Lost> {
    match running {
        Some(running) => running.await,
        None => std::future::pending().await,
    }
}

/// How many submissions may wait for a table; more wait in their callers.
const QUEUE_SUBMISSIONS: usize = 256;
/// A group takes no more submissions from this size on.
const BATCH_BYTES: u64 = 4 << 20;
const BATCH_RECORDS: u64 = 16 * 1024;
/// A larger group is written by a thread of the pool: that takes longer than going there.
const MAX_INLINE_BYTES: u64 = 1 << 20;
/// When what found no room is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How often a table is looked through for what has expired.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The timer knows no shorter waits, and a write waits no longer at once.
const LEAST_WAIT: Duration = Duration::from_millis(2);
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// How long a table is quiet before a commit says what is durable.
const IDLE: Duration = Duration::from_millis(50);
