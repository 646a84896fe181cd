//! What there is to measure: the suites, each with a head, a table and named lines.
//!
//! Next files to read: `cell` and `measure` for `wire`; `cost`, `storage`, `startup`, `memory`,
//! `space` and `steady` are modules of their names.

use crate::cell::Cell;
#[cfg(feature = "etcd")]
use crate::frontend;
use crate::{Bench, Error, cells, cost, memory, overhead, space, startup, steady, storage, wire};

/// A suite, and the lines of it that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Suite {
    /// Beside Redis and version 1, over the wire.
    Wire(Vec<Cell>),
    /// What a get costs beside more of everything.
    Cost(Vec<cost::Row>),
    /// What it costs to count and to log.
    Overhead(Vec<overhead::Row>),
    /// In process, beside fjall and redb.
    Storage(Vec<storage::Row>),
    /// The time until a server answers.
    Startup(Vec<startup::Row>),
    /// The memory of a server.
    Memory(Vec<memory::Row>),
    /// The room on the disk.
    Space(Vec<space::Row>),
    /// The latency of a reader.
    Steady(Vec<steady::Row>),
    /// A front end of an etcd cluster.
    #[cfg(feature = "etcd")]
    Frontend(Vec<frontend::Row>),
}

/// Finds the suites that are named, and in them the lines that the other words choose.
pub(crate) fn choose(words: &[String]) -> Result<Vec<Suite>, Error> {
    let (named, lines): (Vec<_>, Vec<_>) =
        words.iter().map(String::as_str).partition(|word| NAMES.contains(word));
    let is_named = |name: &str| match named.is_empty() {
        true => name == NAMES[0],
        false => named.contains(&name),
    };
    let suites: Vec<_> = NAMES
        .iter()
        .filter(|name| is_named(name))
        .map(|name| match *name {
            "wire" => Suite::Wire(named_like(&cells::CELLS, &lines)),
            "cost" => Suite::Cost(named_like(&cost::ROWS, &lines)),
            "overhead" => Suite::Overhead(named_like(&overhead::ROWS, &lines)),
            "storage" => Suite::Storage(named_like(&storage::ROWS, &lines)),
            "startup" => Suite::Startup(named_like(&startup::ROWS, &lines)),
            "memory" => Suite::Memory(named_like(&memory::ROWS, &lines)),
            "space" => Suite::Space(named_like(&space::ROWS, &lines)),
            #[cfg(feature = "etcd")]
            "frontend" => Suite::Frontend(named_like(&frontend::ROWS, &lines)),
            _ => Suite::Steady(named_like(&steady::ROWS, &lines)),
        })
        .collect();
    match suites.iter().find(|suite| suite.names().is_empty()) {
        None => Ok(suites),
        Some(suite) => {
            let all = suite.all_names().join(", ");
            let suites = NAMES.join(", ");
            Err(format!("no line has such a name; there are {all}; the suites are {suites}").into())
        }
    }
}

/// The lines that one of these words names, or whose names contain one that names no line; all of
/// them without words.
fn named_like<R: ToString + Copy>(rows: &[R], words: &[&str]) -> Vec<R> {
    let names = names_of(rows);
    let is_name = |word: &str| names.iter().any(|name| name == word);
    let is_wanted = |row: &&R| {
        let name = row.to_string();
        let is_meant = |word: &&str| name == *word || !is_name(word) && name.contains(word);
        words.is_empty() || words.iter().any(is_meant)
    };
    rows.iter().filter(is_wanted).copied().collect()
}

fn names_of<R: ToString>(rows: &[R]) -> Vec<String> {
    rows.iter().map(ToString::to_string).collect()
}

