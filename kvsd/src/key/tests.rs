//! Golden vectors of every part, and the two promises about all keys of one template: their order
//! is that of the tuples of their parts, and no two different tuples have the same key.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The bytes of a part that something may follow.
fn inner<P: KeyPart + ?Sized>(part: &P) -> Bytes {
    let mut key = KeyWriter::new();
    part.append_to(&mut key);
    key.into_key::<()>().into_bytes()
}

/// The bytes of a part at the end of a key.
fn last<P: KeyPart + ?Sized>(part: &P) -> Bytes {
    let mut key = KeyWriter::new();
    part.append_last_to(&mut key);
    key.into_key::<()>().into_bytes()
}

/// For parts that are written alike everywhere.
#[track_caller]
fn assert_written<P: KeyPart + ?Sized>(part: &P, expected: &str) {
    assert_eq!(inner(part), expected);
    assert_eq!(last(part), expected);
}

#[test]
fn unsigned_integers_have_the_full_width_of_their_type() {
    assert_written(&0_u8, "000");
    assert_written(&7_u8, "007");
    assert_written(&u8::MAX, "255");
    assert_written(&7_u16, "00007");
    assert_written(&u16::MAX, "65535");
    assert_written(&7_u32, "0000000007");
    assert_written(&u32::MAX, "4294967295");
    assert_written(&7_u64, "00000000000000000007");
    assert_written(&u64::MAX, "18446744073709551615");
    assert_written(&7_u128, "000000000000000000000000000000000000007");
    assert_written(&u128::MAX, "340282366920938463463374607431768211455");
}

#[test]
fn signed_integers_are_counted_from_the_smallest() {
    assert_written(&i8::MIN, "000");
    assert_written(&-1_i8, "127");
    assert_written(&0_i8, "128");
    assert_written(&i8::MAX, "255");
    assert_written(&i16::MIN, "00000");
    assert_written(&-1_i16, "32767");
    assert_written(&i32::MIN, "0000000000");
    assert_written(&0_i32, "2147483648");
    assert_written(&i64::MIN, "00000000000000000000");
    assert_written(&-1_i64, "09223372036854775807");
    assert_written(&i64::MAX, "18446744073709551615");
    assert_written(&i128::MIN, "000000000000000000000000000000000000000");
    assert_written(&0_i128, "170141183460469231731687303715884105728");
}

#[test]
fn booleans_and_byte_arrays_have_one_width() {
    assert_written(&false, "0");
    assert_written(&true, "1");
    assert_written(&[0x00, 0x7F, 0x80, 0xFF], "007f80ff");
    assert_written(&[9, 10, 15, 16], "090a0f10");
    assert_written(&[0_u8; 0], "");
}

#[test]
fn texts_and_byte_strings_are_closed_unless_they_are_last() {
    for (text, closed) in [
        ("", &b"\x00\x01"[..]),
        ("ada", b"ada\x00\x01"),
        ("Zo\u{eb}", b"Zo\xC3\xAB\x00\x01"),
        ("\0", b"\x00\xFF\x00\x01"),
        ("\0\0", b"\x00\xFF\x00\xFF\x00\x01"),
        ("a\0\u{1}b", b"a\x00\xFF\x01b\x00\x01"),
    ] {
        assert_eq!(inner(text), closed);
        assert_eq!(last(text), text);
        assert_eq!(inner(text.as_bytes()), closed);
        assert_eq!(last(text.as_bytes()), text);
    }
    assert_eq!(inner(&[0xFF, 0x00, 0x01][..]), b"\xFF\x00\xFF\x01\x00\x01"[..]);
}

#[test]
fn what_holds_or_points_to_a_part_is_written_as_the_part() {
    fn same<P: KeyPart + ?Sized>(part: &P) {
        assert_eq!((inner(part), last(part)), (inner("a\0"), last("a\0")));
    }
    same(&"a\0");
    same(&&"a\0");
    same(&"a\0".to_owned());
    same(&Cow::Borrowed("a\0"));
    same(&Cow::<str>::Owned("a\0".to_owned()));
    same(&Box::<str>::from("a\0"));
    same(&Rc::<str>::from("a\0"));
    same(&Arc::new("a\0".to_owned()));
    same(&b"a\0".to_vec());
    same(&Bytes::from("a\0"));
    same(&Cow::Borrowed(&b"a\0"[..]));
    assert_written(&Box::new(7_u8), "007");
}

#[cfg(feature = "uuid")]
#[test]
fn a_uuid_is_the_text_that_it_is_printed_as() {
    let id = ::uuid::Uuid::from_u128(0x67e5_5044_10b1_426f_9247_bb68_0e5f_e0c8);
    assert_written(&id, "67e55044-10b1-426f-9247-bb680e5fe0c8");
    assert_written(&::uuid::Uuid::max(), "ffffffff-ffff-ffff-ffff-ffffffffffff");
}

