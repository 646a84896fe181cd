//! One operation, seen from outside: its span and its figures.

use std::sync::Arc;

use tracing::Span;
use tracing::field::{Empty, display};
use tracing::span::EnteredSpan;

use super::meter::Meter;
use crate::error::{Error, Outcome};

/// From the first poll of an operation to its end, or to its drop.
#[derive(Debug)]
pub(crate) struct Observed {
    /// None once it has ended, or if nobody subscribes to it.
    span: Span,
    meter: Meter,
    /// What the span says of where it went, if it never went to one of several addresses.
    nowhere: Option<Arc<str>>,
}

impl Observed {
    /// An operation that has not begun.
    pub(crate) fn unbegun() -> Self {
        Self { span: Span::none(), meter: Meter::idle(), nowhere: None }
    }

    /// One that begins now. `only` is the address if there are no others.
    pub(crate) fn begin(
        operation: &'static str,
        table: &str,
        all: &Arc<str>,
        only: Option<&Arc<str>>,
    ) -> Self {
        let span = tracing::debug_span!(
            target: "kvsd",
            "operation",
            operation,
            table,
            address = only.map(|address| &**address),
            outcome = Empty,
            error = Empty,
        );
        let mut meter = Meter::idle();
        meter.begin(operation, all);
        let nowhere = if only.is_none() { Some(Arc::clone(all)) } else { None };
        Self { span, meter, nowhere }
    }

    /// It is sent to this one of several addresses.
    pub(crate) fn move_to(&mut self, address: &Arc<str>) {
        self.nowhere = None;
        self.span.record("address", &**address);
        self.meter.move_to(address);
    }

    /// To be held while the operation is polled.
    pub(crate) fn enter(&self) -> Option<EnteredSpan> {
        // Asked first, because a span that is none is not free to enter.
        (!self.span.is_none()).then(|| self.span.clone().entered())
    }

    pub(crate) fn end(&mut self, error: Option<&Error>) {
        if let Some(error) = error {
            self.span.record("error", display(error.kind()));
        }
        self.end_as(match error.map(Error::outcome) {
            None => "ok",
            Some(Outcome::NotSent) => "not_sent",
            Some(Outcome::Refused) => "refused",
            Some(Outcome::Partly) => "partly",
            Some(Outcome::Unknown) => "unknown",
            Some(Outcome::Done) => "done",
        });
    }

    fn end_as(&mut self, outcome: &'static str) {
        if !self.span.is_none() {
            if let Some(all) = self.nowhere.take() {
                self.span.record("address", &*all);
            }
            self.span.record("outcome", outcome);
            self.span = Span::none();
        }
        self.meter.end(outcome);
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        // Both are gone if it has ended, or never begun.
        self.end_as("dropped");
    }
}
