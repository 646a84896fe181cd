//! The operations on a record's end. They keep its value.
//!
//! As of any write, **a change whose future is dropped may still be carried out**.

use std::time::Duration;

use super::call::refused;
use super::write::was_there;
use super::{Call, in_pipeline, operation};
use crate::connection::answer::Answer;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::protocol::v2::{self, Condition};
use crate::types::Version;

/// Lets a record end at another time, or never: [`Client::expire`](crate::Client::expire),
/// [`Client::expire_at`](crate::Client::expire_at), [`Client::persist`](crate::Client::persist).
///
/// Resolves with whether there was a record. The record gets a new version.
#[must_use = "an operation does nothing until it is awaited"]
pub struct Expire<'c> {
    pub(crate) call: Call<'c>,
}

operation!(Expire, bool, was_there);
in_pipeline!(Expire, bool);

impl Expire<'_> {
    /// Only if the record is the one that the write with this version made; otherwise an error of
    /// kind [`ErrorKind::Conflict`].
    pub fn if_version(mut self, version: Version) -> Self {
        self.call.set_condition(Condition::Version(version));
        self
    }
}

/// Asks how long a record still has: [`Client::ttl`](crate::Client::ttl).
#[must_use = "an operation does nothing until it is awaited"]
pub struct GetTtl<'c> {
    pub(crate) call: Call<'c>,
}

operation!(GetTtl, Ttl, |answer| match answer {
    Answer::Lifetime(v2::Lifetime::Absent) => Ok(Ttl::NoRecord),
    Answer::Lifetime(v2::Lifetime::Endless) => Ok(Ttl::Endless),
    Answer::Lifetime(v2::Lifetime::Left { millis }) => {
        Ok(Ttl::Left(Duration::from_millis(millis)))
    }
    answer => Err(refused(answer)),
});
in_pipeline!(GetTtl, Ttl);

/// How long a record still has, by the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// There is no record.
    NoRecord,
    /// The record does not end.
    Endless,
    /// The record ends after this time, at least 1 ms.
    Left(Duration),
}
