//! What waits to be carried out, and whom to answer.
//!
//! The task's side of the handle's channel. Every write ends: with its answer, or with its time.
//! Next file to read: `plan`.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use kvsd::TableName;
use tokio::sync::{mpsc, oneshot};
use tokio::task::Id;
use tokio::time::{Instant, sleep_until};

use super::plan::Seen;
use crate::engine::{EngineError, Write, WriteResult};

/// What one call of the handle brings.
pub(super) struct Submission {
    /// The task that calls: its writes to a table keep their order.
    pub(super) task: Option<Id>,
    pub(super) table: TableName,
    pub(super) writes: Vec<Write>,
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Vec<WriteResult>>,
}

/// A write that waits for its turn.
pub(super) struct Pending {
    pub(super) task: Option<Id>,
    pub(super) table: TableName,
    pub(super) write: Write,
    /// The bytes of its keys and values.
    pub(super) bytes: usize,
    pub(super) deadline: Instant,
    /// What was seen of its records in the table of this id.
    pub(super) seen: Option<(u64, Seen)>,
    answers: Arc<Answers>,
    place: usize,
}

/// The answers to one submission.
struct Answers {
    open: Mutex<Open>,
}

struct Open {
    results: Vec<WriteResult>,
    left: usize,
    answer: Option<oneshot::Sender<Vec<WriteResult>>>,
}

impl Pending {
    /// Answers the write. With its last one, a submission is answered.
    pub(super) fn answer(self, result: WriteResult) {
        let mut open = self.answers.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = open.results.get_mut(self.place) {
            *place = result;
        }
        open.left -= 1;
        if open.left == 0
            && let Some(answer) = open.answer.take()
        {
            // Nobody may be waiting any more.
            let _ = answer.send(std::mem::take(&mut open.results));
        }
    }

    /// Whether it has to come behind what the other one does.
    pub(super) fn follows(&self, other: &Self) -> bool {
        self.task == other.task && self.table == other.table
    }
}

impl Submission {
    pub(super) fn into_pending(self) -> impl Iterator<Item = Pending> {
        let Self { task, table, writes, deadline, answer } = self;
        let lost = EngineError::UnknownOutcome { cause: "the writer has stopped".to_owned() };
        let open = Open {
            results: vec![Err(lost); writes.len()],
            left: writes.len(),
            answer: Some(answer),
        };
        let answers = Arc::new(Answers { open: Mutex::new(open) });
        writes.into_iter().enumerate().map(move |(place, write)| {
            let bytes = write.changes.iter().map(crate::engine::Change::bytes).sum();
            let (table, answers) = (table.clone(), Arc::clone(&answers));
            Pending { task, table, write, bytes, deadline, seen: None, answers, place }
        })
    }
}

/// The writes that wait, in their order.
pub(super) struct Queue {
    incoming: mpsc::Receiver<Submission>,
    is_open: bool,
    pub(super) waiting: VecDeque<Pending>,
    /// Why nothing goes on, for those whose time is over.
    pub(super) trouble: Option<String>,
}

impl Queue {
    pub(super) fn new(incoming: mpsc::Receiver<Submission>) -> Self {
        Self { incoming, is_open: true, waiting: VecDeque::new(), trouble: None }
    }

    /// Waits until something waits to be carried out. `false` if nothing ever will again.
    pub(super) async fn fill(&mut self) -> bool {
        loop {
            while self.waiting.is_empty() {
                match self.incoming.recv().await {
                    Some(submission) => self.waiting.extend(submission.into_pending()),
                    None => return false,
                }
            }
            // Whatever was handed in meanwhile comes along.
            while self.has_room() {
                match self.incoming.try_recv() {
                    Ok(submission) => self.waiting.extend(submission.into_pending()),
                    Err(_) => break,
                }
            }
            // In a process that stood still for a while, the time of all of them may be over.
            self.answer_overdue();
            if !self.waiting.is_empty() {
                return true;
            }
        }
    }

    /// Waits for something else, and meanwhile takes in what comes and ends what takes too long.
    pub(super) async fn tend<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        // The writes stand nearly in the order of their deadlines.
        let mut due = pin!(sleep_until(self.next_deadline()));
        loop {
            tokio::select! {
                biased;
                done = &mut future => return done,
                submission = self.incoming.recv(), if self.is_open && self.has_room() => {
                    match submission {
                        Some(submission) => self.waiting.extend(submission.into_pending()),
                        None => self.is_open = false,
                    }
                }
                () = &mut due => {
                    self.answer_overdue();
                    due.as_mut().reset(self.next_deadline());
                }
            }
        }
    }

    /// Puts writes back to where they came from, before all others.
    pub(super) fn put_back(&mut self, writes: impl DoubleEndedIterator<Item = Pending>) {
        for write in writes.rev() {
            self.waiting.push_front(write);
        }
    }

    fn has_room(&self) -> bool {
        self.waiting.len() < MOST_WAITING
    }

    fn next_deadline(&self) -> Instant {
        let soon = Instant::now() + LOOK_AGAIN;
        self.waiting.front().map_or(soon, |write| write.deadline.min(soon))
    }

    fn answer_overdue(&mut self) {
        let now = Instant::now();
        if !self.waiting.iter().any(|write| write.deadline <= now) {
            return;
        }
        let reason =
            self.trouble.clone().unwrap_or_else(|| "the writes before it took too long".to_owned());
        for write in std::mem::take(&mut self.waiting) {
            if write.deadline <= now {
                write.answer(Err(EngineError::Unavailable { reason: reason.clone() }));
            } else {
                self.waiting.push_back(write);
            }
        }
    }
}

/// How many writes may wait here, but for the last submission; the others wait in the channel.
const MOST_WAITING: usize = 1024;
/// How often the time of those that wait is looked at, at least.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::engine::{Action, BeforeDetail, Change, Condition};

    #[tokio::test]
    async fn writes_whose_time_is_over_are_answered_and_make_no_group() {
        let (room, incoming) = mpsc::channel(4);
        let mut answers = Vec::new();
        let now = Instant::now();
        for deadline in [now - Duration::from_secs(1), now + Duration::from_secs(60)] {
            let (answer, answered) = oneshot::channel();
            let change = Change {
                key: Bytes::from_static(b"k"),
                condition: Condition::Any,
                action: Action::Delete,
            };
            let writes = vec![Write { changes: [change].into(), before: BeforeDetail::Presence }];
            let table = TableName::parse("t").unwrap();
            let submission = Submission { task: None, table, writes, deadline, answer };
            answers.push((submission, answered));
        }
        let (in_time, _in_time_answered) = answers.pop().unwrap();
        let (late, late_answered) = answers.pop().unwrap();
        let mut queue = Queue::new(incoming);
        room.try_send(late).ok().unwrap();
        let fill = async {
            let filled = queue.fill().await;
            (filled, queue.waiting.len())
        };
        let hand_in_later = async {
            let result = late_answered.await.unwrap();
            assert!(matches!(result[..], [Err(EngineError::Unavailable { .. })]), "{result:?}");
            room.try_send(in_time).ok().unwrap();
        };
        let (filled, ()) = tokio::join!(fill, hand_in_later);
        assert_eq!(filled, (true, 1));
    }
}
