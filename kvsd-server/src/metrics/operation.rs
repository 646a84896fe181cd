//! What sessions carry out, and how that ends: one word each, the same in metrics and logs.
//!
//! A kind that is new here gets its word in `docs/metrics.md`. Next file to read: `histogram`.

/// A kind of request. The two dialects share them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Ping,
    Get,
    Exists,
    Lifetime,
    Set,
    Delete,
    Increment,
    Expire,
    Batch,
    Pipeline,
    Scan,
    /// Counted and not timed: it takes as long as there is no news.
    Watch,
    CreateTable,
    DropTable,
    Tables,
    Statistics,
    /// What is none of them, or breaks the form that its kind has.
    Malformed,
}

impl Operation {
    /// All kinds, in the order of their declaration.
    pub(crate) const ALL: [Self; 17] = [
        Self::Ping,
        Self::Get,
        Self::Exists,
        Self::Lifetime,
        Self::Set,
        Self::Delete,
        Self::Increment,
        Self::Expire,
        Self::Batch,
        Self::Pipeline,
        Self::Scan,
        Self::Watch,
        Self::CreateTable,
        Self::DropTable,
        Self::Tables,
        Self::Statistics,
        Self::Malformed,
    ];

    /// The word for the kind. It never changes: dashboards and alerts are made of it.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Get => "get",
            Self::Exists => "exists",
            Self::Lifetime => "lifetime",
            Self::Set => "set",
            Self::Delete => "delete",
            Self::Increment => "increment",
            Self::Expire => "expire",
            Self::Batch => "batch",
            Self::Pipeline => "pipeline",
            Self::Scan => "scan",
            Self::Watch => "watch",
            Self::CreateTable => "create_table",
            Self::DropTable => "drop_table",
            Self::Tables => "tables",
            Self::Statistics => "statistics",
            Self::Malformed => "malformed",
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was carried out. A read that finds nothing was, too.
    Ok,
    /// Its condition did not hold, and nothing was written.
    NotApplied,
    /// The client may not do that, or what it asked for cannot be.
    Refused,
    /// The server could not do it.
    Failed,
}

impl Outcome {
    /// All outcomes, in the order of their declaration.
    pub(crate) const ALL: [Self; 4] = [Self::Ok, Self::NotApplied, Self::Refused, Self::Failed];

    /// The word for the outcome. It never changes.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotApplied => "not_applied",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Each stands at its own place, so that it finds its counter.
const _: () = {
    let mut place = 0;
    while place < Operation::ALL.len() {
        assert!(Operation::ALL[place] as usize == place, "in the order of the declaration");
        place += 1;
    }
    assert!(Operation::Malformed as usize + 1 == Operation::ALL.len(), "all of them");
    place = 0;
    while place < Outcome::ALL.len() {
        assert!(Outcome::ALL[place] as usize == place, "in the order of the declaration");
        place += 1;
    }
    assert!(Outcome::Failed as usize + 1 == Outcome::ALL.len(), "all of them");
};
