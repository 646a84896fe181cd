//! The names that the status page is asked for by.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A name that the status page answers to, beside the addresses of its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatusHost(Box<str>);

impl StatusHost {
    /// Checks a name: letters, digits, `.`, `-` and `_`, or an IP address, without a port.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let is_name = (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(is_allowed);
        (is_name || IpAddr::from_str(text).is_ok()).then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// The name, in lower case.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self::parse(text).unwrap()
    }
}

impl fmt::Display for StatusHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The longest name that there is, in bytes.
const MAX_BYTES: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_none() {
        for name in ["", "a b", "a:80", "http://a", "a/b", "*", &"a".repeat(254)] {
            assert_eq!(StatusHost::parse(name), None, "{name}");
        }
        assert_eq!(StatusHost::parse("DB.Example").unwrap().to_string(), "db.example");
        assert!(StatusHost::parse("::1").is_some());
    }
}
