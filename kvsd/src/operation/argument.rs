//! The checks of what a caller gives, made before anything is sent.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};

use crate::error::{Error, ErrorKind, Outcome};
use crate::protocol::v2::Expiry;
use crate::types::{UnixMillis, check_key};
use crate::value::{Encode, EncodeError, encode_to_bytes};

pub(crate) fn key(key: &[u8]) -> Result<Bytes, Error> {
    check_key(key).map_err(invalid_by)?;
    Ok(Bytes::copy_from_slice(key))
}

/// Copies of many keys, in memory that they share.
#[derive(Default)]
pub(crate) struct Keys {
    room: BytesMut,
}

impl Keys {
    /// As [`key`].
    pub(crate) fn key(&mut self, key: &[u8]) -> Result<Bytes, Error> {
        check_key(key).map_err(invalid_by)?;
        if self.room.capacity() < key.len() {
            // What is full belongs to the keys in it.
            self.room = BytesMut::with_capacity(KEYS_BYTES.max(key.len()));
        }
        self.room.extend_from_slice(key);
        Ok(self.room.split().freeze())
    }
}

/// How much is allocated for keys at a time, in bytes.
const KEYS_BYTES: usize = 1024;

/// As [`key`], of bytes that need not be copied.
pub(crate) fn owned_key(key: Bytes) -> Result<Bytes, Error> {
    check_key(&key).map_err(invalid_by)?;
    Ok(key)
}

/// A value of at most `limit` bytes, in bytes.
pub(crate) fn value(value: &(impl Encode + ?Sized), limit: usize) -> Result<Bytes, Error> {
    encode_to_bytes(value, limit).map_err(|cause| {
        let (kind, detail) = match cause {
            EncodeError::TooLarge { limit } => {
                (ErrorKind::ValueTooLarge, format!("the server takes at most {limit} bytes"))
            }
            _ => (ErrorKind::Encode, String::new()),
        };
        Error::new(kind, Outcome::NotSent, detail).with_source(cause)
    })
}

/// How long a record lasts: whole milliseconds, what is over rounded up.
pub(crate) fn ttl(ttl: Duration) -> Result<Expiry, Error> {
    if ttl.is_zero() {
        return Err(invalid("a time to live is longer than zero"));
    }
    let millis = u64::try_from(ttl.as_nanos().div_ceil(1_000_000)).ok();
    let millis = millis.and_then(UnixMillis::new);
    millis.map(Expiry::After).ok_or_else(|| invalid("a time to live has at most 292 million years"))
}

/// When a record ends. By this machine's clock it is yet to come; by the server's, the server says.
pub(crate) fn expire_at(time: SystemTime) -> Result<Expiry, Error> {
    if time <= SystemTime::now() {
        return Err(invalid("the expiry is past"));
    }
    let since = time.duration_since(UNIX_EPOCH).ok();
    let millis = since.and_then(|since| u64::try_from(since.as_millis()).ok());
    let millis = millis.and_then(UnixMillis::new);
    millis.map(Expiry::At).ok_or_else(|| invalid("an expiry is at most 292 million years away"))
}

pub(crate) fn invalid(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, Outcome::NotSent, detail)
}

pub(crate) fn invalid_by(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    invalid("").with_source(cause)
}
