//! `kvsd bench`: a load on a user's own server, and what became of it.
//!
//! Owns what it writes and nothing else: a table of its own, or a prefix of its own in a given
//! table, and takes it away at the end. Reading order: `args`, `data` and `pick` (what is read and
//! written), `pace` (when), `tally` (what it came to), `load` (the tasks), `phase` (their end),
//! `place` (where), `report` and `progress` (what is shown), and the run itself, here.

mod args;
mod data;
mod load;
mod pace;
mod phase;
mod pick;
mod place;
mod progress;
mod report;
mod tally;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kvsd::{Client, TableName};

pub(super) use self::args::{BenchArgs, EXAMPLES};
use self::data::Data;
use self::load::Load;
use self::pace::Pace;
use self::phase::{End, Prospect, Signals};
use self::pick::Pick;
use self::place::{Job, Place};
use self::progress::Progress;
use self::report::{Remains, millis};
pub(super) use self::report::{Report, grouped};
use self::tally::{Tallies, Tally};
use super::failure::Failure;

/// A run against a server.
struct Run {
    args: BenchArgs,
    data: Arc<Data>,
    place: Place,
    signals: Signals,
    progress: Progress,
}

/// Puts a load on the server, in this table or in one that is made for it.
///
/// # Errors
///
/// Nothing was measured.
pub(super) async fn run(
    client: &Client,
    address: &str,
    table: Option<TableName>,
    args: BenchArgs,
) -> Result<Report, Failure> {
    let most = client.max_value_bytes();
    if args.size > most {
        let message = format!("--size: the server takes values of at most {most} bytes");
        return Err(Failure::wrong_usage(message));
    }
    let signals = Signals::listen().map_err(|error| Failure::stream("take signals", &error))?;
    let data = Arc::new(Data::new(args.keys, args.size));
    let place = Place::make(client, table, &data).await?;
    let mut run = Run { args, data, place, signals, progress: Progress::new() };
    run.announce(client, address);
    let (end, measured) = run.measure().await;
    let remains = run.clear(end).await;
    run.progress.clear();
    measured.map(|report| Report { remains, ..report })
}

impl Run {
    /// Says what is about to happen.
    fn announce(&self, client: &Client, address: &str) {
        let (args, info) = (&self.args, client.server_info());
        let loop_kind = match args.rate {
            Some(rate) => format!("{rate} operations a second"),
            None => "as fast as answers come".to_owned(),
        };
        let afterwards = if args.keep { "kept" } else { "removed" };
        let name = match args.distribution {
            args::Distribution::Uniform => "uniform",
            args::Distribution::Zipf => "Zipf",
        };
        let warm_up = match args.warm_up {
            Duration::ZERO => String::new(),
            time => format!(" after {time:?} of warm-up"),
        };
        for line in [
            format!("server: {address}, {}, synced: {}", info.server, info.durability),
            format!("place: {}; {afterwards} at the end", self.place.plan(&self.data)),
            format!("data: {} keys ({name}), values of {} bytes", grouped(args.keys), args.size),
            format!(
                "load: {} tasks over {} connections, {} % reads, {loop_kind}, for {:?}{warm_up}",
                args.tasks, args.connections, args.reads, args.duration
            ),
        ] {
            self.progress.say(&line);
        }
    }

    /// Writes the values, warms up and measures. Tells how the last of it ended as well.
    async fn measure(&mut self) -> (End, Result<Report, Failure>) {
        let (end, filled) = self.job(self.place.fill(&self.data), "writing").await;
        if let Err(error) = filled {
            return (end, Err(error.into()));
        }
        if end != End::Done {
            return (end, Err(interrupted()));
        }
        if !self.args.warm_up.is_zero() {
            match self.load("warming up", self.args.warm_up, u64::MAX).await {
                Ok(report) if report.end == End::Done => {}
                // What it came to says why nobody waits for more.
                Ok(report) if report.end == End::GivenUp => return (End::GivenUp, Ok(report)),
                Ok(report) => return (report.end, Err(interrupted())),
                Err(failure) => return (End::Done, Err(failure)),
            }
        }
        let most = self.args.operations.map_or(u64::MAX, u64::from);
        match self.load("measuring", self.args.duration, most).await {
            Ok(report) => (report.end, Ok(report)),
            Err(failure) => (End::Done, Err(failure)),
        }
    }