impl Suite {
    /// The names of the lines that are wanted.
    fn names(&self) -> Vec<String> {
        match self {
            Self::Wire(cells) => names_of(cells),
            Self::Cost(rows) => names_of(rows),
            Self::Overhead(rows) => names_of(rows),
            Self::Storage(rows) => names_of(rows),
            Self::Startup(rows) => names_of(rows),
            Self::Memory(rows) => names_of(rows),
            Self::Space(rows) => names_of(rows),
            Self::Steady(rows) => names_of(rows),
            #[cfg(feature = "etcd")]
            Self::Frontend(rows) => names_of(rows),
        }
    }

    /// The names of all its lines.
    fn all_names(&self) -> Vec<String> {
        match self {
            Self::Wire(_) => names_of(&cells::CELLS),
            Self::Cost(_) => names_of(&cost::ROWS),
            Self::Overhead(_) => names_of(&overhead::ROWS),
            Self::Storage(_) => names_of(&storage::ROWS),
            Self::Startup(_) => names_of(&startup::ROWS),
            Self::Memory(_) => names_of(&memory::ROWS),
            Self::Space(_) => names_of(&space::ROWS),
            Self::Steady(_) => names_of(&steady::ROWS),
            #[cfg(feature = "etcd")]
            Self::Frontend(_) => names_of(&frontend::ROWS),
        }
    }

    /// How it is measured, for above the table.
    pub(crate) fn head(&self, bench: &Bench) -> String {
        match self {
            Self::Wire(_) => wire::head(bench),
            Self::Cost(_) => cost::head(bench),
            Self::Overhead(_) => overhead::head(bench),
            Self::Storage(_) => storage::head(bench),
            Self::Startup(_) => startup::head(bench),
            Self::Memory(_) => memory::head(bench),
            Self::Space(_) => space::head(bench),
            Self::Steady(_) => steady::head(bench),
            #[cfg(feature = "etcd")]
            Self::Frontend(_) => frontend::head(bench),
        }
    }

    /// Measures it, and prints the table.
    pub(crate) fn measure(&self, bench: &Bench) -> Result<(), Error> {
        let text = match self {
            Self::Wire(cells) => return wire::measure(bench, cells),
            Self::Cost(rows) => cost::measure(bench, rows),
            Self::Overhead(rows) => overhead::measure(bench, rows),
            Self::Storage(rows) => storage::measure(bench, rows),
            Self::Startup(rows) => startup::measure(bench, rows),
            Self::Memory(rows) => memory::measure(bench, rows),
            Self::Space(rows) => space::measure(bench, rows),
            Self::Steady(rows) => steady::measure(bench, rows),
            #[cfg(feature = "etcd")]
            Self::Frontend(rows) => frontend::measure(bench, rows),
        };
        print!("{}", text?);
        Ok(())
    }
}

/// What a suite is called; the first is meant where none is named.
const NAMES: &[&str] = &[
    "wire",
    "cost",
    "overhead",
    "storage",
    "startup",
    "memory",
    "space",
    "steady",
    #[cfg(feature = "etcd")]
    "frontend",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn names(words: &[&str]) -> Vec<String> {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        choose(&words).unwrap().iter().flat_map(Suite::names).collect()
    }

    #[test]
    fn words_choose_lines_and_no_word_chooses_all_cells() {
        assert_eq!(names(&["get-64", "1-always"]), ["get-64", "set-1-always"]);
        assert_eq!(names(&["get-many"]), ["get-many-1", "get-many-64"]);
        assert_eq!(names(&[]).len(), cells::CELLS.len());
        assert!(choose(&["nothing".to_owned()]).is_err());
    }

    #[test]
    fn a_suite_is_named_and_other_words_choose_among_its_lines() {
        assert_eq!(names(&["storage"]).len(), storage::ROWS.len());
        assert_eq!(names(&["durable-set-1", "storage"]), ["durable-set-1"]);
        assert!(choose(&["storage".to_owned(), "set-64-always".to_owned()]).is_err());
    }

    #[test]
    fn every_line_has_a_name_of_its_own() {
        let names = names(NAMES);
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        assert!(names.len() > cells::CELLS.len() + storage::ROWS.len());
    }
}
