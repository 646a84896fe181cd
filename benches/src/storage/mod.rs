//! The suite `storage`: kvsd's engine in this process beside fjall and redb, on the same records.
//!
//! Each set of records is loaded once into all stores; in a round they run right after each other.
//! Next file to read: `store` (what each of them does).

mod fjall;
mod kvsd;
mod redb;
mod store;

use std::fmt;
use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use crate::data::{Data, KEY_BYTES, Order};
use crate::engine::OpenEngine;
use crate::report::{median, quotients, spread};
use crate::rounds::{self, MOST_STEAL};
use crate::{Bench, Error, disk};
use store::{Store, Tally};

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    action: Action,
    records: Records,
    /// The least ratio that the project promises itself, in hundredths.
    least: u16,
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// One reader picks keys at random.
    Get,
    /// Writers pick keys at random, and wait until what they wrote is on the disk.
    Set { writers: usize },
    /// All records are read once, in the order of their keys.
    Scan(Detail),
}

/// What a scan reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    Keys,
    Values,
}

/// What is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Records {
    Short(Order),
    Long,
}

/// All lines. Those that change records stand behind those that read the same ones.
pub(crate) const ROWS: [Row; 7] = [
    Row { action: Action::Get, records: SHUFFLED, least: 300 },
    Row { action: Action::Scan(Detail::Values), records: SHUFFLED, least: 15 },
    Row { action: Action::Scan(Detail::Keys), records: SHUFFLED, least: 150 },
    Row { action: Action::Set { writers: 1 }, records: SHUFFLED, least: 70 },
    Row { action: Action::Set { writers: 64 }, records: SHUFFLED, least: 1000 },
    Row { action: Action::Scan(Detail::Values), records: IN_ORDER, least: 100 },
    Row { action: Action::Get, records: Records::Long, least: 200 },
];
const SHUFFLED: Records = Records::Short(Order::Shuffled);
const IN_ORDER: Records = Records::Short(Order::Ascending);

impl Records {
    fn data(self, keys: usize) -> Data {
        match self {
            Self::Short(order) => Data { keys, value_bytes: SHORT, order },
            Self::Long => {
                Data { keys: keys / FEWER_LONG, value_bytes: LONG, order: Order::Shuffled }
            }
        }
    }
}

/// The line's name: `random-get-100`, `durable-set-64`, `scan-values-in-order`.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Data { value_bytes, order, .. } = self.records.data(FEWER_LONG);
        match self.action {
            Action::Get => write!(f, "random-get-{value_bytes}"),
            Action::Scan(Detail::Keys) => f.write_str("scan-keys"),
            Action::Scan(Detail::Values) => match order {
                Order::Shuffled => f.write_str("scan-values-shuffled"),
                Order::Ascending => f.write_str("scan-values-in-order"),
            },
            Action::Set { writers } => write!(f, "durable-set-{writers}"),
        }
    }
}

/// How it is measured.
pub(crate) fn head(bench: &Bench) -> String {
    let long = Records::Long.data(bench.keys);
    let lines = [
        format!(
            "- Records: {KEY_BYTES}-byte keys and {SHORT}-byte values, {} of them, or {}-byte \
             values, {} of them; values that cannot be compressed; loaded in shuffled order where \
             the name does not say otherwise. Everything fits into memory.",
            bench.keys, long.value_bytes, long.keys
        ),
        format!(
            "- Rounds: {} in which each store runs for {:?}, or scans all records once, in turn, \
             in this process; before the first round of gets \
             each store runs {WARM_UP} times as long, for its cache. The ratio is the median of the \
             rounds' quotients with the better of fjall and redb in that round; a round with over {:.0} % steal is repeated.",
            bench.rounds,
            bench.time,
            MOST_STEAL * 100.0
        ),
        format!("- kvsd {}: {}", env!("CARGO_PKG_VERSION"), kvsd::SETTINGS),
        format!("- fjall {}: {}", locked("fjall"), fjall::SETTINGS),
        format!("- redb {}: {}", locked("redb"), redb::SETTINGS),
    ];
    lines.join("\n")
}

/// The version of a crate that this program was built with.
fn locked(name: &str) -> &'static str {
    let mut lines = include_str!("../../Cargo.lock").lines();
    let named = format!("name = \"{name}\"");
    let version = lines.find(|line| *line == named).and_then(|_| lines.next());
    version.and_then(|line| line.split('"').nth(1)).unwrap_or("unknown")
}

