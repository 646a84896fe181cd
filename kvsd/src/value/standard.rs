//! The layouts of the standard library's types, and of `bytes`.
//!
//! Types that serde writes alike share a fingerprint where one may take the other's place without
//! changing what the value means: `Vec` and `VecDeque`, `HashMap` and `BTreeMap`, `T` and `Box<T>`.
//! Next file to read: `foreign.rs`.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::{self, Wrapping};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};

use super::layout::{array_of, leaves, sequence_of, tag_before, total};
use super::{Fingerprint, Layout};

leaves! {
    bool = "bool", 1;
    char = "char", 1;
    u8 = "u8", 1;
    u16 = "u16", 1;
    u32 = "u32", 1;
    u64 = "u64", 1;
    u128 = "u128", 1;
    i8 = "i8", 1;
    i16 = "i16", 1;
    i32 = "i32", 1;
    i64 = "i64", 1;
    i128 = "i128", 1;
    // serde writes them as 64 bits on every machine.
    usize = "u64", 1;
    isize = "i64", 1;
    f32 = "f32", 4;
    f64 = "f64", 8;
    str = "text", 1;
    String = "text", 1;
    Path = "path", 1;
    PathBuf = "path", 1;
    () = "unit", 0;
    Duration = "Duration", 2;
    SystemTime = "SystemTime", 2;
    Ipv4Addr = "Ipv4Addr", 4;
    Ipv6Addr = "Ipv6Addr", 16;
    IpAddr = "IpAddr", 5;
    SocketAddrV4 = "SocketAddrV4", 5;
    SocketAddrV6 = "SocketAddrV6", 17;
    SocketAddr = "SocketAddr", 6;
    num::NonZeroU8 = "NonZeroU8", 1;
    num::NonZeroU16 = "NonZeroU16", 1;
    num::NonZeroU32 = "NonZeroU32", 1;
    num::NonZeroU64 = "NonZeroU64", 1;
    num::NonZeroU128 = "NonZeroU128", 1;
    num::NonZeroUsize = "NonZeroU64", 1;
    num::NonZeroI8 = "NonZeroI8", 1;
    num::NonZeroI16 = "NonZeroI16", 1;
    num::NonZeroI32 = "NonZeroI32", 1;
    num::NonZeroI64 = "NonZeroI64", 1;
    num::NonZeroI128 = "NonZeroI128", 1;
    num::NonZeroIsize = "NonZeroI64", 1;
}

/// A type of its own content only where it points.
macro_rules! wrappers {
    ($([$($generics:tt)*] $type:ty = $inner:ty;)*) => { $(
        impl<$($generics)*> Layout for $type {
            const FINGERPRINT: u64 = <$inner>::FINGERPRINT;
            const MIN_BYTES: Result<usize, &'static str> = <$inner>::MIN_BYTES;
        }
    )* };
}

wrappers! {
    [] Bytes = [u8];
    [] BytesMut = [u8];
    [T: Layout + ?Sized] &T = T;
    [T: Layout + ?Sized] Box<T> = T;
    [T: Layout + ?Sized] Rc<T> = T;
    [T: Layout + ?Sized] Arc<T> = T;
    [T: Layout + ToOwned + ?Sized] Cow<'_, T> = T;
    [T: Layout] Wrapping<T> = T;
    [T: Layout] Reverse<T> = T;
    [T: Layout] Vec<T> = [T];
    [T: Layout] VecDeque<T> = [T];
    [T: Layout] LinkedList<T> = [T];
    [T: Layout] BinaryHeap<T> = [T];
    [T: Layout, S] HashSet<T, S> = BTreeSet<T>;
    [K: Layout, V: Layout, S] HashMap<K, V, S> = BTreeMap<K, V>;
}

impl<T: ?Sized> Layout for PhantomData<T> {
    const FINGERPRINT: u64 = <()>::FINGERPRINT;
    const MIN_BYTES: Result<usize, &'static str> = Ok(0);
}