#[cfg(feature = "chrono")]
#[test]
fn dates_and_times_of_chrono_are_written_in_the_order_of_time() {
    use ::chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike, Utc};

    let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap();
    let dates = [
        (NaiveDate::MIN, "-737857-01-01"),
        (day(-1, 12, 31), "-999999-12-31"),
        (day(0, 1, 1), "0000-01-01"),
        (day(2026, 1, 7), "2026-01-07"),
        (day(9999, 12, 31), "9999-12-31"),
        (day(10_000, 1, 1), "y010000-01-01"),
        (NaiveDate::MAX, "y262142-12-31"),
    ];
    for (date, expected) in dates {
        assert_written(&date, expected);
    }
    assert!(dates.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));

    let at = |second, nano| {
        let time = NaiveTime::from_hms_opt(23, 59, second).unwrap().with_nanosecond(nano).unwrap();
        day(2016, 12, 31).and_time(time).and_utc()
    };
    let times = [
        (DateTime::<Utc>::MIN_UTC, "-737857-01-01T00:00:00.000000000Z"),
        (DateTime::UNIX_EPOCH, "1970-01-01T00:00:00.000000000Z"),
        (at(58, 0), "2016-12-31T23:59:58.000000000Z"),
        (at(58, 1_999_999_999), "2016-12-31T23:59:58.y999999999Z"),
        (at(59, 999_999_999), "2016-12-31T23:59:59.999999999Z"),
        (at(59, 1_000_000_000), "2016-12-31T23:59:59.y000000000Z"),
        (at(0, 0).with_year(2017).unwrap(), "2017-12-31T23:59:00.000000000Z"),
        (DateTime::<Utc>::MAX_UTC, "y262142-12-31T23:59:59.999999999Z"),
    ];
    for (time, expected) in times {
        assert_written(&time, expected);
    }
    assert!(times.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
}

#[cfg(feature = "chrono")]
fn any_time() -> impl Strategy<Value = ::chrono::DateTime<::chrono::Utc>> {
    use ::chrono::{DateTime, Timelike, Utc};

    let (first, last) =
        (DateTime::<Utc>::MIN_UTC.timestamp(), DateTime::<Utc>::MAX_UTC.timestamp());
    // Of any year, of few years, and of a few seconds, leaping or not.
    let second = prop_oneof![first..=last, -1_000_000_000_000..1_000_000_000_000_i64, 0..3_i64];
    (second, 0..2_000_000_000_u32).prop_map(|(second, nanosecond)| {
        let time = DateTime::from_timestamp(second, 0).unwrap();
        time.with_nanosecond(nanosecond).unwrap()
    })
}

#[cfg(feature = "chrono")]
proptest! {
    #[test]
    fn times_order_in_keys_as_they_pass(a in any_time(), b in any_time()) {
        prop_assert_eq!(inner(&a).cmp(&inner(&b)), a.cmp(&b));
        let (a, b) = (a.date_naive(), b.date_naive());
        prop_assert_eq!(inner(&a).cmp(&inner(&b)), a.cmp(&b));
    }
}

#[cfg(feature = "jiff")]
#[test]
fn dates_and_times_of_jiff_are_written_in_the_order_of_time() {
    use ::jiff::Timestamp;
    use ::jiff::civil::{Date, date};

    let dates = [
        (Date::MIN, "-990001-01-01"),
        (date(-1, 12, 31), "-999999-12-31"),
        (date(0, 1, 1), "0000-01-01"),
        (date(2026, 1, 7), "2026-01-07"),
        (Date::MAX, "9999-12-31"),
    ];
    for (date, expected) in dates {
        assert_written(&date, expected);
    }
    assert!(dates.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));

    let times = [
        (Timestamp::MIN, "-990001-01-02T01:59:59.000000000Z"),
        (Timestamp::new(0, -1).unwrap(), "1969-12-31T23:59:59.999999999Z"),
        (Timestamp::UNIX_EPOCH, "1970-01-01T00:00:00.000000000Z"),
        ("2026-01-07T10:20:30.5Z".parse().unwrap(), "2026-01-07T10:20:30.500000000Z"),
        (Timestamp::MAX, "9999-12-30T22:00:00.999999999Z"),
    ];
    for (time, expected) in times {
        assert_written(&time, expected);
    }
    assert!(times.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
}

#[cfg(feature = "time")]
#[test]
fn dates_and_times_of_time_are_written_in_the_order_of_time() {
    use ::time::{Date, Month, Time, UtcDateTime};

    let day = |year, month, day| Date::from_calendar_date(year, month, day).unwrap();
    let dates = [
        (day(-9999, Month::January, 1), "-990001-01-01"),
        (day(-1, Month::December, 31), "-999999-12-31"),
        (day(0, Month::January, 1), "0000-01-01"),
        (day(2026, Month::January, 7), "2026-01-07"),
        (day(9999, Month::December, 31), "9999-12-31"),
    ];
    for (date, expected) in dates {
        assert_written(&date, expected);
    }
    assert!(dates.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));

    let time = Time::from_hms_nano(10, 20, 30, 500_000_000).unwrap();
    let times = [
        (UtcDateTime::UNIX_EPOCH, "1970-01-01T00:00:00.000000000Z"),
        (UtcDateTime::new(day(2026, Month::January, 7), time), "2026-01-07T10:20:30.500000000Z"),
    ];
    for (time, expected) in times {
        assert_written(&time, expected);
    }
}

