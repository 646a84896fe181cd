//! `/status.json`: what the status page shows. For that page alone: it changes with it.
//!
//! Bounded like everything here: the largest tables, the busiest connections, the last slow requests.

use serde::Serialize;

use super::exposition::largest;
use super::history::Sample;
use super::process::Process;
use super::state::{Phase, Status};
use crate::clock;
use crate::engine::{Figures, Health, TableFigures};
use crate::metrics::{Outcome, Refusal, SlowRequest};
use crate::server::roster::{Entry, Peer, Roster};

#[derive(Debug, Serialize)]
struct Page {
    version: &'static str,
    phase: String,
    opened_tables: usize,
    tables_to_open: usize,
    engine: Option<&'static str>,
    durability: Option<&'static str>,
    now: u64,
    uptime_seconds: u64,
    problems: Vec<String>,
    history: Vec<Sample>,
    step_seconds: u64,
    operations: Vec<OperationRow>,
    in_flight: u64,
    connections: Connections,
    refusals: Vec<(&'static str, u64)>,
    tables: Tables,
    store: Store,
    slow: Slow,
    process: Process,
}

#[derive(Debug, Serialize)]
struct OperationRow {
    operation: &'static str,
    ok: u64,
    not_applied: u64,
    refused: u64,
    failed: u64,
    mean_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Connections {
    open: u64,
    limit: u64,
    accepted: u64,
    logins: u64,
    memory_bytes: usize,
    busiest: Vec<ConnectionRow>,
}

#[derive(Debug, Serialize)]
struct ConnectionRow {
    id: u64,
    peer: String,
    tls: bool,
    user: Option<String>,
    age_seconds: u64,
    idle_seconds: u64,
    requests: u64,
    received_bytes: u64,
    sent_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Tables {
    count: usize,
    keys: u64,
    live_bytes: u64,
    dead_bytes: u64,
    disk_bytes: u64,
    largest: Vec<TableRow>,
}

#[derive(Debug, Serialize)]
struct TableRow {
    name: String,
    keys: u64,
    live_bytes: u64,
    dead_bytes: u64,
    disk_bytes: u64,
    queued: u64,
    stopped: bool,
}

#[derive(Debug, Serialize)]
struct Store {
    index_bytes: u64,
    cache_bytes: u64,
    cache_hits: u64,
    cache_misses: u64,
    groups: u64,
    grouped_writes: u64,
    syncs: u64,
    sync_mean_seconds: Option<f64>,
    compactions: u64,
    compactions_failed: u64,
    compactions_running: u64,
    compacted_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Slow {
    threshold_seconds: Option<f64>,
    count: u64,
    last: Vec<SlowRow>,
}

#[derive(Debug, Serialize)]
struct SlowRow {
    at: u64,
    operation: &'static str,
    table: String,
    bytes: u64,
    seconds: f64,
    requests: u64,
    peer: Option<String>,
    user: Option<String>,
}

/// The whole of it, as JSON.
pub(super) async fn page(status: &Status) -> Result<Vec<u8>, serde_json::Error> {
    let figures = status.figures().await;
    let description = status.engine().map(|engine| engine.description());
    let (opened_tables, tables_to_open) = status.progress();
    let history = {
        let history = status.history.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        history.samples()
    };
    let operations = status.metrics.operations();
    serde_json::to_vec(&Page {
        version: env!("CARGO_PKG_VERSION"),
        phase: status.phase().to_string(),
        opened_tables,
        tables_to_open,
        engine: description.map(|engine| engine.name),
        durability: description.map(|engine| engine.durability),
        now: clock::now().get(),
        uptime_seconds: status.started.elapsed().as_secs(),
        problems: problems(status, &figures),
        history,
        step_seconds: Sample::PERIOD.as_secs(),
        in_flight: operations.as_ref().map_or(0, |operations| operations.in_flight),
        operations: operations
            .iter()
            .flat_map(|operations| &operations.kinds)
            .map(|kind| {
                let (operation, outcomes, times) = kind;
                let [ok, not_applied, refused, failed] =
                    Outcome::ALL.map(|of| outcomes[of as usize]);
                let mean_seconds = mean(times.sum, times.count());
                OperationRow {
                    operation: operation.label(),
                    ok,
                    not_applied,
                    refused,
                    failed,
                    mean_seconds,
                }
            })
            .collect(),
        connections: connections(status),
        refusals: Refusal::ALL.map(|why| (why.label(), status.metrics.refused(why))).into(),
        tables: tables(&figures),
        store: store(&figures),
        slow: Slow {
            threshold_seconds: status.metrics.slow.threshold().map(|time| time.as_secs_f64()),
            count: status.metrics.slow.count(),
            last: status.metrics.slow.last().into_iter().map(SlowRow::of).collect(),
        },
        process: Process::read(),
    })
}

/// What an operator should look at.
fn problems(status: &Status, figures: &Figures) -> Vec<String> {
    let mut problems = Vec::new();
    if status.phase() == Phase::Stopping {
        problems.push("The server is stopping.".to_owned());
    }
    match status.health() {
        Health::Ready => {}
        Health::Degraded { reason } => problems.push(format!("The store is degraded: {reason}.")),
        Health::NotReady { reason } => {
            problems.push(format!("Clients cannot be served: {reason}."));
        }
    }
    let stopped = figures.tables.iter().filter(|table| table.statistics.stopped.is_some());
    problems.extend(stopped.take(MOST_PROBLEMS).map(|table| {
        format!("Table {} takes no writes since a failure: see the log, then restart.", table.name)
    }));
    if status.most_connections > 0 && status.metrics.open() >= status.most_connections {
        problems.push("All connections are taken: further clients wait.".to_owned());
    }
    if figures.compaction.failed > 0 {
        let failed = figures.compaction.failed;
        problems.push(format!("Compactions that have failed since the start: {failed}."));
    }
    problems
}

fn connections(status: &Status) -> Connections {
    let mut all = status.roster().map(|all| all.page(0, usize::MAX)).unwrap_or_default();
    // Looked at once each: they count on meanwhile, and what is sorted must keep its order.
    all.sort_by_cached_key(|entry| std::cmp::Reverse(entry.total().requests));
    Connections {
        open: status.metrics.open(),
        limit: status.most_connections,
        accepted: status.metrics.accepted(),
        logins: status.metrics.logins(),
        memory_bytes: status.roster().map_or(0, Roster::memory),
        busiest: all.iter().take(MOST_ROWS).map(|entry| ConnectionRow::of(entry)).collect(),
    }
}

impl ConnectionRow {
    fn of(entry: &Entry) -> Self {
        let total = entry.total();
        Self {
            id: entry.id(),
            peer: entry.peer().to_string(),
            tls: matches!(entry.peer(), Peer::Tls(_)),
            user: entry.user().map(str::to_owned),
            age_seconds: entry.age().as_secs(),
            idle_seconds: entry.idle().as_secs(),
            requests: total.requests,
            received_bytes: total.read_bytes,
            sent_bytes: total.written_bytes,
        }
    }
}

fn tables(figures: &Figures) -> Tables {
    let all = || figures.tables.iter().map(|table| &table.statistics);
    Tables {
        count: figures.tables.len(),
        keys: all().map(|table| table.keys).sum(),
        live_bytes: all().map(|table| table.live_bytes).sum(),
        dead_bytes: all().map(|table| table.dead_bytes).sum(),
        disk_bytes: all().map(|table| table.disk_bytes).sum(),
        largest: largest(figures, MOST_ROWS).into_iter().map(TableRow::of).collect(),
    }
}

impl TableRow {
    fn of(table: &TableFigures) -> Self {
        let TableFigures { name, statistics, queued } = table;
        Self {
            name: name.to_string(),
            keys: statistics.keys,
            live_bytes: statistics.live_bytes,
            dead_bytes: statistics.dead_bytes,
            disk_bytes: statistics.disk_bytes,
            queued: *queued,
            stopped: statistics.stopped.is_some(),
        }
    }
}

fn store(figures: &Figures) -> Store {
    let Figures { index_bytes, groups, syncs, cache, compaction, .. } = figures;
    Store {
        index_bytes: *index_bytes,
        cache_bytes: cache.bytes,
        cache_hits: cache.hits,
        cache_misses: cache.misses,
        groups: groups.count(),
        grouped_writes: groups.sum,
        syncs: syncs.count(),
        sync_mean_seconds: mean(syncs.sum, syncs.count()),
        compactions: compaction.completed,
        compactions_failed: compaction.failed,
        compactions_running: compaction.running,
        compacted_bytes: compaction.read_bytes.saturating_sub(compaction.written_bytes),
    }
}

impl SlowRow {
    fn of(request: SlowRequest) -> Self {
        Self {
            at: request.at,
            operation: request.operation.label(),
            table: request.table.into(),
            bytes: request.bytes,
            seconds: request.took.as_secs_f64(),
            requests: request.requests,
            peer: request.peer.map(|peer| peer.to_string()),
            user: request.user.map(|user| (*user).to_owned()),
        }
    }
}

/// The mean of so many times, in seconds.
fn mean(nanos: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| nanos as f64 / count as f64 / 1e9)
}

/// How many rows a list has.
const MOST_ROWS: usize = 100;
const MOST_PROBLEMS: usize = 10;
