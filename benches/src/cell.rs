//! What a cell of the suite `wire` is: what the clients do to which records, and how the servers
//! run. Next file to read: `cells` (all of them).

use std::fmt;

use crate::Bench;
use crate::peer::{Link, Rewrites, Setting};
use crate::record::Payload;

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    /// What every task does, one after the other.
    pub(crate) work: Work,
    /// How many tasks do so at the same time.
    pub(crate) tasks: usize,
    /// How the servers keep what is written.
    pub(crate) sync: Sync,
    /// How many keys there are.
    pub(crate) keys: Keys,
    /// How a task picks its next key.
    pub(crate) pick: Pick,
    /// What stands beside the 100 bytes of a value.
    pub(crate) payload: Payload,
    /// How clients and servers speak.
    pub(crate) link: Link,
    /// Over how many tables of kvsd the keys are spread.
    pub(crate) tables: usize,
    /// When an operation begins.
    pub(crate) pace: Pace,
    /// How long each side runs at a time.
    pub(crate) length: Length,
    /// Who is measured beside kvsd.
    pub(crate) beside: Beside,
    /// What is compared.
    pub(crate) figure: Figure,
    /// What the project promises itself for it: the least ratio, in hundredths.
    pub(crate) floor: Option<u16>,
}

/// What a task does over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Get,
    Set,
    /// Nine gets for each set, by chance.
    Mixed,
    /// [`KEYS_AT_ONCE`] keys, in one request.
    GetMany,
    /// The records of a prefix that [`KEYS_AT_ONCE`] keys have.
    Scan,
    /// A set that this many watchers are told of; it is over when all of them know.
    Watch {
        watchers: usize,
    },
}

/// When an acknowledged write is on disk: kvsd's settings beside the peer's nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// kvsd as it comes, which is `always`; the peer keeps nothing at all on disk.
    Unlogged,
    /// kvsd leaves it to the system when it syncs; the peer keeps nothing at all on disk.
    Never,
    /// `interval` beside `everysec`.
    Interval,
    /// `always` on both sides.
    Always,
}

/// How many keys there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// 10,000, or a tenth of that where values are long.
    Few,
    /// As many as `--keys` says.
    Many,
}

/// How a task picks its next key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    Evenly,
    /// The n-th most wanted key in proportion to one over n to the power of 0.99.
    Zipf,
}

/// When an operation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// When the task's one before is over.
    Closed,
    /// At times that are fixed beforehand, the same for all sides.
    Open,
}

/// How long each side runs at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// As `--seconds` says.
    Run,
    /// Thirty times that, while both sides clear away what was overwritten.
    Long,
}

/// Who is measured beside kvsd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Redis with the library that makes the most of it.
    Redis,
    /// Redis with all libraries.
    Libraries,
    /// Those, and version 1 of kvsd.
    Everyone,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Operations a second.
    Rate,
    /// The median latency.
    Median,
}

impl Cell {
    const fn new(work: Work, tasks: usize, sync: Sync) -> Self {
        Self {
            work,
            tasks,
            sync,
            keys: Keys::Few,
            pick: Pick::Evenly,
            payload: Payload::None,
            link: Link::Plain,
            tables: 1,
            pace: Pace::Closed,
            length: Length::Run,
            beside: Beside::Redis,
            figure: Figure::Rate,
            floor: None,
        }
    }

    pub(crate) const fn get(tasks: usize) -> Self {
        Self::new(Work::Get, tasks, Sync::Unlogged)
    }

    pub(crate) const fn set(tasks: usize, sync: Sync) -> Self {
        Self::new(Work::Set, tasks, sync)
    }

    pub(crate) const fn mixed(tasks: usize, sync: Sync) -> Self {
        Self::new(Work::Mixed, tasks, sync)
    }

    pub(crate) const fn get_many(tasks: usize) -> Self {
        Self::new(Work::GetMany, tasks, Sync::Unlogged)
    }

    pub(crate) const fn scan(tasks: usize) -> Self {
        Self::new(Work::Scan, tasks, Sync::Unlogged)
    }

    /// So many tasks set, and each set is told to so many watchers.
    pub(crate) const fn watch(tasks: usize, watchers: usize) -> Self {
        Self::new(Work::Watch { watchers }, tasks, Sync::Interval)
    }

