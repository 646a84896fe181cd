//! One task in the storm: an operation after the other, each to its end, or dropped on the way.
//!
//! A new operation of the client becomes an arm: a variant in one of `single`, `several`, `count`
//! and `pair`, a place in [`ARMS`], and what its answer must be.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kvsd::{Client, Error};
use tokio::time::timeout;

use crate::count::{Count, OwnCounter};
use crate::ledger::{Fate, Ledger};
use crate::own_key::OwnKey;
use crate::pair::{OwnPair, Pair};
use crate::random::Random;
use crate::several::Several;
use crate::single::Single;
use crate::value::value;

pub(crate) struct Worker {
    pub(crate) client: Client,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) random: Random,
    pub(crate) task: u64,
    pub(crate) sea: Sea,
    pub(crate) own: OwnKey,
    pub(crate) generation: u64,
    pub(crate) counter: OwnCounter,
    pub(crate) pair: OwnPair,
}

/// Whether anything may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sea {
    Calm,
    Rough,
}

/// What a step does: the arms of the storm.
#[derive(Debug, Clone, Copy)]
enum Arm {
    One(Single),
    Several(Several),
    Count(Count),
    Pair(Pair),
}

const ARMS: [Arm; 25] = [
    Arm::One(Single::Get),
    Arm::One(Single::Get),
    Arm::One(Single::Versioned),
    Arm::One(Single::Versioned),
    Arm::One(Single::Exists),
    Arm::One(Single::Set),
    Arm::One(Single::Set),
    Arm::One(Single::Set),
    Arm::One(Single::SetIfVersion),
    Arm::One(Single::SetIfAbsent),
    Arm::One(Single::Swap),
    Arm::One(Single::Delete),
    Arm::One(Single::Take),
    Arm::Several(Several::Get),
    Arm::Several(Several::Set),
    Arm::Several(Several::Delete),
    Arm::Several(Several::Pipeline),
    Arm::Several(Several::Scan),
    Arm::Count(Count::Increment),
    Arm::Count(Count::IncrementShared),
    Arm::Count(Count::Update),
    Arm::Count(Count::UpdateShared),
    Arm::Count(Count::Read),
    Arm::Pair(Pair::Batch),
    Arm::Pair(Pair::Read),
];

/// How an operation ended.
pub(crate) enum End<T> {
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

impl Worker {
    pub(crate) fn new(
        client: Client,
        ledger: Arc<Ledger>,
        random: Random,
        task: u64,
        sea: Sea,
    ) -> Self {
        let own = OwnKey::new(format!("own/{task}/0"));
        let counter = OwnCounter::new(format!("count/{task}"));
        let pair = OwnPair::new(task, 0);
        Self { client, ledger, random, task, sea, own, generation: 0, counter, pair }
    }

    pub(crate) async fn step(&mut self) {
        match self.random.pick(&ARMS) {
            Arm::One(arm) => self.on_one(arm).await,
            Arm::Several(arm) => self.on_several(arm).await,
            Arm::Count(arm) => self.count(arm).await,
            Arm::Pair(arm) => self.on_pair(arm).await,
        }
    }

    /// Checks what is the task's own through a client without storm.
    pub(crate) async fn check(&mut self, witness: &Client) {
        let read = witness.get::<Vec<u8>>(&self.own.name).await.unwrap();
        self.saw(read, None);
        let count = witness.get::<i64>(&self.counter.name).await.unwrap();
        self.counter.saw(count.unwrap_or(0));
        self.check_pair(witness).await;
    }

    /// A new write's number and value: mostly short, sometimes in parts, seldom up to 1 MiB.
    pub(crate) fn new_value(&mut self, key: &str) -> (u64, Vec<u8>) {
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

    pub(crate) async fn run<T, F>(
        &mut self,
        name: &'static str,
        number: Option<u64>,
        operation: impl FnOnce(Duration) -> F,
    ) -> End<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.ledger.operation(name);
        let limit = match (self.sea, self.random.below(10)) {
            (Sea::Rough, 0) => self.random.millis(1, 50),
            (Sea::Rough, _) => TIMEOUT,
            // Updates of one key take turns; on a busy machine that takes a while.
            (Sea::Calm, _) => TIMEOUT * 10,
        };
        let leash = match self.random.below(8) {
            0 => Leash::Polls(self.random.below(4)),
            1 => Leash::Time(Duration::from_micros(self.random.below(20_000))),
            _ => Leash::ToItsEnd,
        };
        let result = timeout(limit + GRACE, lead(operation(limit), leash));
        let result = result.await.unwrap_or_else(|_| panic!("{name} outlived its deadline"));
        match result {
            Some(Ok(output)) => End::Done(output),
            Some(Err(error)) => {
                let is_fine = self.sea == Sea::Rough || error.is_conflict();
                assert!(is_fine, "{name} failed in calm sea: {error}");
                End::Failed(self.ledger.failed(name, number, &error))
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
