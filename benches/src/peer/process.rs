//! A server as a child process.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::Error;

/// A process that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a server. What it prints on standard error goes to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self, Error> {
        let stderr = File::create(log)?;
        let child = command.stdin(Stdio::null()).stderr(stderr).spawn()?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Starts a server of ours, and waits until it says where it listens.
    pub(super) fn start_listening(
        command: &mut Command,
        log: &Path,
    ) -> Result<(Self, SocketAddr), Error> {
        let mut server = Self::start(command.stdout(Stdio::piped()), log)?;
        let mut line = String::new();
        if let Some(stdout) = server.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match line.trim_end().strip_prefix(Self::LISTENING).map(str::parse) {
            Some(Ok(address)) => Ok((server, address)),
            Some(Err(_)) | None => {
                Err(format!("the server did not start: {}", server.last_words()).into())
            }
        }
    }

    /// What stands before the address.
    pub(super) const LISTENING: &str = "listening on ";

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

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// `SIGKILL`, in the middle of whatever it does.
    Kill,
    /// `SIGTERM`, and it stops on its own.
    Stop,
}

impl Process {
    /// Ends the process and waits until it is gone.
    pub(super) fn end(mut self, ending: Ending) -> Result<(), Error> {
        match ending {
            Ending::Kill => self.child.kill()?,
            Ending::Stop => kill_process(Pid::from_child(&self.child), Signal::TERM)?,
        }
        let status = self.child.wait()?;
        if ending == Ending::Stop && !status.success() {
            return Err(format!("a server did not stop well: {}", self.last_words()).into());
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its data goes too, so there is nothing to end well for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
