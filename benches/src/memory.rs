//! The suite `memory`: what a server's process holds, beside Redis and for each key.
//!
//! Resident memory is `VmRSS`, read when the server has come to rest. Nothing is started anew
//! before it is read: memory that loading leaves behind counts.

use std::fmt;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cell::Sync;
use crate::peer::{self, Peer, Setting};
use crate::record::{Profile, Records};
use crate::report::{median, spread};
use crate::rounds;
use crate::{Bench, Error, disk, machine};

/// One kind of line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    /// A whole server beside Redis.
    Server,
    /// A server as it grows, less what it holds when it is empty.
    Index,
}

/// All lines.
pub(crate) const ROWS: [Row; 2] = [Row::Server, Row::Index];

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server-memory",
            Self::Index => "index-memory",
        })
    }
}

/// How it is measured.
pub(crate) fn head(bench: &Bench) -> String {
    let lines = [
        format!(
            "- Memory: `VmRSS` of the server's process, loaded over the wire (16-byte keys, values \
             of {} bytes of bincode), when it has used no processor time for {QUIET:?}. \
             `server-memory` starts {} times, in turn; `index-memory` lets one server grow, subtracts what it \
             held when it was empty, and reads where the active segment is nearly full, that is \
             when {} records have followed on a rotation.",
            Profile::BINCODE_BYTES,
            bench.rounds,
            NEARLY_FULL
        ),
        format!(
            "- kvsd {}: `kvsd-server --dev --sync {}`.",
            env!("CARGO_PKG_VERSION"),
            peer::kvsd::sync_mode(Sync::Interval)
        ),
        match &bench.redis {
            Ok(version) => format!(
                "- Redis {version}: `{}`, jemalloc.",
                peer::redis::server::log_settings(Sync::Unlogged).join(" ")
            ),
            Err(reason) => format!("- Redis: skipped, because {reason}."),
        },
    ];
    lines.join("\n")
}

/// Measures lines. Returns the tables.
pub(crate) fn measure(bench: &Bench, rows: &[Row]) -> Result<String, Error> {
    let tables = rows.iter().map(|row| match row {
        Row::Server => measure_server(bench),
        Row::Index => measure_index(bench),
    });
    Ok(tables.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

fn measure_server(bench: &Bench) -> Result<String, Error> {
    let records = Arc::new(Records::new(bench.keys));
    let interval = Setting::new(Sync::Interval);
    let kept = rounds::keep(bench.rounds, |_| {
        let folder = tempfile::tempdir_in(bench.folder.path())?;
        let loaded = |peer: &dyn Peer| {
            peer.fill(&bench.runtime, &records, 0..records.count())?;
            at_rest(peer.server())
        };
        let ours = peer::kvsd::start(&bench.runtime, &folder.path().join("kvsd"), &interval)?;
        let ours = loaded(&ours)?;
        let theirs = match bench.redis {
            Ok(_) => {
                let folder = folder.path().join("redis");
                Some(loaded(&peer::redis::start(
                    &bench.runtime,
                    &folder,
                    &Setting::new(Sync::Unlogged),
                )?)?)
            }
            Err(_) => None,
        };
        eprintln!("{}: kvsd {:.1} MiB, redis {:.1?} MiB", Row::Server, mib(ours), theirs.map(mib));
        Ok((mib(ours), theirs.map(mib)))
    })?;
    let (ours, theirs): (Vec<_>, Vec<_>) = kept.rounds.into_iter().unzip();
    let theirs: Vec<_> = theirs.into_iter().flatten().collect();
    let quotients: Vec<_> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
    Ok(format!(
        "| line | keys | kvsd MiB | redis MiB | kvsd over redis (spread) | at most |\n\
         |---|---|---|---|---|---|\n\
         | {} | {} | {:.1} | {:.1} | {} | 0.25 |\n",
        Row::Server,
        records.count(),
        median(&ours),
        median(&theirs),
        spread(&quotients, 3),
    ))
}

fn measure_index(bench: &Bench) -> Result<String, Error> {
    let mut text = String::from(
        "| line | keys | MiB above the empty server | bytes per key | at most MiB | holds |\n\
         |---|---|---|---|---|---|\n",
    );
    let folder = tempfile::tempdir_in(bench.folder.path())?;
    let folder = folder.path().join("kvsd");
    // Each size is passed by one segment at most.
    let most = STEPS.iter().copied().max().unwrap_or(1) * bench.keys / 2 + 2 * NEARLY_FULL;
    let records = Arc::new(Records::new(most));
    let server = peer::kvsd::start(&bench.runtime, &folder, &Setting::new(Sync::Interval))?;
    let base = at_rest(server.server())?;
    let mut keys = 0;
    for size in STEPS.map(|step| step * bench.keys / 2) {
        let mut grow = |to: usize| {
            server.fill(&bench.runtime, &records, keys..to)?;
            keys = to;
            Ok::<_, Error>(to)
        };
        if size > NEARLY_FULL {
            let mut at = grow(size - NEARLY_FULL)?;
            let segments = segments(&folder)?;
            while self::segments(&folder)? == segments {
                at = grow(at + STEP)?;
            }
            grow(at + NEARLY_FULL)?;
        } else {
            grow(size)?;
        }
        let above = at_rest(server.server())?.saturating_sub(base);
        let limit = FIXED_BYTES + KEY_LIMIT * keys as u64;
        let line = format!(
            "| {} | {keys} | {:.1} | {:.1} | {:.1} | {} |",
            Row::Index,
            mib(above),
            above as f64 / keys as f64,
            mib(limit),
            if above <= limit { "yes" } else { "no" },
        );
        eprintln!("{line}");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    }
    Ok(text)
}

/// How many segments a server has on the disk.
fn segments(folder: &Path) -> Result<usize, Error> {
    let files = disk::files(folder)?;
    Ok(files.iter().filter(|file| file.extension().is_some_and(|end| end == "seg")).count())
}

/// What a process holds as soon as it has nothing more to do.
fn at_rest(process: u32) -> Result<u64, Error> {
    let (mut used, mut since) = (machine::cpu_of(process)?, Instant::now());
    while since.elapsed() < QUIET {
        std::thread::sleep(QUIET / 10);
        let now = machine::cpu_of(process)?;
        if now > used + CLOCK_TICK {
            (used, since) = (now, Instant::now());
        }
    }
    machine::resident_bytes(process)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The sizes of the index, in halves of the number of keys: 1 to 17 million for 2 million.
const STEPS: [usize; 7] = [1, 2, 8, 10, 12, 15, 17];
/// So many records after a rotation the segment is nearly full: it seals at 262,144.
const NEARLY_FULL: usize = 260_000;
/// How closely a rotation is watched for.
const STEP: usize = 500;
/// What the project promises itself: 48 MiB, and 25 bytes for each key.
const FIXED_BYTES: u64 = 48 << 20;
const KEY_LIMIT: u64 = 25;
const QUIET: Duration = Duration::from_millis(500);
/// A timer that fires now and then is no work.
const CLOCK_TICK: Duration = Duration::from_millis(20);
