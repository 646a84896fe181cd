//! The rounds of a cell: in each of them all sides run, one right after the other.
//!
//! Only such neighbours are compared, because a machine of one minute is not that of the next. Next
//! files to read: `rounds` (which of them count), `load`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::cell::{Beside, Cell, Figure, Length, Pace, Sync, Work};
use crate::load::{self, Outcome, Picking, Plan};
use crate::machine::Ticks;
use crate::peer::{Best, Kind, Link, Peer, redis};
use crate::record::Records;
use crate::{Bench, Error, disk, machine, rounds, space};

/// One line of the table, measured.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) cell: Cell,
    /// kvsd first.
    pub(crate) sides: Vec<Side>,
    /// Why somebody is not measured who should be.
    pub(crate) skipped: Option<String>,
    /// Rounds thrown away for too much steal.
    pub(crate) repeated: u16,
    /// Synced appends a second before each round, where the cell syncs.
    pub(crate) syncs: Vec<f64>,
    /// The processor time of each round that neither side nor this program used, as a share of what
    /// the machine has.
    pub(crate) elsewhere: Vec<f64>,
    /// What is measured of kvsd alone, for some cells.
    pub(crate) extra: Extra,
}

/// What one side did in the rounds that count.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    /// Operations a second, a number for each round.
    pub(crate) rates: Vec<f64>,
    /// The median latency in microseconds, a number for each round.
    pub(crate) medians: Vec<f64>,
    pub(crate) outcome: Outcome,
    /// Processor time of all rounds.
    pub(crate) client: Duration,
    pub(crate) server: Duration,
}

/// What is measured of kvsd alone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Extra {
    Nothing,
    /// How many times longer the median get takes beside sets than without them, a number for each
    /// round.
    GetsBesideSets(Vec<f64>),
    /// The most room on the disk, in bytes, and what live records need of it.
    Space {
        most: u64,
        live: u64,
    },
}

/// One run of one side.
struct Run {
    outcome: Outcome,
    seconds: f64,
    client: Duration,
    server: Duration,
    /// What the machine did besides.
    elsewhere: f64,
}

/// A cell whose servers run and are filled.
struct Ready<'a> {
    bench: &'a Bench,
    cell: Cell,
    folder: &'a Path,
    peers: Vec<(Kind, Box<dyn Peer>, Runtime)>,
    plan: Plan,
}

impl Bench {
    /// Measures a cell with servers of its own.
    pub(crate) fn measure(&self, cell: Cell) -> Result<Measured, Error> {
        let folder = tempfile::tempdir_in(self.folder.path())?;
        let (kinds, skipped) = self.sides(&cell);
        let records = Arc::new(Records::with_payload(cell.count(self), cell.payload));
        let plan = Plan {
            work: cell.work,
            tasks: cell.tasks,
            time: self.time.mul_f64(WARM_UP_SHARE),
            pace: load::Pace::Closed,
            picking: Picking::new(cell.pick, records.count()),
            records,
        };
        let mut ready = Ready { bench: self, cell, folder: folder.path(), peers: Vec::new(), plan };
        let mut sides = Vec::new();
        let mut slowest = f64::INFINITY;
        for kind in kinds {
            let best = ready.start(kind).map_err(|error| format!("{cell}, {kind}: {error}"))?;
            slowest = slowest.min(best.rate);
            sides.push(Side::new(kind, best.connections));
        }
        ready.plan.time = match cell.length {
            Length::Run => self.time,
            Length::Long => self.time * LONG,
        };
        ready.plan.pace = match cell.pace {
            Pace::Closed => load::Pace::Closed,
            Pace::Open => load::Pace::Open { rate: (slowest * OPEN_SHARE).max(1.0) },
        };
        let mut measured = ready.rounds(sides)?;
        measured.skipped = skipped;
        Ok(measured)
    }

