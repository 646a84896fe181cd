//! The clients: what they do, and what they note of it. Next file: [`super::watchers`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kvsd::{Client, Entry, Error, ErrorKind, Outcome, Version};
use tokio::time::sleep;

use crate::history::register::{Action, Came, Condition, Seen};
use crate::history::{History, Operation, counter, snapshot};
use crate::random::Random;

/// What all clients of a run share.
#[derive(Debug)]
pub(super) struct Run {
    begun: Instant,
    stopped: AtomicBool,
    /// The value of the next write: each has one of its own.
    next_value: AtomicU64,
}

impl Default for Run {
    fn default() -> Self {
        let (stopped, next_value) = (AtomicBool::new(false), AtomicU64::new(1));
        Self { begun: Instant::now(), stopped, next_value }
    }
}

impl Run {
    /// Lets every client end what it does.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap()
    }
}

/// What one client saw.
#[derive(Debug)]
pub(super) struct Journal {
    client: usize,
    run: Arc<Run>,
    pub(super) history: History,
    /// The versions that it saw last, to write on condition of them.
    versions: HashMap<String, Option<Version>>,
}

/// Works until the run is stopped; the journal.
pub(super) async fn work(mut journal: Journal, client: Client, seed: u64) -> Journal {
    let mut random = Random::new(seed);
    while !journal.run.stopped.load(Ordering::Relaxed) {
        let done = journal.one(&client, &mut random).await;
        if done.is_err() {
            // As any program would: a server that is away is not asked in a busy loop.
            sleep(Duration::from_millis(random.below(50))).await;
        }
    }
    journal
}

impl Journal {
    pub(super) fn new(client: usize, run: Arc<Run>) -> Self {
        Self { client, run, history: History::default(), versions: HashMap::new() }
    }

    async fn one(&mut self, client: &Client, random: &mut Random) -> Result<(), Error> {
        let register = register(random.below(REGISTERS));
        let counter = counter(random.below(COUNTERS));
        let group = group(random.below(GROUPS));
        match random.below(100) {
            0..30 => self.read(client, &register).await,
            30..45 => self.write(client, &register, Intent::Always).await,
            45..60 => self.write(client, &register, Intent::AsSeen).await,
            60..66 => self.take(client, &register).await,
            66..76 => self.increment(client, &counter).await,
            76..80 => self.read_counter(client, &counter).await,
            80..86 => self.write_group(client, &group, Intent::Always).await,
            86..90 => self.write_group(client, &group, Intent::AsSeen).await,
            _ => self.read_group(client, &group).await,
        }
    }

    /// Reads every key: what there is in the end.
    pub(super) async fn read_everything(&mut self, client: &Client) {
        for register in (0..REGISTERS).map(register) {
            at_last(async || self.read(client, &register).await).await;
        }
        for counter in (0..COUNTERS).map(counter) {
            at_last(async || self.read_counter(client, &counter).await).await;
        }
        for group in (0..GROUPS).map(group) {
            at_last(async || self.read_group(client, &group).await).await;
        }
    }

    /// Makes the last change there is.
    pub(super) async fn mark_the_end(&mut self, client: &Client) {
        at_last(async || self.write(client, LAST, Intent::Always).await).await;
    }

    async fn read(&mut self, client: &Client, key: &str) -> Result<(), Error> {
        let called = self.run.now();
        let read = client.get::<u64>(key).versioned().await?;
        self.versions.insert(key.into(), read.as_ref().map(|it| it.version));
        let saw = read.map(|it| Seen { value: it.value, version: it.version.get() });
        self.note(key, called, Answer::Came, Action::Read { saw });
        Ok(())
    }

    async fn write(&mut self, client: &Client, key: &str, intent: Intent) -> Result<(), Error> {
        let value = self.next_value();
        let (condition, seen) = self.condition(key, intent);
        let set = client.set(key, value);
        let set = match condition {
            Condition::Any => set,
            Condition::Absent => set.if_absent(),
            Condition::Version(_) => set.if_version(seen.expect("a version was seen")),
        };
        let called = self.run.now();
        let written = set.await.map(Some);
        self.note_write(key, called, value, condition, written)
    }

    async fn take(&mut self, client: &Client, key: &str) -> Result<(), Error> {
        let called = self.run.now();
        match client.take::<u64>(key).await {
            Ok(took) => {
                self.versions.insert(key.into(), None);
                self.note(key, called, Answer::Came, Action::Take { took: Some(took) });
                Ok(())
            }
            Err(error) => {
                if is_unknown(&error) {
                    self.note(key, called, Answer::Missing, Action::Take { took: None });
                }
                Err(error)
            }
        }
    }

    async fn increment(&mut self, client: &Client, key: &str) -> Result<(), Error> {
        let called = self.run.now();
        match client.increment(key, 1).await {
            Ok(now) => {
                let action = counter::Action::Increment { now: Some(now) };
                self.note_counter(key, called, Answer::Came, action);
                Ok(())
            }
            Err(error) => {
                if is_unknown(&error) {
                    let action = counter::Action::Increment { now: None };
                    self.note_counter(key, called, Answer::Missing, action);
                }
                Err(error)
            }
        }
    }

    async fn read_counter(&mut self, client: &Client, key: &str) -> Result<(), Error> {
        let called = self.run.now();
        let saw = client.get::<i64>(key).await?;
        self.note_counter(key, called, Answer::Came, counter::Action::Read { saw });
        Ok(())
    }

