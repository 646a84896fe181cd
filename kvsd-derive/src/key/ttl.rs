//! `ttl = ".."`: a number and a unit. Next file to read: `implement.rs`.

use syn::LitStr;

/// The milliseconds of a text such as `15m`.
pub(super) fn parse_millis(ttl: &LitStr) -> syn::Result<u64> {
    let text = ttl.value();
    let error = |message| Err(syn::Error::new(ttl.span(), message));
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit_millis = match unit {
        "ms" => 1,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        "d" => DAY,
        _ => 0,
    };
    if number.is_empty() || unit_millis == 0 {
        return error(format!(
            "`{text}` is no time to live: write a number and a unit, `ms`, `s`, `m`, `h` or `d`, \
             such as `15m`"
        ));
    }
    // Digits alone fail only for being too many.
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_millis)) {
        Some(0) => error(
            "a time to live of nothing would end each record as it is put: leave `ttl` out for \
             records that stay"
                .to_owned(),
        ),
        Some(millis @ ..=MAX_MILLIS) => Ok(millis),
        Some(_) | None => error(format!(
            "`{text}` is longer than {} days: leave `ttl` out for records that stay",
            MAX_MILLIS / DAY
        )),
    }
}

const SECOND: u64 = 1000;
const DAY: u64 = 24 * 3600 * SECOND;
/// A hundred years: what is longer is a slip of the pen.
const MAX_MILLIS: u64 = 36_500 * DAY;

#[cfg(test)]
mod tests {
    use proc_macro2::Span;

    use super::*;

    fn parse(text: &str) -> Option<u64> {
        parse_millis(&LitStr::new(text, Span::call_site())).ok()
    }

    #[test]
    fn a_number_and_a_unit_are_a_time_to_live() {
        assert_eq!(parse("1ms"), Some(1));
        assert_eq!(parse("900s"), Some(900_000));
        assert_eq!(parse("15m"), Some(900_000));
        assert_eq!(parse("12h"), Some(43_200_000));
        assert_eq!(parse("30d"), Some(2_592_000_000));
        assert_eq!(parse("36500d"), Some(MAX_MILLIS));
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "15",
            "m",
            "0s",
            "00d",
            "-1s",
            "+1s",
            "1.5h",
            "1 s",
            " 1s",
            "1s ",
            "1h30m",
            "1S",
            "1w",
            "36501d",
            "3153600001s",
            "18446744073709551616ms",
            "18446744073709551615d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
