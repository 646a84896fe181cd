//! The report: what was measured on what, and the table, in Markdown.

use std::fmt::Write;
use std::time::Duration;

use crate::Bench;
use crate::cell::Sync;
use crate::machine::Machine;
use crate::measure::{Measured, Side};
use crate::peer;
use crate::record::{KEYS, Profile};
use crate::rounds::MOST_STEAL;

/// What all suites are measured on.
pub(crate) fn machine(machine: &Machine) -> String {
    let Machine { cores, cpu, kernel, file_system } = machine;
    format!("- Machine: {cores} cores, {cpu}, Linux {kernel}, data on {file_system}.")
}

/// How the cells are measured.
pub(crate) fn head(bench: &Bench) -> String {
    let lines = [
        format!(
            "- Load: closed loop, {KEYS} keys picked evenly, a typed value of {} bytes of bincode; \
             clients and servers on this machine, plain TCP over loopback.",
            Profile::BINCODE_BYTES
        ),
        format!(
            "- Rounds: {} in which each side runs for {:?}, in turn. The ratio is the median of \
             the rounds' quotients; a round with over {:.0} % steal is repeated.",
            bench.rounds,
            bench.time,
            MOST_STEAL * 100.0
        ),
        format!(
            "- kvsd {}: `kvsd-server --dev --sync {}`, or `{}` where the cell says so; the SDK \
             with its default pool of {} connections.",
            env!("CARGO_PKG_VERSION"),
            peer::kvsd::sync_mode(Sync::Unlogged),
            peer::kvsd::sync_mode(Sync::Interval),
            kvsd::DEFAULT_POOL_SIZE
        ),
        match &bench.redis {
            Ok(version) => redis_settings(version),
            Err(reason) => format!("- Redis: skipped, because {reason}."),
        },
    ];
    lines.join("\n")
}

fn redis_settings(version: &str) -> String {
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| if word.is_empty() { "''" } else { word })
            .collect::<Vec<_>>()
            .join(" ")
    };
    let [get, interval, always] = [Sync::Unlogged, Sync::Interval, Sync::Always]
        .map(|sync| words(peer::redis::log_settings(sync)));
    format!(
        "- Redis {version}: `{}` and `{get}` for get, `{interval}`, `{always}`; the crate `redis`, \
         multiplexed, TCP_NODELAY, over the best number of 1, 2, 4 and 8 connections.",
        words(&peer::redis::SETTINGS)
    )
}

/// One line for each cell.
pub(crate) fn table(results: &[Measured]) -> String {
    let mut text = String::from(
        "| cell | kvsd ops/s | redis ops/s | ratio (spread) | kvsd p50 / p99 / p99.9 us \
         | redis p50 / p99 / p99.9 us | kvsd CPU us/op client + server | redis CPU us/op \
         | redis connections | repeated | CPU elsewhere | disk syncs/s (spread) |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for result in results {
        let Measured { cell, ours, theirs, repeated, syncs, elsewhere } = result;
        let theirs = theirs.as_ref();
        let cells = [
            cell.to_string(),
            format!("{:.0}", median(&ours.rates)),
            or_dash(theirs, |side| format!("{:.0}", median(&side.rates))),
            or_dash(theirs, |side| ratio(ours, side)),
            latencies(ours),
            or_dash(theirs, latencies),
            cpu(ours),
            or_dash(theirs, cpu),
            or_dash(theirs, |side| side.connections.to_string()),
            repeated.to_string(),
            format!("{:.0} %", median(elsewhere) * 100.0),
            spread(syncs, 0),
        ];
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

fn or_dash(side: Option<&Side>, show: impl Fn(&Side) -> String) -> String {
    side.map_or_else(|| "-".to_owned(), show)
}

/// The median of the quotients of runs that follow each other, which is not the quotient of the
/// medians.
fn ratio(ours: &Side, theirs: &Side) -> String {
    let quotients: Vec<_> =
        ours.rates.iter().zip(&theirs.rates).map(|(ours, theirs)| ours / theirs).collect();
    spread(&quotients, 2)
}

/// The median, with the least and the most.
pub(crate) fn spread(numbers: &[f64], digits: usize) -> String {
    if numbers.is_empty() {
        return "-".to_owned();
    }
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:.digits$} ({least:.digits$} to {most:.digits$})", median(numbers))
}

pub(crate) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (count, middle) if count % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        (_, middle) => sorted[middle],
    }
}

fn latencies(side: &Side) -> String {
    let show = |share| format!("{:.0}", side.latency.quantile(share).as_secs_f64() * 1e6);
    [0.5, 0.99, 0.999].map(show).join(" / ")
}

fn cpu(side: &Side) -> String {
    let each = |time: Duration| time.as_secs_f64() * 1e6 / side.latency.count() as f64;
    format!("{:.1} + {:.1}", each(side.client), each(side.server))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::CELLS;
    use crate::latency::Latency;

    fn side(rates: &[f64]) -> Side {
        let mut latency = Latency::new();
        (0..1000).for_each(|_| latency.record(Duration::from_micros(100)));
        Side {
            connections: 4,
            rates: rates.to_vec(),
            latency,
            client: Duration::from_millis(2),
            server: Duration::from_millis(3),
        }
    }

    #[test]
    fn the_ratio_is_between_runs_that_follow_each_other() {
        // Both grow alike; the quotient of the medians would say the same only by chance.
        let (ours, theirs) = (side(&[20.0, 90.0, 400.0]), side(&[10.0, 30.0, 100.0]));
        assert_eq!(ratio(&ours, &theirs), "3.00 (2.00 to 4.00)");
    }

    #[test]
    fn a_line_tells_both_sides() {
        let both = Measured {
            cell: CELLS[7],
            ours: side(&[100.0]),
            theirs: Some(side(&[50.0])),
            repeated: 1,
            syncs: vec![5000.0, 7000.0],
            elsewhere: vec![0.02],
        };
        let text = table(&[both]);
        let line = text.lines().last().unwrap();
        assert!(line.starts_with("| set-64-always | 100 | 50 | 2.00 (2.00 to 2.00) | "), "{line}");
        assert!(line.contains(" | 2.0 + 3.0 | 2.0 + 3.0 | 4 | 1 | 2 % | "), "{line}");
        assert!(line.ends_with(" | 6000 (5000 to 7000) |"), "{line}");
    }

    #[test]
    fn without_a_peer_its_places_hold_dashes() {
        let alone = Measured {
            cell: CELLS[1],
            ours: side(&[100.0]),
            theirs: None,
            repeated: 0,
            syncs: Vec::new(),
            elsewhere: vec![0.0],
        };
        let text = table(&[alone]);
        let line = text.lines().last().unwrap();
        assert!(line.starts_with("| get-64 | 100 | - | - | "), "{line}");
        assert!(line.ends_with(" | - | 0 | 0 % | - |"), "{line}");
    }

    #[test]
    fn an_even_number_of_rounds_has_a_median() {
        assert!((median(&[4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
        assert_eq!(spread(&[], 0), "-");
    }
}
