//! What a request asked for: which answers fit it, and whether it may have changed something.
//!
//! Next file to read: `answer`.

use crate::protocol::v2::Request;

/// What a request asked for, as far as its answer's form and its loss depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Ping,
    Get,
    Exists,
    Lifetime,
    /// Set, Delete or Expire.
    Write,
    Increment,
    Batch,
    Pipeline(Effect),
    Scan,
    Watch,
    /// CreateTable or DropTable.
    ChangeTables,
    Tables,
    Statistics,
}

/// Whether a request can change anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Read,
    Write,
}

impl Verb {
    pub(crate) fn of(request: &Request<'_>) -> Self {
        match request {
            // A Cancel has no answer, and is written beside what waits for one.
            Request::Ping | Request::Cancel => Verb::Ping,
            Request::Get { .. } => Verb::Get,
            Request::Exists { .. } => Verb::Exists,
            Request::Lifetime { .. } => Verb::Lifetime,
            Request::Set { .. } | Request::Delete { .. } | Request::Expire { .. } => Verb::Write,
            Request::Increment { .. } => Verb::Increment,
            Request::Batch { .. } => Verb::Batch,
            Request::Pipeline(requests) => {
                let reads = |request| Verb::of(request).effect() == Effect::Read;
                let only_reads = requests.iter().all(reads);
                Verb::Pipeline(if only_reads { Effect::Read } else { Effect::Write })
            }
            Request::Scan(_) => Verb::Scan,
            Request::Watch(_) => Verb::Watch,
            Request::CreateTable { .. } | Request::DropTable { .. } => Verb::ChangeTables,
            Request::Tables { .. } => Verb::Tables,
            Request::Statistics { .. } => Verb::Statistics,
        }
    }

    /// Whether a request whose answer is lost may have changed something.
    pub(crate) fn effect(self) -> Effect {
        match self {
            Verb::Write | Verb::Increment | Verb::Batch | Verb::ChangeTables => Effect::Write,
            Verb::Pipeline(effect) => effect,
            Verb::Ping
            | Verb::Get
            | Verb::Exists
            | Verb::Lifetime
            | Verb::Scan
            | Verb::Watch
            | Verb::Tables
            | Verb::Statistics => Effect::Read,
        }
    }
}
