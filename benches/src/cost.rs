//! The suite `cost`: what a get costs kvsd where there is more of what should not matter.
//!
//! Compares processor time, client and server together: it grows with the work that an operation
//! is, and less than the wall clock with what else the machine does.

use std::fmt;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::cell::{FEW, Pick, Sync, Work};
use crate::load::{Pace, Picking, Plan};
use crate::measure::own_cpu;
use crate::peer::kvsd::Kvsd;
use crate::peer::{Peer, Setting, kvsd};
use crate::record::Records;
use crate::report::{holds, median, quotients, spread};
use crate::rounds::{self, MOST_STEAL};
use crate::{Bench, Error, disk, machine};

/// What there is more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    Keys,
    Tables,
    /// Connections that others have and do not use.
    Connections,
}

/// All lines.
pub(crate) const ROWS: [Row; 3] = [Row::Keys, Row::Tables, Row::Connections];

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys => "cost-by-keys",
            Self::Tables => "cost-by-tables",
            Self::Connections => "cost-by-connections",
        })
    }
}

/// What is on one side of a line.
#[derive(Debug, Clone, Copy)]
struct Shape {
    keys: usize,
    tables: usize,
    idle: usize,
}

impl Row {
    /// Little and much of it.
    fn shapes(self, bench: &Bench) -> [Shape; 2] {
        let keys = FEW.min(bench.keys);
        let little = Shape { keys, tables: 1, idle: 0 };
        match self {
            Self::Keys => [little, Shape { keys: bench.keys, ..little }],
            Self::Tables => [little, Shape { tables: MANY_TABLES, ..little }],
            Self::Connections => {
                // A short benchmark has no time to open all of them.
                let most = MOST_IDLE.min(bench.keys / 8);
                [FEW_IDLE, most].map(|idle| Shape { idle, ..little })
            }
        }
    }

    fn number(self, shape: &Shape) -> usize {
        match self {
            Self::Keys => shape.keys,
            Self::Tables => shape.tables,
            Self::Connections => shape.idle,
        }
    }
}

/// How it is measured.
pub(crate) fn head(bench: &Bench) -> String {
    let lines = [
        format!(
            "- Cost: processor time, system calls included, of client and server for each get; \
             {TASKS} tasks in a closed loop; {} keys picked evenly, typed values of 100 bytes of \
             bincode, one table, no other connections, where the line does not say otherwise. \
             `cost-by-connections` counts those that others have and do not use, from this \
             process. \
             Every key was written twice before: what its cache of the default size has room \
             for, the server has at hand.",
            FEW.min(bench.keys)
        ),
        format!(
            "- Rounds: {} in which both sides run for {:?}, one after the other. The quotient is \
             the median of the rounds'; a round with over {:.0} % steal is repeated.",
            bench.rounds,
            bench.time,
            MOST_STEAL * 100.0
        ),
        format!(
            "- kvsd {}: `kvsd-server --dev --sync {}`, and `--max-connections {MOST_SERVED}`, as \
             many from one address and as many unauthenticated, for `cost-by-connections`; the SDK \
             with its default pool of {} connections.",
            env!("CARGO_PKG_VERSION"),
            kvsd::sync_mode(Sync::Unlogged),
            ::kvsd::DEFAULT_POOL_SIZE
        ),
    ];
    lines.join("\n")
}

/// Measures lines. Returns the table.
pub(crate) fn measure(bench: &Bench, rows: &[Row]) -> Result<String, Error> {
    let mut text = format!(
        "| line | little | much | with little us/get client + server | with much us/get client + \
         server | quotient (spread) | at most {MOST_QUOTIENT} | of the server alone (spread) \
         | repeated |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", measure_row(bench, *row)?);
    }
    Ok(text)
}

/// What an operation cost in one run, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) client: f64,
    pub(crate) server: f64,
}