#[test]
fn nothing_shows_what_a_key_holds() {
    let mut writer = KeyWriter::new();
    writer.write("canary");
    assert_eq!(format!("{writer:?}"), "KeyWriter(6 bytes)");
    assert_eq!(format!("{:?}", writer.into_key::<()>()), "Key(6 bytes)");
    assert_eq!(format!("{:?}", Prefix::<()>::new("canary")), "Prefix(6 bytes)");
}

/// A part of any kind. Parts of one kind order as they do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Byte(u8),
    Number(u64),
    Signed(i16),
    Large(i128),
    Flag(bool),
    Array([u8; 2]),
    Text(String),
    Bytes(Vec<u8>),
}

impl Part {
    fn append_to(&self, key: &mut KeyWriter) {
        match self {
            Self::Byte(part) => part.append_to(key),
            Self::Number(part) => part.append_to(key),
            Self::Signed(part) => part.append_to(key),
            Self::Large(part) => part.append_to(key),
            Self::Flag(part) => part.append_to(key),
            Self::Array(part) => part.append_to(key),
            Self::Text(part) => part.append_to(key),
            Self::Bytes(part) => part.append_to(key),
        }
    }

    fn append_last_to(&self, key: &mut KeyWriter) {
        match self {
            Self::Text(part) => part.append_last_to(key),
            Self::Bytes(part) => part.append_last_to(key),
            other => other.append_to(key),
        }
    }
}

/// Two parts of one kind: equal, near to each other, or any.
fn two_parts() -> impl Strategy<Value = (Part, Part)> {
    fn two<P: Clone + std::fmt::Debug + 'static>(
        any: impl Strategy<Value = P> + Clone + 'static,
        part: fn(P) -> Part,
    ) -> BoxedStrategy<(Part, Part)> {
        let equal = any.clone().prop_map(|one| (one.clone(), one));
        prop_oneof![equal, (any.clone(), any)]
            .prop_map(move |(one, other)| (part(one), part(other)))
            .boxed()
    }
    // What stands around an end, a digit and the end of a literal; UTF-8 has no bytes FE and FF.
    let signs = prop::sample::select(vec!['\0', '\u{1}', '\u{2}', '!', '/', '0', 'a', '\u{ff}']);
    let bytes = prop::sample::select(vec![0x00, 0x01, 0x02, b'/', b'0', 0xFE, 0xFF]);
    let text = vec(signs, 0..4).prop_map(String::from_iter);
    prop_oneof![
        two(any::<u8>(), Part::Byte),
        two(prop_oneof![any::<u64>(), 0..20_u64], Part::Number),
        two(prop_oneof![any::<i16>(), -10..10_i16], Part::Signed),
        two(prop_oneof![any::<i128>(), -10..10_i128], Part::Large),
        two(any::<bool>(), Part::Flag),
        two(any::<[u8; 2]>(), Part::Array),
        two(text.boxed(), Part::Text),
        two(vec(bytes, 0..4).boxed(), Part::Bytes),
    ]
}

/// A template with two tuples of parts for it: text, part, text, part and so on, and what stands at
/// the end.
#[derive(Debug, Clone)]
struct Two {
    pieces: Vec<(String, (Part, Part))>,
    tail: String,
}

fn two_keys() -> impl Strategy<Value = Two> {
    let pieces = vec(("[/0-9a\0\u{1}]{0,2}", two_parts()), 1..5);
    let tail = prop_oneof![Just(String::new()), "[/!0\0\u{1}]{1,2}"];
    (pieces, tail).prop_map(|(pieces, tail)| Two { pieces, tail })
}

impl Two {
    fn tuple(&self, which: fn(&(Part, Part)) -> &Part) -> Vec<Part> {
        self.pieces.iter().map(|(_, parts)| which(parts).clone()).collect()
    }

    /// As the derive writes it.
    fn key(&self, which: fn(&(Part, Part)) -> &Part) -> Key<()> {
        let mut key = KeyWriter::new();
        for (at, (literal, parts)) in self.pieces.iter().enumerate() {
            key.write(literal);
            let is_last = at + 1 == self.pieces.len() && self.tail.is_empty();
            match is_last {
                true => which(parts).append_last_to(&mut key),
                false => which(parts).append_to(&mut key),
            }
        }
        key.write(&self.tail);
        key.into_key()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn keys_order_as_the_tuples_of_their_parts_and_never_collide(two in two_keys()) {
        let tuples = two.tuple(|two| &two.0).cmp(&two.tuple(|two| &two.1));
        let keys = two.key(|two| &two.0).cmp(&two.key(|two| &two.1));
        prop_assert_eq!(keys, tuples);
    }

    #[test]
    fn no_part_is_the_beginning_of_another_one_of_its_kind((one, other) in two_parts()) {
        let written = |part: &Part| {
            let mut key = KeyWriter::new();
            part.append_to(&mut key);
            key.into_key::<()>().into_bytes()
        };
        prop_assert_eq!(written(&one).starts_with(&written(&other)), one == other);
    }
}
