//! How the process ends when something went wrong.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::ConfigError;

/// Why a command failed, by the exit code that it asks for.
#[derive(Debug)]
pub(super) enum Failure {
    /// The usage or the configuration is at fault: the same call fails again. Code 2.
    Usage(Box<dyn Error + Send + Sync>),
    /// Anything else. Code 1.
    Other(Box<dyn Error + Send + Sync>),
}

impl Failure {
    /// Anything but usage and configuration.
    pub(super) fn other(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }

    /// Writes the error and its causes in one line to standard error.
    pub(super) fn report(self) -> ExitCode {
        let (error, code) = match self {
            Self::Usage(error) => (error, 2),
            Self::Other(error) => (error, 1),
        };
        report(&*error);
        ExitCode::from(code)
    }
}

/// Writes an error and its causes in one line to standard error.
pub(super) fn report(error: &(dyn Error + 'static)) {
    let mut line = format!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(error.to_string().trim_end());
        cause = error.source();
    }
    // Nobody may be reading; the exit code still tells.
    let _ = writeln!(io::stderr(), "{line}");
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(Box::new(error))
    }
}