    /// Who is measured, and why others are not.
    fn sides(&self, cell: &Cell) -> (Vec<Kind>, Option<String>) {
        let meant = match cell.beside {
            Beside::Redis => &Kind::PEERS[..1],
            Beside::Libraries => &Kind::PEERS[..3],
            Beside::Everyone => &Kind::PEERS[..],
        };
        let lack = match (&self.redis, cell.link) {
            (Err(reason), _) => Some(reason.clone()),
            (Ok(_), Link::Tls) => redis::server::lack_of_tls(),
            (Ok(_), Link::Plain) => None,
        };
        let is_there =
            |kind: &Kind| self.peers.contains(kind) && !(kind.is_redis() && lack.is_some());
        let there = meant.iter().copied().filter(is_there);
        (std::iter::once(Kind::Kvsd).chain(there).collect(), lack)
    }
}

impl Ready<'_> {
    /// Starts a server, fills it, and finds its client's best form.
    fn start(&mut self, kind: Kind) -> Result<Best, Error> {
        let (runtime, plan) = (self.bench.client_runtime()?, &self.plan);
        let folder = self.folder.join(kind.to_string());
        let mut peer = kind.start(&runtime, &folder, &self.cell.setting(), plan.tasks)?;
        peer.fill(&runtime, &plan.records, 0..plan.records.count())?;
        let best = peer.warm_up(&runtime, plan)?;
        self.peers.push((kind, peer, runtime));
        Ok(best)
    }

    fn rounds(&self, mut sides: Vec<Side>) -> Result<Measured, Error> {
        let cell = self.cell;
        let mut most = 0;
        let kept = rounds::keep(self.bench.rounds, |number| {
            let rate = self.sync_rate()?;
            let plan = match cell.writes() {
                true => self.revised(u32::from(number) + 1),
                false => self.plan.clone(),
            };
            let mut runs = Vec::new();
            for (kind, peer, runtime) in &self.peers {
                let (run, room) = self.watched(*kind, || self.run(&**peer, runtime, &plan));
                runs.push(run.map_err(|error| format!("{cell}, {kind}: {error}"))?);
                most = most.max(room?);
            }
            let alone = self.alone(&plan)?;
            self.tell(&runs);
            Ok((rate, runs, alone))
        })?;
        let (mut syncs, mut elsewhere, mut quotients) = (Vec::new(), Vec::new(), Vec::new());
        for (rate, runs, alone) in kept.rounds {
            syncs.extend(rate);
            elsewhere.push(runs.iter().map(|run| run.elsewhere).sum::<f64>() / runs.len() as f64);
            if let (Some(alone), Some(ours)) = (alone, runs.first()) {
                quotients.push(ours.reads() / alone.reads());
            }
            for (side, run) in sides.iter_mut().zip(runs) {
                side.add(&run);
            }
        }
        let extra = match cell.length {
            Length::Long => Extra::Space { most, live: self.live_bytes()? },
            Length::Run if quotients.is_empty() => Extra::Nothing,
            Length::Run => Extra::GetsBesideSets(quotients),
        };
        let repeated = kept.repeated;
        Ok(Measured { cell, sides, skipped: None, repeated, syncs, elsewhere, extra })
    }

    /// The plan, for a run whose writes carry that number.
    fn revised(&self, revision: u32) -> Plan {
        let records = Arc::new(self.plan.records.revised(revision));
        Plan { records, ..self.plan.clone() }
    }

    /// How fast the disk syncs now, where that matters.
    fn sync_rate(&self) -> Result<Option<f64>, Error> {
        match self.cell.sync {
            Sync::Unlogged | Sync::Never | Sync::Interval => Ok(None),
            Sync::Always => {
                disk::settle(self.folder)?;
                disk::syncs_per_second(self.folder).map(Some)
            }
        }
    }

    /// Runs one side.
    fn run(&self, peer: &dyn Peer, runtime: &Runtime, plan: &Plan) -> Result<Run, Error> {
        disk::settle(self.folder)?;
        let usage = || Ok::<_, Error>((Ticks::now()?, own_cpu()?, machine::cpu_of(peer.server())?));
        let (start, (ticks, client, server)) = (Instant::now(), usage()?);
        let outcome = peer.run(runtime, plan)?;
        let (ticks_after, client_after, server_after) = usage()?;
        let (client, server) = (client_after - client, server_after - server);
        let others = ticks_after.busy_since(ticks).saturating_sub(client + server);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let elsewhere = others.as_secs_f64() / (start.elapsed().as_secs_f64() * cores as f64);
        Ok(Run { outcome, seconds: plan.time.as_secs_f64(), client, server, elsewhere })
    }

    /// Runs kvsd, in a long run beside a look at the room that it takes: returns the most.
    fn watched<T: Send>(
        &self,
        kind: Kind,
        run: impl FnOnce() -> Result<T, Error>,
    ) -> (Result<T, Error>, Result<u64, Error>) {
        if self.cell.length != Length::Long || kind != Kind::Kvsd {
            return (run(), Ok(0));
        }
        let folder = self.folder.join(kind.to_string());
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| space::watch(&folder, &is_done));
            let result = run();
            is_done.store(true, Ordering::Relaxed);
            (result, watching.join().unwrap_or_else(|_| Err("the watcher panicked".into())))
        })
    }

    /// kvsd's gets without sets, where a cell mixes them.
    fn alone(&self, plan: &Plan) -> Result<Option<Run>, Error> {
        match (self.cell.work, self.cell.pace, self.peers.first()) {
            (Work::Mixed, Pace::Closed, Some((_, ours, runtime))) => {
                let mut plan = plan.clone();
                plan.work = Work::Get;
                self.run(&**ours, runtime, &plan).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// What all records need as kvsd encodes them.
    fn live_bytes(&self) -> Result<u64, Error> {
        let records = &self.plan.records;
        Ok(space::live_bytes(records.count(), records.stored_bytes()?))
    }

    /// Says how it goes, to whoever waits.
    fn tell(&self, runs: &[Run]) {
        let shown = self.peers.iter().zip(runs).map(|((kind, ..), run)| {
            format!("{kind} {:.0}/s, p50 {:.0} us", run.rate(), run.median())
        });
        eprintln!("{}: {}", self.cell, shown.collect::<Vec<_>>().join("; "));
    }
}

impl Run {
    fn rate(&self) -> f64 {
        self.outcome.count() as f64 / self.seconds
    }

    fn median(&self) -> f64 {
        micros(self.outcome.all().quantile(0.5))
    }

    /// The median latency of reads.
    fn reads(&self) -> f64 {
        micros(self.outcome.reads.quantile(0.5))
    }
}

impl Side {
    fn new(kind: Kind, connections: usize) -> Self {
        let (client, server) = (Duration::ZERO, Duration::ZERO);
        let (rates, medians, outcome) = (Vec::new(), Vec::new(), Outcome::new());
        Self { kind, connections, rates, medians, outcome, client, server }
    }

    fn add(&mut self, run: &Run) {
        self.rates.push(run.rate());
        self.medians.push(run.median());
        self.outcome.add(&run.outcome);
        self.client += run.client;
        self.server += run.server;
    }

    /// The numbers that are compared, one for each round.
    pub(crate) fn figures(&self, figure: Figure) -> &[f64] {
        match figure {
            Figure::Rate => &self.rates,
            Figure::Median => &self.medians,
        }
    }
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

pub(crate) fn own_cpu() -> Result<Duration, Error> {
    machine::cpu_of(std::process::id())
}

/// A warm-up pass, as a share of a run.
const WARM_UP_SHARE: f64 = 0.25;
/// How many runs a long one lasts.
pub(crate) const LONG: u32 = 30;
/// The rate of an open loop, as a share of what the slowest side does in a closed one.
pub(crate) const OPEN_SHARE: f64 = 0.5;