impl<T: Layout> Layout for [T] {
    const FINGERPRINT: u64 = Fingerprint::of("sequence").number(T::FINGERPRINT).finish();
    const MIN_BYTES: Result<usize, &'static str> = sequence_of(T::MIN_BYTES);
}

impl<T: Layout, const N: usize> Layout for [T; N] {
    const FINGERPRINT: u64 =
        Fingerprint::of("array").number(N as u64).number(T::FINGERPRINT).finish();
    const MIN_BYTES: Result<usize, &'static str> = array_of(T::MIN_BYTES, N);
}

impl<T: Layout> Layout for BTreeSet<T> {
    const FINGERPRINT: u64 = Fingerprint::of("set").number(T::FINGERPRINT).finish();
    const MIN_BYTES: Result<usize, &'static str> = sequence_of(T::MIN_BYTES);
}

impl<K: Layout, V: Layout> Layout for BTreeMap<K, V> {
    const FINGERPRINT: u64 =
        Fingerprint::of("map").number(K::FINGERPRINT).number(V::FINGERPRINT).finish();
    const MIN_BYTES: Result<usize, &'static str> =
        sequence_of(total(&[K::MIN_BYTES, V::MIN_BYTES]));
}

impl<T: Layout> Layout for Option<T> {
    const FINGERPRINT: u64 = Fingerprint::of("option").number(T::FINGERPRINT).finish();
    const MIN_BYTES: Result<usize, &'static str> = tag_before(T::MIN_BYTES);
}

impl<T: Layout, E: Layout> Layout for Result<T, E> {
    const FINGERPRINT: u64 =
        Fingerprint::of("result").number(T::FINGERPRINT).number(E::FINGERPRINT).finish();
    const MIN_BYTES: Result<usize, &'static str> = tag_before(total(&[T::MIN_BYTES, E::MIN_BYTES]));
}

impl<T: Layout> Layout for Range<T> {
    const FINGERPRINT: u64 = Fingerprint::of("range").number(T::FINGERPRINT).finish();
    const MIN_BYTES: Result<usize, &'static str> = total(&[T::MIN_BYTES, T::MIN_BYTES]);
}

impl<T: Layout> Layout for RangeInclusive<T> {
    const FINGERPRINT: u64 = Fingerprint::of("range-inclusive").number(T::FINGERPRINT).finish();
    const MIN_BYTES: Result<usize, &'static str> = total(&[T::MIN_BYTES, T::MIN_BYTES]);
}

macro_rules! tuples {
    ($($count:literal: $($part:ident)+;)*) => { $(
        impl<$($part: Layout),+> Layout for ($($part,)+) {
            const FINGERPRINT: u64 =
                Fingerprint::of("tuple").number($count)$(.number($part::FINGERPRINT))+.finish();
            const MIN_BYTES: Result<usize, &'static str> = total(&[$($part::MIN_BYTES),+]);
        }
    )* };
}

