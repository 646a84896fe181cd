//! A few threads that wait for the disk, so that the runtime's threads do not.
//!
//! Threads start when there is more to do than there are threads waiting for work, up to a bound,
//! and end after some idle seconds. The queue is bounded by its callers, each of whom waits for
//! its answer. Next file to read: [`super::actor`].

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// The threads; dropping it lets them finish what is queued and end.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

/// A job panicked, and took with it what it had been given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
struct Shared {
    name: &'static str,
    most_threads: usize,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("queued", &self.queue.len())
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool without threads yet.
    pub(crate) fn new(name: &'static str, most_threads: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                name,
                most_threads: most_threads.max(1),
                state: Mutex::default(),
                work: Condvar::new(),
            }),
        }
    }

    /// Runs a job on one of the threads. The job runs even if the answer is not awaited.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Running<T> {
        let (done, answer) = oneshot::channel();
        // A receiver that is gone wants no answer.
        self.queue(Box::new(move || drop(done.send(job()))));
        Running(answer)
    }

    /// Runs a job that only finds something out: not at all if nobody waits for the answer any more
    /// when its turn comes. Never for a job that carries what must come back.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Running<T> {
        let (done, answer) = oneshot::channel();
        self.queue(Box::new(move || {
            if !done.is_closed() {
                // A receiver that is gone by now wants no answer.
                drop(done.send(job()));
            }
        }));
        Running(answer)
    }

    /// Whether jobs wait for a thread.
    pub(crate) fn is_short(&self) -> bool {
        !self.shared.lock().queue.is_empty()
    }

    /// How many threads there are now.
    #[cfg(test)]
    pub(crate) fn threads(&self) -> usize {
        self.shared.lock().threads
    }

    fn queue(&self, job: Job) {
        let mut state = self.shared.lock();
        state.queue.push_back(job);
        if state.idle >= state.queue.len() {
            self.shared.work.notify_one();
            return;
        }
        if state.threads >= self.shared.most_threads {
            return;
        }
        state.threads += 1;
        let shared = Arc::clone(&self.shared);
        let started = thread::Builder::new().name(self.shared.name.into()).spawn(move || {
            shared.work_until_idle();
        });
        if started.is_err() {
            state.threads -= 1;
            // No thread to be had now. If there is none at all, waiting here beats waiting for ever.
            if state.threads == 0
                && let Some(job) = state.queue.pop_back()
            {
                drop(state);
                job();
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work_until_idle(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                // Its caller notices, because the answer never comes.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let (woken, waited) = self
                .work
                .wait_timeout(state, IDLE_BEFORE_END)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

/// A job's answer to come. Dropping it does not stop the job once that has begun.
#[derive(Debug)]
pub(crate) struct Running<T>(oneshot::Receiver<T>);

impl<T> Future for Running<T> {
    type Output = Result<T, Lost>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(context).map(|answer| answer.map_err(|_| Lost))
    }
}

const IDLE_BEFORE_END: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_run_and_answer_with_more_of_them_than_threads() {
        let pool = Pool::new("test", 2);
        let running: Vec<_> = (0..50).map(|i| pool.run(move || i * 2)).collect();
        for (i, answer) in running.into_iter().enumerate() {
            assert_eq!(answer.await, Ok(i * 2));
        }
    }

    #[tokio::test]
    async fn a_panic_is_reported_and_the_pool_goes_on() {
        let pool = Pool::new("test", 1);
        let lost: Result<(), Lost> = pool.run(|| panic!("planted")).await;
        assert_eq!(lost, Err(Lost));
        assert_eq!(pool.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn what_is_queued_when_the_pool_goes_is_still_done() {
        let pool = Pool::new("test", 1);
        let running: Vec<_> = (0..10).map(|i| pool.run(move || i)).collect();
        drop(pool);
        for (i, answer) in running.into_iter().enumerate() {
            assert_eq!(answer.await, Ok(i));
        }
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_found_out_and_what_must_be_done_is() {
        let pool = Pool::new("test", 1);
        let done = Arc::new(Mutex::new(Vec::new()));
        let note = |what: &'static str| {
            let done = Arc::clone(&done);
            move || done.lock().unwrap().push(what)
        };
        let (release, held) = std::sync::mpsc::sync_channel::<()>(1);
        let first = pool.run(move || held.recv().unwrap());
        for _ in 0..100 {
            drop(pool.ask(note("asked in vain")));
        }
        drop(pool.run(note("done")));
        let last = pool.ask(note("asked"));
        release.send(()).unwrap();
        assert_eq!((first.await, last.await), (Ok(()), Ok(())));
        assert_eq!(*done.lock().unwrap(), ["done", "asked"]);
    }
}
