//! What standard error shows meanwhile: one line that is drawn anew on a terminal, else a line for
//! each second.

use std::io::{self, IsTerminal, Write};

/// The line that shows how far a run is.
#[derive(Debug)]
pub(super) struct Progress {
    is_terminal: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal() }
    }

    /// Shows a line that stays.
    pub(super) fn say(&self, line: &str) {
        let erase = if self.is_terminal { ERASE } else { "" };
        // Nobody may be reading.
        let _ = writeln!(io::stderr(), "{erase}{line}");
    }

    /// Shows a line in the place of the one before.
    pub(super) fn show(&self, line: &str) {
        if !self.is_terminal {
            return self.say(line);
        }
        let mut stderr = io::stderr();
        let _ = write!(stderr, "{ERASE}{line}");
        let _ = stderr.flush();
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if self.is_terminal {
            let mut stderr = io::stderr();
            let _ = write!(stderr, "{ERASE}");
            let _ = stderr.flush();
        }
    }
}

/// To the beginning of the line, and nothing behind it.
const ERASE: &str = "\r\x1b[K";
