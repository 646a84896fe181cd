//! Types of other crates as fields: each reads back with each codec, at its limits too.

use std::fmt::Debug;

use kvsd::value::encode_to_bytes;
use kvsd::{Bincode, Decode, Layout};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::round_trip;

#[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
#[kvsd(codec = "postcard")]
struct InPostcard<T> {
    value: T,
    // Shows a form that writes and reads different numbers of bytes.
    after: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
#[kvsd(codec = "json")]
struct InJson<T> {
    value: T,
}

/// Writes and reads a value with each codec; says how many bytes bincode needed.
#[track_caller]
fn everywhere<T>(value: &T) -> usize
where
    T: Layout + Serialize + DeserializeOwned + Clone + PartialEq + Debug,
{
    let bytes = encode_to_bytes(&Bincode((value, 7_u8)), 1000).unwrap();
    assert_eq!(Bincode::<(T, u8)>::decode(&bytes).unwrap().0, (value.clone(), 7));
    let in_postcard = InPostcard { value: value.clone(), after: 7 };
    assert_eq!(round_trip(&in_postcard), in_postcard);
    let in_json = InJson { value: value.clone() };
    assert_eq!(round_trip(&in_json), in_json);
    let len = bytes.len() - 1;
    assert!(len >= T::MIN_BYTES.unwrap(), "{value:?} has {len} bytes");
    len
}

#[test]
fn uuids() {
    use uuid::{NonNilUuid, Uuid};
    assert_eq!(everywhere(&Uuid::nil()), 17);
    assert_eq!(everywhere(&Uuid::max()), 17);
    assert_eq!(everywhere(&NonNilUuid::new(Uuid::from_u128(7)).unwrap()), 17);
}

#[test]
fn chrono_types() {
    use chrono::{DateTime, FixedOffset, Month, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};
    let leap_second = NaiveTime::from_hms_nano_opt(23, 59, 59, 1_999_999_999).unwrap();
    for date in [NaiveDate::MIN, NaiveDate::MAX, NaiveDate::from_ymd_opt(2024, 2, 29).unwrap()] {
        everywhere(&date);
        everywhere(&date.and_time(leap_second));
        everywhere(&date.and_time(NaiveTime::MIN));
    }
    everywhere(&NaiveTime::MIN);
    everywhere(&leap_second);
    let moment = DateTime::from_timestamp(1_700_000_000, 123_456_789).unwrap();
    for moment in [moment, DateTime::UNIX_EPOCH, DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC]
    {
        everywhere(&moment);
    }
    for minutes in [0, 330, -720] {
        let offset = FixedOffset::east_opt(minutes * 60).unwrap();
        everywhere(&moment.with_timezone(&offset));
    }
    for delta in [TimeDelta::zero(), TimeDelta::MIN, TimeDelta::MAX, TimeDelta::nanoseconds(-1)] {
        everywhere(&delta);
    }
    assert_eq!(everywhere(&TimeDelta::zero()), 2);
    everywhere(&Weekday::Sun);
    everywhere(&Month::December);
}

#[test]
fn time_types() {
    use time::{
        Date, Duration, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcDateTime, UtcOffset,
        Weekday,
    };
    for date in [Date::MIN, Date::MAX] {
        everywhere(&date);
        everywhere(&PrimitiveDateTime::new(date, Time::MIDNIGHT));
        everywhere(&UtcDateTime::new(date, Time::MAX));
    }
    assert_eq!(everywhere(&Time::MIDNIGHT), 4);
    everywhere(&Time::MAX);
    let offset = UtcOffset::from_hms(-5, -30, -7).unwrap();
    assert_eq!(everywhere(&UtcOffset::UTC), 3);
    everywhere(&offset);
    let zero = PrimitiveDateTime::new(Date::from_ordinal_date(0, 1).unwrap(), Time::MIDNIGHT);
    assert_eq!(everywhere(&zero), 6);
    assert_eq!(everywhere(&zero.assume_utc()), 9);
    assert_eq!(everywhere(&UtcDateTime::new(zero.date(), zero.time())), 6);
    everywhere(&OffsetDateTime::UNIX_EPOCH.to_offset(offset));
    for duration in [Duration::ZERO, Duration::MIN, Duration::MAX, Duration::nanoseconds(-1)] {
        everywhere(&duration);
    }
    assert_eq!(everywhere(&Weekday::Sunday), 1);
    assert_eq!(everywhere(&Month::December), 1);
}

#[test]
fn jiff_types() {
    use jiff::civil::{Date, DateTime, ISOWeekDate, Time};
    use jiff::{SignedDuration, Timestamp, ToSpan, tz};
    for moment in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
        everywhere(&moment);
    }
    // One with a name reads where jiff has a database of zones, which these tests do without.
    everywhere(&Timestamp::UNIX_EPOCH.to_zoned(tz::TimeZone::fixed(tz::offset(-3))));
    for (date, time) in [(Date::MIN, Time::MIN), (Date::MAX, Time::MAX)] {
        everywhere(&date);
        everywhere(&time);
        everywhere(&DateTime::from_parts(date, time));
        everywhere(&date.iso_week_date());
    }
    everywhere(&ISOWeekDate::MIN);
    for duration in [SignedDuration::MIN, SignedDuration::MAX, SignedDuration::ZERO] {
        everywhere(&duration);
    }
    // A span is compared by its fields.
    #[derive(Debug, Clone, Serialize, Deserialize, kvsd::Layout)]
    struct Span(jiff::Span);
    impl PartialEq for Span {
        fn eq(&self, other: &Self) -> bool {
            self.0.fieldwise() == other.0.fieldwise()
        }
    }
    everywhere(&Span(1.year().months(13).hours(49).nanoseconds(-7)));
}

