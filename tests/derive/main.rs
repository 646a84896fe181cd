//! `#[derive(kvsd::Value)]` as its users see it: what it accepts reads back, what no longer fits is
//! an error that says why, and what it cannot store does not compile.
//!
//! Sees the public API only.

mod accepted;
mod chains;
mod codecs;
mod damage;
mod errors;
mod evolution;
mod foreign;
mod json;
mod keys;
mod layout;
mod rejected;
mod shapes;

use kvsd::value::encode_to_bytes;
use kvsd::{Decode, DecodeError, Encode};

/// The bytes that a value is stored as.
#[track_caller]
fn stored<T: Encode + ?Sized>(value: &T) -> Vec<u8> {
    encode_to_bytes(value, 1 << 20).expect("the value can be written").to_vec()
}

/// Writes a value and reads it back as the same type.
#[track_caller]
fn round_trip<T: kvsd::Value>(value: &T) -> T {
    T::decode(&stored(value)).expect("what was written reads back")
}

/// Reads bytes as another type than they were written as.
#[track_caller]
fn read_as<'a, T: Decode<'a>>(bytes: &'a [u8]) -> DecodeError {
    match T::decode(bytes) {
        Ok(_) => panic!("the bytes were read as another type"),
        Err(error) => error,
    }
}
