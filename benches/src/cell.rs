//! What is measured: the named cells of the table.

use std::fmt;

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    /// What every task does, one after the other.
    pub(crate) operation: Operation,
    /// How many tasks do so at the same time.
    pub(crate) tasks: usize,
    /// How the servers keep what is written.
    pub(crate) sync: Sync,
}

/// What a task does over and over, with a key that it picks at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    Set,
}

/// When an acknowledged write is on disk: kvsd's settings beside the peer's nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// kvsd as it comes, which is `always`; the peer keeps nothing at all on disk.
    Unlogged,
    /// `interval` beside `everysec`.
    Interval,
    /// `always` on both sides.
    Always,
}

/// All cells.
pub(crate) const CELLS: [Cell; 9] = [
    Cell { operation: Operation::Get, tasks: 1, sync: Sync::Unlogged },
    Cell { operation: Operation::Get, tasks: 64, sync: Sync::Unlogged },
    Cell { operation: Operation::Get, tasks: 512, sync: Sync::Unlogged },
    Cell { operation: Operation::Set, tasks: 1, sync: Sync::Interval },
    Cell { operation: Operation::Set, tasks: 64, sync: Sync::Interval },
    Cell { operation: Operation::Set, tasks: 512, sync: Sync::Interval },
    Cell { operation: Operation::Set, tasks: 1, sync: Sync::Always },
    Cell { operation: Operation::Set, tasks: 64, sync: Sync::Always },
    Cell { operation: Operation::Set, tasks: 512, sync: Sync::Always },
];

/// The cell's name: `get-64`, `set-512-always`.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = match self.operation {
            Operation::Get => "get",
            Operation::Set => "set",
        };
        let sync = match self.sync {
            Sync::Unlogged => "",
            Sync::Interval => "-interval",
            Sync::Always => "-always",
        };
        write!(f, "{operation}-{}{sync}", self.tasks)
    }
}
