//! Watches: what has changed in a table since a position, or what will before the wait is over.
//!
//! A watch that waits costs no polling and counts for little: it holds nothing but itself. Only
//! [`MAX_READING`] of a session's watches at a time hold changes that were read, from the reading
//! up to their way out of the session. Next file to read: `tables`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
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
use crate::engine::{ChangePage, Changed, Changes, Engine, EngineError, PageLimits, Position};

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
    seen: Arc<Seen>,
    /// Answers that are written for the client and not yet on their way.
    told: Vec<Told>,
}

/// What ends a watch before its time, what lets it read, and what others have read.
#[derive(Debug)]
pub(super) struct Place {
    ended: oneshot::Receiver<()>,
    reading: Arc<Semaphore>,
    seen: Arc<Seen>,
}

/// What a watch of the session has read last: a write wakes all watches of its table, and the
/// others need not read it again.
#[derive(Debug, Default)]
struct Seen(Mutex<Option<SeenPage>>);

#[derive(Debug)]
struct SeenPage {
    table: String,
    since: Position,
    page: Arc<ChangePage>,
}

/// What a watch has found.
enum Look {
    Page(Arc<ChangePage>),
    Gap { now: Position },
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
        let mut silent_bytes = 0;
        loop {
            // The semaphore is never closed.
            let told = Arc::clone(&place.reading).acquire_owned().await.ok().map(Told);
            let page = match place.look(&*engine, &table, since).await {
                Ok(Look::Page(page)) => page,
                Ok(Look::Gap { now }) => return (Answer::Gap { now }, told),
                Err(error) => return (error.into(), told),
            };
            match select.fit(&page, message_bytes) {
                Fit::Nothing => {}
                Fit::UpTo(until) => return (Answer::News { page, until, select }, told),
                // Nothing is left out silently: what a batch has changed is told as a whole.
                Fit::TooLarge => return (Answer::Gap { now: page.until() }, told),
            }
            since = page.until();
            silent_bytes += page.iter().map(|change| bytes_of(&change)).sum::<usize>();
            drop((told, page));
            // Whoever is far behind learns how far it has come, and goes on from there: what lies
            // behind it may take longer to read than anybody waits.
            let is_over = silent_bytes >= MAX_SILENT_BYTES || Instant::now() >= deadline;
            if is_over || !place.waits(&*engine, &table, since, deadline).await {
                let page = Arc::new(ChangePage::empty(since));
                return (Answer::News { page, until: since, select }, None);
            }
        }
    }
}

impl Place {
    /// Reads what has changed, unless another watch of the session just has.
    async fn look(
        &self,
        engine: &dyn Engine,
        table: &str,
        since: Position,
    ) -> Result<Look, EngineError> {
        if let Some(page) = self.seen.get(table, since) {
            return Ok(Look::Page(page));
        }
        match engine.changes(table, since, LIMITS).await? {
            Changes::Page(page) => {
                let page = Arc::new(page);
                self.seen.put(table, since, &page);
                Ok(Look::Page(page))
            }
            Changes::Gap { now } => Ok(Look::Gap { now }),
        }
    }

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
            () = engine.changed(table, since) => true,
            () = sleep_until(deadline) => false,
        }
    }
}

impl Seen {
    fn get(&self, table: &str, since: Position) -> Option<Arc<ChangePage>> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.as_ref().filter(|last| last.since == since && last.table == table)?;
        Some(Arc::clone(&last.page))
    }

    /// Keeps what is small and stays true.
    fn put(&self, table: &str, since: Position, page: &Arc<ChangePage>) {
        let bytes = page.iter().map(|change| bytes_of(&change)).sum();
        // Behind an empty page there may be something any time, and under a name another table.
        if since.incarnation.is_none() || !(1..=MAX_SEEN_BYTES).contains(&bytes) {
            return;
        }
        let last = SeenPage { table: table.to_owned(), since, page: Arc::clone(page) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
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

    /// How much of a page goes into a message of at most so many bytes.
    fn fit(&self, page: &ChangePage, message_bytes: usize) -> Fit {
        let (mut bytes, mut before, mut last) = (0, None, None);
        for change in page.iter().filter(|change| self.takes(change.key)) {
            if last != Some(change.version) {
                (before, last) = (last, Some(change.version));
            }
            bytes += bytes_of(&change);
            if bytes > message_bytes {
                return before.map_or(Fit::TooLarge, |version: Version| {
                    Fit::UpTo(Position { version: version.get(), ..page.until() })
                });
            }
        }
        if last.is_some() { Fit::UpTo(page.until()) } else { Fit::Nothing }
    }
}

/// What of a page goes into a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// None of its changes is asked for.
    Nothing,
    /// What was written up to there.
    UpTo(Position),
    /// Not even the first write.
    TooLarge,
}

/// How many bytes of a message a change takes.
fn bytes_of(change: &Changed<'_>) -> usize {
    change.key.len() + change.value.map_or(0, <[u8]>::len) + BESIDE_CHANGE_BYTES
}

impl Watches {
    pub(super) fn new() -> Self {
        let reading = Arc::new(Semaphore::new(MAX_READING));
        Self { count: 0, waits: HashMap::new(), reading, seen: Arc::default(), told: Vec::new() }
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
        Ok(Place { ended, reading: Arc::clone(&self.reading), seen: Arc::clone(&self.seen) })
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
        if self.count == 0 {
            self.seen.forget();
            // Room for a thousand is not for a session that watches nothing.
            self.waits = HashMap::new();
        }
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
            Answer::News { page: Arc::new(ChangePage::empty(until)), until, select }
        }
        Err(error) => error.into(),
    }
}

const LIMITS: PageLimits = PageLimits { records: MAX_PAGE, bytes: ANSWER_BYTES };
/// The most watches of a session.
pub(in crate::session) const MAX_WATCHES: usize = 1024;
/// The most watches of a session that hold changes.
const MAX_READING: usize = 8;
/// The most that is kept of what watches read, in bytes.
const MAX_SEEN_BYTES: usize = 16 * 1024;
/// How much one watch reads that is not about it before it tells how far it has come, in bytes.
const MAX_SILENT_BYTES: usize = 4 * 1024 * 1024;
/// At most what a change takes in a message beside its key and value.
const BESIDE_CHANGE_BYTES: usize = 96;
