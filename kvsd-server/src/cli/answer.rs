//! What a command came to: what it prints and the exit code that goes with it.
//!
//! Knows bytes and codes; never a server. Values are written as the bytes that they are.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;

use super::bench::Report;

/// What a command came to.
pub(super) enum Answer {
    /// The server answered after this time.
    Pong(Duration),
    /// The value is stored.
    Stored,
    /// The value, for people.
    Value(Bytes),
    /// The value and not a byte more.
    RawValue(Bytes),
    /// There is no value at this key.
    Missing(Vec<u8>),
    /// The value is gone; this is what it was, if there was one.
    Deleted(Option<Bytes>),
    /// Whether there is a value.
    Exists(bool),
    /// The server was measured.
    Measured(Box<Report>),
}

impl Answer {
    /// Writes what belongs on standard output.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            // One unit, so that a script can compare.
            Answer::Pong(time) => writeln!(out, "OK {:.3} ms", time.as_secs_f64() * 1e3)?,
            Answer::Stored | Answer::Deleted(None) => out.write_all(b"OK\n")?,
            Answer::Value(value) => {
                out.write_all(value)?;
                out.write_all(b"\n")?;
            }
            Answer::RawValue(value) => out.write_all(value)?,
            Answer::Missing(_) => {}
            Answer::Deleted(Some(value)) => {
                out.write_all(b"OK old value: ")?;
                out.write_all(value)?;
                out.write_all(b"\n")?;
            }
            Answer::Exists(exists) => writeln!(out, "{exists}")?,
            Answer::Measured(report) => report.write(out)?,
        }
        out.flush()
    }

    /// The line that belongs on standard error.
    pub(super) fn remark(&self) -> Option<String> {
        match self {
            // Quoted: a key may hold what a terminal would obey.
            Answer::Missing(key) => Some(format!("no value at {:?}", String::from_utf8_lossy(key))),
            Answer::Measured(report) => report.remark(),
            Answer::Pong(_)
            | Answer::Stored
            | Answer::Value(_)
            | Answer::RawValue(_)
            | Answer::Deleted(_)
            | Answer::Exists(_) => None,
        }
    }

    /// The exit code.
    pub(super) fn code(&self) -> ExitCode {
        match self {
            Answer::Missing(_) | Answer::Exists(false) => ExitCode::from(1),
            Answer::Measured(report) if !report.is_success() => ExitCode::from(3),
            Answer::Pong(_)
            | Answer::Stored
            | Answer::Value(_)
            | Answer::RawValue(_)
            | Answer::Deleted(_)
            | Answer::Exists(true)
            | Answer::Measured(_) => ExitCode::SUCCESS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(answer: &Answer) -> Vec<u8> {
        let mut out = Vec::new();
        answer.write(&mut out).unwrap();
        out
    }

    #[test]
    fn a_round_trip_is_printed_in_milliseconds_whatever_its_length() {
        assert_eq!(written(&Answer::Pong(Duration::from_nanos(1_499))), b"OK 0.001 ms\n");
        assert_eq!(written(&Answer::Pong(Duration::from_micros(142))), b"OK 0.142 ms\n");
        assert_eq!(written(&Answer::Pong(Duration::from_secs(2))), b"OK 2000.000 ms\n");
    }

    #[test]
    fn a_key_in_a_remark_cannot_steer_the_terminal() {
        let remark = Answer::Missing(b"a\x1b[2J\n\xff".to_vec()).remark().unwrap();
        assert_eq!(remark, "no value at \"a\\u{1b}[2J\\n\u{fffd}\"");
    }
}
