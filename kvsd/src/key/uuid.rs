//! `uuid::Uuid` as a part of a key.

use uuid::Uuid;

use super::{KeyPart, KeyWriter};

/// The 36 characters that it is printed as everywhere else, so that one copied from a log is found
/// in a key. They order as its bytes do.
impl KeyPart for Uuid {
    type Arg<'p> = Self;

    fn append_to(&self, key: &mut KeyWriter) {
        key.write(self.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    }
}
