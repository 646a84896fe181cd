//! Where a stream goes on: small, opaque, and the same text in every process.
//!
//! Next file to read: `pages`.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use thiserror::Error;

use crate::protocol::v2::Position;
use crate::types::{Version, check_key};

/// Behind which record a scan goes on: [`Scan::token`](super::Scan::token).
///
/// As text it holds that record's key, in hexadecimal: treat it as you treat the key.
///
/// Of a scan that stands at one moment it holds that moment too, and a scan behind it stands there
/// as well: [`ScanToken::unpinned`] lets it go.
///
/// ```
/// use kvsd::ScanToken;
///
/// // The same text in every process; whoever has it has the key.
/// let token: ScanToken = "behind-7573657273".parse()?;
/// assert_eq!(token.to_string(), "behind-7573657273");
/// assert_eq!(format!("{token:?}"), "ScanToken(behind a 5 byte key)");
/// # Ok::<(), kvsd::stream::TokenError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ScanToken {
    pub(super) place: Place,
}

/// How far a scan has come.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) enum Place {
    #[default]
    Start,
    Behind {
        key: Bytes,
        /// The moment at which the scan stands, if it stands at one.
        at: Option<Version>,
    },
    End,
}

impl ScanToken {
    /// The same place at no moment in particular: a scan behind it shows what stands there when it
    /// begins, as of a moment of its own.
    ///
    /// For a token that was kept longer than the server keeps what stood then, with which a scan
    /// fails with [`ErrorKind::ScanExpired`](crate::ErrorKind::ScanExpired).
    ///
    /// ```
    /// use kvsd::ScanToken;
    ///
    /// let token: ScanToken = "behind-7573657273-at-42".parse()?;
    /// assert_eq!(token.unpinned().to_string(), "behind-7573657273");
    /// # Ok::<(), kvsd::stream::TokenError>(())
    /// ```
    #[must_use]
    pub fn unpinned(self) -> Self {
        let place = match self.place {
            Place::Behind { key, at: _ } => Place::Behind { key, at: None },
            place @ (Place::Start | Place::End) => place,
        };
        Self { place }
    }
}

/// Behind which change a watch goes on: [`Watch::token`](super::Watch::token).
///
/// It is exact: of a batch's changes those that were handed out are not told again. Once the table
/// has been dropped, or its history is gone, a watch behind it begins with a gap.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::{Event, WatchToken};
///
/// let token: WatchToken = client.watch::<u8>("").begin().await?;
/// let kept = token.to_string();
/// client.set("a", 1).await?;
/// // Later, in another process perhaps: nothing was missed.
/// let mut events = client.watch::<u8>("").after(kept.parse()?);
/// let Some(Event::Set(entry)) = events.next().await.transpose()? else { panic!() };
/// assert_eq!(entry.value, 1);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct WatchToken {
    /// All of it has been handed out.
    pub(super) position: Position,
    /// What has been handed out beyond: so many changes of the batch with this version.
    pub(super) begun: Option<Begun>,
}

/// A part of a batch, of which others are still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) version: Version,
    pub(super) changes: u64,
}

/// The text is no such token.
///
/// ```
/// use kvsd::{ScanToken, WatchToken};
///
/// let error = "page 2".parse::<ScanToken>().unwrap_err();
/// assert_eq!(error.to_string(), "the text is no scan token");
/// assert!("page 2".parse::<WatchToken>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the text is no {what} token")]
pub struct TokenError {
    what: &'static str,
}

impl fmt::Display for ScanToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Start => f.write_str("start"),
            Place::End => f.write_str("end"),
            Place::Behind { key, at } => {
                f.write_str("behind-")?;
                key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                at.map_or(Ok(()), |at| write!(f, "-at-{at}"))
            }
        }
    }
}

impl FromStr for ScanToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let place = match text {
            "start" => Some(Place::Start),
            "end" => Some(Place::End),
            _ => text.strip_prefix("behind-").and_then(parse_behind),
        };
        place.map(|place| Self { place }).ok_or(TokenError { what: "scan" })
    }
}

/// A key, and perhaps the moment at which its scan stands.
fn parse_behind(text: &str) -> Option<Place> {
    let Some((key, at)) = text.split_once("-at-") else {
        return Some(Place::Behind { key: unhex(text)?, at: None });
    };
    let version = Version::new(at.parse().ok()?)?;
    // No other text for the same token: no sign, no leading zero.
    (version.to_string() == at).then_some(())?;
    Some(Place::Behind { key: unhex(key)?, at: Some(version) })
}

