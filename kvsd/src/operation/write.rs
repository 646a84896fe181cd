//! The operations that change a record.
//!
//! **A write whose future is dropped may still be carried out**, even after a later write of the
//! same caller: once it was polled, its request may be with the server. An error's
//! [`outcome`](crate::Error::outcome) says what is known.

use std::marker::PhantomData;
use std::time::{SystemTime, UNIX_EPOCH};

use super::call::refused;
use super::read::decode;
use super::{Call, Draft, operation};
use crate::connection::answer::{Answer, Previously};
use crate::error::{Error, ErrorKind, Outcome};
use crate::protocol::v2::{Condition, Expiry};
use crate::types::{UnixMillis, Version};
use crate::value::Value;

/// Stores a value: [`Client::set`](crate::Client::set).
///
/// Resolves with the version that the write got. A condition that does not hold is an error of kind
/// [`ErrorKind::Conflict`], and nothing is written; of several conditions the last one counts.
#[must_use = "an operation does nothing until it is awaited"]
pub struct Set<'c> {
    pub(crate) call: Call<'c>,
}

operation!(Set, Version, |answer| match answer {
    Answer::Written { version: Some(version), .. } => Ok(version),
    Answer::Written { version: None, .. } => {
        Err(Error::new(ErrorKind::Protocol, Outcome::Unknown, "a set was answered without version"))
    }
    answer => Err(refused(answer)),
});

impl Set<'_> {
    /// Only if there is no record.
    pub fn if_absent(self) -> Self {
        self.on(Condition::Absent)
    }

    /// Only if there is a record.
    pub fn if_present(self) -> Self {
        self.on(Condition::Present)
    }

    /// Only if the record is the one that the write with this version made.
    pub fn if_version(self, version: Version) -> Self {
        self.on(Condition::Version(version))
    }

    /// Ends the record at `time`, by the server's clock. Without this a record does not end, and a
    /// set takes away the end that the record before it had.
    pub fn expire_at(mut self, time: SystemTime) -> Self {
        let millis = time.duration_since(UNIX_EPOCH).ok();
        let millis = millis.and_then(|time| u64::try_from(time.as_millis()).ok());
        match (millis.and_then(UnixMillis::new), self.call.draft_mut()) {
            (Some(time), Some(Draft::Set { expiry, .. })) => *expiry = Some(Expiry::At(time)),
            (None, _) => self.call.spoil(Error::new(
                ErrorKind::InvalidArgument,
                Outcome::NotSent,
                "an expiry lies between 1970 and some 292 million years later",
            )),
            (Some(_), _) => {}
        }
        self
    }

    fn on(mut self, condition: Condition) -> Self {
        self.call.set_condition(condition);
        self
    }
}

/// Removes a record: [`Client::delete`](crate::Client::delete).
///
/// Resolves with whether there was one.
#[must_use = "an operation does nothing until it is awaited"]
pub struct Delete<'c> {
    pub(crate) call: Call<'c>,
}

operation!(Delete, bool, |answer| match answer {
    Answer::Written { before, .. } => Ok(!matches!(before, Previously::Absent)),
    answer => Err(refused(answer)),
});

impl Delete<'_> {
    /// Only if the record is the one that the write with this version made; otherwise an error of
    /// kind [`ErrorKind::Conflict`].
    pub fn if_version(mut self, version: Version) -> Self {
        self.call.set_condition(Condition::Version(version));
        self
    }
}

/// Removes a record and gives it back: [`Client::take`](crate::Client::take).
#[must_use = "an operation does nothing until it is awaited"]
pub struct Take<'c, T> {
    pub(crate) call: Call<'c>,
    pub(crate) value: PhantomData<fn() -> T>,
}

operation!(Take<T: Value>, Option<T>, |answer| match answer {
    Answer::Written { before: Previously::Absent, .. } => Ok(None),
    Answer::Written { before: Previously::Record(stored), .. } => {
        // The record is gone; what cannot be decoded is at least said to be so.
        decode(&stored, Outcome::Done).map(Some)
    }
    Answer::Written { before: Previously::Present, .. } => {
        Err(Error::new(ErrorKind::Protocol, Outcome::Done, "a take was answered without the record"))
    }
    answer => Err(refused(answer)),
});
