//! Point reads: what waits is asked for together.
//!
//! Two tasks, one for reads of the latest and one for those that may be stale, take what waits and
//! ask etcd with one transaction, a few of them at a time: so many tasks that read cost etcd and us
//! few calls, and a task that is alone waits for nobody. Each transaction also reads the keys of the
//! tables that it names; where one is not the table that was thought, its reads are asked again.
//! Next file to read: `scan`.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use etcd_client::{GetOptions, TxnOp};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::directory::{Directory, TableRef};
use super::layout::Layout;
use super::link::{Ask, Failed, Link};
use super::reply::{self, Found};
use crate::engine::{EngineError, Freshness, Record};
use crate::log::Clock;

/// Hands reads to the tasks, which end with it.
#[derive(Debug)]
pub(crate) struct Reader {
    link: Arc<Link>,
    latest: mpsc::Sender<Asked>,
    stale: mpsc::Sender<Asked>,
}

/// Reads that wait for one moment: keys of a table, at most [`MOST_READS`].
#[derive(Debug)]
struct Asked {
    table: Arc<str>,
    keys: Vec<Bytes>,
    deadline: Instant,
    answer: oneshot::Sender<Vec<Answer>>,
}

type Answer = Result<Option<Record>, EngineError>;

/// What the reads of one freshness share.
#[derive(Debug)]
struct Shared {
    link: Arc<Link>,
    layout: Layout,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    freshness: Freshness,
    turns: Arc<Semaphore>,
}

impl Reader {
    /// Starts the tasks.
    pub(crate) fn start(
        link: &Arc<Link>,
        layout: &Layout,
        directory: &Arc<Directory>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let start = |freshness| {
            let (asked, incoming) = mpsc::channel(QUEUED);
            let shared = Shared {
                link: Arc::clone(link),
                layout: layout.clone(),
                directory: Arc::clone(directory),
                clock: Arc::clone(clock),
                freshness,
                turns: Arc::new(Semaphore::new(AT_ONCE)),
            };
            tokio::spawn(take(Arc::new(shared), incoming));
            asked
        };
        let (latest, stale) = (start(Freshness::Latest), start(Freshness::Stale));
        Self { link: Arc::clone(link), latest, stale }
    }

    /// As [`crate::engine::Engine::read`].
    pub(crate) async fn read(&self, table: &str, key: &[u8], freshness: Freshness) -> Answer {
        let keys = vec![Bytes::copy_from_slice(key)];
        let found = self.ask(table, keys, freshness).await?;
        found.into_iter().next().unwrap_or(Err(EngineError::Closed))
    }

    /// As [`crate::engine::Engine::read_several`]: [`MOST_READS`] at a time are of one moment.
    pub(crate) async fn read_several(
        &self,
        table: &str,
        keys: &[Bytes],
        freshness: Freshness,
    ) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(keys.len());
        for keys in keys.chunks(MOST_READS) {
            match self.ask(table, keys.to_vec(), freshness).await {
                Ok(found) => answers.extend(found),
                Err(error) => answers.extend(keys.iter().map(|_| Err(error.clone()))),
            }
        }
        answers
    }

    async fn ask(
        &self,
        table: &str,
        keys: Vec<Bytes>,
        freshness: Freshness,
    ) -> Result<Vec<Answer>, EngineError> {
        let deadline = self.link.deadline();
        let waiting = match freshness {
            Freshness::Latest => &self.latest,
            Freshness::Stale => &self.stale,
        };
        let (answer, answered) = oneshot::channel();
        let asked = Asked { table: table.into(), keys, deadline, answer };
        let read = async {
            waiting.send(asked).await.map_err(|_| EngineError::Closed)?;
            answered.await.map_err(|_| EngineError::Closed)
        };
        timeout_at(deadline, read).await.unwrap_or_else(|_| Err(late()))
    }
}

/// Takes what waits, as often as there is a turn for it, until the reader is dropped.
async fn take(shared: Arc<Shared>, mut incoming: mpsc::Receiver<Asked>) {
    loop {
        let Ok(turn) = Arc::clone(&shared.turns).acquire_owned().await else {
            return;
        };
        let mut asked = Vec::new();
        if incoming.recv_many(&mut asked, MOST_READS).await == 0 {
            return;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            shared.answer(asked).await;
            drop(turn);
        });
    }
}

