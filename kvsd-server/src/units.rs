//! Reads the values of settings from text: durations, sizes, switches. Each error says what to
//! write instead.

use std::time::Duration;

/// Reads a duration with its unit, such as `5s`, `250ms` or `1m 30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "write a number and a unit, for example 10s, 250ms or 1m".to_owned())
}

/// Reads a size in bytes: a whole number, with or without a unit (`KiB`, `MiB`, `GiB`, or `kB`,
/// `MB`, `GB` for powers of a thousand).
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let wrong = || "write a whole number of bytes, or one with a unit such as 10MiB".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: usize = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let &(_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    number.checked_mul(factor).ok_or_else(|| "the size is too large".to_owned())
}

/// Reads a whole number.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "write a whole number".to_owned())
}

/// Reads a switch.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

/// Writes a size with the largest unit that divides it.
pub(crate) fn show_size(bytes: usize) -> String {
    let names = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match names.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor)) {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => format!("{bytes} bytes"),
    }
}

/// The units of sizes, in lower case, and what they stand for.
const UNITS: [(&str, usize); 9] = [
    ("", 1),
    ("b", 1),
    ("bytes", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("10MiB"), Ok(10 * 1024 * 1024));
        assert_eq!(size("64 kib"), Ok(65_536));
        assert_eq!(size("2GB"), Ok(2_000_000_000));
    }

    #[test]
    fn a_size_that_is_none_is_refused() {
        for text in ["", " ", "MiB", "-1", "1.5MiB", "10 parsecs", "99999999999999999999", "1MiB1"]
        {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(size(&format!("{}GiB", usize::MAX)).is_err());
    }

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(duration("10").is_err_and(|reason| reason.contains("10s")));
        assert!(duration("-1s").is_err());
    }

    #[test]
    fn a_size_is_shown_in_its_largest_whole_unit() {
        assert_eq!(show_size(1 << 20), "1MiB");
        assert_eq!(show_size(1536), "1536 bytes");
    }
}
