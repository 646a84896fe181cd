//! The suite `overhead`: what it costs kvsd to count, to time and to log what it does.
//!
//! Compares processor time, client and server together, of two servers that run in turn: one with
//! metrics, slow log, log and status page, one without any of them. The machinery is `cost`'s.

use std::fmt;
use std::fmt::Write;

use crate::cell::{FEW, Sync, Work};
use crate::cost::{Cost, Load, Side};
use crate::peer::{Setting, Watch, kvsd};
use crate::report::{holds, median, quotients, spread};
use crate::rounds::{self, MOST_STEAL};
use crate::{Bench, Error};

/// What is done meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    /// By 64 tasks: the cheapest operation that there is.
    Get,
    /// By one task: what costs something once for each turn of a session is paid by each get.
    GetAlone,
    /// By 64 tasks, synced by interval.
    Set,
}

/// All lines.
pub(crate) const ROWS: [Row; 3] = [Row::Get, Row::GetAlone, Row::Set];

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "overhead-get-64",
            Self::GetAlone => "overhead-get-1",
            Self::Set => "overhead-set-64",
        })
    }
}

impl Row {
    fn load(self, bench: &Bench) -> Load {
        let (work, tasks) = match self {
            Self::Get => (Work::Get, 64),
            Self::GetAlone => (Work::Get, 1),
            Self::Set => (Work::Set, 64),
        };
        Load { work, tasks, keys: FEW.min(bench.keys), idle: 0 }
    }

    fn sync(self) -> Sync {
        match self {
            Self::Get | Self::GetAlone => Sync::Unlogged,
            Self::Set => Sync::Interval,
        }
    }
}

/// How it is measured.
pub(crate) fn head(bench: &Bench) -> String {
    let flags = |watch| kvsd::watch_flags(watch).join(" ");
    let lines = [
        format!(
            "- Overhead: processor time, system calls included, of client and server for each \
             operation, in a closed loop; {} keys picked evenly, typed values of 100 bytes of \
             bincode.",
            FEW.min(bench.keys)
        ),
        format!(
            "- Rounds: {} in which both servers run for {:?}, one after the other and the other way \
             round in every second one. The quotient is the median of the rounds'; a round with \
             over {:.0} % steal is repeated.",
            bench.rounds,
            bench.time,
            MOST_STEAL * 100.0
        ),
        format!(
            "- kvsd {}: `kvsd-server --dev`; off: `{}`; on: `{}`.",
            env!("CARGO_PKG_VERSION"),
            flags(Watch::Off),
            flags(Watch::On)
        ),
    ];
    lines.join("\n")
}

/// Measures lines. Returns the table.
pub(crate) fn measure(bench: &Bench, rows: &[Row]) -> Result<String, Error> {
    let mut text = format!(
        "| line | off us/operation client + server | on us/operation client + server | quotient \
         (spread) | at most {MOST_QUOTIENT} | of the server alone (spread) | repeated |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", measure_row(bench, *row)?);
    }
    Ok(text)
}

fn measure_row(bench: &Bench, row: Row) -> Result<String, Error> {
    let start =
        |watch| Side::start(bench, &Setting { watch, ..Setting::new(row.sync()) }, row.load(bench));
    let (off, on) = (start(Watch::Off)?, start(Watch::On)?);
    let kept = rounds::keep(bench.rounds, |round| {
        // What the first of two leaves behind is not always the same one's to bear.
        let costs = if round % 2 == 0 {
            let off = off.run(bench)?;
            [off, on.run(bench)?]
        } else {
            let on = on.run(bench)?;
            [off.run(bench)?, on]
        };
        let [off, on] = costs.map(|cost| format!("{:.2} + {:.2}", cost.client, cost.server));
        eprintln!("{row}: {off} us off, {on} us on");
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
        shown(0),
        shown(1),
        spread(&totals, 3),
        holds(median(&totals) <= MOST_QUOTIENT).to_owned(),
        spread(&servers, 3),
        kept.repeated.to_string(),
    ];
    Ok(format!("| {} |", fields.join(" | ")))
}

/// What the project promises itself.
const MOST_QUOTIENT: f64 = 1.08;
