//! All cells of the suite `wire`: one thing varies at a time from a common middle, 64 tasks on few
//! short records.
//!
//! Every row of the project's table of promises is one cell here, with its floor.

use crate::cell::Sync::{Always, Interval, Never};
use crate::cell::{Beside, Cell};
use crate::record::Payload;

/// All cells.
pub(crate) const CELLS: [Cell; 37] = [
    // Reads, by how many at the same time.
    Cell::get(1).latency_floor(90).beside(Beside::Everyone),
    Cell::get(16),
    Cell::get(64).floor(180).beside(Beside::Everyone),
    Cell::get(512).floor(200).beside(Beside::Libraries),
    Cell::get(4096),
    // By what is read.
    Cell::get(64).payload(Payload::Kibibyte),
    Cell::get(64).payload(Payload::Long),
    Cell::get(64).zipf(),
    Cell::get(64).many_keys(),
    Cell::get(64).many_keys().zipf().floor(180),
    Cell::get(64).tables(64),
    // By how it is asked for.
    Cell::get(64).tls().floor(250),
    Cell::get(64).open(),
    Cell::get_many(1),
    Cell::get_many(64).floor(90),
    Cell::scan(1),
    Cell::scan(64),
    // Writes that are on disk a little later.
    Cell::set(1, Interval).latency_floor(90),
    Cell::set(16, Interval),
    Cell::set(64, Interval).floor(120).beside(Beside::Everyone),
    Cell::set(512, Interval).floor(150).beside(Beside::Libraries),
    Cell::set(4096, Interval),
    Cell::set(64, Interval).payload(Payload::Kibibyte),
    Cell::set(64, Interval).payload(Payload::Long),
    Cell::set(64, Interval).zipf(),
    Cell::set(64, Interval).tls(),
    Cell::set(64, Interval).open(),
    Cell::set(64, Never),
    Cell::watch(16, 64),
    // Writes that are on disk when they are acknowledged.
    Cell::set(1, Always).floor(90),
    Cell::set(64, Always).floor(130),
    Cell::set(512, Always).floor(150),
    Cell::set(64, Always).tables(64).floor(40),
    // Both.
    Cell::mixed(64, Always).floor(150),
    Cell::mixed(64, Always).open(),
    Cell::mixed(64, Interval).many_keys().zipf(),
    // What clearing away costs.
    Cell::set(512, Interval).many_keys().long().floor(100),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The name and floor of every cell that has one.
    fn promised() -> Vec<(String, Option<u16>)> {
        let floors = CELLS.iter().filter(|cell| cell.floor.is_some());
        floors.map(|cell| (cell.to_string(), cell.floor)).collect()
    }

    #[test]
    fn every_row_of_the_promise_is_one_cell() {
        let expected = [
            ("get-1", 90),
            ("get-64", 180),
            ("get-512", 200),
            ("get-64-large-zipf", 180),
            ("get-64-tls", 250),
            ("get-many-64", 90),
            ("set-1-interval", 90),
            ("set-64-interval", 120),
            ("set-512-interval", 150),
            ("set-1-always", 90),
            ("set-64-always", 130),
            ("set-512-always", 150),
            ("set-64-tables-64-always", 40),
            ("mixed-64-always", 150),
            ("set-512-large-long-interval", 100),
        ];
        assert_eq!(promised(), expected.map(|(name, floor)| (name.to_owned(), Some(floor))));
    }
}
