//! The operations that change nothing. Dropping one at any point changes nothing either.

use std::marker::PhantomData;

use super::call::refused;
use super::{Call, operation};
use crate::connection::answer::{Answer, Stored};
use crate::error::{Error, ErrorKind, Outcome};
use crate::types::{UnixMillis, Version};
use crate::value::Value;

/// Reads a value: [`Client::get`](crate::Client::get).
#[must_use = "an operation does nothing until it is awaited"]
pub struct Get<'c, T> {
    pub(crate) call: Call<'c>,
    pub(crate) value: PhantomData<fn() -> T>,
}

operation!(Get<T: Value>, Option<T>, |answer| match answer {
    Answer::Value(None) => Ok(None),
    Answer::Value(Some(stored)) => decode(&stored, Outcome::Refused).map(Some),
    answer => Err(refused(answer)),
});

impl<'c, T: Value> Get<'c, T> {
    /// Answers with the record's version and expiry as well.
    pub fn versioned(self) -> GetVersioned<'c, T> {
        GetVersioned { call: self.call, value: PhantomData }
    }
}

/// Reads a value with its version: [`Get::versioned`].
#[must_use = "an operation does nothing until it is awaited"]
pub struct GetVersioned<'c, T> {
    pub(crate) call: Call<'c>,
    pub(crate) value: PhantomData<fn() -> T>,
}

operation!(GetVersioned<T: Value>, Option<Versioned<T>>, |answer| match answer {
    Answer::Value(None) => Ok(None),
    Answer::Value(Some(stored)) => {
        let value = decode(&stored, Outcome::Refused)?;
        let Stored { version, expires_at, value: _ } = stored;
        Ok(Some(Versioned { version, expires_at, value }))
    }
    answer => Err(refused(answer)),
});

/// A value and the write that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The write that made it; what [`Set::if_version`](crate::operation::write::Set::if_version)
    /// takes.
    pub version: Version,
    /// When the record ends, if it does.
    pub expires_at: Option<UnixMillis>,
    /// The value.
    pub value: T,
}

/// Asks whether there is a record: [`Client::exists`](crate::Client::exists).
#[must_use = "an operation does nothing until it is awaited"]
pub struct Exists<'c> {
    pub(crate) call: Call<'c>,
}

operation!(Exists, bool, |answer| match answer {
    Answer::Flag(exists) => Ok(exists),
    answer => Err(refused(answer)),
});

/// Asks whether the server is there: [`Client::ping`](crate::Client::ping).
#[must_use = "an operation does nothing until it is awaited"]
pub struct Ping<'c> {
    pub(crate) call: Call<'c>,
}

operation!(Ping, (), |answer| match answer {
    Answer::Pong => Ok(()),
    answer => Err(refused(answer)),
});

pub(super) fn decode<T: Value>(stored: &Stored, outcome: Outcome) -> Result<T, Error> {
    T::decode(&stored.value).map_err(|cause| {
        Error::new(ErrorKind::Decode, outcome, cause.to_string()).with_source(cause)
    })
}
