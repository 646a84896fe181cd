//! Dates and times as parts of a key: the types of `chrono`, `jiff` and `time`, each by the feature
//! of its name. The same date is written alike whichever crate it comes from.
//!
//! A year from 0 to 9999 is its four digits, as in ISO 8601. The others, which these crates know as
//! well, order before and behind them: their first byte comes before or behind every digit.

use super::{KeyPart, KeyWriter};

/// A day of the proleptic Gregorian calendar.
struct Day {
    year: i32,
    month: u32,
    day: u32,
}

impl Day {
    fn append_to(&self, key: &mut KeyWriter) {
        match self.year {
            0..=9999 => write(key, self.year.unsigned_abs(), 4),
            10_000.. => {
                key.write("y");
                write(key, self.year.unsigned_abs(), 6);
            }
            // Counted from the smallest that has six digits, so that the earlier comes first.
            ..0 => {
                key.write("-");
                write(key, self.year.abs_diff(-1_000_000), 6);
            }
        }
        for part in [self.month, self.day] {
            key.write("-");
            write(key, part, 2);
        }
    }
}

/// A time of a day in UTC. A second that leaps has more than 999,999,999 nanoseconds.
struct Clock {
    hour: u32,
    minute: u32,
    second: u32,
    nanosecond: u32,
}

impl Clock {
    fn append_to(&self, key: &mut KeyWriter) {
        for (before, part) in [("T", self.hour), (":", self.minute), (":", self.second)] {
            key.write(before);
            write(key, part, 2);
        }
        key.write(".");
        match self.nanosecond.checked_sub(1_000_000_000) {
            None => write(key, self.nanosecond, 9),
            // Behind all others of its second.
            Some(leaping) => {
                key.write("y");
                write(key, leaping, 9);
            }
        }
        key.write("Z");
    }
}

/// Decimal, filled up with zeros to `digits`.
fn write(key: &mut KeyWriter, number: u32, digits: usize) {
    key.write(format!("{number:0digits$}"));
}

#[cfg(feature = "chrono")]
mod chrono {
    use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};

    use super::{Clock, Day, KeyPart, KeyWriter};

    /// `2026-01-07`.
    impl KeyPart for NaiveDate {
        type Arg<'p> = Self;

        fn append_to(&self, key: &mut KeyWriter) {
            Day { year: self.year(), month: self.month(), day: self.day() }.append_to(key);
        }
    }

    /// `2026-01-07T10:20:00.000000000Z`.
    impl KeyPart for DateTime<Utc> {
        type Arg<'p> = Self;

        fn append_to(&self, key: &mut KeyWriter) {
            self.date_naive().append_to(key);
            let (hour, minute, second) = (self.hour(), self.minute(), self.second());
            Clock { hour, minute, second, nanosecond: self.nanosecond() }.append_to(key);
        }
    }
}

#[cfg(feature = "jiff")]
mod jiff {
    use jiff::Timestamp;
    use jiff::civil::Date;
    use jiff::tz::Offset;

    use super::{Clock, Day, KeyPart, KeyWriter};

    /// `2026-01-07`.
    impl KeyPart for Date {
        type Arg<'p> = Self;

        fn append_to(&self, key: &mut KeyWriter) {
            let [month, day] = [self.month(), self.day()].map(|part| part.unsigned_abs().into());
            Day { year: self.year().into(), month, day }.append_to(key);
        }
    }

    /// `2026-01-07T10:20:00.000000000Z`.
    impl KeyPart for Timestamp {
        type Arg<'p> = Self;

        fn append_to(&self, key: &mut KeyWriter) {
            let utc = Offset::UTC.to_datetime(*self);
            utc.date().append_to(key);
            let [hour, minute, second] =
                [utc.hour(), utc.minute(), utc.second()].map(|part| part.unsigned_abs().into());
            let nanosecond = utc.subsec_nanosecond().unsigned_abs();
            Clock { hour, minute, second, nanosecond }.append_to(key);
        }
    }
}

#[cfg(feature = "time")]
mod time {
    use time::{Date, UtcDateTime};

    use super::{Clock, Day, KeyPart, KeyWriter};

    /// `2026-01-07`.
    impl KeyPart for Date {
        type Arg<'p> = Self;

        fn append_to(&self, key: &mut KeyWriter) {
            let (year, month, day) = self.to_calendar_date();
            Day { year, month: u8::from(month).into(), day: day.into() }.append_to(key);
        }
    }

    /// `2026-01-07T10:20:00.000000000Z`.
    impl KeyPart for UtcDateTime {
        type Arg<'p> = Self;

        fn append_to(&self, key: &mut KeyWriter) {
            self.date().append_to(key);
            let (hour, minute, second, nanosecond) = self.as_hms_nano();
            let [hour, minute, second] = [hour, minute, second].map(u32::from);
            Clock { hour, minute, second, nanosecond }.append_to(key);
        }
    }
}
