//! The arguments of `kvsd bench`, and their bounds.

use std::num::NonZeroU64;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use kvsd::{DEFAULT_POOL_SIZE, MAX_POOL_SIZE};

use crate::units;

/// What to put on a server.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct BenchArgs {
    /// How many tasks there are, each with one operation under way at a time
    #[arg(long, value_name = "N", default_value = "64",
          value_parser = RangedU64ValueParser::<usize>::new().range(1..=MOST_TASKS))]
    pub(super) tasks: usize,
    /// How many connections they share
    #[arg(long, value_name = "N", default_value_t = DEFAULT_POOL_SIZE,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_POOL_SIZE)))]
    pub(in crate::cli) connections: u32,
    /// The bytes of a value, such as 100 or 4KiB
    #[arg(long, value_name = "SIZE", default_value = "100", value_parser = units::size)]
    pub(super) size: usize,
    /// How many keys there are
    #[arg(long, value_name = "N", default_value = "10000",
          value_parser = clap::value_parser!(u64).range(1..=MOST_KEYS))]
    pub(super) keys: u64,
    /// Of 100 operations so many read; the others overwrite
    #[arg(long, value_name = "PERCENT", default_value = "90",
          value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(super) reads: u8,
    /// Which keys are picked: all alike, or some far more often than others (zipf, exponent 0.99)
    #[arg(long, value_name = "WHICH", default_value = "uniform")]
    pub(super) distribution: Distribution,
    /// Begin so many operations a second, whatever becomes of them, and count a latency from when
    /// the operation was due; without it each task begins the next one when its last has ended
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    pub(super) rate: Option<NonZeroU64>,
    /// How long to measure, such as 30s or 2m
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub(super) duration: Duration,
    /// End once so many operations have begun, if that is sooner
    #[arg(long, value_name = "N")]
    pub(super) operations: Option<NonZeroU64>,
    /// Do the same for so long before, without counting it
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = units::duration)]
    pub(super) warm_up: Duration,
    /// Leave what was written where it is
    #[arg(long)]
    pub(super) keep: bool,
}

/// How keys are picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Distribution {
    Uniform,
    Zipf,
}

fn parse_rate(text: &str) -> Result<NonZeroU64, String> {
    let rate = text.parse().ok().filter(|rate: &NonZeroU64| rate.get() <= MOST_RATE);
    rate.ok_or_else(|| format!("write a whole number of operations a second, 1 to {MOST_RATE}"))
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    match units::duration(text)? {
        time if (LEAST_TIME..=MOST_TIME).contains(&time) => Ok(time),
        _ => Err("write a time from 1ms to 365d".to_owned()),
    }
}

pub(in crate::cli) const EXAMPLES: &str = "\
What it does to the server: it makes a table of its own, kvsd-bench- and eight random digits, writes
--keys values there, reads and overwrites these, and removes the table at the end, after Ctrl-C too.
With --table it works in that table, below the prefix kvsd-bench/ and eight digits, and removes its
keys, but not the table. The URL's table is left alone. A value that is read is checked: it must be
the one that was written at its key.

Progress goes to standard error, the result to standard output. Exit codes: 0 if every operation
succeeded, 3 if one failed, nothing was measured or something was left behind. Ctrl-C ends the
measurement early; a second one leaves what was written.

Examples:
  kvsd bench
  kvsd bench --tasks 512 --reads 100 --size 1KiB --keys 2000000 --distribution zipf
  kvsd bench --rate 20000 --reads 50 --duration 1m
  KVSD_HOST=db.example KVSD_USERNAME=app KVSD_PASSWORD=... kvsd bench --tasks 1";

const MOST_TASKS: u64 = 16_384;
const MOST_KEYS: u64 = 1_000_000_000;
const MOST_RATE: u64 = 10_000_000;
const LEAST_TIME: Duration = Duration::from_millis(1);
const MOST_TIME: Duration = Duration::from_secs(365 * 24 * 3600);
