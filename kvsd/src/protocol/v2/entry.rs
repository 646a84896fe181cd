//! What a page and news have of each key: four frames.
//!
//! Next file to read: [`super::watch`].

use super::{bytes_or_null, encode_bytes_or_null, encode_time_or_null, time_or_null, version};
use crate::protocol::frame::{FieldError, Fields, FrameWriter};
use crate::types::{UnixMillis, Version};

/// A key, the write that it is from, and what it has, if that is told.
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    pub(super) version: Version,
    pub(super) value: Option<&'a [u8]>,
    pub(super) expires_at: Option<UnixMillis>,
}

impl<'a> Entry<'a> {
    pub(super) const FRAMES: usize = 4;

    pub(super) fn parse(fields: &mut Fields<'a>) -> Result<Self, FieldError> {
        Ok(Self {
            key: fields.bytes()?,
            version: version(fields)?,
            value: bytes_or_null(fields)?,
            expires_at: time_or_null(fields)?,
        })
    }

    pub(super) fn encode(&self, frames: &mut FrameWriter<'_>) {
        frames.bytes(self.key).integer(self.version.to_wire());
        encode_bytes_or_null(frames, self.value);
        encode_time_or_null(frames, self.expires_at);
    }
}
