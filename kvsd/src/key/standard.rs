//! How standard types, and `bytes`, are written into a key. What is written never changes.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::{KeyPart, KeyWriter};

/// Decimal digits, as many as the largest number has.
macro_rules! unsigned {
    ($($number:ty)*) => { $(
        impl KeyPart for $number {
            type Arg<'p> = Self;

            fn append_to(&self, key: &mut KeyWriter) {
                let mut digits = [b'0'; <$number>::MAX.ilog10() as usize + 1];
                let mut rest = *self;
                for digit in digits.iter_mut().rev() {
                    *digit += (rest % 10) as u8;
                    rest /= 10;
                }
                key.write(digits);
            }
        }
    )* };
}

unsigned! { u8 u16 u32 u64 u128 }

/// Counted from the smallest number, so that negative ones come first.
macro_rules! signed {
    ($($number:ty)*) => { $(
        impl KeyPart for $number {
            type Arg<'p> = Self;

            fn append_to(&self, key: &mut KeyWriter) {
                self.abs_diff(<$number>::MIN).append_to(key);
            }
        }
    )* };
}

signed! { i8 i16 i32 i64 i128 }

impl KeyPart for bool {
    type Arg<'p> = Self;

    fn append_to(&self, key: &mut KeyWriter) {
        key.write(if *self { "1" } else { "0" });
    }
}

impl<const N: usize> KeyPart for [u8; N] {
    type Arg<'p> = Self;

    fn append_to(&self, key: &mut KeyWriter) {
        for byte in self {
            key.write([hex_digit(byte >> 4), hex_digit(byte & 0x0F)]);
        }
    }
}

impl KeyPart for [u8] {
    type Arg<'p> = &'p [u8];

    fn append_to(&self, key: &mut KeyWriter) {
        for (at, piece) in self.split(|byte| *byte == 0).enumerate() {
            if at > 0 {
                key.write(ZERO);
            }
            key.write(piece);
        }
        key.write(CLOSE);
    }

    fn append_last_to(&self, key: &mut KeyWriter) {
        key.write(self);
    }
}

/// Types that are written as what they hold or point to.
macro_rules! as_inner {
    ($([$($params:tt)*] $outer:ty = $inner:ty;)*) => { $(
        impl<$($params)*> KeyPart for $outer {
            type Arg<'p> = <$inner as KeyPart>::Arg<'p>;

            fn append_to(&self, key: &mut KeyWriter) {
                <$inner as KeyPart>::append_to(self.as_ref(), key);
            }

            fn append_last_to(&self, key: &mut KeyWriter) {
                <$inner as KeyPart>::append_last_to(self.as_ref(), key);
            }
        }
    )* };
}

as_inner! {
    [] String = str;
    [] Vec<u8> = [u8];
    [] Bytes = [u8];
    [T: KeyPart + ?Sized] Box<T> = T;
    [T: KeyPart + ?Sized] Rc<T> = T;
    [T: KeyPart + ?Sized] Arc<T> = T;
    [T: KeyPart + ToOwned + ?Sized] Cow<'_, T> = T;
}

impl KeyPart for str {
    type Arg<'p> = &'p str;

    fn append_to(&self, key: &mut KeyWriter) {
        self.as_bytes().append_to(key);
    }

    fn append_last_to(&self, key: &mut KeyWriter) {
        self.as_bytes().append_last_to(key);
    }
}

impl<T: KeyPart + ?Sized> KeyPart for &T {
    type Arg<'p> = T::Arg<'p>;

    fn append_to(&self, key: &mut KeyWriter) {
        T::append_to(self, key);
    }

    fn append_last_to(&self, key: &mut KeyWriter) {
        T::append_last_to(self, key);
    }
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// A byte 00 inside of a text or byte string that something follows, and the end of one. The end is
/// the smaller of the two, so that a text comes before what it is the beginning of.
const ZERO: [u8; 2] = [0x00, 0xFF];
const CLOSE: [u8; 2] = [0x00, 0x01];
