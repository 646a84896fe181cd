//! What is measured: the named cells of the table.

use std::fmt;

use crate::Error;

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

const CELLS: [Cell; 9] = [
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

/// The cells whose name contains one of these words; all of them without words.
pub(crate) fn named_like(words: &[String]) -> Result<Vec<Cell>, Error> {
    let is_wanted = |cell: &Cell| {
        let name = cell.to_string();
        words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
    };
    let cells: Vec<_> = CELLS.into_iter().filter(is_wanted).collect();
    if cells.is_empty() {
        let names = CELLS.map(|cell| cell.to_string()).join(", ");
        return Err(format!("no cell has such a name; there are {names}").into());
    }
    Ok(cells)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<String> {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        named_like(&words).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn words_choose_cells_and_no_word_chooses_all() {
        assert_eq!(names(&["get-64", "1-always"]), ["get-64", "set-1-always"]);
        assert_eq!(names(&[]).len(), CELLS.len());
        assert!(named_like(&["nothing".to_owned()]).is_err());
    }

    #[test]
    fn every_cell_has_a_name_of_its_own() {
        let mut names = names(&[]);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), CELLS.len());
    }
}
