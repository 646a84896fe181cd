//! The operations that change a record's value.
//!
//! **A write whose future is dropped may still be carried out**, even after a later write of the
//! same caller: once it was polled, its request may be with the server. An error's
//! [`outcome`](crate::Error::outcome) says what is known.

use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use super::call::refused;
use super::read::decode;
use super::{Call, Draft, argument, in_pipeline, operation};
use crate::connection::answer::{Answer, Previously};
use crate::error::{Error, ErrorKind, Outcome};
use crate::protocol::v2::{Condition, Expiry};
use crate::types::Version;
use crate::value::Value;

/// Stores a value: [`Client::set`](crate::Client::set).
///
/// Resolves with the version that the write got. A condition that does not hold is an error of kind
/// [`ErrorKind::Conflict`], and nothing is written; of several conditions the last one counts, and
/// so of several ends. Without one a record does not end, and a set takes away the end that the
/// record before it had.
#[must_use = "an operation does nothing until it is awaited"]
pub struct Set<'c> {
    pub(crate) call: Call<'c>,
}

operation!(Set, Version, set_version);
in_pipeline!(Set, Version);

/// Stores a value and gives back the one before: [`Client::swap`](crate::Client::swap).
///
/// Refined as a [`Set`].
#[must_use = "an operation does nothing until it is awaited"]
pub struct Swap<'c, T> {
    pub(crate) call: Call<'c>,
    pub(crate) value: PhantomData<fn() -> T>,
}

operation!(Swap<T: Value>, Option<T>, previous);
in_pipeline!(Swap<T: Value>, Option<T>);

/// The conditions and the end of what is set.
macro_rules! set {
    ($name:ident $(<$value:ident: $bound:path>)?) => {
        impl$(<$value: $bound>)? $name<'_ $(, $value)?> {
            /// Only if there is no record.
            pub fn if_absent(mut self) -> Self {
                self.call.set_condition(Condition::Absent);
                self
            }

            /// Only if there is a record.
            pub fn if_present(mut self) -> Self {
                self.call.set_condition(Condition::Present);
                self
            }

            /// Only if the record is the one that the write with this version made.
            pub fn if_version(mut self, version: Version) -> Self {
                self.call.set_condition(Condition::Version(version));
                self
            }

            /// Ends the record so long after the server has taken the write up: at least 1 ms; what
            /// is over a whole millisecond is rounded up. Zero fails with
            /// [`ErrorKind::InvalidArgument`].
            pub fn ttl(mut self, ttl: Duration) -> Self {
                self.call.set_expiry(argument::ttl(ttl).map(Some));
                self
            }

            /// Ends the record at `time`, by the server's clock. A time that is past fails with
            /// [`ErrorKind::InvalidArgument`] or, if only the server's clock says so, with
            /// [`ErrorKind::Server`].
            pub fn expire_at(mut self, time: SystemTime) -> Self {
                self.call.set_expiry(argument::expire_at(time).map(Some));
                self
            }

            /// Does not end the record, though its type has a time to live.
            pub fn endless(mut self) -> Self {
                self.call.set_expiry(Ok(None));
                self
            }
        }
    };
}

set!(Set);
set!(Swap<T: Value>);

/// Removes a record: [`Client::delete`](crate::Client::delete).
///
/// Resolves with whether there was one.
#[must_use = "an operation does nothing until it is awaited"]
pub struct Delete<'c> {
    pub(crate) call: Call<'c>,
}

operation!(Delete, bool, was_there);
in_pipeline!(Delete, bool);

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

operation!(Take<T: Value>, Option<T>, previous);
in_pipeline!(Take<T: Value>, Option<T>);

impl<T: Value> Take<'_, T> {
    /// Only if the record is the one that the write with this version made; otherwise an error of
    /// kind [`ErrorKind::Conflict`].
    pub fn if_version(mut self, version: Version) -> Self {
        self.call.set_condition(Condition::Version(version));
        self
    }
}

/// Adds to an integer: [`Client::increment`](crate::Client::increment).
///
/// Resolves with what the integer is now. A condition that does not hold is an error of kind
/// [`ErrorKind::Conflict`]; of several the last one counts.
#[must_use = "an operation does nothing until it is awaited"]
pub struct Increment<'c> {
    pub(crate) call: Call<'c>,
}

operation!(Increment, i64, |answer| match answer {
    Answer::Counter { value } => Ok(value),
    answer => Err(refused(answer)),
});
in_pipeline!(Increment, i64);

impl Increment<'_> {
    /// Only if there is no record: a counter that begins.
    pub fn if_absent(mut self) -> Self {
        self.call.set_condition(Condition::Absent);
        self
    }

    /// Only if there is a record.
    pub fn if_present(mut self) -> Self {
        self.call.set_condition(Condition::Present);
        self
    }

    /// Only if the record is the one that the write with this version made.
    pub fn if_version(mut self, version: Version) -> Self {
        self.call.set_condition(Condition::Version(version));
        self
    }
}

impl Call<'_> {
    fn set_expiry(&mut self, expiry: Result<Option<Expiry>, Error>) {
        match expiry {
            Ok(expiry) => {
                if let Some(draft) = self.draft_mut() {
                    draft.set_expiry(expiry);
                }
            }
            Err(error) => self.spoil(error),
        }
    }

    pub(super) fn set_condition(&mut self, to: Condition) {
        if let Some(condition) = self.draft_mut().and_then(Draft::condition_mut) {
            *condition = to;
        }
    }
}

pub(super) fn set_version(answer: Answer) -> Result<Version, Error> {
    match answer {
        Answer::Written { version: Some(version), .. } => Ok(version),
        Answer::Written { version: None, .. } => {
            let detail = "a set was answered without version";
            Err(Error::new(ErrorKind::Protocol, Outcome::Unknown, detail))
        }
        answer => Err(refused(answer)),
    }
}

/// Whether there was a record.
pub(super) fn was_there(answer: Answer) -> Result<bool, Error> {
    match answer {
        Answer::Written { before, .. } => Ok(!matches!(before, Previously::Absent)),
        answer => Err(refused(answer)),
    }
}

fn previous<T: Value>(answer: Answer) -> Result<Option<T>, Error> {
    match answer {
        Answer::Written { before: Previously::Absent, .. } => Ok(None),
        Answer::Written { before: Previously::Record(stored), .. } => {
            // The record is replaced; what cannot be decoded is at least said to be so.
            decode(&stored, Outcome::Done).map(Some)
        }
        Answer::Written { before: Previously::Present, .. } => {
            let detail = "the answer lacks the record that stood there";
            Err(Error::new(ErrorKind::Protocol, Outcome::Done, detail))
        }
        answer => Err(refused(answer)),
    }
}
