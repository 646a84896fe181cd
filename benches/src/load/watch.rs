//! Sets that watchers are told of: one is over when all of them know.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use super::{Client, Outcome, Plan, check};
use crate::Error;
use crate::record::{Profile, Records};

/// What a writer waits for: how many watchers have not yet been told of its set.
#[derive(Debug, Default)]
struct Waiting {
    left: AtomicUsize,
    all_know: Notify,
}

/// Carries out a plan with so many watchers. Each of the tasks writes to a key of its own.
pub(super) async fn run<C: Client>(
    plan: &Plan,
    watchers: usize,
    client: impl Fn(usize) -> C,
) -> Result<Outcome, Error> {
    let waiting: Arc<[Waiting]> = (0..plan.tasks).map(|_| Waiting::default()).collect();
    let begun = Arc::new(Semaphore::new(0));
    let mut watching = JoinSet::new();
    for watcher in 0..watchers {
        let (begun, client) = (Arc::clone(&begun), client(watcher));
        let told = told(Arc::clone(&plan.records), Arc::clone(&waiting));
        watching.spawn(async move { client.watch(|| begun.add_permits(1), told).await });
    }
    let all = u32::try_from(watchers)?;
    let end = tokio::select! {
        all = begun.acquire_many(all) => all.map(|_| Instant::now() + plan.time)?,
        Some(ended) = watching.join_next() => return Err(too_soon(ended?)),
    };
    let mut writing = JoinSet::new();
    for task in 0..plan.tasks {
        let (records, waiting) = (Arc::clone(&plan.records), Arc::clone(&waiting));
        writing.spawn(write(client(task), records, waiting, task, watchers, end));
    }
    let mut outcome = Outcome::new();
    loop {
        tokio::select! {
            Some(ended) = watching.join_next() => return Err(too_soon(ended?)),
            written = writing.join_next() => match written {
                Some(written) => outcome.add(&written??),
                None => return Ok(outcome),
            },
        }
    }
}

/// Why a watcher ended, which none does.
fn too_soon(ended: Result<(), Error>) -> Error {
    match ended {
        Ok(()) => "a watcher ended".into(),
        Err(error) => error,
    }
}

/// What a watcher does with each value that it is told of.
fn told(
    records: Arc<Records>,
    waiting: Arc<[Waiting]>,
) -> impl FnMut(&Profile) -> Result<(), Error> + Send {
    move |profile| {
        let writer = usize::try_from(profile.id)?;
        check(Some(profile), &records, writer, records.revision())?;
        let waiting = waiting.get(writer).ok_or("told of a key that nobody writes")?;
        if waiting.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            waiting.all_know.notify_one();
        }
        Ok(())
    }
}

async fn write<C: Client>(
    mut client: C,
    records: Arc<Records>,
    waiting: Arc<[Waiting]>,
    task: usize,
    watchers: usize,
    end: Instant,
) -> Result<Outcome, Error> {
    let mut outcome = Outcome::new();
    let mut profile = records.first();
    profile.id = task as u64;
    let waiting = &waiting[task];
    let mut before = Instant::now();
    loop {
        waiting.left.store(watchers, Ordering::Release);
        client.announce(records.key(task), &profile).await?;
        let all_know = tokio::time::timeout(kvsd::DEFAULT_TIMEOUT, waiting.all_know.notified());
        all_know.await.map_err(|_| "not every watcher was told")?;
        let now = Instant::now();
        if now >= end {
            return Ok(outcome);
        }
        outcome.writes.record(now - before);
        before = now;
    }
}
