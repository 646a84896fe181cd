//! A table's handle: reads go straight to storage, writes to the table's actor.
//!
//! Next file to read: [`super::tables`].

use std::sync::Arc;

use bytes::Bytes;
use kvsd::{TableName, UnixMillis, Version};
use tokio::sync::{mpsc, oneshot};

use super::actor::{Actor, Message, Shared, Submission};
use super::clock::Clock;
use super::convert::{change_page, in_table, page_request, record, scan_page};
use super::storage::disk::Lock;
use super::storage::history::{History, HistoryRequest};
use super::storage::reader::{Access, Hit, ReadError, Reader};
use super::storage::record::NEVER;
use super::storage::writer::Writer;
use super::turn::Turn;
use crate::engine::{
    Changes, EngineError, Found, PageLimits, Position, ReadNow, Record, Scan, ScanPage, Write,
    WriteResult,
};

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    name: TableName,
    reader: Arc<Reader>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    actor: mpsc::Sender<Message>,
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
        let turn = Turn::new(name.clone(), Arc::clone(clock), writer);
        Self {
            name: name.clone(),
            reader,
            clock: Arc::clone(clock),
            shared: Arc::clone(shared),
            actor: Actor::spawn(runtime, Arc::clone(shared), turn, lock),
        }
    }

    /// Reads a key from what is in memory.
    pub(super) fn read_now<'b>(&self, key: &[u8], buffer: &'b mut Vec<u8>) -> ReadNow<'b> {
        let hit = match self.reader.find(key, buffer, Access::Cached) {
            Ok(Some(hit)) if is_live(&hit, &self.reader, &*self.clock) => hit,
            Ok(_) => return ReadNow::Ready(Ok(None)),
            Err(ReadError::NotCached) => return ReadNow::WouldBlock,
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
        match self.shared.read_pool.run(read).await {
            Ok(Ok(record)) => Ok(record),
            Ok(Err(ReadError::Storage(error))) => Err(in_table(&self.name, &error)),
            Ok(Err(ReadError::NotCached)) | Err(_) => Err(self.no_answer()),
        }
    }

    /// Reads a page in the order of keys.
    pub(super) async fn scan(&self, scan: &Scan) -> Result<ScanPage, EngineError> {
        let scan = scan.clone();
        let reader = Arc::clone(&self.reader);
        let now = reader.time().max(self.clock.now().get());
        let read = move || reader.page(&page_request(&scan, now)).map(scan_page);
        match self.shared.read_pool.run(read).await {
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
        let request =
            HistoryRequest { since: since.version, changes: limits.records, bytes: limits.bytes };
        match self.shared.read_pool.run(move || reader.history(&request)).await {
            Ok(Ok(History::Changes(page))) => Ok(Changes::Page(change_page(page, incarnation))),
            Ok(Ok(History::Gap)) => Ok(Changes::Gap { now: now() }),
            Ok(Err(error)) => Err(in_table(&self.name, &error)),
            Err(_) => Err(self.no_answer()),
        }
    }

    fn no_answer(&self) -> EngineError {
        EngineError::Io {
            context: format!("cannot read from table {}", self.name),
            cause: "the reading thread gave no answer".into(),
        }
    }

    /// Has the actor carry out writes.
    pub(super) async fn write(&self, writes: Vec<Write>) -> Vec<WriteResult> {
        let count = writes.len();
        let (reply, answer) = oneshot::channel();
        let submission = Submission { writes, reply };
        if self.actor.send(Message::Writes(submission)).await.is_err() {
            return vec![Err(EngineError::Closed); count];
        }
        // The actor answers whatever it gets; without an answer it has panicked, or its runtime
        // is gone.
        answer.await.unwrap_or_else(|_| {
            let cause = "the table's writer has stopped".to_owned();
            vec![Err(EngineError::UnknownOutcome { cause }); count]
        })
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

fn is_live(hit: &Hit, reader: &Reader, clock: &dyn Clock) -> bool {
    // The clock is asked only where it matters.
    hit.expires == NEVER || hit.expires > reader.time().max(clock.now().get())
}
