//! Writes on their way through a table's actor, and their answer.
//!
//! Next file to read: [`super::actor`].

use tokio::sync::oneshot;
use tokio::task;

use crate::engine::{EngineError, Write, WriteResult};

/// Writes, and where their answer goes.
#[derive(Debug)]
pub(super) struct Submission {
    /// The task that waits for the answer.
    task: Option<task::Id>,
    writes: Vec<Write>,
    /// The answers to the first of the writes.
    results: Vec<WriteResult>,
    reply: oneshot::Sender<Answer>,
}

/// The answer to a submission.
#[derive(Debug)]
pub(super) struct Answer {
    /// To the first of its writes, all of them as a rule.
    pub(super) results: Vec<WriteResult>,
    /// The others, which are untouched: the table was dropped before them.
    pub(super) left: Vec<Write>,
}

impl Answer {
    /// The same answer to so many writes.
    pub(super) fn all(error: &EngineError, count: usize) -> Self {
        Self { results: vec![Err(error.clone()); count], left: Vec::new() }
    }
}

/// Writes that were handed in.
#[derive(Debug)]
pub(super) enum HandedIn {
    /// They wait for the actor.
    Queued {
        answer: oneshot::Receiver<Answer>,
        /// How many they are.
        count: usize,
    },
    /// There is no actor any more.
    Answered(Answer),
}

impl HandedIn {
    /// Waits for what became of them.
    pub(super) async fn answer(self) -> Answer {
        match self {
            Self::Answered(answer) => answer,
            // The actor answers whatever it gets; without an answer it has panicked, or its runtime
            // is gone.
            Self::Queued { answer, count } => answer.await.unwrap_or_else(|_| {
                let cause = "the table's writer has stopped".to_owned();
                Answer::all(&EngineError::UnknownOutcome { cause }, count)
            }),
        }
    }
}

impl Submission {
    /// Writes that this task hands in.
    pub(super) fn new(writes: Vec<Write>, reply: oneshot::Sender<Answer>) -> Self {
        Self { task: task::try_id(), writes, results: Vec::new(), reply }
    }

    /// Whether the same task has handed both in, and may rely on their order.
    pub(super) fn is_of_same_task(&self, other: &Self) -> bool {
        self.task == other.task
    }

    /// Whether some of the writes have their answer.
    pub(super) fn has_begun(&self) -> bool {
        !self.results.is_empty()
    }

    /// The writes that have no answer yet.
    pub(super) fn open(&self) -> &[Write] {
        self.writes.get(self.results.len()..).unwrap_or_default()
    }

    /// Takes the answers to the next writes. The submission comes back if there are more.
    pub(super) fn answer(mut self, results: Vec<WriteResult>) -> Option<Self> {
        match self.results.is_empty() {
            true => self.results = results,
            false => self.results.extend(results),
        }
        if self.results.len() < self.writes.len() {
            return Some(self);
        }
        self.send(Vec::new());
        None
    }

    pub(super) fn refuse(mut self) {
        self.results.resize(self.writes.len(), Err(EngineError::Closed));
        self.send(Vec::new());
    }

    pub(super) fn hand_back(mut self) {
        let left = self.writes.split_off(self.results.len());
        self.send(left);
    }

    fn send(self, left: Vec<Write>) {
        // Nobody waits for an answer any more: that is normal.
        let _ = self.reply.send(Answer { results: self.results, left });
    }
}
