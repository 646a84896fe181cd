//! A part of the run: tasks at work, until they are done, their time is over, or a person says so.
//!
//! The only place that looks at signals and at the clock meanwhile. Next file to read: `place`.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

/// How a phase ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its tasks were done, or its time was over.
    Done,
    /// A signal came.
    Interrupted,
    /// Another signal came: some tasks were left in the middle of their work.
    Abandoned,
    /// Nothing succeeds any more.
    GivenUp,
}

/// Whether a phase has a future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prospect {
    Good,
    None,
}

/// The signals that end a run: Ctrl-C, and what a supervisor sends.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over: they no longer end the process by themselves.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Sees tasks to their end. `stop` asks them to end soon; it is called after `time`, at a signal,
/// when one fails, and when `tick`, which is called once a second, sees no prospect.
///
/// # Errors
///
/// That of the first task that failed.
pub(super) async fn run(
    mut tasks: JoinSet<Result<(), kvsd::Error>>,
    time: Duration,
    signals: &mut Signals,
    stop: impl Fn(),
    mut tick: impl FnMut(Duration) -> Prospect,
) -> (End, Result<(), kvsd::Error>) {
    let start = Instant::now();
    let mut ticks = interval_at(start + SECOND, SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let over = sleep(time);
    tokio::pin!(over);
    let (mut is_over, mut end, mut result) = (false, End::Done, Ok(()));
    loop {
        tokio::select! {
            joined = tasks.join_next() => match joined {
                None => return (end, result),
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => {
                    stop();
                    result = result.and(Err(error));
                }
                Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
            },
            () = &mut over, if !is_over => {
                is_over = true;
                stop();
            }
            () = signals.next() => {
                stop();
                if end == End::Interrupted {
                    return (End::Abandoned, result);
                }
                end = End::Interrupted;
            }
            _ = ticks.tick() => {
                if tick(start.elapsed()) == Prospect::None && end == End::Done {
                    stop();
                    end = End::GivenUp;
                }
            }
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
