//! The suite `frontend`: a kvsd server on an etcd cluster, beside `etcd-client` on the same cluster.
//!
//! Three members, started here, on one machine; one front end, the shipped server. Both sides do the
//! same to values of their own, in turn. Only where this program is built with the feature `etcd`.

mod cluster;
mod direct;

use std::fmt;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::cell::{Pick, Work};
use crate::load::{Pace, Picking, Plan};
use crate::peer::{Peer, kvsd};
use crate::record::Records;
use crate::report::{holds, median, quotients, spread};
use crate::rounds::{self, MOST_STEAL};
use crate::{Bench, Error, disk, machine, measure};
use cluster::Cluster;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    /// Reads, each of which sees every write that was answered before it.
    Get(usize),
    /// Writes, each of which a majority has on disk.
    Set(usize),
}

/// All lines, with their tasks.
pub(crate) const ROWS: [Row; 4] = [Row::Get(1), Row::Get(64), Row::Set(1), Row::Set(64)];

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get(tasks) => write!(f, "frontend-get-{tasks}"),
            Self::Set(tasks) => write!(f, "frontend-set-{tasks}"),
        }
    }
}

impl Row {
    fn work(self) -> (Work, usize) {
        match self {
            Self::Get(tasks) => (Work::Get, tasks),
            Self::Set(tasks) => (Work::Set, tasks),
        }
    }

    /// The least quotient that the project promises itself.
    fn floor(self) -> Option<f64> {
        match self {
            Self::Get(1) | Self::Set(1) => None,
            Self::Get(_) | Self::Set(_) => Some(LEAST_QUOTIENT),
        }
    }
}

/// How it is measured.
pub(crate) fn head(bench: &Bench) -> String {
    let lines = [
        format!(
            "- Front end: operations a second, {KEYS} keys picked evenly, typed values of 100 bytes \
             of bincode, a closed loop of as many tasks as the line's name says. Three etcd members \
             on this machine, plain TCP, etcd's default settings but for the ports and \
             `--quota-backend-bytes 8589934592`; {}.",
            cluster::version().unwrap_or_else(|why| why)
        ),
        format!(
            "- Rounds: {} in which both sides run for {:?}, one after the other and the other way \
             round in every second one. The quotient is the median of the rounds'; a round with \
             over {:.0} % steal is repeated.",
            bench.rounds,
            bench.time,
            MOST_STEAL * 100.0
        ),
        format!(
            "- kvsd {}: `kvsd-server --dev --engine etcd`; the SDK with its default pool of {} \
             connections. Beside it the crate etcd-client, one client that all tasks share, with \
             all members or only the leader, whichever does more in a warm-up; linearizable reads.",
            env!("CARGO_PKG_VERSION"),
            ::kvsd::DEFAULT_POOL_SIZE
        ),
    ];
    lines.join("\n")
}

/// Measures lines. Returns the table.
pub(crate) fn measure(bench: &Bench, rows: &[Row]) -> Result<String, Error> {
    let folder = tempfile::tempdir_in(bench.folder.path())?;
    let cluster = Cluster::start(&bench.runtime, folder.path())?;
    let mut ours = kvsd::front_end(&bench.runtime, &folder.path().join("kvsd"), &cluster.urls())?;
    let mut theirs = direct::start(&bench.runtime, cluster)?;
    let records = Arc::new(Records::new(KEYS));
    ours.fill(&bench.runtime, &records, 0..KEYS)?;
    theirs.fill(&bench.runtime, &records, 0..KEYS)?;
    let mut text = format!(
        "| line | kvsd/s | etcd-client/s | quotient (spread) | at least {LEAST_QUOTIENT} | p50 us \
         kvsd, etcd-client | a front end adds, us | CPU us/operation: SDK + front end, etcd-client \
         | repeated |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let (work, tasks) = row.work();
        let picking = Picking::new(Pick::Evenly, KEYS);
        let records = Arc::clone(&records);
        let plan = Plan { work, tasks, time: bench.time, pace: Pace::Closed, picking, records };
        ours.warm_up(&bench.runtime, &plan)?;
        theirs.warm_up(&bench.runtime, &plan)?;
        let kept = rounds::keep(bench.rounds, |round| {
            let (ours, theirs): (&dyn Peer, &dyn Peer) = (&ours, &theirs);
            let sides = if round % 2 == 0 {
                let ours = run(bench, ours, &plan, Some(ours.server()))?;
                [ours, run(bench, theirs, &plan, None)?]
            } else {
                let theirs = run(bench, theirs, &plan, None)?;
                [run(bench, ours, &plan, Some(ours.server()))?, theirs]
            };
            let [a, b] = sides.map(|side| side.rate);
            eprintln!("{row}: {a:.0} through a front end, {b:.0} without");
            Ok(sides)
        })?;
        let all = |side: usize, part: fn(&Run) -> f64| -> Vec<f64> {
            kept.rounds.iter().map(|runs| part(&runs[side])).collect()
        };
        let middle = |side, part| median(&all(side, part));
        let rates = quotients(&all(0, |run| run.rate), &all(1, |run| run.rate));
        let (p50, client) = (|run: &Run| run.p50, |run: &Run| run.client);
        let fields = [
            row.to_string(),
            format!("{:.0}", middle(0, |run| run.rate)),
            format!("{:.0}", middle(1, |run| run.rate)),
            spread(&rates, 2),
            row.floor().map_or("-", |floor| holds(median(&rates) >= floor)).to_owned(),
            format!("{:.0}, {:.0}", middle(0, p50), middle(1, p50)),
            format!("{:.0}", middle(0, p50) - middle(1, p50)),
            format!(
                "{:.1} + {:.1}, {:.1}",
                middle(0, client),
                middle(0, |run| run.server),
                middle(1, client)
            ),
            kept.repeated.to_string(),
        ];
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} |", fields.join(" | "));
    }
    Ok(text)
}

/// One side's run: operations a second, the median latency and what an operation costs, in
/// microseconds.
#[derive(Debug, Clone, Copy)]
struct Run {
    rate: f64,
    p50: f64,
    client: f64,
    server: f64,
}

fn run(bench: &Bench, peer: &dyn Peer, plan: &Plan, front_end: Option<u32>) -> Result<Run, Error> {
    disk::settle(bench.folder.path())?;
    let server = || front_end.map_or(Ok(Duration::ZERO), machine::cpu_of);
    let (client, served) = (measure::own_cpu()?, server()?);
    let outcome = peer.run(&bench.runtime, plan)?;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / outcome.count() as f64;
    Ok(Run {
        rate: outcome.count() as f64 / plan.time.as_secs_f64(),
        p50: measure::micros(outcome.all().quantile(0.5)),
        client: each(measure::own_cpu()? - client),
        server: each(server()? - served),
    })
}

const KEYS: usize = 10_000;
/// What the project promises itself: not more than 15 % less.
const LEAST_QUOTIENT: f64 = 0.85;
