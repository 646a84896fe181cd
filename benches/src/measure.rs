//! The rounds of a cell: in each of them both sides run, one right after the other.
//!
//! Only such neighbours are compared, because a machine of one minute is not that of the next. Next
//! files to read: `rounds` (which of them count), `load`.

use std::sync::Arc;
use std::time::Duration;

use crate::cell::{Cell, Operation, Sync};
use crate::disk;
use crate::latency::Latency;
use crate::load::Plan;
use crate::machine::{self, Ticks};
use crate::peer::Peer;
use crate::peer::kvsd::Kvsd;
use crate::peer::redis::Redis;
use crate::record::{KEYS, Records};
use crate::rounds;
use crate::{Bench, Error};

/// One line of the table, measured.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) cell: Cell,
    pub(crate) ours: Side,
    pub(crate) theirs: Option<Side>,
    /// Rounds thrown away for too much steal.
    pub(crate) repeated: u16,
    /// Synced appends a second before each round, where the cell syncs.
    pub(crate) syncs: Vec<f64>,
    /// The processor time of each round that neither side nor this program used, as a share of what
    /// the machine has.
    pub(crate) elsewhere: Vec<f64>,
}

/// What one side did in the rounds that count.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) connections: usize,
    /// Operations a second, a number for each round.
    pub(crate) rates: Vec<f64>,
    pub(crate) latency: Latency,
    /// Processor time of all rounds.
    pub(crate) client: Duration,
    pub(crate) server: Duration,
}

/// One run of one side.
struct Run {
    latency: Latency,
    client: Duration,
    server: Duration,
    /// What the machine did besides.
    elsewhere: f64,
}

impl Bench {
    /// Measures a cell with servers of its own.
    pub(crate) fn measure(&self, cell: Cell) -> Result<Measured, Error> {
        let folder = tempfile::tempdir_in(self.folder.path())?;
        let ours = Kvsd::start(&self.runtime, &folder.path().join("kvsd"), cell.sync)?;
        let mut sides = vec![self.prepare(cell, Box::new(ours))?];
        if self.redis.is_ok() {
            let theirs = Redis::start(&self.runtime, &folder.path().join("redis"), cell.sync)?;
            sides.push(self.prepare(cell, Box::new(theirs))?);
        }
        self.rounds(cell, sides)
    }

    /// Fills a server and finds its client's best form.
    fn prepare(&self, cell: Cell, mut peer: Box<dyn Peer>) -> Result<(Box<dyn Peer>, Side), Error> {
        let records = Arc::new(Records::new(KEYS, 0));
        peer.fill(&self.runtime, &records, 0..records.count())?;
        let plan = Plan {
            operation: cell.operation,
            tasks: cell.tasks,
            time: self.time.mul_f64(WARM_UP_SHARE),
            records,
        };
        let connections = peer.warm_up(&self.runtime, &plan)?;
        Ok((peer, Side::new(connections)))
    }

    fn rounds(&self, cell: Cell, mut sides: Vec<(Box<dyn Peer>, Side)>) -> Result<Measured, Error> {
        let kept = rounds::keep(self.rounds, |number| {
            let rate = self.sync_rate(cell)?;
            let revision = u32::from(number) + 1;
            let runs = sides
                .iter()
                .map(|(peer, _)| self.run(cell, &**peer, revision))
                .collect::<Result<Vec<_>, _>>()?;
            self.tell(cell, &sides, &runs);
            Ok((rate, runs))
        })?;
        let (mut syncs, mut elsewhere) = (Vec::new(), Vec::new());
        for (rate, runs) in kept.rounds {
            syncs.extend(rate);
            elsewhere.push(runs.iter().map(|run| run.elsewhere).sum::<f64>() / runs.len() as f64);
            for ((_, side), run) in sides.iter_mut().zip(runs) {
                side.add(run, self.time);
            }
        }
        let mut sides = sides.into_iter().map(|(_, side)| side);
        let ours = sides.next().ok_or("a cell without kvsd")?;
        let repeated = kept.repeated;
        Ok(Measured { cell, ours, theirs: sides.next(), repeated, syncs, elsewhere })
    }

    /// How fast the disk syncs now, where that matters.
    fn sync_rate(&self, cell: Cell) -> Result<Option<f64>, Error> {
        match cell.sync {
            Sync::Unlogged | Sync::Interval => Ok(None),
            Sync::Always => {
                disk::settle(self.folder.path())?;
                disk::syncs_per_second(self.folder.path()).map(Some)
            }
        }
    }

    /// Runs one side. What it writes carries the number `revision`.
    fn run(&self, cell: Cell, peer: &dyn Peer, revision: u32) -> Result<Run, Error> {
        let written = match cell.operation {
            Operation::Get => 0,
            Operation::Set => revision,
        };
        let records = Arc::new(Records::new(KEYS, written));
        let plan = Plan { operation: cell.operation, tasks: cell.tasks, time: self.time, records };
        disk::settle(self.folder.path())?;
        let usage = || Ok::<_, Error>((Ticks::now()?, own_cpu()?, machine::cpu_of(peer.server())?));
        let (ticks, client, server) = usage()?;
        let outcome = peer
            .run(&self.runtime, &plan)
            .map_err(|error| format!("{cell}, {}: {error}", peer.name()))?;
        let (ticks_after, client_after, server_after) = usage()?;
        let (client, server) = (client_after - client, server_after - server);
        let others = ticks_after.busy_since(ticks).saturating_sub(client + server);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let elsewhere = others.as_secs_f64() / (self.time.as_secs_f64() * cores as f64);
        Ok(Run { latency: outcome.latency, client, server, elsewhere })
    }

    /// Says how it goes, to whoever waits.
    fn tell(&self, cell: Cell, sides: &[(Box<dyn Peer>, Side)], runs: &[Run]) {
        let rates = sides.iter().zip(runs).map(|((peer, _), run)| {
            let rate = run.latency.count() as f64 / self.time.as_secs_f64();
            format!("{} {rate:.0}/s", peer.name())
        });
        eprintln!("{cell}: {}", rates.collect::<Vec<_>>().join(", "));
    }
}

impl Side {
    fn new(connections: usize) -> Self {
        let (client, server) = (Duration::ZERO, Duration::ZERO);
        Self { connections, rates: Vec::new(), latency: Latency::new(), client, server }
    }

    fn add(&mut self, run: Run, time: Duration) {
        self.rates.push(run.latency.count() as f64 / time.as_secs_f64());
        self.latency.add(&run.latency);
        self.client += run.client;
        self.server += run.server;
    }
}

fn own_cpu() -> Result<Duration, Error> {
    machine::cpu_of(std::process::id())
}

/// A warm-up pass, as a share of a run.
const WARM_UP_SHARE: f64 = 0.25;
