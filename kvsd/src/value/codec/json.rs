//! JSON behind the seam: compact, and no deeper than 128 levels (the reader's own limit).

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use super::{Codec, CodecId, Fault, JsonCodec};
use crate::value::{EncodeError, ValueWriter};

impl Codec for JsonCodec {
    const ID: CodecId = CodecId::JSON;

    fn encode<T: Serialize>(value: &T, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        serde_json::to_writer(out, value).map_err(|error| {
            // A refusal of the writer is an EncodeError inside; anything else is the type's.
            io::Error::from(error)
                .downcast::<EncodeError>()
                .unwrap_or(EncodeError::Codec { codec: Self::ID, fault: Fault::Refused })
        })
    }

    fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Fault> {
        serde_json::from_slice(bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            match error.classify() {
                Category::Syntax => Fault::Syntax { line, column },
                Category::Data => Fault::Mismatch { line, column },
                Category::Eof => Fault::Truncated,
                Category::Io => Fault::Refused,
            }
        })
    }
}
