//! The layouts of other crates' types, each crate's behind the feature of its name.
//!
//! Only types whose serde form a positional codec can hold stand here: none asks the bytes what
//! they are. Their names hold the crate's, so that no two of them, and none of the standard
//! library's, are taken for each other.

use super::layout::leaves;
use super::{Fingerprint, Layout};

// Bytes under a positional codec, after their number.
#[cfg(feature = "uuid")]
leaves! {
    uuid::Uuid = "uuid::Uuid", 17;
    uuid::NonNilUuid = "uuid::Uuid (not nil)", 17;
}

// Texts, except for `TimeDelta`, which is two numbers.
#[cfg(feature = "chrono")]
leaves! {
    chrono::DateTime<chrono::Utc> = "chrono::DateTime<Utc>", 1;
    chrono::DateTime<chrono::FixedOffset> = "chrono::DateTime<FixedOffset>", 1;
    chrono::NaiveDate = "chrono::NaiveDate", 1;
    chrono::NaiveTime = "chrono::NaiveTime", 1;
    chrono::NaiveDateTime = "chrono::NaiveDateTime", 1;
    chrono::TimeDelta = "chrono::TimeDelta", 2;
    chrono::Weekday = "chrono::Weekday", 1;
    chrono::Month = "chrono::Month", 1;
}

// Numbers under a positional codec, whatever the crate's features.
#[cfg(feature = "time")]
leaves! {
    time::Date = "time::Date", 2;
    time::Time = "time::Time", 4;
    time::PrimitiveDateTime = "time::PrimitiveDateTime", 6;
    time::UtcDateTime = "time::UtcDateTime", 6;
    time::OffsetDateTime = "time::OffsetDateTime", 9;
    time::UtcOffset = "time::UtcOffset", 3;
    time::Duration = "time::Duration", 2;
    time::Weekday = "time::Weekday", 1;
    time::Month = "time::Month", 1;
}

// Texts. A `Zoned` names its zone, which jiff must find where it is read.
#[cfg(feature = "jiff")]
leaves! {
    jiff::Timestamp = "jiff::Timestamp", 1;
    jiff::Zoned = "jiff::Zoned", 1;
    jiff::Span = "jiff::Span", 1;
    jiff::SignedDuration = "jiff::SignedDuration", 1;
    jiff::civil::Date = "jiff::civil::Date", 1;
    jiff::civil::Time = "jiff::civil::Time", 1;
    jiff::civil::DateTime = "jiff::civil::DateTime", 1;
    jiff::civil::ISOWeekDate = "jiff::civil::ISOWeekDate", 1;
}

// A text, by the crate's feature `serde-str`.
#[cfg(feature = "rust_decimal")]
leaves! {
    rust_decimal::Decimal = "rust_decimal::Decimal", 1;
}
