//! The suite `steady`: what a reader feels of writes and of compaction.
//!
//! The reader is one task of the runtime that the engine's tasks and the writers run on. It is told
//! of each get by a thread that does nothing but wait for the next one's time; a get that comes
//! late because the one before took long is charged with all of its delay.

use std::fmt;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::clock;
use crate::data::{Data, KEY_BYTES, Order, key};
use crate::engine::OpenEngine;
use crate::latency::Latency;
use crate::load::Dice;
use crate::report::{median, spread};
use crate::rounds::{self, MOST_STEAL};
use crate::{Bench, Error, disk, machine};

/// What goes on beside the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    /// Tasks that write, durably.
    Writes,
    /// The compaction of what was overwritten before.
    Compaction,
}

/// All lines.
pub(crate) const ROWS: [Row; 2] = [Row::Writes, Row::Compaction];

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Writes => "gets-beside-writes",
            Self::Compaction => "gets-beside-compaction",
        })
    }
}

/// How it is measured.
pub(crate) fn head(bench: &Bench) -> String {
    let data = data(bench);
    let lines = [
        format!(
            "- Reader: one task, {RATE} gets a second whatever comes of them (open loop: a latency \
             counts from when the get was due), of {} records ({KEY_BYTES}-byte keys, {}-byte \
             values), in process, `always`.",
            data.keys, data.value_bytes
        ),
        format!(
            "- Beside it: nothing, then {WRITERS} tasks that overwrite keys picked evenly, each \
             with one durable write under way; or nothing, then the compaction of what \
             overwriting half as many keys as there are has left, until it is done or {:?} have \
             passed.",
            bench.time
        ),
        format!(
            "- Rounds: {} of {:?} each. The ratios are medians of the rounds' quotients with the \
             idle run just before; a round with over {:.0} % steal is repeated.",
            bench.rounds,
            bench.time,
            MOST_STEAL * 100.0
        ),
    ];
    lines.join("\n")
}

/// Measures lines. Returns the table.
pub(crate) fn measure(bench: &Bench, rows: &[Row]) -> Result<String, Error> {
    let mut text = String::from(
        "| line | idle p50 / p99 us | beside it p50 / p99 us | p50 ratio (spread), at most 2 \
         | p99 ratio (spread), at most 5 | written meanwhile MiB/s | repeated \
         | disk syncs/s (spread) |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let folder = tempfile::tempdir_in(bench.folder.path())?;
        let data = data(bench);
        let engine = OpenEngine::open(&bench.runtime, folder.path())?;
        engine.fill(&data, 0, &data.loading_order())?;
        let mut syncs = Vec::new();
        let kept = rounds::keep(bench.rounds, |number| {
            let revision = u32::from(number) + 1;
            settle(bench)?;
            syncs.push(disk::syncs_per_second(folder.path())?);
            let idle = read_for(&engine, data, bench.time, &AtomicBool::new(false))?;
            let before = (machine::written_bytes()?, Instant::now());
            let busy = match row {
                Row::Writes => beside_writes(&engine, data, revision, bench.time)?,
                Row::Compaction => beside_compaction(&engine, data, revision, bench.time)?,
            };
            let written = (machine::written_bytes()? - before.0) as f64 / f64::from(1 << 20);
            let rate = written / before.1.elapsed().as_secs_f64();
            let shown = [&idle, &busy].map(shown).join(", then ");
            eprintln!("{row}: p50 / p99 {shown} us, {rate:.0} MiB/s written");
            Ok((idle, busy, rate))
        })?;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line(*row, &kept, &syncs));
    }
    Ok(text)
}

fn line(row: Row, kept: &rounds::Kept<(Latency, Latency, f64)>, syncs: &[f64]) -> String {
    let quotients = |share| -> Vec<f64> {
        let of = |latency: &Latency| latency.quantile(share).as_secs_f64();
        kept.rounds.iter().map(|(idle, busy, _)| of(busy) / of(idle)).collect()
    };
    let (mut idle, mut busy) = (Latency::new(), Latency::new());
    for (one, other, _) in &kept.rounds {
        idle.add(one);
        busy.add(other);
    }
    let rates: Vec<_> = kept.rounds.iter().map(|(_, _, rate)| *rate).collect();
    let cells = [
        row.to_string(),
        shown(&idle),
        shown(&busy),
        spread(&quotients(0.5), 2),
        spread(&quotients(0.99), 2),
        format!("{:.1}", median(&rates)),
        kept.repeated.to_string(),
        spread(syncs, 0),
    ];
    format!("| {} |", cells.join(" | "))
}

