//! `/metrics`: everything that is counted, in Prometheus's text format.
//!
//! The number of lines is bounded: what has a label for each table is shown of the largest ones.
//! Next file to read: `json`.

use super::families as family;
use super::process::Process;
use super::state::{Phase, Status};
use super::text::{Family, Text};
use crate::engine::{Figures, Health, TableFigures, TableStatistics};
use crate::metrics::{Metrics, Operation, Outcome, Refusal};
use crate::server::roster::Roster;

/// The whole page.
pub(super) async fn page(status: &Status) -> String {
    let figures = status.figures().await;
    let mut text = Text::default();
    about_server(&mut text, status);
    about_requests(&mut text, &status.metrics);
    about_clients(&mut text, status);
    about_tables(&mut text, &figures);
    about_writes(&mut text, &figures);
    about_store(&mut text, &figures);
    about_process(&mut text, status);
    text.finish()
}

fn about_server(text: &mut Text, status: &Status) {
    let version = env!("CARGO_PKG_VERSION");
    if let Some(engine) = status.engine() {
        let engine = engine.description();
        text.family(&family::BUILD).sample(&[version, engine.name, engine.durability], 1);
    } else {
        text.family(&family::BUILD).sample(&[version, "", ""], 1);
    }
    let (is_ready, is_degraded) = match status.health() {
        Health::Ready => (true, false),
        Health::Degraded { .. } => (true, true),
        Health::NotReady { .. } => (false, true),
    };
    text.one(&family::READY, u8::from(is_ready && status.phase() == Phase::Serving));
    text.one(&family::DEGRADED, u8::from(is_degraded));
    let (opened, all) = status.progress();
    text.one(&family::OPENED, opened);
    text.one(&family::TO_OPEN, all);
}

fn about_requests(text: &mut Text, metrics: &Metrics) {
    text.one(&family::SLOW, metrics.slow.count());
    let Some(operations) = metrics.operations() else {
        return;
    };
    let mut requests = text.family(&family::REQUESTS);
    for (operation, outcomes, _) in &operations.kinds {
        for (outcome, count) in Outcome::ALL.iter().zip(outcomes) {
            requests.sample(&[operation.label(), outcome.label()], count);
        }
    }
    let mut seconds = text.family(&family::REQUEST_SECONDS);
    for (operation, _, times) in &operations.kinds {
        if *operation != Operation::Watch {
            seconds.histogram(&[operation.label()], times, NANOS);
        }
    }
    text.one(&family::IN_FLIGHT, operations.in_flight);
    text.one(&family::RECEIVED, operations.received_bytes);
    text.one(&family::SENT, operations.sent_bytes);
}

fn about_clients(text: &mut Text, status: &Status) {
    let metrics = &status.metrics;
    text.one(&family::CONNECTIONS, metrics.open());
    text.one(&family::MOST_CONNECTIONS, status.most_connections);
    text.one(&family::ACCEPTED, metrics.accepted());
    text.one(&family::LOGINS, metrics.logins());
    text.one(&family::CONNECTION_MEMORY, status.roster().map_or(0, Roster::memory));
    let mut refusals = text.family(&family::REFUSALS);
    for why in Refusal::ALL {
        refusals.sample(&[why.label()], metrics.refused(why));
    }
}

fn about_tables(text: &mut Text, figures: &Figures) {
    let sum = |of: fn(&TableStatistics) -> u64| -> u64 {
        figures.tables.iter().map(|table| of(&table.statistics)).sum()
    };
    text.one(&family::TABLES, figures.tables.len());
    text.one(&family::STOPPED_TABLES, sum(|table| u64::from(table.stopped.is_some())));
    text.one(&family::KEYS, sum(|table| table.keys));
    text.one(&family::LIVE, sum(|table| table.live_bytes));
    text.one(&family::DEAD, sum(|table| table.dead_bytes));
    text.one(&family::DISK, sum(|table| table.disk_bytes));
    text.one(&family::QUEUED, figures.tables.iter().map(|table| table.queued).sum::<u64>());
    let largest = largest(figures, MOST_TABLES);
    let mut each = |family: &'static Family, of: fn(&TableStatistics) -> u64| {
        let mut samples = text.family(family);
        for table in &largest {
            samples.sample(&[table.name.as_str()], of(&table.statistics));
        }
    };
    each(&family::TABLE_KEYS, |table| table.keys);
    each(&family::TABLE_LIVE, |table| table.live_bytes);
    each(&family::TABLE_DEAD, |table| table.dead_bytes);
    each(&family::TABLE_DISK, |table| table.disk_bytes);
    text.one(&family::INDEX, figures.index_bytes);
    text.one(&family::CACHE, figures.cache.bytes);
    text.one(&family::CACHE_HITS, figures.cache.hits);
    text.one(&family::CACHE_MISSES, figures.cache.misses);
}

/// The tables that take most of the disk, at most so many.
pub(super) fn largest(figures: &Figures, most: usize) -> Vec<&TableFigures> {
    let mut tables: Vec<_> = figures.tables.iter().collect();
    tables.sort_by_key(|table| std::cmp::Reverse(table.statistics.disk_bytes));
    tables.truncate(most);
    tables
}

fn about_writes(text: &mut Text, figures: &Figures) {
    let all = &figures.compaction;
    text.family(&family::GROUPS).histogram(&[], &figures.groups, 1.0);
    text.family(&family::SYNCS).histogram(&[], &figures.syncs, NANOS);
    let mut ended = text.family(&family::COMPACTIONS);
    ended.sample(&["completed"], all.completed);
    ended.sample(&["failed"], all.failed);
    text.one(&family::COMPACTING, all.running);
    text.one(&family::COMPACTION_SECONDS, all.nanos as f64 / NANOS);
    text.one(&family::COMPACTION_READ, all.read_bytes);
    text.one(&family::COMPACTION_WRITTEN, all.written_bytes);
}

/// What is there only where others keep the data.
pub(super) fn about_store(text: &mut Text, figures: &Figures) {
    let Some(store) = &figures.remote else { return };
    text.one(&family::STORE_MEMBERS, store.members);
    text.one(&family::STORE_REACHABLE, store.reachable);
    text.one(&family::STORE_LEADER, u8::from(store.knows_leader));
    text.one(&family::STORE_BYTES, store.bytes);
    let mut calls = text.family(&family::STORE_CALLS);
    calls.sample(&["answered"], store.calls_answered);
    calls.sample(&["failed"], store.calls_failed);
    text.one(&family::STORE_RETRIES, store.calls_retried);
    text.one(&family::FRONT_ENDS, store.front_ends);
    text.one(&family::SKEW, store.skew_millis as f64 / 1e3);
    text.one(&family::CARETAKER, u8::from(store.is_caretaker));
    text.one(&family::SWEPT, store.swept);
    text.one(&family::CLEARED, store.cleared);
    text.one(&family::HISTORY, store.compactions);
}

fn about_process(text: &mut Text, status: &Status) {
    let process = Process::read();
    text.one(&family::STARTED, status.started_at as f64 / 1e3);
    text.one(&family::CPU, process.cpu_seconds);
    for (family, number) in [
        (&family::RESIDENT, process.resident_bytes),
        (&family::VIRTUAL, process.virtual_bytes),
        (&family::DESCRIPTORS, process.descriptors),
        (&family::MOST_DESCRIPTORS, process.most_descriptors),
        (&family::THREADS, process.threads),
    ] {
        if let Some(number) = number {
            text.one(family, number);
        }
    }
}

/// How many tables have lines of their own.
const MOST_TABLES: usize = 50;
/// Nanoseconds of a second.
const NANOS: f64 = 1e9;
