//! One task in the storm: an operation after the other, each to its end, or dropped on the way.
//!
//! A new operation of the client becomes an [`Arm`]: a name, and what its answer must be.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kvsd::{Client, Error, Versioned};
use tokio::time::timeout;

use crate::ledger::{Fate, Ledger};
use crate::own_key::{Lingering, OwnKey};
use crate::random::Random;
use crate::value::{number_of, value};

pub(crate) struct Worker {
    pub(crate) client: Client,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) random: Random,
    pub(crate) task: u64,
    pub(crate) sea: Sea,
    own: OwnKey,
    generation: u64,
}

/// Whether anything may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sea {
    Calm,
    Rough,
}

#[derive(Debug, Clone, Copy)]
enum Arm {
    Get,
    Versioned,
    Exists,
    Set,
    SetIfVersion,
    SetIfAbsent,
    Delete,
    Take,
}

const ARMS: [Arm; 12] = [
    Arm::Get,
    Arm::Get,
    Arm::Versioned,
    Arm::Versioned,
    Arm::Exists,
    Arm::Set,
    Arm::Set,
    Arm::Set,
    Arm::SetIfVersion,
    Arm::SetIfAbsent,
    Arm::Delete,
    Arm::Take,
];

/// How an operation ended.
enum End<T> {
    Done(T),
    Failed(Fate),
    /// Its future was dropped before it was ready.
    Dropped,
}

/// How long an operation's future is kept.
enum Leash {
    ToItsEnd,
    Polls(u64),
    Time(Duration),
}

/// The deadline of most operations.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3);
/// How far past its deadline an operation may end before it counts as hanging: the machine may be
/// busy with anything.
pub(crate) const GRACE: Duration = Duration::from_secs(30);
/// The keys that all tasks write.
const SHARED_KEYS: u64 = 100;

impl Worker {
    pub(crate) fn new(
        client: Client,
        ledger: Arc<Ledger>,
        random: Random,
        task: u64,
        sea: Sea,
    ) -> Self {
        let own = OwnKey::new(format!("own/{task}/0"));
        Self { client, ledger, random, task, sea, own, generation: 0 }
    }

    pub(crate) async fn step(&mut self) {
        let arm = self.random.pick(&ARMS);
        self.ledger.operation();
        self.ledger.count(format!("{arm:?}"));
        if self.random.one_in(2) {
            self.on_shared_key(arm).await;
        } else {
            self.on_own_key(arm).await;
            if self.own.uncertainty() > 2 {
                self.change_key().await;
            }
        }
    }

    /// Anyone may have written or removed it: a value must be whole and the key's.
    async fn on_shared_key(&mut self, arm: Arm) {
        let key = format!("shared/{}", self.random.below(SHARED_KEYS));
        let client = self.client.clone();
        match arm {
            Arm::Get => {
                let end = self.run(arm, None, |t| client.get::<Vec<u8>>(&key).timeout(t)).await;
                if let End::Done(Some(value)) = end {
                    self.ledger.saw(number_of(&key, &value));
                }
            }
            Arm::Versioned => {
                let get = |t| client.get::<Vec<u8>>(&key).versioned().timeout(t);
                if let End::Done(Some(read)) = self.run(arm, None, get).await {
                    self.ledger.saw(number_of(&key, &read.value));
                }
            }
            Arm::Exists => {
                self.run(arm, None, |t| client.exists(&key).timeout(t)).await;
            }
            Arm::Set => {
                let (number, value) = self.new_value(&key);
                self.run(arm, Some(number), |t| client.set(&key, &value).timeout(t)).await;
            }
            Arm::SetIfAbsent => {
                let (number, value) = self.new_value(&key);
                let set = |t| client.set(&key, &value).if_absent().timeout(t);
                self.run(arm, Some(number), set).await;
            }
            Arm::SetIfVersion => {
                let get = |t| client.get::<Vec<u8>>(&key).versioned().timeout(t);
                let End::Done(Some(read)) = self.run(Arm::Versioned, None, get).await else {
                    return;
                };
                self.ledger.saw(number_of(&key, &read.value));
                let (number, value) = self.new_value(&key);
                let set = |t| client.set(&key, &value).if_version(read.version).timeout(t);
                self.run(arm, Some(number), set).await;
            }
            Arm::Delete => {
                self.run(arm, None, |t| client.delete(&key).timeout(t)).await;
            }
            Arm::Take => {
                let end = self.run(arm, None, |t| client.take::<Vec<u8>>(&key).timeout(t)).await;
                if let End::Done(Some(value)) = end {
                    self.ledger.took(number_of(&key, &value));
                }
            }
        }
    }

