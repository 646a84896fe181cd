//! A server as a child process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Error;

/// A process that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(super) child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a server. What it prints on standard error goes to `log`.
    pub(super) fn start(command: &mut Command, log: &Path) -> Result<Self, Error> {
        let stderr = File::create(log)?;
        let child = command.stdin(Stdio::null()).stderr(stderr).spawn()?;
        Ok(Self { child, log: log.to_owned() })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the server had to say, for an error.
    pub(super) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its data goes too, so there is nothing to end well for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