#[test]
fn decimals() {
    use rust_decimal::Decimal;
    for decimal in [
        Decimal::MIN,
        Decimal::MAX,
        Decimal::ZERO,
        Decimal::new(-1, 28),
        // The number of digits after the point is a part of the value.
        Decimal::new(1_500, 3),
    ] {
        everywhere(&decimal);
        let bytes = encode_to_bytes(&Bincode(decimal), 100).unwrap();
        let read = Bincode::<Decimal>::decode(&bytes).unwrap().0;
        assert_eq!(read.scale(), decimal.scale());
    }
}

#[test]
fn the_bytes_are_pinned() {
    use chrono::TimeZone;
    let moment = chrono::Utc.timestamp_opt(1_700_000_000, 5).unwrap();
    assert_eq!(
        encode_to_bytes(&Bincode(moment), 100).unwrap(),
        &b"\x1e2023-11-14T22:13:20.000000005Z"[..]
    );
    let uuid = uuid::Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
    assert_eq!(
        encode_to_bytes(&Bincode(uuid), 100).unwrap(),
        &b"\x10\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"[..]
    );
    let date = time::Date::from_ordinal_date(2026, 60).unwrap();
    assert_eq!(encode_to_bytes(&Bincode(date), 100).unwrap(), &b"\xfb\xd4\x0f\x3c"[..]);
    let stamp = jiff::Timestamp::new(1_700_000_000, 5).unwrap();
    assert_eq!(
        encode_to_bytes(&Bincode(stamp), 100).unwrap(),
        &b"\x1e2023-11-14T22:13:20.000000005Z"[..]
    );
    let decimal = rust_decimal::Decimal::new(-1_500, 3);
    assert_eq!(encode_to_bytes(&Bincode(decimal), 100).unwrap(), &b"\x06-1.500"[..]);
}

/// Stored values hold these: a change makes them unreadable.
#[test]
fn fingerprints_are_pinned() {
    macro_rules! fingerprints {
        ($($type:ty),* $(,)?) => { [$((stringify!($type), <$type as Layout>::FINGERPRINT)),*] };
    }
    let found = fingerprints![
        uuid::Uuid,
        uuid::NonNilUuid,
        chrono::DateTime<chrono::Utc>,
        chrono::DateTime<chrono::FixedOffset>,
        chrono::NaiveDate,
        chrono::NaiveTime,
        chrono::NaiveDateTime,
        chrono::TimeDelta,
        chrono::Weekday,
        chrono::Month,
        time::Date,
        time::Time,
        time::PrimitiveDateTime,
        time::UtcDateTime,
        time::OffsetDateTime,
        time::UtcOffset,
        time::Duration,
        time::Weekday,
        time::Month,
        jiff::Timestamp,
        jiff::Zoned,
        jiff::Span,
        jiff::SignedDuration,
        jiff::civil::Date,
        jiff::civil::Time,
        jiff::civil::DateTime,
        jiff::civil::ISOWeekDate,
        rust_decimal::Decimal,
    ];
    let distinct: std::collections::BTreeSet<_> = found.iter().map(|(_, hash)| hash).collect();
    assert_eq!(distinct.len(), found.len());
    for ((name, hash), pinned) in found.into_iter().zip(PINNED) {
        assert_eq!(hash, pinned, "{name}");
    }
}

const PINNED: [u64; 28] = [
    0xcb1a_df80_65ba_0923,
    0xdb32_3e6a_0a01_7824,
    0xb071_192a_0910_380e,
    0x6e12_c76c_d968_0037,
    0x8ad9_08d1_b258_6f58,
    0xf1df_e449_b45c_3a3d,
    0x09c1_a327_51fa_1155,
    0x1640_d0d2_9092_b128,
    0x99c2_af7e_0792_c3c1,
    0xa096_8b70_6a05_6d0f,
    0xb16e_ed0c_8332_f766,
    0xa0b0_318f_98fd_09c3,
    0xa1cd_10f2_a481_1285,
    0xc7ad_e20f_214c_a268,
    0xc906_151c_470b_e552,
    0xe8d2_b883_7628_44f8,
    0x9e81_b621_e2b1_8bba,
    0x7f4a_aefe_e8eb_7269,
    0x1b40_f984_36a0_db83,
    0xd6cf_7570_8a69_ca11,
    0xa45f_1d37_5f5d_2293,
    0x1123_974e_60d4_9662,
    0x0487_0a11_a24d_8168,
    0x8224_483c_a9c9_4b9c,
    0x9d09_c4c0_faa6_e441,
    0x0d94_bdcd_934e_1a51,
    0xa1c1_6e96_5c90_1e88,
    0xf5aa_8efe_f715_dadd,
];