    /// Nobody else writes it: what is acknowledged stays until this task changes it.
    async fn on_own_key(&mut self, arm: Arm) {
        let key = self.own.name.clone();
        let client = self.client.clone();
        match arm {
            Arm::Get => {
                let end = self.run(arm, None, |t| client.get::<Vec<u8>>(&key).timeout(t)).await;
                if let End::Done(read) = end {
                    self.saw(read, None);
                }
            }
            Arm::Versioned => {
                let get = |t| client.get::<Vec<u8>>(&key).versioned().timeout(t);
                if let End::Done(read) = self.run(arm, None, get).await {
                    match read {
                        Some(Versioned { version, value, .. }) => {
                            self.saw(Some(value), Some(version));
                        }
                        None => self.saw(None, None),
                    }
                }
            }
            Arm::Exists => {
                let end = self.run(arm, None, |t| client.exists(&key).timeout(t)).await;
                if let (End::Done(exists), true) = (end, self.own.is_certain()) {
                    assert_eq!(exists, self.own.exists(), "{key}");
                }
            }
            Arm::Set => {
                let (number, value) = self.new_value(&key);
                match self.run(arm, Some(number), |t| client.set(&key, &value).timeout(t)).await {
                    End::Done(version) => self.own.was_set(number, version),
                    end => self.perhaps(&end, Lingering::Set(number)),
                }
            }
            Arm::SetIfAbsent => {
                let (number, value) = self.new_value(&key);
                let must_hold = self.own.is_certain().then(|| !self.own.exists());
                let set = |t| client.set(&key, &value).if_absent().timeout(t);
                let end = self.run(arm, Some(number), set).await;
                self.after_condition(number, must_hold, end);
            }
            Arm::SetIfVersion => {
                let Some(version) = self.own.version() else { return };
                let (number, value) = self.new_value(&key);
                let must_hold = self.own.is_certain().then_some(true);
                let set = |t| client.set(&key, &value).if_version(version).timeout(t);
                let end = self.run(arm, Some(number), set).await;
                self.after_condition(number, must_hold, end);
            }
            Arm::Delete => match self.run(arm, None, |t| client.delete(&key).timeout(t)).await {
                End::Done(existed) => {
                    if self.own.is_certain() {
                        assert_eq!(existed, self.own.exists(), "{key}");
                    }
                    self.own.was_removed();
                }
                end => self.perhaps(&end, Lingering::Delete),
            },
            Arm::Take => {
                match self.run(arm, None, |t| client.take::<Vec<u8>>(&key).timeout(t)).await {
                    End::Done(taken) => {
                        if let Some(taken) = &taken {
                            self.ledger.took(number_of(&key, taken));
                        }
                        self.saw(taken, None);
                        self.own.was_removed();
                    }
                    end => self.perhaps(&end, Lingering::Delete),
                }
            }
        }
    }

    /// A conditional set has ended; `must_hold` is what its condition must come to, if that is known.
    fn after_condition(&mut self, number: u64, must_hold: Option<bool>, end: End<kvsd::Version>) {
        match end {
            End::Done(version) => {
                assert_ne!(must_hold, Some(false), "{}: a condition held", self.own.name);
                self.own.was_set(number, version);
            }
            end => self.perhaps(&end, Lingering::Set(number)),
        }
    }

    fn saw(&mut self, read: Option<Vec<u8>>, version: Option<kvsd::Version>) {
        let number = read.map(|value| number_of(&self.own.name, &value));
        number.into_iter().for_each(|number| self.ledger.saw(number));
        self.own.saw(&self.ledger, number, version);
    }

    /// A write without an answer.
    fn perhaps<T>(&mut self, end: &End<T>, what: Lingering) {
        match end {
            End::Failed(Fate::Perhaps) | End::Dropped => self.own.lingers(what),
            End::Failed(Fate::Never) | End::Done(_) => {}
        }
    }

    /// Reads the key at last, once its past has become too unclear for sharp checks, and leaves it.
    async fn change_key(&mut self) {
        let key = self.own.name.clone();
        let read = loop {
            match self.client.get::<Vec<u8>>(&key).await {
                Ok(read) => break read,
                Err(error) => drop(self.ledger.failed("Get", None, &error)),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        self.saw(read, None);
        // Whether this is carried out matters to nobody.
        if let Err(error) = self.client.delete(&key).await {
            self.ledger.failed("Delete", None, &error);
        }
        self.generation += 1;
        self.own = OwnKey::new(format!("own/{}/{}", self.task, self.generation));
    }

    /// Checks the task's own key through a client without storm.
    pub(crate) async fn check(&mut self, witness: &Client) {
        let read = witness.get::<Vec<u8>>(&self.own.name).await.unwrap();
        self.saw(read, None);
    }

    /// A new write's number and value: mostly short, sometimes in parts, seldom up to 1 MiB.
    fn new_value(&mut self, key: &str) -> (u64, Vec<u8>) {
        let number = self.ledger.new_write();
        let length = match self.random.below(200) {
            0 => {
                self.ledger.count("large values");
                100 * 1024 + self.random.below(924 * 1024)
            }
            1..10 => self.random.below(100 * 1024),
            _ => self.random.below(300),
        };
        (number, value(key, number, usize::try_from(length).unwrap()))
    }

    async fn run<T, F>(
        &mut self,
        arm: Arm,
        number: Option<u64>,
        operation: impl FnOnce(Duration) -> F,
    ) -> End<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let limit = match self.random.below(10) {
            0 if self.sea == Sea::Rough => self.random.millis(1, 50),
            _ => TIMEOUT,
        };
        let leash = match self.random.below(8) {
            0 => Leash::Polls(self.random.below(4)),
            1 => Leash::Time(Duration::from_micros(self.random.below(20_000))),
            _ => Leash::ToItsEnd,
        };
        let result = timeout(limit + GRACE, lead(operation(limit), leash));
        let result = result.await.unwrap_or_else(|_| panic!("{arm:?} outlived its deadline"));
        match result {
            Some(Ok(output)) => End::Done(output),
            Some(Err(error)) => {
                let is_fine = self.sea == Sea::Rough || error.is_conflict();
                assert!(is_fine, "{arm:?} failed in calm sea: {error}");
                End::Failed(self.ledger.failed(&format!("{arm:?}"), number, &error))
            }
            None => {
                self.ledger.count("dropped");
                End::Dropped
            }
        }
    }
}

/// Polls `future` until it is ready or its leash ends; then it is dropped.
async fn lead<F: Future>(future: F, leash: Leash) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polls = match leash {
        Leash::ToItsEnd => return Some(future.await),
        Leash::Time(time) => return timeout(time, future).await.ok(),
        Leash::Polls(polls) => polls,
    };
    std::future::poll_fn(|context| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Worker({})", self.task)
    }
}
