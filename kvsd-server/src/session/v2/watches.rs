//! Watches: what has changed in a table since a position, or what will before the wait is over.
//!
//! A watch that waits costs no polling and counts for little: it holds nothing but itself. Only
//! [`MAX_READING`] of a session's watches at a time hold changes that were read, from the reading up
//! to their way out of the session. Next file to read: `tables`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvsd::Version;
use kvsd::protocol::v2::{
    self, ANSWER_BYTES, FailCode, MAX_PAGE, MAX_WAIT_MILLIS, RequestId, Select,
};
use kvsd::types::check_key;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep_until};

use super::answer::Answer;
use super::rules::{check_part, check_table};
use crate::engine::{ChangePage, Changes, Engine, PageLimits, Position};

/// A watch that breaks no rule.
#[derive(Debug)]
pub(super) struct TableWatch {
    table: String,
    since: Option<Position>,
    wait: Duration,
    select: Selected,
}

/// Which keys a watch is about.
#[derive(Debug)]
pub(super) enum Selected {
    All,
    Key(Bytes),
    Prefix(Bytes),
}

/// The watches of a session.
#[derive(Debug)]
pub(super) struct Watches {
    /// How many there are.
    count: usize,
    /// Dropping one ends the wait of its watch.
    waits: HashMap<RequestId, oneshot::Sender<()>>,
    reading: Arc<Semaphore>,
    /// Answers that are written for the client and not yet on their way.
    told: Vec<Told>,
}

/// What ends a watch before its time, and what lets it read.
#[derive(Debug)]
pub(super) struct Place {
    ended: oneshot::Receiver<()>,
    reading: Arc<Semaphore>,
}

/// Leave to hold changes, given back once they are on their way.
#[derive(Debug)]
pub(super) struct Told(
    #[expect(dead_code, reason = "dropping it is its use")] OwnedSemaphorePermit,
);

impl TableWatch {
    /// Checks a watch.
    pub(super) fn check(asked: &v2::Watch<'_>) -> Result<Self, String> {
        check_table(asked.table)?;
        let select = match asked.select {
            Select::All => Selected::All,
            Select::Key(key) => {
                check_key(key).map_err(|error| error.to_string())?;
                Selected::Key(Bytes::copy_from_slice(key))
            }
            Select::Prefix(prefix) => {
                check_part("the start of a key", prefix)?;
                Selected::Prefix(Bytes::copy_from_slice(prefix))
            }
        };
        let since = asked.since.map(|since| {
            let v2::Position { incarnation, version } = since;
            Position { incarnation, version }
        });
        let wait = Duration::from_millis(asked.wait_millis.min(MAX_WAIT_MILLIS));
        Ok(Self { table: asked.table.to_owned(), since, wait, select })
    }

    /// Waits for a change, and tells of it in a message of at most so many bytes.
    pub(super) async fn run(
        self,
        engine: Arc<dyn Engine>,
        mut place: Place,
        message_bytes: usize,
    ) -> (Answer, Option<Told>) {
        let Self { table, since, wait, select } = self;
        let Some(mut since) = since else {
            return (position_now(&*engine, &table, select).await, None);
        };
        let deadline = Instant::now() + wait;
        loop {
            // The semaphore is never closed.
            let told = Arc::clone(&place.reading).acquire_owned().await.ok().map(Told);
            let page = match engine.changes(&table, since, LIMITS).await {
                Ok(Changes::Page(page)) => page,
                Ok(Changes::Gap { now }) => return (Answer::Gap { now }, told),
                Err(error) => return (error.into(), told),
            };
            match select.bytes_of(&page) {
                0 => {}
                bytes if bytes > message_bytes => {
                    // Nothing is left out silently: what a batch has changed is told as a whole.
                    return (Answer::Gap { now: page.until() }, told);
                }
                _ => return (Answer::News { page, select }, told),
            }
            drop(told);
            let goes_on = match page.until() == since {
                true => place.waits(&*engine, &table, since, deadline).await,
                // There may be more behind it.
                false => !place.is_ended(),
            };
            since = page.until();
            if !goes_on {
                return (Answer::News { page: ChangePage::empty(since), select }, None);
            }
        }
    }
}

impl Place {
    /// Waits for a change; `false` if there is none before the watch ends.
    async fn waits(
        &mut self,
        engine: &dyn Engine,
        table: &str,
        since: Position,
        deadline: Instant,
    ) -> bool {
        tokio::select! {
            biased;
            _ = &mut self.ended => false,
            () = sleep_until(deadline) => false,
            () = engine.changed(table, since) => true,
        }
    }

    fn is_ended(&mut self) -> bool {
        !matches!(self.ended.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}

impl Selected {
    pub(super) fn takes(&self, key: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Key(wanted) => wanted == key,
            Self::Prefix(prefix) => key.starts_with(prefix),
        }
    }

    /// How many bytes of a message the changes take that are asked for; 0 if there are none.
    fn bytes_of(&self, page: &ChangePage) -> usize {
        let changes = page.iter().filter(|change| self.takes(change.key));
        let bytes = changes.map(|change| {
            change.key.len() + change.value.map_or(0, <[u8]>::len) + BESIDE_CHANGE_BYTES
        });
        bytes.sum()
    }
}

impl Watches {
    pub(super) fn new() -> Self {
        let reading = Arc::new(Semaphore::new(MAX_READING));
        Self { count: 0, waits: HashMap::new(), reading, told: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes a watch on; the refusal if there are too many.
    pub(super) fn begin(&mut self, id: RequestId) -> Result<Place, Answer> {
        if self.count == MAX_WATCHES {
            let message = format!(
                "a connection has at most {MAX_WATCHES} watches that wait; cancel one, or open \
                 another connection"
            );
            return Err(Answer::Fail { code: FailCode::Busy, message });
        }
        let (wait, ended) = oneshot::channel();
        self.count += 1;
        // Should the id be in use, which it must not, then the other watch ends here.
        self.waits.insert(id, wait);
        Ok(Place { ended, reading: Arc::clone(&self.reading) })
    }

    /// Ends the wait of one watch, if it does wait.
    pub(super) fn cancel(&mut self, id: RequestId) {
        self.waits.remove(&id);
    }

    /// Ends all waits.
    pub(super) fn cancel_all(&mut self) {
        self.waits.clear();
    }

    /// Takes note of an answer.
    pub(super) fn end(&mut self, id: RequestId, told: Option<Told>) {
        self.count -= 1;
        self.waits.remove(&id);
        self.told.extend(told);
    }

    /// The answers so far are on their way.
    pub(super) fn forget_told(&mut self) {
        self.told.clear();
    }
}

/// Where the table is, and nothing else.
async fn position_now(engine: &dyn Engine, table: &str, select: Selected) -> Answer {
    match engine.table_statistics(table).await {
        Ok(statistics) => {
            let until = Position {
                incarnation: statistics.as_ref().map(|table| table.incarnation),
                version: statistics.and_then(|table| table.last_version).map_or(0, Version::get),
            };
            Answer::News { page: ChangePage::empty(until), select }
        }
        Err(error) => error.into(),
    }
}

const LIMITS: PageLimits = PageLimits { records: MAX_PAGE, bytes: ANSWER_BYTES };
/// The most watches of a session.
const MAX_WATCHES: usize = 1024;
/// The most watches of a session that hold changes.
const MAX_READING: usize = 8;
/// At most what a change takes in a message beside its key and value.
const BESIDE_CHANGE_BYTES: usize = 96;