tuples! {
    1: A;
    2: A B;
    3: A B C;
    4: A B C D;
    5: A B C D E;
    6: A B C D E F;
    7: A B C D E F G;
    8: A B C D E F G H;
    9: A B C D E F G H I;
    10: A B C D E F G H I J;
    11: A B C D E F G H I J K;
    12: A B C D E F G H I J K L;
    13: A B C D E F G H I J K L M;
    14: A B C D E F G H I J K L M N;
    15: A B C D E F G H I J K L M N O;
    16: A B C D E F G H I J K L M N O P;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored values hold these: a change makes them unreadable.
    #[test]
    fn fingerprints_are_pinned() {
        let found = [
            ("u64", u64::FINGERPRINT),
            ("String", String::FINGERPRINT),
            ("Vec<u8>", <Vec<u8>>::FINGERPRINT),
            ("[u8; 4]", <[u8; 4]>::FINGERPRINT),
            ("Option<bool>", <Option<bool>>::FINGERPRINT),
            ("(i32, f64)", <(i32, f64)>::FINGERPRINT),
            ("BTreeMap<String, u32>", <BTreeMap<String, u32>>::FINGERPRINT),
            ("HashSet<char>", <HashSet<char>>::FINGERPRINT),
            ("Result<(), u8>", <Result<(), u8>>::FINGERPRINT),
            ("Range<u16>", <Range<u16>>::FINGERPRINT),
            ("Duration", Duration::FINGERPRINT),
            ("IpAddr", IpAddr::FINGERPRINT),
        ];
        assert_eq!(found, PINNED);
    }

    #[test]
    fn types_that_serde_writes_alike_share_a_fingerprint() {
        assert_eq!(String::FINGERPRINT, <Cow<'_, str>>::FINGERPRINT);
        assert_eq!(<Vec<u8>>::FINGERPRINT, Bytes::FINGERPRINT);
        assert_eq!(<Vec<u16>>::FINGERPRINT, <&[u16]>::FINGERPRINT);
        assert_eq!(<HashMap<u8, u8>>::FINGERPRINT, <BTreeMap<u8, u8>>::FINGERPRINT);
        assert_eq!(usize::FINGERPRINT, u64::FINGERPRINT);
        assert_eq!(<Box<Arc<u8>>>::FINGERPRINT, u8::FINGERPRINT);
    }

    #[test]
    fn types_that_mean_something_else_do_not() {
        let different = [
            u8::FINGERPRINT,
            i8::FINGERPRINT,
            char::FINGERPRINT,
            <Option<u8>>::FINGERPRINT,
            <Vec<u8>>::FINGERPRINT,
            <[u8; 1]>::FINGERPRINT,
            <[u8; 2]>::FINGERPRINT,
            <BTreeSet<u8>>::FINGERPRINT,
            <(u8,)>::FINGERPRINT,
            <(u8, u8)>::FINGERPRINT,
            <Vec<Vec<u8>>>::FINGERPRINT,
            <()>::FINGERPRINT,
        ];
        let distinct: BTreeSet<_> = different.iter().collect();
        assert_eq!(distinct.len(), different.len());
    }

    #[test]
    fn a_value_never_takes_fewer_bytes_than_its_layout_says() {
        fn least<T: Layout + serde::Serialize>(value: &T) {
            let written = crate::value::encode_to_bytes(&crate::Bincode(value), 100).unwrap();
            assert_eq!(Ok(written.len()), T::MIN_BYTES, "{}", std::any::type_name::<T>());
        }
        least(&0_u128);
        least(&0.0_f32);
        least(&'a');
        least(&String::new());
        least(&());
        least(&[0_u16; 3]);
        least(&(0_u8, 0_u64, 0.0_f64));
        least(&None::<[u64; 9]>);
        least(&vec![0_u64; 0]);
        least(&BTreeMap::<u8, ()>::new());
        least(&Duration::ZERO);
        least(&IpAddr::from([0, 0, 0, 0]));
        least(&Ipv6Addr::UNSPECIFIED);
        least(&SocketAddr::from(([0, 0, 0, 0], 0)));
        least(&SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));
        least(&(0_u8..0));
        least(&(0_u8..=0));
        least(&SystemTime::UNIX_EPOCH);
    }

    const PINNED: [(&str, u64); 12] = [
        ("u64", 0x2b03_fdd2_8e27_f29b),
        ("String", 0x14cc_cef6_6699_ca92),
        ("Vec<u8>", 0x6723_a731_4e31_c091),
        ("[u8; 4]", 0xa62a_1b08_754d_e6fc),
        ("Option<bool>", 0xa5d5_dbbc_924b_d111),
        ("(i32, f64)", 0x66b6_a28a_4ecf_fa1b),
        ("BTreeMap<String, u32>", 0x9cfc_5ae1_b2fc_4efe),
        ("HashSet<char>", 0xee3e_a42b_4ded_d1a1),
        ("Result<(), u8>", 0xbc9a_772a_1159_c359),
        ("Range<u16>", 0xe766_227b_0811_8f16),
        ("Duration", 0xe954_cc4f_8da3_27c5),
        ("IpAddr", 0x05d0_8219_3c38_4519),
    ];
}