/// A key, from two digits for each byte.
fn unhex(text: &str) -> Option<Bytes> {
    let nibble = |digit: &u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(nibble(high)? << 4 | nibble(low)?),
        _ => None,
    };
    let key: Bytes = text.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>()?.into();
    check_key(&key).ok()?;
    Some(key)
}

impl fmt::Display for WatchToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { incarnation, version } = self.position;
        match incarnation {
            Some(incarnation) => write!(f, "{incarnation:016x}-{version}")?,
            None => write!(f, "any-{version}")?,
        }
        match self.begun {
            Some(Begun { version, changes }) => write!(f, "-{}-{changes}", version.get()),
            None => Ok(()),
        }
    }
}

impl FromStr for WatchToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        parse_watch_token(text).ok_or(TokenError { what: "watch" })
    }
}

fn parse_watch_token(text: &str) -> Option<WatchToken> {
    let mut parts = text.split('-');
    let incarnation = match parts.next()? {
        "any" => None,
        digits => Some(u64::from_str_radix(digits, 16).ok()?),
    };
    let version: u64 = parts.next()?.parse().ok()?;
    let position = Position { incarnation, version };
    let begun = match parts.next() {
        Some(version) => {
            let version = Version::new(version.parse().ok()?)?;
            Some(Begun { version, changes: parts.next()?.parse().ok()? })
        }
        None => None,
    };
    let token = WatchToken { position, begun };
    // No other text for the same token: no sign, no leading zero, nothing behind it.
    let is_sound = version <= Version::MAX && token.to_string() == text;
    is_sound.then_some(token)
}

/// Never shows the key.
impl fmt::Debug for ScanToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Start => f.write_str("ScanToken(start)"),
            Place::Behind { key, at: None } => {
                write!(f, "ScanToken(behind a {} byte key)", key.len())
            }
            Place::Behind { key, at: Some(at) } => {
                write!(f, "ScanToken(behind a {} byte key, at {at})", key.len())
            }
            Place::End => f.write_str("ScanToken(end)"),
        }
    }
}

impl fmt::Debug for WatchToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatchToken({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_from_their_text_and_nothing_else_does() {
        let behind = |at| Place::Behind { key: b"a\x00\xFF"[..].into(), at };
        let scans = [Place::Start, Place::End, behind(None), behind(Version::new(Version::MAX))];
        for token in scans.map(|place| ScanToken { place }) {
            assert_eq!(token.to_string().parse(), Ok(token));
        }
        let position = |incarnation, version| Position { incarnation, version };
        let begun = Some(Begun { version: Version::new(9).unwrap(), changes: 3 });
        for token in [
            WatchToken { position: position(None, 0), begun: None },
            WatchToken { position: position(Some(u64::MAX), 8), begun },
            WatchToken { position: position(Some(5), i64::MAX.unsigned_abs()), begun: None },
        ] {
            assert_eq!(token.to_string().parse(), Ok(token));
        }
        let key = "61".repeat(1025);
        for text in [
            "",
            "begin",
            "behind-",
            "behind-6",
            "behind-6G",
            "behind-61-at-",
            "behind-61-at-0",
            "behind-61-at-07",
            "behind-61-at-+7",
            "behind-61-at-7-at-7",
            "behind--at-7",
            "behind-61-at-9223372036854775808",
            "start-at-7",
            &format!("behind-{key}"),
        ] {
            assert!(text.parse::<ScanToken>().is_err(), "{text}");
        }
        for text in [
            "",
            "any",
            "any-",
            "any-01",
            "any-1-2",
            "any-1-0-1",
            "any-1-2-3-4",
            "5-1",
            "any-9223372036854775808",
            "000000000000000G-1",
        ] {
            assert!(text.parse::<WatchToken>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_tokens_debug_form_never_shows_the_key() {
        let token = |at| ScanToken { place: Place::Behind { key: "canary".into(), at } };
        assert_eq!(format!("{:?}", token(None)), "ScanToken(behind a 6 byte key)");
        let shown = format!("{:?}", token(Version::new(7)));
        assert_eq!(shown, "ScanToken(behind a 6 byte key, at 7)");
    }
}