fn measure_row(bench: &Bench, row: Row) -> Result<String, Error> {
    let shapes = row.shapes(bench);
    let start = |shape: Shape| {
        let most_connections = match row {
            Row::Keys | Row::Tables => None,
            Row::Connections => Some(MOST_SERVED),
        };
        let Shape { keys, tables, idle } = shape;
        let setting = Setting { tables, most_connections, ..Setting::new(Sync::Unlogged) };
        Side::start(bench, &setting, Load { work: Work::Get, tasks: TASKS, keys, idle })
    };
    let (little, much) = (start(shapes[0])?, start(shapes[1])?);
    let kept = rounds::keep(bench.rounds, |_| {
        let costs = [little.run(bench)?, much.run(bench)?];
        let [a, b] = costs.map(|cost| format!("{:.2} + {:.2}", cost.client, cost.server));
        eprintln!("{row}: {a} us with little, {b} us with much");
        Ok(costs)
    })?;
    let all = |side: usize, part: fn(&Cost) -> f64| -> Vec<f64> {
        kept.rounds.iter().map(|costs| part(&costs[side])).collect()
    };
    let shown = |side| {
        let (client, server) = (all(side, |cost| cost.client), all(side, |cost| cost.server));
        format!("{:.2} + {:.2}", median(&client), median(&server))
    };
    let both = |cost: &Cost| cost.client + cost.server;
    let totals = quotients(&all(1, both), &all(0, both));
    let servers = quotients(&all(1, |cost| cost.server), &all(0, |cost| cost.server));
    let fields = [
        row.to_string(),
        row.number(&shapes[0]).to_string(),
        row.number(&shapes[1]).to_string(),
        shown(0),
        shown(1),
        spread(&totals, 2),
        holds(median(&totals) <= MOST_QUOTIENT).to_owned(),
        spread(&servers, 2),
        kept.repeated.to_string(),
    ];
    Ok(format!("| {} |", fields.join(" | ")))
}

/// What a server is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) work: Work,
    pub(crate) tasks: usize,
    pub(crate) keys: usize,
    /// Connections that others have and do not use.
    pub(crate) idle: usize,
}

/// A server with its client, and with what is beside it.
pub(crate) struct Side {
    /// Clients that do nothing.
    _idle: Vec<::kvsd::Client>,
    served: Kvsd,
    plan: Plan,
    _folder: TempDir,
}

impl Side {
    pub(crate) fn start(bench: &Bench, setting: &Setting, load: Load) -> Result<Self, Error> {
        let folder = tempfile::tempdir_in(bench.folder.path())?;
        raise_descriptors()?;
        let mut served = kvsd::start(&bench.runtime, &folder.path().join("kvsd"), setting)?;
        let records = Arc::new(Records::new(load.keys));
        // Twice: what was replaced is at hand, as what is read a second time, where the cache has
        // room for it.
        for _ in 0..2 {
            served.fill(&bench.runtime, &records, 0..load.keys)?;
        }
        let idle = connect(&bench.runtime, &served, load.idle)?;
        let plan = Plan {
            work: load.work,
            tasks: load.tasks,
            time: bench.time,
            pace: Pace::Closed,
            picking: Picking::new(Pick::Evenly, load.keys),
            records,
        };
        served.warm_up(&bench.runtime, &Plan { time: bench.time / 4, ..plan.clone() })?;
        Ok(Self { _idle: idle, served, plan, _folder: folder })
    }

    pub(crate) fn run(&self, bench: &Bench) -> Result<Cost, Error> {
        disk::settle(bench.folder.path())?;
        let usage = || Ok::<_, Error>((own_cpu()?, machine::cpu_of(self.served.server())?));
        let (client, server) = usage()?;
        let count = self.served.run(&bench.runtime, &self.plan)?.count() as f64;
        let (client_after, server_after) = usage()?;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count;
        Ok(Cost { client: each(client_after - client), server: each(server_after - server) })
    }
}

/// Opens so many connections, and waits until the server has all of them.
fn connect(
    runtime: &Runtime,
    served: &Kvsd,
    connections: usize,
) -> Result<Vec<::kvsd::Client>, Error> {
    let wanted = machine::descriptors(served.server())? + connections;
    let (mut idle, mut left) = (Vec::new(), u32::try_from(connections)?);
    while left > 0 {
        let some = left.min(::kvsd::MAX_POOL_SIZE);
        let builder = served.place().builder()?.pool_size(some);
        idle.push(runtime.block_on(builder.connect())?);
        left -= some;
    }
    let give_up = Instant::now() + PATIENCE;
    while machine::descriptors(served.server())? < wanted {
        if Instant::now() > give_up {
            let open = machine::descriptors(served.server())?;
            return Err(format!("the server has {open} of {wanted} descriptors open").into());
        }
        std::thread::sleep(LOOK);
    }
    Ok(idle)
}

/// Lets this process, and the servers that it starts, have as many files open as they may.
fn raise_descriptors() -> Result<(), Error> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(())
}

const TASKS: usize = 64;
const MANY_TABLES: usize = 100;
const FEW_IDLE: usize = 16;
const MOST_IDLE: usize = 4096;
/// More than are opened; the default is fewer.
const MOST_SERVED: u32 = 8192;
/// What the project promises itself.
const MOST_QUOTIENT: f64 = 1.25;
const LOOK: Duration = Duration::from_millis(5);
/// How long the connections may take to open, some ten times what they do.
const PATIENCE: Duration = Duration::from_secs(30);
