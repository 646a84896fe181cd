//! How a command ends when something went wrong.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use kvsd::ErrorKind;
use kvsd::protocol::v2::FailCode;
use serde_json::json;

use super::output::{Format, write_json};

/// Why a command failed, and the exit code that says so.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    message: String,
    hint: Option<&'static str>,
}

impl Failure {
    /// The usage or a setting is at fault: the same call fails again.
    pub(super) fn usage(error: &(impl Error + ?Sized)) -> Self {
        Self::wrong_usage(error.to_string())
    }

    /// As [`Failure::usage`], in our own words.
    pub(super) fn wrong_usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into(), hint: None }
    }

    /// Anything else, in our own words.
    pub(super) fn other(message: impl Into<String>) -> Self {
        Self { code: OTHER, message: message.into(), hint: None }
    }

    /// The system refused what the process itself needs.
    pub(super) fn stream(what: &str, error: &io::Error) -> Self {
        Self::other(format!("cannot {what}: {error}"))
    }

    /// No connection came about. `hint` says what to do if nothing listens at the address.
    pub(super) fn connect(error: &kvsd::Error, hint: Option<&'static str>) -> Self {
        let hint = match error.kind() {
            ErrorKind::Connect => hint,
            ErrorKind::Unauthenticated => Some(WHO),
            _ => None,
        };
        Self { code: code(error.kind()), message: format!("{error:#}"), hint }
    }

    /// The server has refused an administrator, or has failed at what was asked.
    pub(super) fn refused(refusal: FailCode, message: impl Into<String>) -> Self {
        let code = match refusal {
            FailCode::Invalid => USAGE,
            FailCode::NoTable => MISSING,
            _ => OTHER,
        };
        Self { code, message: message.into(), hint: None }
    }

    /// Whether what was asked for is not there.
    pub(super) fn is_missing(&self) -> bool {
        self.code == MISSING
    }

    /// Says what to do.
    pub(super) fn with_hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }

    /// Says where it happened.
    pub(super) fn in_place(self, place: &str) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }

    /// Writes the error to standard error and tells the exit code.
    pub(super) fn report(self, format: Format) -> ExitCode {
        let Self { code, message, hint } = self;
        let mut stderr = io::stderr();
        // Nobody may be reading; the exit code still tells.
        let _ = match format {
            Format::Text => {
                let hint = hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
                write!(stderr, "error: {message}\n{hint}")
            }
            Format::Json => {
                let error = json!({ "error": message, "hint": hint, "code": code });
                write_json(&mut stderr, &error)
            }
        };
        ExitCode::from(code)
    }
}

/// An operation failed. The SDK's message and its causes hold neither key nor value.
impl From<kvsd::Error> for Failure {
    fn from(error: kvsd::Error) -> Self {
        Self { code: code(error.kind()), message: format!("{error:#}"), hint: None }
    }
}

fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Config | ErrorKind::InvalidArgument => USAGE,
        _ => OTHER,
    }
}

const MISSING: u8 = 1;
const USAGE: u8 = 2;
const OTHER: u8 = 3;
const WHO: &str = "user and password come from the URL, or from KVSD_USERNAME and KVSD_PASSWORD";