fn shown(latency: &Latency) -> String {
    let show = |share| format!("{:.0}", latency.quantile(share).as_secs_f64() * 1e6);
    [0.5, 0.99].map(show).join(" / ")
}

fn data(bench: &Bench) -> Data {
    Data { keys: bench.keys, value_bytes: 100, order: Order::Shuffled }
}

/// Reads while tasks write.
fn beside_writes(
    engine: &OpenEngine,
    data: Data,
    revision: u32,
    time: Duration,
) -> Result<Latency, Error> {
    let is_over = Arc::new(AtomicBool::new(false));
    let write = |writer: usize| {
        let (engine, is_over) = (engine.clone(), Arc::clone(&is_over));
        let mut dice = Dice::new(writer);
        async move {
            while !is_over.load(Ordering::Relaxed) {
                let at = dice.below(data.keys);
                engine.set(&data, revision, std::iter::once(at)).await?;
            }
            Ok::<_, Error>(())
        }
    };
    let writers: Vec<_> = (0..WRITERS).map(|at| engine.runtime().spawn(write(at))).collect();
    let latency = read_for(engine, data, time, &AtomicBool::new(false));
    is_over.store(true, Ordering::Relaxed);
    writers.into_iter().try_for_each(|writer| engine.runtime().block_on(writer)?)?;
    latency
}

/// Overwrites many keys, and then reads while that is compacted.
fn beside_compaction(
    engine: &OpenEngine,
    data: Data,
    revision: u32,
    time: Duration,
) -> Result<Latency, Error> {
    let mut dice = Dice::new(revision as usize);
    let keys: Vec<_> = (0..data.keys / 2).map(|_| dice.below(data.keys)).collect();
    engine.fill(&data, revision, &keys)?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| wait_for_rest(&is_over));
        let latency = read_for(engine, data, time, &is_over);
        is_over.store(true, Ordering::Relaxed);
        watching.join().map_err(|_| "the watcher panicked")??;
        latency
    })
}

/// Ends the reading when nothing is written any more.
fn wait_for_rest(is_over: &AtomicBool) -> Result<(), Error> {
    let mut written = machine::written_bytes()?;
    while !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(QUIET);
        let now = machine::written_bytes()?;
        if now - written < LEAST_WRITTEN {
            is_over.store(true, Ordering::Relaxed);
        }
        written = now;
    }
    Ok(())
}

/// Reads at the fixed rate for some time, or until it is over.
fn read_for(
    engine: &OpenEngine,
    data: Data,
    time: Duration,
    is_over: &AtomicBool,
) -> Result<Latency, Error> {
    let (due, mut dues) = mpsc::channel::<Instant>(clock::MOST_DUE);
    let reader = engine.clone();
    let reading = engine.runtime().spawn(async move {
        let (mut latency, mut dice, mut buffer) = (Latency::new(), Dice::new(0), Vec::new());
        while let Some(due) = dues.recv().await {
            let at = dice.below(data.keys);
            // The writers change what belongs to a key; that it is whole shows in its length.
            let is_whole = |value: &[u8]| match value.len() == data.value_bytes {
                true => Ok(()),
                false => Err(format!("key {at} has a value of {} bytes", value.len()).into()),
            };
            if !reader.get(&key(at), &mut buffer, is_whole).await? {
                return Err(format!("key {at} is not there").into());
            }
            latency.record(due.elapsed());
        }
        Ok::<_, Error>(latency)
    });
    let ticking = std::thread::scope(|scope| {
        let gap = Duration::from_secs(1) / RATE;
        let dues = std::slice::from_ref(&due);
        let ticks = scope.spawn(move || clock::tick(dues, gap, time, is_over));
        ticks.join().map_err(|_| "the clock panicked")?
    });
    drop(due);
    let latency = engine.runtime().block_on(reading)??;
    ticking.map(|()| latency)
}

/// Waits until the engine has nothing more to do.
fn settle(bench: &Bench) -> Result<(), Error> {
    wait_for_rest(&AtomicBool::new(false))?;
    disk::settle(bench.folder.path())
}

/// Gets a second.
const RATE: u32 = 2000;
const WRITERS: usize = 8;
const QUIET: Duration = Duration::from_millis(300);
/// Compaction writes more than this within [`QUIET`], and nothing else here does.
const LEAST_WRITTEN: u64 = 64 << 10;
