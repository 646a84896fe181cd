//! What the cases ask of whoever opens an engine for them, and in what engines may differ.
//!
//! Next file to read: [`super::subject`].

use std::sync::Arc;

use async_trait::async_trait;
use kvsd::TableName;

use super::TestClock;
use crate::engine::Engine;
use crate::log::TableCreation;

/// An engine under test, and the ground that it stands on. Nothing is left of either when it is
/// dropped.
#[async_trait]
pub(crate) trait Fixture: Send + Sync {
    /// Engines that are open on the same data, the first of them made for the case. More than one
    /// where several may be.
    fn engines(&self) -> Vec<Arc<dyn Engine>>;

    /// The clock that all engines go by.
    fn clock(&self) -> &TestClock;

    /// In what the engine differs from others, by design.
    fn differences(&self) -> Differences;

    /// Ends all engines, and opens as many on the same data. Nobody else may hold one that is lost.
    async fn reopen(&mut self, ending: Ending, setup: Setup);

    /// Makes the engine forget the past of a table as far as it can: older positions are gaps, and
    /// older moments cannot be read.
    async fn forget(&mut self, table: &TableName);
}

/// How an engine comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is closed.
    Closed,
    /// The worst that its durability promises to outlast.
    Lost,
}

/// How an engine is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    /// How tables come into being.
    pub(crate) creation: TableCreation,
    /// The most tables there may be.
    pub(crate) max_tables: usize,
    /// How much of the past it keeps.
    pub(crate) history: History,
}

impl Default for Setup {
    fn default() -> Self {
        Self { creation: TableCreation::OnWrite, max_tables: 100, history: History::Kept }
    }
}

/// How much of a table's past an engine keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum History {
    /// More than a case makes.
    Kept,
    /// As little as it can.
    Forgotten,
}

/// In what an engine may differ from others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Differences {
    /// Whether writes share versions.
    pub(crate) versions: Versions,
    /// At which moment the later pages of a scan stand.
    pub(crate) pages: Pages,
    /// Whether statistics have bytes.
    pub(crate) bytes: Bytes,
    /// Whether [`Setup::creation`] counts.
    pub(crate) creation: Creation,
}

/// Whether writes share versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versions {
    /// Each write has its own.
    Apart,
    /// Writes of different keys may share one.
    #[cfg_attr(not(feature = "etcd"), expect(dead_code, reason = "only etcd's do"))]
    Shared,
}

/// At which moment the later pages of a scan stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    /// At that of the first, if it is asked for.
    Pinned,
    /// Each at its own.
    Moving,
}

/// Whether statistics have bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// They do.
    Counted,
    /// They are 0.
    #[cfg_attr(not(feature = "etcd"), expect(dead_code, reason = "only etcd's are"))]
    Unknown,
}

/// Whether it can be set up how tables come into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    /// It can.
    SetUp,
    /// They do with their first write.
    #[cfg_attr(not(feature = "etcd"), expect(dead_code, reason = "only etcd's do"))]
    Fixed,
}
