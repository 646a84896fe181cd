//! What a run came to, as text and as an object.
//!
//! Latencies are in milliseconds throughout, so that a script can compare.

use std::io::{self, Write};
use std::num::NonZeroU64;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::phase::End;
use super::tally::{Operation, Tally};

/// What a run came to.
#[derive(Debug)]
pub(in crate::cli) struct Report {
    pub(super) tally: Tally,
    /// From the beginning to the end of the last operation.
    pub(super) time: Duration,
    pub(super) end: End,
    pub(super) rate: Option<NonZeroU64>,
    /// Operations that were due and did not begin.
    pub(super) missed: u64,
    pub(super) remains: Remains,
}

/// What is left of what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remains {
    Nothing,
    /// As was asked for.
    Kept,
    /// All or some of it, though it should have gone.
    Left,
}

impl Report {
    /// Whether the exit code says that all is well.
    pub(in crate::cli) fn is_success(&self) -> bool {
        self.tally.error_count() == 0 && self.remains != Remains::Left
    }

    /// What went wrong, in a line.
    pub(in crate::cli) fn remark(&self) -> Option<String> {
        let errors = self.tally.error_count();
        let of = errors + self.tally.success_count();
        let failed = format!("error: {} of {} operations failed", grouped(errors), grouped(of));
        match self.end {
            End::GivenUp => Some(format!("{failed}; ended because nothing succeeded any more")),
            End::Done | End::Interrupted | End::Abandoned if errors > 0 => Some(failed),
            End::Done | End::Interrupted | End::Abandoned => (self.remains == Remains::Left)
                .then(|| "error: what was written is still there".to_owned()),
        }
    }

    /// The whole of it but for the histograms, for programs.
    pub(in crate::cli) fn to_json(&self) -> Value {
        let tally = &self.tally;
        let (count, seconds) = (tally.success_count(), self.time.as_secs_f64());
        let errors: Vec<_> = tally
            .errors()
            .map(|(kind, errors)| {
                json!({ "kind": kind, "count": errors.count, "example": errors.example })
            })
            .collect();
        let latencies: Map<String, Value> = OPERATIONS
            .into_iter()
            .filter(|(_, operation)| !tally.latency(*operation).is_empty())
            .map(|(name, operation)| (name.to_owned(), latency_json(tally.latency(operation))))
            .collect();
        json!({
            "operations": count,
            "seconds": seconds,
            "per_second": count as f64 / seconds.max(f64::MIN_POSITIVE),
            "due_per_second": self.rate,
            "not_begun": self.missed,
            "begun_late_ms": self.rate.map(|_| latency_json(tally.late())),
            "bytes_read": tally.read_bytes,
            "bytes_written": tally.written_bytes,
            "errors": errors,
            "latency_ms": latencies,
        })
    }

    /// Writes the whole of it.
    pub(in crate::cli) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let tally = &self.tally;
        let seconds = self.time.as_secs_f64().max(f64::MIN_POSITIVE);
        let count = tally.success_count();
        let rate = u128::from(count) * NANOS / self.time.as_nanos().max(1);
        let rate = grouped(u64::try_from(rate).unwrap_or(u64::MAX));
        writeln!(out, "operations: {} in {seconds:.2} s, {rate} a second", grouped(count))?;
        if let Some(wanted) = self.rate {
            let late = tally.late();
            let [p50, p99] = [0.5, 0.99].map(|share| millis(late.value_at_quantile(share)));
            writeln!(
                out,
                "due: {} a second; begun late by {p50} ms (p50), {p99} ms (p99); \
                 not begun: {}",
                grouped(wanted.get()),
                grouped(self.missed)
            )?;
        }
        for (name, bytes) in [("read", tally.read_bytes), ("written", tally.written_bytes)] {
            let mebibytes = bytes as f64 / f64::from(1 << 20);
            let rate = mebibytes / seconds;
            writeln!(out, "values {name}: {mebibytes:.1} MiB, {rate:.1} MiB a second")?;
        }
        writeln!(out, "errors: {}", grouped(tally.error_count()))?;
        for (kind, errors) in tally.errors() {
            writeln!(out, "  {}: {kind}", grouped(errors.count))?;
            if let Some(example) = &errors.example {
                writeln!(out, "    such as: {example}")?;
            }
        }
        writeln!(out)?;
        write_quantiles(out, tally)?;
        for (name, operation) in OPERATIONS {
            let latency = tally.latency(operation);
            if !latency.is_empty() {
                writeln!(out, "\nlatency of {name}")?;
                write_histogram(out, latency)?;
            }
        }
        Ok(())
    }
}

fn latency_json(latency: &Histogram<u64>) -> Value {
    let at = |share| latency.value_at_quantile(share) as f64 / 1e6;
    json!({
        "operations": latency.len(),
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "p99.9": at(0.999),
        "max": latency.max() as f64 / 1e6,
    })
}

fn write_quantiles(out: &mut impl Write, tally: &Tally) -> io::Result<()> {
    let [name, count, p50, p90, p99, p999, max] =
        ["latency in ms", "operations", "p50", "p90", "p99", "p99.9", "max"];
    writeln!(out, "{name:<13} {count:>13} {p50:>9} {p90:>9} {p99:>9} {p999:>9} {max:>9}")?;
    for (name, operation) in OPERATIONS {
        let latency = tally.latency(operation);
        if latency.is_empty() {
            continue;
        }
        let [p50, p90, p99, p999] =
            [0.5, 0.9, 0.99, 0.999].map(|share| millis(latency.value_at_quantile(share)));
        let (count, max) = (grouped(latency.len()), millis(latency.max()));
        writeln!(out, "{name:<13} {count:>13} {p50:>9} {p90:>9} {p99:>9} {p999:>9} {max:>9}")?;
    }
    Ok(())
}

