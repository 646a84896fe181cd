//! What `meter` is without the feature `metrics`: nothing.

use std::sync::Arc;

use super::Ending;
use crate::transport::Stream;

#[derive(Debug)]
pub(super) struct Meter;

impl Meter {
    pub(super) fn idle() -> Self {
        Self
    }

    pub(super) fn begin(&mut self, _: &'static str, _: &Arc<str>) {}

    pub(super) fn move_to(&mut self, _: &Arc<str>) {}

    pub(super) fn end(&mut self, _: &'static str) {}
}

pub(super) fn sent_again(_: &Arc<str>, _: &'static str) {}

pub(super) fn connected(_: &Arc<str>) {}

pub(super) fn ended(_: &Arc<str>, _: Ending) {}

pub(super) fn cannot_connect(_: &Arc<str>) {}

pub(crate) struct Opening;

pub(crate) fn opening(_: &Arc<str>) -> Opening {
    Opening
}

pub(crate) fn counted(stream: Stream, _: &Arc<str>) -> Stream {
    stream
}
