//! Where servers are: one address or a list of them, as a URL and a program write them.

use percent_encoding::percent_decode_str;

use super::{DEFAULT_PORT, MAX_ADDRESSES};
use crate::error::ConfigError;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// `host`, `host:port`, `[v6]` or `[v6]:port`.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
            let (host, rest) = bracketed.split_once(']').ok_or(ConfigError::Brackets)?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(ConfigError::Port),
            }
        } else {
            match text.split_once(':') {
                Some((_, port)) if port.contains(':') => return Err(ConfigError::Brackets),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.is_empty() {
            return Err(ConfigError::NoHost);
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(ConfigError::Port)?,
        };
        // The zone of an IPv6 address is escaped too: `[fe80::1%25eth0]`.
        Ok(Self { host: decode(host)?, port })
    }

    /// Several, each at most once.
    pub(super) fn parse_all<'t>(
        texts: impl Iterator<Item = &'t str>,
    ) -> Result<Vec<Self>, ConfigError> {
        let texts: Vec<_> = texts.take(MAX_ADDRESSES + 1).collect();
        if texts.len() > MAX_ADDRESSES {
            return Err(ConfigError::TooManyAddresses { limit: MAX_ADDRESSES });
        }
        let is_list = texts.len() > 1;
        let mut all: Vec<Self> = Vec::with_capacity(texts.len());
        for (text, place) in texts.into_iter().zip(1..) {
            if is_list && text.is_empty() {
                return Err(ConfigError::EmptyAddress { place });
            }
            let address = Self::parse(text)?;
            if all.iter().any(|other| address.is_same(other)) {
                return Err(ConfigError::SameAddress { host: address.host, port: address.port });
            }
            all.push(address);
        }
        if all.is_empty() { Err(ConfigError::NoHost) } else { Ok(all) }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }
}

/// Undoes percent escapes.
pub(super) fn decode(text: &str) -> Result<String, ConfigError> {
    let is_hex = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    if text.match_indices('%').any(|(at, _)| !is_hex(at + 1) || !is_hex(at + 2)) {
        return Err(ConfigError::Escape);
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(ConfigError::Escape),
    }
}