/// Draws a bar for each of the steps 1, 2, 5, 10, .. from the shortest latency to the longest.
fn write_histogram(out: &mut impl Write, latency: &Histogram<u64>) -> io::Result<()> {
    let mut bars: Vec<(u64, u64)> = Vec::new();
    let mut bounds = bounds().skip_while(|bound| *bound < latency.min());
    let mut bound = bounds.next().unwrap_or(u64::MAX);
    let mut count = 0;
    for step in latency.iter_recorded() {
        while step.value_iterated_to() > bound {
            bars.push((bound, count));
            (bound, count) = (bounds.next().unwrap_or(u64::MAX), 0);
        }
        count += step.count_since_last_iteration();
    }
    bars.push((bound, count));
    let most = bars.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let most = u128::from(most.max(1));
    for (bound, count) in bars {
        let share = count as f64 * 100.0 / latency.len() as f64;
        // Of what is there something is seen.
        let width = u128::from(count) * WIDTH / most;
        let width = usize::try_from(width.max(u128::from(count > 0))).unwrap_or_default();
        let (bound, count) = (millis(bound), grouped(count));
        let line = format!("  to {bound:>9} ms {count:>13} {share:>5.1} % {}", "#".repeat(width));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// 1, 2, 5, 10, .. microseconds, in nanoseconds.
fn bounds() -> impl Iterator<Item = u64> {
    (3..12).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)))
}

/// Nanoseconds as milliseconds.
pub(super) fn millis(nanos: u64) -> String {
    format!("{:.3}", nanos as f64 / 1e6)
}

/// A number with a comma before every third digit.
pub(in crate::cli) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const OPERATIONS: [(&str, Operation); 2] = [("get", Operation::Get), ("set", Operation::Set)];
/// In a second.
const NANOS: u128 = 1_000_000_000;
/// Characters of the longest bar.
const WIDTH: u128 = 50;

#[cfg(test)]
mod tests {
    use super::super::tally::Fault;
    use super::*;

    fn report(tally: Tally) -> Report {
        Report {
            tally,
            time: Duration::from_secs(2),
            end: End::Done,
            rate: None,
            missed: 0,
            remains: Remains::Nothing,
        }
    }

    fn written(report: &Report) -> String {
        let mut out = Vec::new();
        report.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_run_is_told_with_its_rate_its_quantiles_and_a_bar_for_each_step() {
        let mut tally = Tally::new();
        for (micros, times) in [(80, 900), (300, 99), (1_500, 1)] {
            for _ in 0..times {
                tally.succeeded(Operation::Get, Duration::from_micros(micros), 1 << 20);
            }
        }
        let expected = "\
operations: 1,000 in 2.00 s, 500 a second
values read: 1000.0 MiB, 500.0 MiB a second
values written: 0.0 MiB, 0.0 MiB a second
errors: 0

latency in ms    operations       p50       p90       p99     p99.9       max
get                   1,000     0.080     0.080     0.300     0.300     1.500

latency of get
  to     0.100 ms           900  90.0 % ##################################################
  to     0.200 ms             0   0.0 %
  to     0.500 ms            99   9.9 % #####
  to     1.000 ms             0   0.0 %
  to     2.000 ms             1   0.1 % #
";
        assert_eq!(written(&report(tally)), expected);
    }

    #[test]
    fn errors_are_told_by_their_kind_and_end_with_another_code() {
        let mut tally = Tally::new();
        tally.succeeded(Operation::Set, Duration::from_micros(80), 5);
        for _ in 0..1_234 {
            tally.failed(&Fault::WrongValue);
        }
        tally.failed(&Fault::NoValue);
        let report = report(tally);
        let text = written(&report);
        assert!(text.contains("errors: 1,235\n  1,234: another value was read"), "{text}");
        assert!(text.contains("\n  1: there was no value"), "{text}");
        assert!(!report.is_success());
        assert_eq!(report.remark().unwrap(), "error: 1,235 of 1,236 operations failed");
    }

    #[test]
    fn a_run_without_a_success_is_told_all_the_same() {
        let report = report(Tally::new());
        assert!(written(&report).starts_with("operations: 0 in 2.00 s, 0 a second\n"));
        assert!(report.is_success() && report.remark().is_none());
    }

    #[test]
    fn an_open_loop_tells_how_well_it_kept_its_rate() {
        let mut tally = Tally::new();
        tally.began(Duration::from_micros(60));
        tally.succeeded(Operation::Get, Duration::from_micros(90), 5);
        let report = Report { rate: NonZeroU64::new(1_000), missed: 7, ..report(tally) };
        let line =
            "due: 1,000 a second; begun late by 0.060 ms (p50), 0.060 ms (p99); not begun: 7";
        assert!(written(&report).contains(line), "{}", written(&report));
    }

    #[test]
    fn the_longest_latencies_have_a_bar() {
        let mut tally = Tally::new();
        tally.succeeded(Operation::Get, Duration::ZERO, 5);
        tally.succeeded(Operation::Get, Duration::MAX, 5);
        assert!(written(&report(tally)).lines().last().unwrap().ends_with('#'));
    }

    #[test]
    fn every_third_digit_has_a_comma_before_it() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
