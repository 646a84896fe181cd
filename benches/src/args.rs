//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use tempfile::TempDir;

use crate::Error;
use crate::peer::Kind;

/// Measures kvsd beside its peers and prints tables, as Markdown, on standard output.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Suites, and words for the lines of their tables: only those lines are measured whose name is
    /// one of the words, or contains one that is no line's name, such as `get` or `always`. The
    /// suites are `wire` (beside Redis and version 1, over loopback; it is meant where none is
    /// named), `cost` (what a get costs beside many keys, tables and connections), `overhead`
    /// (what metrics and logs cost), `storage` (in process beside fjall and redb), `startup`,
    /// `memory`, `space` and `steady`.
    pub(crate) words: Vec<String>,
    /// How often each line runs all sides in turn.
    #[arg(long, value_name = "N", default_value = "9",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
    /// Who is measured beside kvsd in `wire`, in those cells that name them.
    #[arg(long, value_name = "PEERS", value_delimiter = ',', value_enum,
          default_values_t = Kind::PEERS)]
    pub(crate) peers: Vec<Kind>,
    /// How long each run lasts, in seconds; one of the cell `long` lasts thirty times that.
    #[arg(long, value_name = "S", default_value = "2", value_parser = parse_seconds)]
    pub(crate) seconds: Duration,
    /// How many keys the suites work on; some lines take a fixed part or multiple of it, and in
    /// `wire` it is only the cells named `large`, the others have 10000, but no more than this.
    #[arg(long, value_name = "N", default_value = "2000000",
          value_parser = clap::value_parser!(u32).range(1000..))]
    keys: u32,
    /// Gives each side's client in `wire` one thread, as `#[tokio::main(flavor = "current_thread")]`
    /// does, instead of tokio's default, one for each core. The ratios promised are of the default.
    #[arg(long)]
    pub(crate) current_thread: bool,
    /// Where the servers keep their data, in a temporary folder. Default: beside this program,
    /// because the usual place for such folders may be memory.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Args {
    /// How many keys there are, where there are many.
    pub(crate) fn keys(&self) -> usize {
        self.keys as usize
    }

    /// Makes the folder for the servers' data. It goes when it is dropped.
    pub(crate) fn folder(&self) -> Result<TempDir, Error> {
        let parent = match &self.dir {
            Some(dir) => dir.clone(),
            None => {
                let program = std::env::current_exe()?;
                program.parent().ok_or("this program stands in no folder")?.to_owned()
            }
        };
        Ok(tempfile::Builder::new().prefix("bench-data-").tempdir_in(parent)?)
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| (LEAST..=MOST).contains(time))
        .ok_or_else(|| format!("a number of seconds, {LEAST:?} to {MOST:?}"))
}

/// The process times that a run is charged with tick a hundred times a second.
const LEAST: Duration = Duration::from_millis(50);
const MOST: Duration = Duration::from_secs(3600);