impl Shared {
    /// Answers reads, with as few transactions as they fit into.
    async fn answer(&self, mut asked: Vec<Asked>) {
        let mut tables: HashMap<Arc<str>, Option<TableRef>> = HashMap::new();
        while !asked.is_empty() {
            asked.retain(|asked| !asked.answer.is_closed());
            let mut room = MOST_READS;
            let fits = asked.iter().take_while(|asked| {
                let fits = asked.keys.len() <= room;
                room = room.saturating_sub(asked.keys.len());
                fits
            });
            let fits = fits.count();
            let mut batch: Vec<_> = asked.drain(..fits).collect();
            let Some(deadline) = batch.iter().map(|asked| asked.deadline).max() else {
                continue;
            };
            if Instant::now() >= deadline {
                refuse(batch, &late());
                continue;
            }
            for name in batch.iter().map(|asked| &asked.table) {
                let guess = || self.directory.guess(name);
                tables.entry(Arc::clone(name)).or_insert_with(guess);
            }
            match self.ask(&batch, &tables, deadline).await {
                Ok(found) => self.tell(&mut batch, found, &mut tables),
                Err(failed) => {
                    refuse(batch, &failed.fault.into());
                    continue;
                }
            }
            // Those whose table was another one.
            asked.append(&mut batch);
        }
    }

    /// Reads the tables' keys, in the order of their first reads, and then the records.
    async fn ask(
        &self,
        asked: &[Asked],
        tables: &HashMap<Arc<str>, Option<TableRef>>,
        deadline: Instant,
    ) -> Result<Found, Failed> {
        let ask = self.freshness.ask();
        let options = match ask {
            Ask::Led => None,
            Ask::Any => Some(GetOptions::new().with_serializable()),
        };
        let names = names_of(asked);
        let keys = names.iter().map(|name| self.layout.table(name));
        let records = asked.iter().flat_map(|asked| {
            let id = tables.get(&asked.table).copied().flatten().map_or(0, |table| table.id);
            asked.keys.iter().map(move |key| self.layout.record(id, key))
        });
        let gets = keys.chain(records).map(|key| TxnOp::get(key, options.clone())).collect();
        reply::read(&self.link, deadline, ask, gets).await
    }

    /// Answers the reads of the tables that were what they were thought to be. The others are left.
    fn tell(
        &self,
        asked: &mut Vec<Asked>,
        found: Found,
        tables: &mut HashMap<Arc<str>, Option<TableRef>>,
    ) {
        let now = self.clock.now();
        let mut ranges = found.ranges.into_iter();
        let mut moved: Vec<Arc<str>> = Vec::new();
        let mut foreign: HashMap<Arc<str>, EngineError> = HashMap::new();
        for name in names_of(asked) {
            let range = ranges.next();
            let kv = range.as_ref().and_then(|range| range.kvs.first());
            match reply::table_of(&name, kv) {
                Ok(table) if tables.get(&name) == Some(&table) => {}
                Ok(table) => {
                    if self.freshness == Freshness::Latest {
                        self.directory.learn(&name, table);
                    }
                    tables.insert(Arc::clone(&name), table);
                    moved.push(name);
                }
                Err(error) => {
                    foreign.insert(name, error);
                }
            }
        }
        for one in std::mem::take(asked) {
            let kvs = ranges.by_ref().take(one.keys.len()).map(|mut range| range.kvs.pop());
            if moved.contains(&one.table) {
                kvs.for_each(drop);
                asked.push(one);
                continue;
            }
            let answers = kvs.map(|kv| match (foreign.get(&one.table), kv) {
                (Some(error), _) => Err(error.clone()),
                (None, None) => Ok(None),
                (None, Some(mut kv)) => {
                    reply::record_of(&one.table, &mut kv).map(|(version, record)| {
                        let is_live = !record.has_ended(now);
                        let (expires_at, value) = (record.expires_at, record.value);
                        is_live.then_some(Record { version, expires_at, value })
                    })
                }
            });
            // Whoever asked may be gone.
            let _ = one.answer.send(answers.collect());
        }
    }
}

/// The tables that reads name, each once.
fn names_of(asked: &[Asked]) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for asked in asked {
        if !names.contains(&asked.table) {
            names.push(Arc::clone(&asked.table));
        }
    }
    names
}

fn refuse(asked: Vec<Asked>, error: &EngineError) {
    for asked in asked {
        // Whoever asked may be gone.
        let _ = asked.answer.send(asked.keys.iter().map(|_| Err(error.clone())).collect());
    }
}

fn late() -> EngineError {
    EngineError::Unavailable { reason: "etcd has not answered in time".to_owned() }
}

/// How many reads go into a transaction: with a table for each, as many as etcd takes, and if all are
/// as large as can be, half of what an answer may hold.
pub(super) const MOST_READS: usize = 64;
/// How many transactions are under way at once: the fewer, the more reads share one.
const AT_ONCE: usize = 2;
/// How many reads wait before others wait to wait.
const QUEUED: usize = 4096;
