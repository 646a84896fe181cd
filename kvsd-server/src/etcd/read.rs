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
use super::error::Fault;
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

/// A read that waits.
#[derive(Debug)]
struct Asked {
    table: Arc<str>,
    key: Bytes,
    deadline: Instant,
    answer: oneshot::Sender<Answer>,
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
        let deadline = self.link.deadline();
        let waiting = match freshness {
            Freshness::Latest => &self.latest,
            Freshness::Stale => &self.stale,
        };
        let (answer, answered) = oneshot::channel();
        let asked =
            Asked { table: table.into(), key: Bytes::copy_from_slice(key), deadline, answer };
        let read = async {
            waiting.send(asked).await.map_err(|_| EngineError::Closed)?;
            answered.await.map_err(|_| EngineError::Closed)?
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
    /// Answers reads, all of one moment where nothing forbids it.
    async fn answer(&self, mut asked: Vec<Asked>) {
        let mut tables: HashMap<Arc<str>, Option<TableRef>> = HashMap::new();
        let mut most = MOST_READS;
        while !asked.is_empty() {
            asked.retain(|asked| !asked.answer.is_closed());
            let Some(deadline) = asked.iter().map(|asked| asked.deadline).max() else {
                return;
            };
            // An answer that was too long is asked for in halves.
            let mut batch = asked.split_off(asked.len().saturating_sub(most));
            if let Err(error) = self.find_tables(&batch, &mut tables).await {
                refuse(batch, &error);
                continue;
            }
            if Instant::now() >= deadline {
                refuse(batch, &late());
                continue;
            }
            match self.ask(&batch, &tables, deadline).await {
                Ok(found) => self.tell(&mut batch, found, &mut tables),
                Err(Failed { fault: Fault::LongAnswer, .. }) if batch.len() > 1 => {
                    most = batch.len().div_ceil(2);
                }
                Err(failed) => {
                    refuse(batch, &failed.fault.into());
                    continue;
                }
            }
            asked.append(&mut batch);
        }
    }

    /// Finds out which table each name stands for, where that is not known.
    async fn find_tables(
        &self,
        asked: &[Asked],
        tables: &mut HashMap<Arc<str>, Option<TableRef>>,
    ) -> Result<(), EngineError> {
        for name in asked.iter().map(|asked| &asked.table) {
            if !tables.contains_key(name) {
                let found = self.directory.find(name, self.freshness).await;
                tables.insert(Arc::clone(name), found.map_err(|failed| failed.fault)?);
            }
        }
        Ok(())
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
        let records = asked.iter().map(|asked| {
            let id = tables.get(&asked.table).copied().flatten().map_or(0, |table| table.id);
            self.layout.record(id, &asked.key)
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
            let kv = ranges.next().and_then(|mut range| range.kvs.pop());
            if moved.contains(&one.table) {
                asked.push(one);
                continue;
            }
            let answer = match (foreign.get(&one.table), kv) {
                (Some(error), _) => Err(error.clone()),
                (None, None) => Ok(None),
                (None, Some(mut kv)) => {
                    reply::record_of(&one.table, &mut kv).map(|(version, record)| {
                        let is_live = !record.has_ended(now);
                        let (expires_at, value) = (record.expires_at, record.value);
                        is_live.then_some(Record { version, expires_at, value })
                    })
                }
            };
            // Whoever asked may be gone.
            let _ = one.answer.send(answer);
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
        let _ = asked.answer.send(Err(error.clone()));
    }
}

fn late() -> EngineError {
    EngineError::Unavailable { reason: "etcd has not answered in time".to_owned() }
}

/// How many reads go into a transaction: with a table for each, as many as etcd takes.
const MOST_READS: usize = 64;
/// How many transactions are under way at once: the fewer, the more reads share one.
const AT_ONCE: usize = 2;
/// How many reads wait before others wait to wait.
const QUEUED: usize = 4096;
