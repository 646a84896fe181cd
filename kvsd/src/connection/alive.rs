//! Whether the server is still there: when to ask, and when to give up. No I/O, no clock.
//!
//! A peer that has gone without a word (its machine lost power, a middlebox forgot the connection)
//! leaves a connection that looks open. Whenever nothing has come for a while the connection asks,
//! and ends if nothing at all comes then. Next file to read: `tasks`.

use std::time::Duration;

use tokio::time::Instant;

/// How long the server may be silent after it was asked whether it is there.
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(5);

/// What is known of the server's life.
#[derive(Debug)]
pub(super) struct Alive {
    /// How long it may be silent before it is asked; `None` for ever.
    wait: Option<Duration>,
    heard: Instant,
    /// Asked, and nothing has come since.
    asked: Option<Instant>,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Wait,
    Ask,
    /// It was silent for so long.
    Gone(Duration),
}

impl Alive {
    pub(super) fn new(wait: Option<Duration>, now: Instant) -> Self {
        Self { wait, heard: now, asked: None }
    }

    /// Something has come, or the network has taken a part of a large request: on a slow one the
    /// question waits behind parts that were written before it.
    pub(super) fn hear(&mut self, now: Instant) {
        (self.heard, self.asked) = (now, None);
    }

    /// When to look again, unless something is heard before.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.asked {
            Some(asked) => asked.checked_add(KEEP_ALIVE_ANSWER),
            None => self.heard.checked_add(self.wait?),
        }
    }

    /// What the time says. After [`Verdict::Ask`] the server counts as asked.
    pub(super) fn look(&mut self, now: Instant) -> Verdict {
        if self.next().is_none_or(|next| now < next) {
            return Verdict::Wait;
        }
        if self.asked.is_some() {
            return Verdict::Gone(now - self.heard);
        }
        self.asked = Some(now);
        Verdict::Ask
    }
}
