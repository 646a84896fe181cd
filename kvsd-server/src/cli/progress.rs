//! How far a transfer is: a bar on standard error, on a terminal only.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// What the bar counts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    Bytes,
    Records,
}

/// Where the results go meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Results {
    OnStandardOutput,
    Elsewhere,
}

/// A bar; of a length that is not known it shows how much is done.
pub(super) fn bar(length: Option<u64>, unit: Unit, results: Results) -> ProgressBar {
    // A bar would run through results that the same terminal shows.
    let target = match results == Results::OnStandardOutput && io::stdout().is_terminal() {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr(),
    };
    let style = match (length, unit) {
        (Some(_), Unit::Bytes) => "[{bar:30}] {bytes} of {total_bytes}, {eta} to go",
        (Some(_), Unit::Records) => "[{bar:30}] {pos} of {len} records, {eta} to go",
        (None, Unit::Bytes) => "{spinner} {bytes}, {bytes_per_sec}",
        (None, Unit::Records) => "{spinner} {pos} records, {per_sec}",
    };
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    // A command that fails must not leave half a bar in front of its error.
    let clear = ProgressFinish::AndClear;
    ProgressBar::with_draw_target(length, target).with_style(style).with_finish(clear)
}
