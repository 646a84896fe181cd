//! A table's handle: reads go straight to storage, writes to the table's actor.
//!
//! Next file to read: [`super::opening`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use kvsd::{TableName, UnixMillis, Version};
use tokio::sync::{Notify, mpsc, oneshot};

use super::actor::{Actor, Message, Shared};
use super::clock::Clock;
use super::convert::{change_page, in_table, page_request, record, scan_page};
use super::storage::backup::Pinned;
use super::storage::disk::Lock;
use super::storage::history::{History, HistoryRequest};
use super::storage::reader::{Access, Hit, ReadError, Reader};
use super::storage::record::NEVER;
use super::storage::writer::Writer;
use super::submission::{Answer, HandedIn, Submission};
use super::turn::Turn;
use crate::engine::{
    Changes, CompactSummary, EngineError, Found, Head, PageLimits, Position, ReadNow, Record, Scan,
    ScanPage, TableStatistics, Write,
};

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    name: TableName,
    reader: Arc<Reader>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    actor: mpsc::Sender<Message>,
    stopped: Arc<OnceLock<String>>,
    dropped: AtomicBool,
    published: Arc<Notify>,
}

impl Table {
    /// Puts an open table to work: starts its actor on this runtime.
    pub(super) fn start(
        runtime: &tokio::runtime::Handle,
        shared: &Arc<Shared>,
        name: &TableName,
        clock: &Arc<dyn Clock>,
        (writer, lock): (Writer, Arc<dyn Lock>),
    ) -> Self {
        let reader = Arc::clone(writer.reader());
        let most = shared.most_write_bytes;
        let turn = Turn::new(name.clone(), Arc::clone(clock), writer, most);
        let published = Arc::new(Notify::new());
        Self {
            name: name.clone(),
            reader,
            clock: Arc::clone(clock),
            shared: Arc::clone(shared),
            stopped: turn.stopped(),
            dropped: AtomicBool::new(false),
            actor: Actor::spawn(runtime, Arc::clone(shared), turn, Arc::clone(&published), lock),
            published,
        }
    }

    /// The time that expiry goes by: never below one that the table has recorded.
    pub(super) fn time(&self) -> UnixMillis {
        time(&self.reader, &*self.clock)
    }

