//! One operation, seen from outside: its span and its figures.

use std::sync::Arc;

use tracing::Span;
use tracing::field::{Empty, display};
use tracing::span::EnteredSpan;

use super::meter::Meter;
use crate::error::{Error, Outcome};

/// From the first poll of an operation to its end, or to its drop.
#[derive(Debug)]
pub(crate) struct Observed(Progress);

#[derive(Debug)]
enum Progress {
    /// Not polled yet.
    Unbegun,
    Begun {
        /// None if nobody subscribes to it.
        span: Span,
        meter: Meter,
    },
    Ended,
}

impl Observed {
    pub(crate) fn unbegun() -> Self {
        Self(Progress::Unbegun)
    }

    /// The operation is polled: the span to be held meanwhile. Only the first poll begins it.
    pub(crate) fn enter(
        &mut self,
        operation: &'static str,
        table: &str,
        address: &Arc<str>,
    ) -> EnteredSpan {
        if let Progress::Unbegun = self.0 {
            let span = tracing::debug_span!(
                target: "kvsd",
                "operation",
                operation,
                table,
                address = &**address,
                outcome = Empty,
                error = Empty,
            );
            self.0 = Progress::Begun { span, meter: Meter::begin(operation, address) };
        }
        match &self.0 {
            Progress::Begun { span, .. } => span.clone().entered(),
            Progress::Unbegun | Progress::Ended => Span::none().entered(),
        }
    }

    pub(crate) fn end(&mut self, error: Option<&Error>) {
        if let (Progress::Begun { span, .. }, Some(error)) = (&self.0, error) {
            span.record("error", display(error.kind()));
        }
        self.end_as(match error.map(Error::outcome) {
            None => "ok",
            Some(Outcome::NotSent) => "not_sent",
            Some(Outcome::Refused) => "refused",
            Some(Outcome::Unknown) => "unknown",
            Some(Outcome::Done) => "done",
        });
    }

    fn end_as(&mut self, outcome: &'static str) {
        if let Progress::Begun { span, meter } = &self.0 {
            span.record("outcome", outcome);
            meter.end(outcome);
            self.0 = Progress::Ended;
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.end_as("dropped");
    }
}
