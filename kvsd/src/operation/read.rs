//! The operations that change nothing. Dropping one at any point changes nothing either.

use std::marker::PhantomData;

use bytes::Bytes;

use super::call::refused;
use super::{Call, in_pipeline, operation};
use crate::connection::answer::{self, Answer};
use crate::error::{Error, ErrorKind, Outcome};
use crate::types::{UnixMillis, Version};
use crate::value::{Decode, DecodeError, Value};

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
in_pipeline!(Get<T: Value>, Option<T>);

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
        let answer::Stored { version, expires_at, value: _ } = stored;
        Ok(Some(Versioned { version, expires_at, value }))
    }
    answer => Err(refused(answer)),
});
in_pipeline!(GetVersioned<T: Value>, Option<Versioned<T>>);

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

/// Reads a record as it is stored: [`Client::get_bytes`](crate::Client::get_bytes).
#[must_use = "an operation does nothing until it is awaited"]
pub struct GetBytes<'c> {
    pub(crate) call: Call<'c>,
}

operation!(GetBytes, Option<Stored>, |answer| match answer {
    Answer::Value(record) => Ok(record.map(|record| Stored { record })),
    answer => Err(refused(answer)),
});
in_pipeline!(GetBytes, Option<Stored>);

/// A record as it is stored, from which a value can be read that borrows from it.
pub struct Stored {
    record: answer::Stored,
}

impl Stored {
    /// Reads the value as a `T`, which may borrow from this record.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] says what the bytes are instead of a `T`.
    ///
    /// ```
    /// use kvsd::Value;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, Value)]
    /// struct Page {
    ///     title: String,
    ///     text: String,
    /// }
    ///
    /// /// The same, without a copy of the text.
    /// #[derive(Serialize, Deserialize, Value)]
    /// #[kvsd(name = "Page")]
    /// struct PageView<'a> {
    ///     title: &'a str,
    ///     text: &'a str,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let page = Page { title: "Moby-Dick".into(), text: "Call me Ishmael.".into() };
    /// let version = client.set("page/1", &page).await?;
    ///
    /// let stored = client.get_bytes("page/1").await?.ok_or("no such page")?;
    /// assert_eq!(stored.decode::<PageView<'_>>()?.title, "Moby-Dick");
    /// assert_eq!(stored.version(), version);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn decode<'a, T: Decode<'a>>(&'a self) -> Result<T, DecodeError> {
        T::decode(&self.record.value)
    }

    /// The value's bytes, a derived value's envelope included.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.record.value
    }

    /// The write that made the record.
    #[must_use]
    pub fn version(&self) -> Version {
        self.record.version
    }

    /// When the record ends, if it does.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixMillis> {
        self.record.expires_at
    }
}

/// Shows how large the value is, never the value.
impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored")
            .field("version", &self.version())
            .field("expires_at", &self.expires_at())
            .field("bytes", &self.bytes().len())
            .finish()
    }
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
in_pipeline!(Exists, bool);

/// Asks whether the server is there: [`Client::ping`](crate::Client::ping).
#[must_use = "an operation does nothing until it is awaited"]
pub struct Ping<'c> {
    pub(crate) call: Call<'c>,
}

operation!(Ping, (), |answer| match answer {
    Answer::Pong => Ok(()),
    answer => Err(refused(answer)),
});

pub(super) fn decode<T: Value>(stored: &answer::Stored, outcome: Outcome) -> Result<T, Error> {
    T::decode(&stored.value)
        .map_err(|cause| Error::new(ErrorKind::Decode, outcome, "").with_source(cause))
}