    /// Reads and overwrites for a time, or so often.
    async fn load(&mut self, what: &str, time: Duration, most: u64) -> Result<Report, Failure> {
        let (args, start) = (&self.args, Instant::now());
        let pace = match args.rate {
            None => Pace::closed(most),
            Some(rate) => {
                Pace::open(rate, most).map_err(|error| Failure::stream("start a thread", &error))?
            }
        };
        let load = Load {
            client: self.place.client.clone(),
            data: Arc::clone(&self.data),
            pick: Pick::new(args.distribution, args.keys),
            reads: args.reads,
            tasks: args.tasks,
        };
        let (tallies, mut tally) = (Arc::new(Tallies::new()), Tally::new());
        let mut patience = Patience::new();
        let tick = |passed: Duration| {
            let second = tallies.take();
            tally.add(&second);
            self.progress.show(&line(what, passed, time, &second, &tally));
            patience.after(&second)
        };
        let tasks = load.start(&pace, &tallies);
        let (end, _) = phase::run(tasks, time, &mut self.signals, || pace.end(), tick).await;
        tally.add(&tallies.take());
        Ok(Report {
            tally,
            time: start.elapsed(),
            end,
            rate: args.rate,
            missed: pace.missed(),
            remains: Remains::Nothing,
        })
    }

    /// Takes away what was written, unless it is to stay.
    async fn clear(&mut self, end: End) -> Remains {
        let place = self.place.plan(&self.data);
        if self.args.keep {
            self.progress.say(&format!("kept: {place}"));
            return Remains::Kept;
        }
        if end != End::Abandoned {
            let job = self.place.clear(&self.data);
            let chunks = Arc::clone(&job.chunks);
            match self.job(job, "removing").await {
                (End::Done, Ok(())) => return Remains::Nothing,
                // The signal came too late to change anything.
                (End::Interrupted, Ok(())) if chunks.are_done() => return Remains::Nothing,
                (_, Err(error)) => self.progress.say(&format!("cannot clear up: {error:#}")),
                (_, Ok(())) => {}
            }
        }
        self.progress.say(&format!("what was written is still there: {place}"));
        Remains::Left
    }

    /// Sees a job on all keys to its end.
    async fn job(&mut self, job: Job, what: &str) -> (End, Result<(), kvsd::Error>) {
        let Job { tasks, chunks } = job;
        let keys = grouped(self.args.keys);
        let tick = |_| {
            let begun = grouped(chunks.begun());
            self.progress.show(&format!("{what}: {begun} of {keys} values"));
            Prospect::Good
        };
        phase::run(tasks, Duration::MAX, &mut self.signals, || chunks.end(), tick).await
    }
}

/// How long errors are borne where nothing succeeds: a server that starts again is worth some.
struct Patience {
    seconds: u32,
    has_failed: bool,
}

impl Patience {
    fn new() -> Self {
        Self { seconds: 0, has_failed: false }
    }

    /// What to expect after another second.
    fn after(&mut self, second: &Tally) -> Prospect {
        if second.success_count() > 0 {
            *self = Self::new();
        } else {
            self.seconds += 1;
            self.has_failed |= second.error_count() > 0;
        }
        match self.has_failed && self.seconds >= PATIENCE_SECONDS {
            true => Prospect::None,
            false => Prospect::Good,
        }
    }
}

/// The line of progress: the last second, and the errors of all.
fn line(what: &str, passed: Duration, time: Duration, second: &Tally, all: &Tally) -> String {
    let latency = second.latencies();
    let [p50, p99] = [0.5, 0.99].map(|share| millis(latency.value_at_quantile(share)));
    format!(
        "{what}: {:.0} s of {time:?}, {} a second, p50 {p50} ms, p99 {p99} ms, errors {}",
        passed.as_secs_f64(),
        grouped(second.success_count()),
        grouped(all.error_count())
    )
}

fn interrupted() -> Failure {
    Failure::other("interrupted before anything was measured")
}

const PATIENCE_SECONDS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::tally::{Fault, Operation};
    use super::*;

    #[test]
    fn patience_ends_after_seconds_of_errors_and_begins_anew_with_a_success() {
        let (nothing, mut success, mut error) = (Tally::new(), Tally::new(), Tally::new());
        success.succeeded(Operation::Get, Duration::from_micros(1), 0);
        error.failed(&Fault::NoValue);

        let mut patience = Patience::new();
        assert!((0..100).all(|_| patience.after(&nothing) == Prospect::Good), "it may be slow");
        assert_eq!(patience.after(&error), Prospect::None);

        let mut patience = Patience::new();
        for _ in 0..3 {
            let prospects = [&error, &nothing, &nothing, &error].map(|tally| patience.after(tally));
            assert_eq!(prospects, [Prospect::Good; 4]);
            assert_eq!(patience.after(&success), Prospect::Good);
        }
    }
}