    async fn write_group(
        &mut self,
        client: &Client,
        group: &str,
        intent: Intent,
    ) -> Result<(), Error> {
        let value = self.next_value();
        let (condition, seen) = self.condition(group, intent);
        let mut batch = client.batch();
        for member in 0..GROUP_KEYS {
            batch = batch.set(member_key(group, member), value);
            // One condition binds all of them.
            batch = match condition {
                Condition::Absent if member == 0 => batch.if_absent(),
                Condition::Version(_) if member == 0 => batch.if_version(seen.unwrap()),
                Condition::Any | Condition::Absent | Condition::Version(_) => batch,
            };
        }
        let called = self.run.now();
        let written = batch.await.map(|batched| batched.version);
        self.note_write(group, called, value, condition, written)
    }

    async fn read_group(&mut self, client: &Client, group: &str) -> Result<(), Error> {
        let called = self.run.now();
        // Several pages, which must show one moment.
        let mut scan = client.scan::<u64>(format!("{group}/")).page_size(3);
        let mut records = Vec::new();
        while let Some(entry) = scan.next().await {
            let Entry { value, version, .. } = entry?;
            records.push(Seen { value, version: version.get() });
        }
        let saw = snapshot::of(GROUP_KEYS, &records)
            .unwrap_or_else(|violation| panic!("{group}: {violation}"));
        let version = saw.map(|saw| Version::new(saw.version).expect("it was a version"));
        self.versions.insert(group.into(), version);
        self.note(group, called, Answer::Came, Action::Read { saw });
        Ok(())
    }

    fn next_value(&self) -> u64 {
        self.run.next_value.fetch_add(1, Ordering::Relaxed)
    }

    /// On what a write insists, and the version that it names.
    fn condition(&self, key: &str, intent: Intent) -> (Condition, Option<Version>) {
        match (intent, self.versions.get(key)) {
            (Intent::AsSeen, Some(Some(version))) => {
                (Condition::Version(version.get()), Some(*version))
            }
            (Intent::AsSeen, Some(None)) => (Condition::Absent, None),
            (Intent::AsSeen, None) | (Intent::Always, _) => (Condition::Any, None),
        }
    }

    fn note_write(
        &mut self,
        key: &str,
        called: u64,
        value: u64,
        condition: Condition,
        written: Result<Option<Version>, Error>,
    ) -> Result<(), Error> {
        let mut note = |answer, came| {
            self.note(key, called, answer, Action::Write { value, condition, came });
        };
        match written {
            Ok(version) => {
                let version = version.expect("a write that was done has a version");
                note(Answer::Came, Came::Written { version: version.get() });
                self.versions.insert(key.into(), Some(version));
                Ok(())
            }
            Err(error) => match error.kind() {
                ErrorKind::Conflict { current } => {
                    let told = current.map(Version::get);
                    note(Answer::Came, Came::Conflict { current: told });
                    self.versions.insert(key.into(), current);
                    Ok(())
                }
                _ => {
                    if is_unknown(&error) {
                        note(Answer::Missing, Came::Unknown);
                    }
                    Err(error)
                }
            },
        }
    }

    fn note(&mut self, key: &str, called: u64, answer: Answer, action: Action) {
        let answered = self.answered(answer);
        let operation = Operation { client: self.client, called, answered, action };
        self.history.registers.entry(key.into()).or_default().push(operation);
    }

    fn note_counter(&mut self, key: &str, called: u64, answer: Answer, action: counter::Action) {
        let answered = self.answered(answer);
        let operation = Operation { client: self.client, called, answered, action };
        self.history.counters.entry(key.into()).or_default().push(operation);
    }

    fn answered(&self, answer: Answer) -> Option<u64> {
        match answer {
            Answer::Came => Some(self.run.now()),
            Answer::Missing => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Intent {
    Always,
    /// Only if the record is as this client saw it last.
    AsSeen,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Came,
    Missing,
}

/// Tries until it succeeds: nothing fails any more.
async fn at_last(mut operation: impl AsyncFnMut() -> Result<(), Error>) {
    let begun = Instant::now();
    while let Err(error) = operation().await {
        assert!(begun.elapsed() < PATIENCE, "with all faults over: {error:#}");
    }
}

/// Whether a write that failed may have been done. What cannot happen here is a failure of the test.
fn is_unknown(error: &Error) -> bool {
    let expected = error.is_retryable()
        || matches!(
            error.kind(),
            ErrorKind::Timeout
                | ErrorKind::ConnectionLost
                | ErrorKind::Connect
                | ErrorKind::Server(_)
        );
    assert!(expected, "{error:#}");
    match error.outcome() {
        Outcome::NotSent | Outcome::Refused => false,
        Outcome::Unknown => true,
        Outcome::Done | Outcome::Partly => panic!("no operation here ends so: {error:#}"),
    }
}

/// Whether an operation is a write that was acknowledged.
pub(super) fn is_written(operation: &Operation<Action>) -> bool {
    matches!(operation.action, Action::Write { came: Came::Written { .. }, .. })
}

pub(super) fn register(number: u64) -> String {
    format!("r/{number}")
}

pub(super) fn counter(number: u64) -> String {
    format!("c/{number}")
}

pub(super) fn group(number: u64) -> String {
    format!("g/{number}")
}

fn member_key(group: &str, member: usize) -> String {
    format!("{group}/{member}")
}

pub(super) const REGISTERS: u64 = 6;
pub(super) const COUNTERS: u64 = 2;
pub(super) const GROUPS: u64 = 2;

/// How long operations may fail after the last fault.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many keys a group has.
pub(super) const GROUP_KEYS: usize = 4;

/// The register that is written last, once.
pub(super) const LAST: &str = "r/last";
