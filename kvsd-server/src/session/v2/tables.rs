//! Tables as a whole: making, dropping, naming and measuring them.
//!
//! Next file to read: `answer`.

use std::sync::Arc;

use kvsd::TableName;
use kvsd::protocol::v2::{MAX_PAGE, Request};
use tokio::sync::Semaphore;

use super::answer::Answer;
use super::in_flight::Held;
use crate::auth::Login;
use crate::engine::Engine;

/// A request about a table, or all of them, that breaks no rule.
#[derive(Debug)]
pub(super) enum TableRequest {
    Create(TableName),
    Drop(TableName),
    List { after: Option<String>, login: Login },
    Statistics(TableName),
}

/// Whose turn it is to make or drop a table: each takes files, syncs and a thread of the server, so
/// that a session has a few under way at a time, and the others wait in their order.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_CHANGES)))
    }
}

impl TableRequest {
    /// Checks a request of this client, who is told only of tables that it may see.
    pub(super) fn check(request: &Request<'_>, login: &Login) -> Result<Self, String> {
        let name = |table| TableName::parse(table).map_err(|error| error.to_string());
        match *request {
            Request::CreateTable { table } => name(table).map(Self::Create),
            Request::DropTable { table } => name(table).map(Self::Drop),
            Request::Statistics { table } => name(table).map(Self::Statistics),
            Request::Tables { after } => {
                Ok(Self::List { after: after.map(str::to_owned), login: login.clone() })
            }
            Request::Ping
            | Request::Get { .. }
            | Request::Exists { .. }
            | Request::Lifetime { .. }
            | Request::Set { .. }
            | Request::Delete { .. }
            | Request::Increment { .. }
            | Request::Expire { .. }
            | Request::Batch { .. }
            | Request::Pipeline(_)
            | Request::Scan(_)
            | Request::Watch(_)
            | Request::Cancel => Err("this request is not about tables".to_owned()),
        }
    }

    /// What it is taken to hold in memory.
    pub(super) fn held(&self) -> Held {
        match self {
            Self::Create(_) | Self::Drop(_) | Self::Statistics(_) => Held::of_bytes(REQUEST_BYTES),
            Self::List { .. } => Held::of_bytes(LIST_BYTES),
        }
    }

    /// Carries it out, a change when it is its turn.
    pub(super) async fn run(self, engine: Arc<dyn Engine>, turns: Turns) -> Answer {
        let _turn = match &self {
            // The semaphore is never closed.
            Self::Create(_) | Self::Drop(_) => turns.0.acquire().await.ok(),
            Self::List { .. } | Self::Statistics(_) => None,
        };
        let answer = match self {
            Self::Create(table) => engine.create_table(&table).await.map(Answer::Flag),
            Self::Drop(table) => engine.drop_table(&table).await.map(Answer::Flag),
            Self::Statistics(table) => {
                engine.table_statistics(table.as_str()).await.map(Answer::Statistics)
            }
            Self::List { after, login } => engine.tables().await.map(|mut names| {
                names.retain(|name| login.may_see(name.as_str()));
                list(names, after)
            }),
        };
        answer.unwrap_or_else(Answer::from)
    }
}

/// The names behind `after`, which need not be one of them.
fn list(mut names: Vec<TableName>, after: Option<String>) -> Answer {
    if let Some(after) = after {
        names.retain(|name| name.as_str() > after.as_str());
    }
    let more = names.len() > MAX_PAGE;
    names.truncate(MAX_PAGE);
    Answer::Tables { more, names }
}

/// The most tables that a session makes or drops at a time.
const MAX_CHANGES: usize = 4;
/// What a request about one table is taken to hold: its task, and what it says of the table.
const REQUEST_BYTES: usize = 1024;
/// What a list is taken to hold: the engine names all tables first, and that many at a time are as
/// much as is gathered and sorted before others get the thread.
const LIST_BYTES: usize = 2 * 1024 * 1024;
