//! The suite `wire`: kvsd beside its peers, over loopback.
//!
//! The first table compares kvsd with the best of the Redis peers, and says what the project
//! promises itself; the second one tells what every side did. Next file to read: `measure`.

use std::time::Duration;

use crate::cell::{Cell, FEW, FEWER_LONG, Figure, KEYS_AT_ONCE, Sync};
use crate::measure::{Extra, LONG, Measured, OPEN_SHARE, Side, micros};
use crate::peer::redis::server::{NO_REWRITES, SETTINGS, log_settings};
use crate::peer::{Kind, kvsd};
use crate::record::Profile;
use crate::report::{holds, median, quotients, spread};
use crate::rounds::MOST_STEAL;
use crate::{Bench, Error, space};

/// How the cells are measured.
pub(crate) fn head(bench: &Bench) -> String {
    let few = FEW.min(bench.keys);
    let lines = [
        format!(
            "- Load: so many tasks as a cell's first number says, each with one operation under \
             way; {few} keys, {} where the name says `large`, {} where it says `64k`, picked evenly \
             or by Zipf's law (exponent 0.99); a typed value of {} bytes of bincode where the name \
             says no other size; `mixed` is 90 % gets; `get-many` reads {KEYS_AT_ONCE} keys at \
             once, `scan` a prefix that as many have. Clients and servers on this machine, over \
             loopback. Closed loop; where the name says `open`, operations are due at fixed times, \
             {:.0} % as many as the slowest side does in a closed loop, and a latency counts from \
             then. Each side's client has a runtime of its own, {}.",
            bench.keys,
            few / FEWER_LONG,
            Profile::BINCODE_BYTES,
            OPEN_SHARE * 100.0,
            match bench.one_thread {
                true => "tokio's `current_thread`",
                false => "tokio's default: a worker thread for each core",
            }
        ),
        format!(
            "- Rounds: {} in which each side runs for {:?} ({:?} where the name says `long`), in \
             turn. The ratio is the median of the rounds' quotients with the best of the Redis \
             peers in that round, of operations a second or of median latencies, so that more is \
             better; a round with over {:.0} % steal is repeated. The floors of `always` are meant \
             for a disk of at least 5000 syncs a second.",
            bench.rounds,
            bench.time,
            bench.time * LONG,
            MOST_STEAL * 100.0
        ),
        format!(
            "- kvsd {}: `kvsd-server --dev --sync {}`, or `{}` or `{}` where the cell says so; the \
             SDK with its default pool of {} connections; `tables` spreads the keys over so many \
             tables.",
            env!("CARGO_PKG_VERSION"),
            kvsd::sync_mode(Sync::Unlogged),
            kvsd::sync_mode(Sync::Interval),
            kvsd::sync_mode(Sync::Never),
            ::kvsd::DEFAULT_POOL_SIZE
        ),
        match &bench.redis {
            Ok(version) => redis_settings(version),
            Err(reason) => format!("- Redis: skipped, because {reason}."),
        },
        format!(
            "- version1: the crate kvsd 0.1.3, its own server with its defaults, which never syncs \
             its log; a connection for each task. It is no part of the ratio.{}",
            if bench.peers.contains(&Kind::Version1) { "" } else { " Left out." }
        ),
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
    let [get, interval, always] =
        [Sync::Unlogged, Sync::Interval, Sync::Always].map(|sync| words(log_settings(sync)));
    format!(
        "- Redis {version}: `{} {}` (`long` has the default, which rewrites the log) and `{get}` \
         for reads and `never`, `{interval}`, `{always}`; its own TLS; one keyspace for all \
         tables, since another database or a prefix would only cost it time. redis: the crate \
         `redis`, multiplexed, TCP_NODELAY, over the best number of 1, 2, 4 and 8 connections. \
         fred: the crate `fred`, a pool of the best of these sizes. bb8: the crate `bb8-redis` \
         with its defaults, ten connections that are tested when they are lent. `scan` is `SCAN` \
         with `MATCH` and `COUNT 1000`, then `MGET`; `watch` is `SET` and `PUBLISH` in one \
         request, and a subscriber's connection for each watcher (kvsd: a client for each).",
        words(&SETTINGS),
        words(&NO_REWRITES)
    )
}

/// Measures cells, and prints the tables, the first one line by line. Fails at the end if a cell
/// took more room on the disk than it may.
pub(crate) fn measure(bench: &Bench, cells: &[Cell]) -> Result<(), Error> {
    let mut results = Vec::new();
    println!("{HEAD}");
    for cell in cells {
        let measured = bench.measure(*cell)?;
        println!("{}", line(&measured));
        results.push(measured);
    }
    println!("\n{SIDES_HEAD}");
    let sides = results
        .iter()
        .flat_map(|measured| measured.sides.iter().map(|side| side_line(&measured.cell, side)));
    sides.for_each(|line| println!("{line}"));
    match results.iter().find(|measured| !keeps_its_room(&measured.extra)) {
        None => Ok(()),
        Some(broken) => Err(format!("{} took more room than it may", broken.cell).into()),
    }
}

const HEAD: &str = "| cell | compared | kvsd | best Redis peer | ratio (spread) | at least | \
                    | kvsd alone | repeated | CPU elsewhere | disk syncs/s (spread) |\n\
                    |---|---|---|---|---|---|---|---|---|---|---|";

/// A cell's line of the first table.
fn line(measured: &Measured) -> String {
    let Measured { cell, sides, skipped, repeated, syncs, elsewhere, extra } = measured;
    let ours = sides.first().map_or(&[][..], |side| side.figures(cell.figure));
    let (theirs, name) = best(cell.figure, sides);
    let ratios = match cell.figure {
        Figure::Rate => quotients(ours, &theirs),
        Figure::Median => quotients(&theirs, ours),
    };
    let floor = cell.floor.map(|floor| f64::from(floor) / 100.0);
    let verdict = match floor {
        Some(floor) if !ratios.is_empty() => holds(median(&ratios) >= floor),
        Some(_) | None => "",
    };
    let peer = match (name, skipped) {
        (Some(name), _) => format!("{:.0} {name}", median(&theirs)),
        (None, Some(reason)) => format!("skipped: {reason}"),
        (None, None) => "-".to_owned(),
    };
    let compared = match cell.figure {
        Figure::Rate => "ops/s",
        Figure::Median => "p50 us",
    };
    let fields = [
        cell.to_string(),
        compared.to_owned(),
        format!("{:.0}", median(ours)),
        peer,
        spread(&ratios, 2),
        floor.map_or_else(|| "-".to_owned(), |floor| format!("{floor:.2}")),
        verdict.to_owned(),
        shown(extra),
        repeated.to_string(),
        format!("{:.0} %", median(elsewhere) * 100.0),
        spread(syncs, 0),
    ];
    format!("| {} |", fields.join(" | "))
}

/// The best figure of the Redis peers in each round, and who has the best median.
fn best(figure: Figure, sides: &[Side]) -> (Vec<f64>, Option<Kind>) {
    let is_better = |one: f64, other: f64| match figure {
        Figure::Rate => one > other,
        Figure::Median => one < other,
    };
    let (mut best, mut leader) = (Vec::new(), None::<&Side>);
    for side in sides.iter().filter(|side| side.kind.is_redis()) {
        let figures = side.figures(figure);
        match leader {
            None => best = figures.to_vec(),
            Some(_) => {
                for (best, figure) in best.iter_mut().zip(figures) {
                    if is_better(*figure, *best) {
                        *best = *figure;
                    }
                }
            }
        }
        let leads = |other: &Side| is_better(median(figures), median(other.figures(figure)));
        if leader.is_none_or(leads) {
            leader = Some(side);
        }
    }
    (best, leader.map(|side| side.kind))
}

fn shown(extra: &Extra) -> String {
    match extra {
        Extra::Nothing => "-".to_owned(),
        Extra::GetsBesideSets(quotients) => {
            let holds = holds(median(quotients) <= MOST_BESIDE_SETS);
            let quotients = spread(quotients, 2);
            format!(
                "get p50 over that without sets {quotients}, at most {MOST_BESIDE_SETS}, {holds}"
            )
        }
        Extra::Space { most, live } => {
            let share = |bytes: f64| bytes / *live as f64;
            format!(
                "at most {:.2} times the live bytes on disk, at most {:.2}, {}",
                share(*most as f64),
                share(space::most_bytes(*live)),
                holds(keeps_its_room(extra))
            )
        }
    }
}

fn keeps_its_room(extra: &Extra) -> bool {
    match extra {
        Extra::Nothing | Extra::GetsBesideSets(_) => true,
        Extra::Space { most, live } => *most as f64 <= space::most_bytes(*live),
    }
}

const SIDES_HEAD: &str = "| cell | side | ops/s (spread) | p50 / p99 / p99.9 us \
                          | CPU us/op client + server | connections |\n\
                          |---|---|---|---|---|---|";

/// A side's line of the second table.
fn side_line(cell: &Cell, side: &Side) -> String {
    let all = side.outcome.all();
    let show = |share| format!("{:.0}", micros(all.quantile(share)));
    let each = |time: Duration| time.as_secs_f64() * 1e6 / all.count() as f64;
    let fields = [
        cell.to_string(),
        side.kind.to_string(),
        spread(&side.rates, 0),
        [0.5, 0.99, 0.999].map(show).join(" / "),
        format!("{:.1} + {:.1}", each(side.client), each(side.server)),
        side.connections.to_string(),
    ];
    format!("| {} |", fields.join(" | "))
}

/// How many times longer the project lets a get take beside sets.
const MOST_BESIDE_SETS: f64 = 2.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latency;
    use crate::load::Outcome;

    fn side(kind: Kind, rates: &[f64]) -> Side {
        let mut latency = Latency::new();
        (0..1000).for_each(|_| latency.record(Duration::from_micros(100)));
        Side {
            kind,
            connections: 4,
            rates: rates.to_vec(),
            medians: rates.iter().map(|rate| 1e6 / rate).collect(),
            outcome: Outcome { reads: latency, writes: Latency::new() },
            client: Duration::from_millis(2),
            server: Duration::from_millis(3),
        }
    }

    fn measured(cell: Cell, sides: Vec<Side>, extra: Extra) -> Measured {
        let (syncs, elsewhere) = (vec![5000.0, 7000.0], vec![0.02]);
        Measured { cell, sides, skipped: None, repeated: 1, syncs, elsewhere, extra }
    }

    #[test]
    fn a_line_compares_with_the_best_redis_peer_of_each_round() {
        let sides = vec![
            side(Kind::Kvsd, &[100.0, 100.0, 100.0]),
            side(Kind::Redis, &[50.0, 25.0, 50.0]),
            side(Kind::Fred, &[20.0, 40.0, 20.0]),
            side(Kind::Version1, &[1000.0, 1000.0, 1000.0]),
        ];
        let text = line(&measured(Cell::get(64).floor(180), sides, Extra::Nothing));
        let start = "| get-64 | ops/s | 100 | 50 redis | 2.00 (2.00 to 2.50) | 1.80 | holds | - |";
        assert!(text.starts_with(start), "{text}");
        assert!(text.ends_with(" | 1 | 2 % | 6000 (5000 to 7000) |"), "{text}");
    }

    #[test]
    fn of_latencies_the_lowest_is_the_best_and_a_missed_floor_is_told() {
        let sides =
            vec![side(Kind::Kvsd, &[1e4]), side(Kind::Redis, &[2e4]), side(Kind::Fred, &[1e4])];
        let text = line(&measured(Cell::get(1).latency_floor(90), sides, Extra::Nothing));
        let start =
            "| get-1 | p50 us | 100 | 50 redis | 0.50 (0.50 to 0.50) | 0.90 | does not hold |";
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn without_a_peer_its_places_hold_the_reason() {
        let mut alone = measured(Cell::get(64), vec![side(Kind::Kvsd, &[100.0])], Extra::Nothing);
        alone.skipped = Some("it is away".to_owned());
        let text = line(&alone);
        assert!(
            text.starts_with("| get-64 | ops/s | 100 | skipped: it is away | - | - |"),
            "{text}"
        );
    }

    #[test]
    fn what_is_promised_of_kvsd_alone_is_told() {
        let cell = Cell::mixed(64, Sync::Always);
        let extra = Extra::GetsBesideSets(vec![1.5, 2.5, 2.25]);
        let text = line(&measured(cell, vec![side(Kind::Kvsd, &[100.0])], extra));
        assert!(text.contains(" 2.25 (1.50 to 2.50), at most 2, does not hold |"), "{text}");
        let live = 1 << 30;
        let room = |most| Extra::Space { most, live };
        assert!(
            shown(&room(2 * live))
                .ends_with("2.00 times the live bytes on disk, at most 2.50, holds")
        );
        assert!(keeps_its_room(&room(2 * live)) && !keeps_its_room(&room(3 * live)));
    }

    #[test]
    fn every_side_has_a_line() {
        let text = side_line(&Cell::get(64), &side(Kind::Bb8, &[10.0]));
        assert!(text.starts_with("| get-64 | bb8 | 10 (10 to 10) | 10"), "{text}");
        assert!(text.ends_with(" | 2.0 + 3.0 | 4 |"), "{text}");
    }
}