    pub(crate) const fn payload(self, payload: Payload) -> Self {
        Self { payload, ..self }
    }

    pub(crate) const fn many_keys(self) -> Self {
        Self { keys: Keys::Many, ..self }
    }

    pub(crate) const fn zipf(self) -> Self {
        Self { pick: Pick::Zipf, ..self }
    }

    pub(crate) const fn tls(self) -> Self {
        Self { link: Link::Tls, ..self }
    }

    pub(crate) const fn tables(self, tables: usize) -> Self {
        Self { tables, ..self }
    }

    /// What is compared is the latency then: the rate is the same on both sides.
    pub(crate) const fn open(self) -> Self {
        Self { pace: Pace::Open, figure: Figure::Median, ..self }
    }

    pub(crate) const fn long(self) -> Self {
        Self { length: Length::Long, ..self }
    }

    pub(crate) const fn beside(self, beside: Beside) -> Self {
        Self { beside, ..self }
    }

    /// The least ratio of operations a second, in hundredths.
    pub(crate) const fn floor(self, hundredths: u16) -> Self {
        Self { floor: Some(hundredths), ..self }
    }

    /// The least ratio of median latencies, in hundredths.
    pub(crate) const fn latency_floor(self, hundredths: u16) -> Self {
        Self { figure: Figure::Median, floor: Some(hundredths), ..self }
    }

    /// How its servers run.
    pub(crate) fn setting(&self) -> Setting {
        let rewrites = match self.length {
            Length::Run => Rewrites::Off,
            Length::Long => Rewrites::On,
        };
        let Self { sync, link, tables, .. } = *self;
        Setting { link, tables, rewrites, ..Setting::new(sync) }
    }

    /// How many keys it works on.
    pub(crate) fn count(&self, bench: &Bench) -> usize {
        match (self.keys, self.payload) {
            (Keys::Many, _) => bench.keys,
            (Keys::Few, Payload::None | Payload::Kibibyte) => FEW.min(bench.keys),
            (Keys::Few, Payload::Long) => FEW.min(bench.keys) / FEWER_LONG,
        }
    }

    /// Whether it writes.
    pub(crate) fn writes(&self) -> bool {
        match self.work {
            Work::Get | Work::GetMany | Work::Scan => false,
            Work::Set | Work::Mixed | Work::Watch { .. } => true,
        }
    }
}

/// The cell's name: `get-64`, `set-512-always`, `get-64-large-zipf`. What is as usual is not in it.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.work {
            Work::Get => write!(f, "get-{}", self.tasks)?,
            Work::Set => write!(f, "set-{}", self.tasks)?,
            Work::Mixed => write!(f, "mixed-{}", self.tasks)?,
            Work::GetMany => write!(f, "get-many-{}", self.tasks)?,
            Work::Scan => write!(f, "scan-{}", self.tasks)?,
            Work::Watch { watchers } => write!(f, "watch-{}-by-{watchers}", self.tasks)?,
        }
        f.write_str(match self.payload {
            Payload::None => "",
            Payload::Kibibyte => "-1k",
            Payload::Long => "-64k",
        })?;
        f.write_str(match self.keys {
            Keys::Few => "",
            Keys::Many => "-large",
        })?;
        f.write_str(match self.pick {
            Pick::Evenly => "",
            Pick::Zipf => "-zipf",
        })?;
        if self.tables > 1 {
            write!(f, "-tables-{}", self.tables)?;
        }
        f.write_str(match self.link {
            Link::Plain => "",
            Link::Tls => "-tls",
        })?;
        f.write_str(match self.pace {
            Pace::Closed => "",
            Pace::Open => "-open",
        })?;
        f.write_str(match self.length {
            Length::Run => "",
            Length::Long => "-long",
        })?;
        f.write_str(match self.sync {
            Sync::Unlogged => "",
            Sync::Never => "-never",
            Sync::Interval => "-interval",
            Sync::Always => "-always",
        })
    }
}

/// How many keys are few.
pub(crate) const FEW: usize = 10_000;
/// As many times fewer keys where values are long.
pub(crate) const FEWER_LONG: usize = 10;
/// How many keys one request reads.
pub(crate) const KEYS_AT_ONCE: usize = 100;