    /// Has the processor fetch what [`Table::read_now`] will look at for these keys.
    pub(super) fn look_ahead<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        self.reader.look_ahead(keys);
    }

    /// Reads a key from what is in memory.
    pub(super) fn read_now<'b>(&self, key: &[u8], buffer: &'b mut Vec<u8>) -> ReadNow<'b> {
        if self.is_dropped() {
            return ReadNow::Ready(Ok(None));
        }
        let hit = match self.reader.find(key, buffer, Access::Cached) {
            Ok(Some(hit)) if is_live(&hit, &self.reader, &*self.clock) => hit,
            Ok(_) => return ReadNow::Ready(Ok(None)),
            Err(ReadError::NotCached) => return ReadNow::WouldBlock,
            Err(ReadError::Storage(_)) if self.is_dropped() => return ReadNow::Ready(Ok(None)),
            Err(ReadError::Storage(error)) => {
                return ReadNow::Ready(Err(in_table(&self.name, &error)));
            }
        };
        let value = buffer.get(hit.value).unwrap_or_default();
        ReadNow::Ready(Ok(Version::new(hit.version).map(|version| Found {
            version,
            expires_at: UnixMillis::new(hit.expires),
            value,
        })))
    }

    /// Reads a key, from the disk if need be.
    pub(super) async fn read(&self, key: &[u8]) -> Result<Option<Record>, EngineError> {
        let key = Bytes::copy_from_slice(key);
        let reader = Arc::clone(&self.reader);
        let clock = Arc::clone(&self.clock);
        let read = move || {
            let mut buffer = Vec::new();
            let hit = reader.find(&key, &mut buffer, Access::Wait)?;
            let live = hit.filter(|hit| is_live(hit, &reader, &*clock));
            Ok(live.and_then(|hit| {
                let value = Bytes::from(buffer).slice(hit.value);
                record(hit.version, hit.expires, value)
            }))
        };
        match self.shared.read_pool.ask(read).await {
            _ if self.is_dropped() => Ok(None),
            Ok(Ok(record)) => Ok(record),
            Ok(Err(ReadError::Storage(error))) => Err(in_table(&self.name, &error)),
            Ok(Err(ReadError::NotCached)) | Err(_) => Err(self.no_answer()),
        }
    }

    /// Finds a key's record in what is in memory, and leaves its value alone.
    pub(super) fn find_now(
        &self,
        key: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Option<Result<Option<Head>, EngineError>> {
        if self.is_dropped() {
            return Some(Ok(None));
        }
        match self.reader.find_key(key, buffer, Access::Cached) {
            Ok(hit) => Some(Ok(live_head(hit, &self.reader, &*self.clock))),
            Err(ReadError::NotCached) => None,
            Err(ReadError::Storage(_)) if self.is_dropped() => Some(Ok(None)),
            Err(ReadError::Storage(error)) => Some(Err(in_table(&self.name, &error))),
        }
    }

    /// Finds a key's record, on the disk if need be, and leaves its value alone.
    pub(super) async fn find(&self, key: &[u8]) -> Result<Option<Head>, EngineError> {
        let key = Bytes::copy_from_slice(key);
        let reader = Arc::clone(&self.reader);
        let clock = Arc::clone(&self.clock);
        let find = move || {
            let hit = reader.find_key(&key, &mut Vec::new(), Access::Wait)?;
            Ok(live_head(hit, &reader, &*clock))
        };
        match self.shared.read_pool.ask(find).await {
            _ if self.is_dropped() => Ok(None),
            Ok(Ok(head)) => Ok(head),
            Ok(Err(ReadError::Storage(error))) => Err(in_table(&self.name, &error)),
            Ok(Err(ReadError::NotCached)) | Err(_) => Err(self.no_answer()),
        }
    }

    /// Reads a page in the order of keys.
    pub(super) async fn scan(&self, scan: &Scan) -> Result<ScanPage, EngineError> {
        if self.is_dropped() {
            return Ok(ScanPage::default());
        }
        let scan = scan.clone();
        let reader = Arc::clone(&self.reader);
        let now = self.time().get();
        let read = move || reader.page(&page_request(&scan, now)).map(scan_page);
        match self.shared.read_pool.ask(read).await {
            Ok(Err(_)) if self.is_dropped() => Ok(ScanPage::default()),
            Ok(page) => page.map_err(|error| in_table(&self.name, &error)),
            Err(_) => Err(self.no_answer()),
        }
    }

    /// Reads what has changed since a position.
    pub(super) async fn changes(
        &self,
        since: Position,
        limits: PageLimits,
    ) -> Result<Changes, EngineError> {
        let incarnation = self.reader.incarnation();
        let now = || Position { incarnation: Some(incarnation), version: self.reader.version() };
        if since.incarnation.is_some_and(|since| since != incarnation) {
            return Ok(Changes::Gap { now: now() });
        }
        let reader = Arc::clone(&self.reader);
        let request = HistoryRequest {
            since: since.version,
            changes: limits.records,
            bytes: limits.bytes,
            most_write_bytes: self.shared.most_write_bytes,
        };
        match self.shared.read_pool.ask(move || reader.history(&request)).await {
            Ok(Ok(History::Changes(page))) => Ok(Changes::Page(change_page(page, incarnation))),
            Ok(Ok(History::Gap)) => Ok(Changes::Gap { now: now() }),
            Ok(Err(_)) if self.is_dropped() => Ok(Changes::Gap { now: now() }),
            Ok(Err(error)) => Err(in_table(&self.name, &error)),
            Err(_) => Err(self.no_answer()),
        }
    }

    /// Whether [`Table::changes`] has something to tell behind a position.
    pub(super) fn has_changed(&self, since: Position) -> bool {
        let is_other = since.incarnation.is_some_and(|since| since != self.reader.incarnation());
        is_other || self.reader.version() != since.version || self.is_dropped()
    }

    /// Notifies when readers see more, and when the table is dropped.
    pub(super) fn published(&self) -> &Arc<Notify> {
        &self.published
    }

    fn no_answer(&self) -> EngineError {
        EngineError::Io {
            context: format!("cannot read from table {}", self.name),
            cause: "the reading thread gave no answer".into(),
        }
    }

    /// Has the actor carry out writes.
    #[cfg(test)]
    pub(super) async fn write(&self, writes: Vec<Write>) -> Answer {
        self.hand_in(writes).await.answer().await
    }

    /// Puts writes into the actor's queue, which is where their order comes from.
    pub(super) async fn hand_in(&self, writes: Vec<Write>) -> HandedIn {
        let count = writes.len();
        let Ok(place) = self.actor.reserve().await else {
            // The actor has ended.
            let error = match self.stopped.get() {
                _ if self.is_dropped() => {
                    return HandedIn::Answered(Answer { results: Vec::new(), left: writes });
                }
                Some(cause) => {
                    let table = self.name.to_string();
                    EngineError::ReadOnly { table, cause: cause.clone() }
                }
                None => EngineError::Closed,
            };
            return HandedIn::Answered(Answer::all(&error, count));
        };
        let (reply, answer) = oneshot::channel();
        place.send(Message::Writes(Submission::new(writes, reply)));
        HandedIn::Queued { answer, count }
    }

    /// Holds on to all that was written before, for a backup; `None` if the table is dropped.
    pub(super) async fn pin(&self) -> Result<Option<Pinned>, EngineError> {
        let (reply, answer) = oneshot::channel();
        // If the actor has ended, the answer says so.
        let _ = self.actor.send(Message::Pin(reply)).await;
        let pinned = answer.await;
        match (pinned, self.stopped.get()) {
            _ if self.is_dropped() => Ok(None),
            (Ok(pinned), _) => pinned.map(Some),
            (Err(_), Some(cause)) => {
                let table = self.name.to_string();
                Err(EngineError::ReadOnly { table, cause: cause.clone() })
            }
            (Err(_), None) => Err(EngineError::Closed),
        }
    }

    /// Frees all that may go; `None` if the table is dropped.
    pub(super) async fn clear(&self) -> Result<Option<CompactSummary>, EngineError> {
        let (reply, answer) = oneshot::channel();
        // If the actor has ended, the answer says so.
        let _ = self.actor.send(Message::Clear(reply)).await;
        let cleared = answer.await;
        match (cleared, self.stopped.get()) {
            _ if self.is_dropped() => Ok(None),
            (Ok(cleared), _) => cleared.map(Some),
            (Err(_), Some(cause)) => {
                let table = self.name.to_string();
                Err(EngineError::ReadOnly { table, cause: cause.clone() })
            }
            (Err(_), None) => Err(EngineError::Closed),
        }
    }

    /// How much the table holds.
    pub(super) fn statistics(&self) -> TableStatistics {
        let figures = self.reader.figures();
        TableStatistics {
            keys: self.reader.keys(),
            live_bytes: figures.live_bytes,
            dead_bytes: figures.dead_bytes,
            segments: figures.segments,
            disk_bytes: figures.disk_bytes,
            last_version: Version::new(figures.last_version),
            incarnation: self.reader.incarnation(),
            stopped: self.stopped.get().cloned(),
        }
    }

    /// How much memory says where its records are, in bytes.
    pub(super) fn index_bytes(&self) -> u64 {
        self.reader.index_bytes()
    }

    /// How many submissions wait for the actor.
    pub(super) fn queued(&self) -> u64 {
        (self.actor.max_capacity() - self.actor.capacity()) as u64
    }

    /// The version of the last write that readers see.
    pub(super) fn last_version(&self) -> u64 {
        self.reader.figures().last_version
    }

    /// Lets the table take no more writes, and says why.
    pub(super) fn stop(&self, cause: String) {
        tracing::error!(table = %self.name, %cause, "the table takes no more writes");
        // The first cause stands.
        let _ = self.stopped.set(cause);
    }

    /// From now on readers find nothing here.
    pub(super) fn mark_dropped(&self) {
        self.dropped.store(true, Ordering::Release);
    }

    fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }

    /// Ends the actor of a table that is marked as dropped. Once this returns nothing is written
    /// any more.
    pub(super) async fn leave(&self) {
        let (reply, answer) = oneshot::channel();
        if self.actor.send(Message::Drop(reply)).await.is_ok() {
            // Without an answer it has ended as well.
            let _ = answer.await;
        }
    }

    /// Closes the table; writes from now on are refused.
    pub(super) async fn close(&self) -> Result<(), EngineError> {
        let (reply, answer) = oneshot::channel();
        if self.actor.send(Message::Close(reply)).await.is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Err(EngineError::Closed))
    }
}

/// What was found, if it has not ended.
fn live_head(hit: Option<Hit>, reader: &Reader, clock: &dyn Clock) -> Option<Head> {
    let hit = hit.filter(|hit| is_live(hit, reader, clock))?;
    let version = Version::new(hit.version)?;
    Some(Head { version, expires_at: UnixMillis::new(hit.expires) })
}

fn is_live(hit: &Hit, reader: &Reader, clock: &dyn Clock) -> bool {
    // The clock is asked only where it matters.
    hit.expires == NEVER || hit.expires > time(reader, clock).get()
}

fn time(reader: &Reader, clock: &dyn Clock) -> UnixMillis {
    let now = clock.now();
    // What is recorded was a clock's reading once.
    UnixMillis::new(reader.time()).map_or(now, |recorded| recorded.max(now))
}
