//! The suite `startup`: from the start of a server's process until it answers a get.
//!
//! Each side is filled, and Redis's log rewritten; then it is killed or stopped. Every round starts
//! servers on copies of what was left then, so that all rounds begin with the same files.

use std::fmt;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::cell::Sync;
use crate::peer::{self, Ending, Peer, Setting};
use crate::record::{Profile, Records};
use crate::report::{median, spread};
use crate::rounds::{self, MOST_STEAL};
use crate::{Bench, Error, disk};

/// How the server ended before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row(Ending);

/// All lines.
pub(crate) const ROWS: [Row; 2] = [Row(Ending::Kill), Row(Ending::Stop)];

impl Row {
    /// The least ratio that the project promises itself.
    fn least(self) -> f64 {
        match self.0 {
            Ending::Kill => 3.0,
            Ending::Stop => 4.0,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Ending::Kill => "start-after-kill",
            Ending::Stop => "start-after-stop",
        })
    }
}

/// How it is measured.
pub(crate) fn head(bench: &Bench) -> String {
    let lines = [
        format!(
            "- Start: from starting the process until a client has connected and read one of {} \
             records (16-byte keys, values of {} bytes of bincode); files in the page cache; after \
             `SIGKILL`, and after `SIGTERM`.",
            bench.keys,
            Profile::BINCODE_BYTES
        ),
        format!(
            "- Rounds: {}, sides in turn, each on a copy of the files. The ratio is the median of \
             the rounds' quotients of times; a round with over {:.0} % steal is repeated.",
            bench.rounds,
            MOST_STEAL * 100.0
        ),
        format!(
            "- kvsd {}: `kvsd-server --dev --sync {}`.",
            env!("CARGO_PKG_VERSION"),
            peer::kvsd::sync_mode(SYNC)
        ),
        match &bench.redis {
            Ok(version) => format!(
                "- Redis {version}: `{}`, log rewritten (`BGREWRITEAOF`) with its default \
                 `aof-use-rdb-preamble yes`, started until `PING` is no longer refused.",
                peer::redis::server::log_settings(SYNC).join(" ")
            ),
            Err(reason) => format!("- Redis: skipped, because {reason}."),
        },
    ];
    lines.join("\n")
}

/// Measures lines. Returns the table.
pub(crate) fn measure(bench: &Bench, rows: &[Row]) -> Result<String, Error> {
    let mut text = String::from(
        "| line | kvsd ms | redis ms | redis over kvsd (spread) | at least | repeated |\n\
         |---|---|---|---|---|---|\n",
    );
    let records = Arc::new(Records::new(bench.keys));
    for row in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", measure_row(bench, *row, &records)?);
    }
    Ok(text)
}

fn measure_row(bench: &Bench, row: Row, records: &Arc<Records>) -> Result<String, Error> {
    let folder = tempfile::tempdir_in(bench.folder.path())?;
    let sides: &[Side] = match bench.redis {
        Ok(_) => &[Side::Kvsd, Side::Redis],
        Err(_) => &[Side::Kvsd],
    };
    for side in sides {
        let start = Instant::now();
        let peer = side.filled(bench, &folder.path().join(side.name()), records)?;
        peer.end(row.0)?;
        eprintln!("{row}: {} filled in {:.1} s", side.name(), start.elapsed().as_secs_f64());
    }
    let kept = rounds::keep(bench.rounds, |_| {
        let mut times = Vec::new();
        for side in sides {
            let run = folder.path().join("run");
            copy(&folder.path().join(side.name()), &run)?;
            disk::settle(&run)?;
            let start = Instant::now();
            let peer = side.start(bench, &run)?;
            peer.get(&bench.runtime, records, records.count() / 2)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
            peer.end(Ending::Kill)?;
            fs::remove_dir_all(&run)?;
        }
        let shown = sides.iter().zip(&times).map(|(s, time)| format!("{} {time:.0} ms", s.name()));
        eprintln!("{row}: {}", shown.collect::<Vec<_>>().join(", "));
        Ok(times)
    })?;
    let column = |side: usize| -> Vec<f64> {
        kept.rounds.iter().filter_map(|times| times.get(side).copied()).collect()
    };
    let (ours, theirs) = (column(0), column(1));
    let quotients: Vec<_> = theirs.iter().zip(&ours).map(|(theirs, ours)| theirs / ours).collect();
    Ok(format!(
        "| {row} | {:.0} | {:.0} | {} | {:.2} | {} |",
        median(&ours),
        median(&theirs),
        spread(&quotients, 2),
        row.least(),
        kept.repeated
    ))
}

/// Who starts.
#[derive(Debug, Clone, Copy)]
enum Side {
    Kvsd,
    Redis,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Kvsd => "kvsd",
            Self::Redis => "redis",
        }
    }

    fn start(self, bench: &Bench, folder: &Path) -> Result<Box<dyn Peer>, Error> {
        Ok(match self {
            Self::Kvsd => Box::new(peer::kvsd::start(&bench.runtime, folder, &Setting::new(SYNC))?),
            Self::Redis => {
                Box::new(peer::redis::start(&bench.runtime, folder, &Setting::new(SYNC))?)
            }
        })
    }

    /// A server on a new folder that holds all records, as compactly as it can.
    fn filled(
        self,
        bench: &Bench,
        folder: &Path,
        records: &Arc<Records>,
    ) -> Result<Box<dyn Peer>, Error> {
        let (runtime, all) = (&bench.runtime, 0..records.count());
        match self {
            Self::Kvsd => {
                let peer = self.start(bench, folder)?;
                peer.fill(runtime, records, all)?;
                Ok(peer)
            }
            Self::Redis => {
                let peer = peer::redis::start(runtime, folder, &Setting::new(SYNC))?;
                peer.fill(runtime, records, all)?;
                peer.rewrite_log(runtime)?;
                Ok(Box::new(peer))
            }
        }
    }
}

/// Copies a folder's files and folders; sockets are made anew by who needs them.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &to)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

/// Both sides keep a log; how they sync it while it is filled makes no difference to the start.
const SYNC: Sync = Sync::Interval;
