//! Prometheus's text format, version 0.0.4.
//!
//! Knows the form of a line; never what is counted. Next file to read: `families`.

use std::fmt::{Display, Write};

use crate::metrics::Distribution;

/// A metric: its name, what it is and what it says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The names of its labels.
    pub(super) labels: &'static [&'static str],
    /// One line.
    pub(super) help: &'static str,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A page of metrics that is being written.
#[derive(Debug, Default)]
pub(super) struct Text {
    out: String,
}

impl Text {
    /// Begins a metric.
    pub(super) fn family(&mut self, family: &'static Family) -> Samples<'_> {
        let Family { name, kind, help, .. } = family;
        debug_assert!(!help.contains(['\n', '\\']), "{name}: one plain line of help");
        let kind = kind.label();
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Samples { out: &mut self.out, family }
    }

    /// A metric of one number.
    pub(super) fn one(&mut self, family: &'static Family, value: impl Display) {
        self.family(family).sample(&[], value);
    }

    pub(super) fn finish(self) -> String {
        self.out
    }
}

/// The lines of one metric.
#[derive(Debug)]
pub(super) struct Samples<'t> {
    out: &'t mut String,
    family: &'static Family,
}

impl Samples<'_> {
    /// A number, with the values of the labels in their order.
    pub(super) fn sample(&mut self, labels: &[&str], value: impl Display) {
        self.line("", labels, None, value);
    }

    /// A distribution; its numbers are divided by this.
    pub(super) fn histogram(&mut self, labels: &[&str], of: &Distribution, unit: f64) {
        let mut count = 0;
        for (bound, more) in of.bounds.iter().zip(&of.counts) {
            count += more;
            self.line("_bucket", labels, Some(&format!("{}", *bound as f64 / unit)), count);
        }
        let all = of.count();
        self.line("_bucket", labels, Some("+Inf"), all);
        self.line("_sum", labels, None, of.sum as f64 / unit);
        self.line("_count", labels, None, all);
    }

    fn line(&mut self, suffix: &str, values: &[&str], bound: Option<&str>, value: impl Display) {
        let Family { name, labels, .. } = self.family;
        debug_assert_eq!(labels.len(), values.len(), "{name}: each label has a value");
        let _ = write!(self.out, "{name}{suffix}");
        let pairs = labels.iter().zip(values).map(|(label, value)| (*label, *value));
        for (place, (label, value)) in pairs.chain(bound.map(|bound| ("le", bound))).enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.out, "{before}{label}=\"{}\"", escaped(value));
        }
        if !values.is_empty() || bound.is_some() {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        static PLAIN: Family =
            Family { name: "a_total", kind: Kind::Counter, labels: &["x"], help: "How many." };
        static TIMES: Family =
            Family { name: "b_seconds", kind: Kind::Histogram, labels: &[], help: "How long." };
        let mut text = Text::default();
        text.family(&PLAIN).sample(&["a\"b\\c\nd"], 7);
        let of =
            Distribution { bounds: &[10_000, 2_000_000], counts: vec![1, 2, 3], sum: 1_500_000 };
        text.family(&TIMES).histogram(&[], &of, 1e9);
        let expected = "# HELP a_total How many.\n\
            # TYPE a_total counter\n\
            a_total{x=\"a\\\"b\\\\c\\nd\"} 7\n\
            # HELP b_seconds How long.\n\
            # TYPE b_seconds histogram\n\
            b_seconds_bucket{le=\"0.00001\"} 1\n\
            b_seconds_bucket{le=\"0.002\"} 3\n\
            b_seconds_bucket{le=\"+Inf\"} 6\n\
            b_seconds_sum 0.0015\n\
            b_seconds_count 6\n";
        assert_eq!(text.finish(), expected);
    }
}
