//! The suite `space`: the room that overwriting takes on the disk.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::data::{Data, KEY_BYTES, Order};
use crate::engine::OpenEngine;
use crate::load::Dice;
use crate::report::holds;
use crate::{Bench, Error, disk};

/// The one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row;

/// All lines.
pub(crate) const ROWS: [Row; 1] = [Row];

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("space")
    }
}

/// How it is measured.
pub(crate) fn head(bench: &Bench) -> String {
    let data = data(bench);
    let lines = [
        format!(
            "- Space: {} records ({KEY_BYTES}-byte keys, {}-byte values), then {OVERWRITES} times \
             as many overwrites, each of a key picked evenly; {WRITERS} tasks, each with {AT_ONCE} \
             writes under way; in process, `always`.",
            data.keys, data.value_bytes
        ),
        format!(
            "- Allocated: the blocks of all files of the data folder, looked at every {STEP:?}. \
             Live: {} bytes for each record, as it is encoded. At rest: when nothing has changed \
             for {QUIET:?}.",
            RECORD_HEADER_BYTES + data.record_bytes()
        ),
    ];
    lines.join("\n")
}

/// Measures it, once. Returns the table.
pub(crate) fn measure(bench: &Bench, _: &[Row]) -> Result<String, Error> {
    let folder = tempfile::tempdir_in(bench.folder.path())?;
    let (data, folder) = (data(bench), folder.path());
    let engine = OpenEngine::open(&bench.runtime, folder)?;
    engine.fill(&data, 0, &data.loading_order())?;

    let start = Instant::now();
    let is_done = AtomicBool::new(false);
    let most = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(folder, &is_done));
        let written = overwrite(&engine, &data);
        is_done.store(true, Ordering::Relaxed);
        let most = watching.join().map_err(|_| "the watcher panicked")?;
        written.and(most)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let (end, rest) = (disk::allocated_bytes(folder)?, at_rest(folder)?);

    let live = live_bytes(data.keys, data.record_bytes());
    let [most_share, end_share] = [most, end].map(|bytes| bytes as f64 / live as f64);
    let limit = live as f64 * LIMIT_SHARE + LIMIT_SEGMENTS as f64;
    Ok(format!(
        "| line | live MiB | most while writing MiB | over live | at most {MOST_SHARE} \
         | after the last write MiB | over live | at rest MiB \
         | at most {LIMIT_SHARE} times live and three segments MiB | overwrites/s |\n\
         |---|---|---|---|---|---|---|---|---|---|\n\
         | {Row} | {:.1} | {:.1} | {most_share:.2} | {} | {:.1} | {end_share:.2} | {:.1} \
         | {:.1}, {} | {:.0} |\n",
        mib(live),
        mib(most),
        holds(most_share <= MOST_SHARE),
        mib(end),
        mib(rest),
        limit / f64::from(1 << 20),
        holds(end as f64 <= limit),
        (data.keys * OVERWRITES) as f64 / seconds,
    ))
}

/// What so many records need as they are encoded, given the bytes of a key and a value.
pub(crate) fn live_bytes(records: usize, bytes: usize) -> u64 {
    (records * (RECORD_HEADER_BYTES + bytes)) as u64
}

/// The most room that so many live bytes may take while they are overwritten: what the project
/// promises itself, or what it allows at rest where that is more, as it is for a small table.
pub(crate) fn most_bytes(live: u64) -> f64 {
    let live = live as f64;
    (live * MOST_SHARE).max(live * LIMIT_SHARE + LIMIT_SEGMENTS as f64)
}

fn data(bench: &Bench) -> Data {
    Data { keys: bench.keys / 2, value_bytes: 100, order: Order::Shuffled }
}

/// Overwrites every key so many times on average, and waits until all of it is durable.
fn overwrite(engine: &OpenEngine, data: &Data) -> Result<(), Error> {
    let rounds = (data.keys * OVERWRITES).div_ceil(WRITERS * AT_ONCE);
    let tasks: Vec<_> = (0..WRITERS)
        .map(|task| {
            let (engine, data, mut dice) = (engine.clone(), *data, Dice::new(task));
            engine.runtime().clone().spawn(async move {
                for _ in 0..rounds {
                    let keys: Vec<_> = (0..AT_ONCE).map(|_| dice.below(data.keys)).collect();
                    engine.set(&data, 1, keys.into_iter()).await?;
                }
                Ok::<_, Error>(())
            })
        })
        .collect();
    tasks.into_iter().try_for_each(|task| engine.runtime().block_on(task)?)
}

/// The most that is allocated until it is done.
pub(crate) fn watch(folder: &Path, is_done: &AtomicBool) -> Result<u64, Error> {
    let (mut most, mut told) = (0, Instant::now());
    while !is_done.load(Ordering::Relaxed) {
        let now = disk::allocated_bytes(folder)?;
        most = most.max(now);
        if told.elapsed() >= Duration::from_secs(1) {
            eprintln!("{Row}: {:.1} MiB", mib(now));
            told = Instant::now();
        }
        std::thread::sleep(STEP);
    }
    Ok(most)
}

/// What is allocated when nothing changes any more.
fn at_rest(folder: &Path) -> Result<u64, Error> {
    let (mut bytes, mut since) = (disk::allocated_bytes(folder)?, Instant::now());
    while since.elapsed() < QUIET {
        std::thread::sleep(STEP);
        let now = disk::allocated_bytes(folder)?;
        if now != bytes {
            (bytes, since) = (now, Instant::now());
        }
    }
    Ok(bytes)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

const OVERWRITES: usize = 10;
const WRITERS: usize = 8;
const AT_ONCE: usize = 64;
/// What a record has on the disk beside its key and value.
const RECORD_HEADER_BYTES: usize = 32;
/// What the project promises itself.
const MOST_SHARE: f64 = 2.5;
const LIMIT_SHARE: f64 = 1.6;
const LIMIT_SEGMENTS: u64 = 3 * (64 << 20);
const STEP: Duration = Duration::from_millis(100);
const QUIET: Duration = Duration::from_secs(4);