/// Measures lines. Returns the table.
pub(crate) fn measure(bench: &Bench, rows: &[Row]) -> Result<String, Error> {
    let mut text = String::from(
        "| line | kvsd /s | fjall /s | redb /s | ratio over the better (spread) | at least \
         | redb with a held table /s | ratio over that | repeated | disk syncs/s (spread) |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|row| row.records == first.records).count();
        let (now, later) = rest.split_at(same);
        let folder = tempfile::tempdir_in(bench.folder.path())?;
        let stores = load(bench, first.records.data(bench.keys), folder.path())?;
        for row in now {
            let line = measure_row(bench, *row, &stores, folder.path())?;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line}");
        }
        rest = later;
    }
    Ok(text)
}

/// Opens and fills all stores: kvsd first, then the peers, then what stands beside the ratio.
fn load(bench: &Bench, data: Data, folder: &Path) -> Result<Vec<Box<dyn Store>>, Error> {
    let redb = redb::Redb::open(&folder.join("redb"))?;
    let held = redb.held();
    let stores: Vec<Box<dyn Store>> = vec![
        Box::new(OpenEngine::with_cache(&bench.runtime, &folder.join("kvsd"), CACHE_BYTES)?),
        Box::new(fjall::Fjall::open(&folder.join("fjall"))?),
        Box::new(redb),
        Box::new(held),
    ];
    for store in stores.iter().take(COMPARED) {
        let start = Instant::now();
        store.load(&data)?;
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("{}: {} records in {seconds:.1} s", store.name(), data.keys);
    }
    Ok(stores)
}

fn measure_row(
    bench: &Bench,
    row: Row,
    stores: &[Box<dyn Store>],
    folder: &Path,
) -> Result<String, Error> {
    let data = row.records.data(bench.keys);
    let sides = match row.action {
        // Whether the table is held makes a difference only here.
        Action::Get => stores,
        Action::Set { .. } | Action::Scan(_) => stores.get(..COMPARED).unwrap_or(stores),
    };
    if row.action == Action::Get {
        for store in sides {
            store.get_until(&data, Instant::now() + WARM_UP * bench.time)?;
        }
    }
    let mut syncs = Vec::new();
    let kept = rounds::keep(bench.rounds, |number| {
        if matches!(row.action, Action::Set { .. }) {
            disk::settle(folder)?;
            syncs.push(disk::syncs_per_second(folder)?);
        }
        let mut rates = Vec::new();
        for store in sides {
            disk::settle(folder)?;
            let (start, end) = (Instant::now(), Instant::now() + bench.time);
            let seconds = bench.time.as_secs_f64();
            let rate = match row.action {
                Action::Get => store.get_until(&data, end)? as f64 / seconds,
                Action::Set { writers } => {
                    let revision = u32::from(number) + 1;
                    store.set_until(&data, writers, revision, end)? as f64 / seconds
                }
                Action::Scan(detail) => {
                    let mut tally = Tally::new(detail);
                    store.scan(detail, &mut |key, value| tally.add(key, value))?;
                    let seconds = start.elapsed().as_secs_f64();
                    tally.check(&data)?;
                    data.keys as f64 / seconds
                }
            };
            rates.push(rate);
        }
        let shown = sides.iter().zip(&rates).map(|(s, rate)| format!("{} {rate:.0}/s", s.name()));
        eprintln!("{row}: {}", shown.collect::<Vec<_>>().join(", "));
        Ok(rates)
    })?;
    let column = |side: usize| -> Vec<f64> {
        kept.rounds.iter().filter_map(|rates| rates.get(side).copied()).collect()
    };
    let [ours, fjall, redb, held] = [0, 1, 2, 3].map(column);
    let better: Vec<_> = fjall.iter().zip(&redb).map(|(fjall, redb)| fjall.max(*redb)).collect();
    let or_dash = |numbers: &[f64], show: &dyn Fn() -> String| match numbers.is_empty() {
        true => "-".to_owned(),
        false => show(),
    };
    let cells = [
        row.to_string(),
        format!("{:.0}", median(&ours)),
        format!("{:.0}", median(&fjall)),
        format!("{:.0}", median(&redb)),
        spread(&quotients(&ours, &better), 2),
        format!("{:.2}", f64::from(row.least) / 100.0),
        or_dash(&held, &|| format!("{:.0}", median(&held))),
        or_dash(&held, &|| spread(&quotients(&ours, &held), 2)),
        kept.repeated.to_string(),
        spread(&syncs, 0),
    ];
    Ok(format!("| {} |", cells.join(" | ")))
}

/// What the cache of each of them has.
const CACHE_BYTES: usize = 1 << 30;
/// How much longer than a run each of them reads before the first, so that its cache is as it
/// stays.
const WARM_UP: u32 = 5;
/// kvsd, fjall and redb; behind them stands redb with a held table.
const COMPARED: usize = 3;
const SHORT: usize = 100;
const LONG: usize = 4096;
/// As many times fewer long records: 1.6 GB where there are 2 million short ones.
const FEWER_LONG: usize = 5;
