//! A record as a line of JSON: what `kvsd-server dump`, `kvsd export` and `kvsd scan` print, and
//! `kvsd import` reads.
//!
//! ```text
//! {"table":"users","key":"user/7","version":3,"expires_at":null,"type":"User","type_version":1,
//!  "fingerprint":"0123456789abcdef","codec":"json","value":"{\"id\":7}"}
//! ```
//!
//! Text stands as it is, other bytes as `{"base64":".."}`; a derived value has its envelope's fields
//! beside the codec's bytes, a plain one has none of them. Every byte can be read back. Knows bytes
//! and JSON; never a file, a server or a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kvsd::types::check_key;
use kvsd::value::{CodecId, Envelope};
use kvsd::{KeyError, NameError, TableName, UnixMillis};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use thiserror::Error;

/// A record as it is printed.
#[derive(Debug, Serialize)]
pub(crate) struct RecordLine<'a> {
    pub(crate) table: &'a str,
    pub(crate) key: Text<'a>,
    pub(crate) version: u64,
    /// Milliseconds since 1970.
    pub(crate) expires_at: Option<u64>,
    /// `None` where only keys were asked for.
    #[serde(flatten)]
    pub(crate) value: Option<ValueFields<'a>>,
}

/// A value as it is printed.
#[derive(Debug, Serialize)]
pub(crate) struct ValueFields<'a> {
    #[serde(flatten)]
    derived: Option<Derived<'a>>,
    value: Text<'a>,
}

/// What a derived value tells of itself.
#[derive(Debug, Serialize)]
struct Derived<'a> {
    #[serde(rename = "type")]
    name: &'a str,
    type_version: u16,
    fingerprint: String,
    codec: String,
}

/// Bytes, as text if they are.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Text<'a> {
    Utf8(&'a str),
    Binary { base64: String },
}

impl<'a> ValueFields<'a> {
    pub(crate) fn new(value: &'a [u8]) -> Self {
        // Raw bytes that only begin like an envelope are no derived value.
        let envelope = Envelope::parse(value).ok().flatten();
        let derived = envelope.map(|envelope| Derived {
            name: envelope.type_name,
            type_version: envelope.version,
            fingerprint: format!("{:016x}", envelope.fingerprint),
            codec: envelope.codec.to_string(),
        });
        Self { derived, value: Text::new(envelope.map_or(value, |envelope| envelope.payload)) }
    }
}

impl<'a> Text<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Utf8(text),
            Err(_) => Self::Binary { base64: STANDARD.encode(bytes) },
        }
    }
}

/// A record as a line says it; its version is not kept, since each write gets one of its own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// `None` if the line names none.
    pub(crate) table: Option<TableName>,
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    pub(crate) expires_at: Option<SystemTime>,
}

/// Why a line is no record. Never shows what it holds.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum LineError {
    #[error("column {column}: this is no JSON")]
    Syntax { column: usize },
    #[error(
        "the JSON is no record: an object with `key` and `value`, perhaps `table`, `version` and \
         `expires_at`, and for a derived value `type`, `type_version`, `fingerprint` and `codec`"
    )]
    Shape,
    #[error("table: {0}")]
    Table(#[from] NameError),
    #[error("key: {0}")]
    Key(#[from] KeyError),
    #[error("{field}: this is no base64")]
    Base64 { field: &'static str },
    #[error("expires_at: this is no time")]
    Expiry,
    #[error("type, type_version, fingerprint and codec make no envelope together")]
    Envelope,
}

impl Record {
    /// Reads a line, without its line feed.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, LineError> {
        // What serde says may quote the line.
        let fields: Fields =
            serde_json::from_slice(line).map_err(|error| match error.classify() {
                Category::Syntax | Category::Eof | Category::Io => {
                    LineError::Syntax { column: error.column() }
                }
                Category::Data => LineError::Shape,
            })?;
        let Fields {
            table, key, expires_at, name, type_version, fingerprint, codec, value, ..
        } = fields;
        let table = table.as_deref().map(TableName::parse).transpose()?;
        let key = key.into_bytes("key")?;
        check_key(&key)?;
        let expires_at =
            expires_at.map(|millis| time(millis).ok_or(LineError::Expiry)).transpose()?;
        let payload = value.into_bytes("value")?;
        let value = match (name, type_version, fingerprint, codec) {
            (None, None, None, None) => payload,
            (Some(name), Some(version), Some(fingerprint), Some(codec)) => {
                envelope(&name, version, &fingerprint, &codec, &payload)
                    .ok_or(LineError::Envelope)?
            }
            _ => return Err(LineError::Envelope),
        };
        Ok(Self { table, key: key.into(), value: value.into(), expires_at })
    }
}

/// What a line may hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    table: Option<String>,
    key: OwnedText,
    #[serde(rename = "version")]
    _version: Option<IgnoredAny>,
    expires_at: Option<u64>,
    #[serde(rename = "type")]
    name: Option<String>,
    type_version: Option<u16>,
    fingerprint: Option<String>,
    codec: Option<String>,
    value: OwnedText,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum OwnedText {
    Utf8(String),
    Binary { base64: String },
}

impl OwnedText {
    fn into_bytes(self, field: &'static str) -> Result<Vec<u8>, LineError> {
        match self {
            Self::Utf8(text) => Ok(text.into_bytes()),
            Self::Binary { base64 } => {
                STANDARD.decode(base64).map_err(|_| LineError::Base64 { field })
            }
        }
    }
}

/// The time that is so many milliseconds after 1970, if a record can end then.
fn time(millis: u64) -> Option<SystemTime> {
    let millis = UnixMillis::new(millis)?;
    UNIX_EPOCH.checked_add(Duration::from_millis(millis.get()))
}

/// The bytes of a derived value, or `None` if what it tells of itself makes no envelope. The layout
/// is `kvsd::value::Envelope`'s, which reads them once more.
fn envelope(
    name: &str,
    version: u16,
    fingerprint: &str,
    codec: &str,
    payload: &[u8],
) -> Option<Vec<u8>> {
    let codec = (0..=u8::MAX).map(CodecId::new).find(|known| known.to_string() == codec)?;
    let fingerprint = u64::from_str_radix(fingerprint, 16).ok()?;
    let mut bytes = vec![MARK, FORMAT, codec.get()];
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&fingerprint.to_le_bytes());
    bytes.push(u8::try_from(name.len()).ok()?);
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(payload);
    let read = Envelope::parse(&bytes).ok().flatten()?;
    let same = read.type_name == name
        && read.version == version
        && read.fingerprint == fingerprint
        && read.codec == codec
        && read.payload == payload;
    same.then_some(bytes)
}

const MARK: u8 = 0xFF;
const FORMAT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(key: &[u8], value: &[u8], expires_at: Option<u64>) -> String {
        let value = Some(ValueFields::new(value));
        let line = RecordLine { table: "t", key: Text::new(key), version: 7, expires_at, value };
        serde_json::to_string(&line).unwrap()
    }

    #[test]
    fn text_stands_as_it_is_and_other_bytes_as_base64() {
        assert_eq!(
            line("k\"\u{e4}".as_bytes(), b"", None),
            "{\"table\":\"t\",\"key\":\"k\\\"\u{e4}\",\"version\":7,\"expires_at\":null,\
             \"value\":\"\"}"
        );
        assert_eq!(
            line(b"\xff\x01", b"\xff\x01\x02", Some(5)),
            "{\"table\":\"t\",\"key\":{\"base64\":\"/wE=\"},\"version\":7,\"expires_at\":5,\
             \"value\":{\"base64\":\"/wEC\"}}"
        );
    }

    #[test]
    fn every_byte_of_a_line_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let derived = b"\xFF\x01\x03\x02\x01\x01\x02\x03\x04\x05\x06\x07\xF8\x04User{\"a\":1}";
        let unknown_codec = b"\xFF\x01\x63\x02\x00\0\0\0\0\0\0\0\0\x01U\xff\x00";
        for value in [
            &b""[..],
            b"plain",
            b"\"\\\n\r\t\0\x7f",
            "\u{e4}\u{1f980}\u{2028}".as_bytes(),
            &all,
            b"\xFF",
            b"\xFF\x01\x01cut",
            b"\xFF\x02\x03\x02\x01\x01\x02\x03\x04\x05\x06\x07\xF8\x04User{}",
            derived,
            unknown_codec,
        ] {
            for key in [&b"k"[..], b"\xff\x00", &all, b"{\"base64\":\"\"}"] {
                let record = Record::parse(line(key, value, Some(9)).as_bytes()).unwrap();
                assert_eq!((&record.key[..], &record.value[..]), (key, value));
                assert_eq!(record.table.unwrap().as_str(), "t");
                assert_eq!(record.expires_at, time(9));
            }
        }
    }

    #[test]
    fn a_line_needs_only_a_key_and_a_value() {
        let record = Record::parse(br#" {"value":"v","key":"k"} "#).unwrap();
        assert_eq!((&record.key[..], &record.value[..]), (&b"k"[..], &b"v"[..]));
        assert_eq!((record.table, record.expires_at), (None, None));
    }

    #[test]
    fn a_line_that_is_no_record_says_why_and_shows_nothing_of_it() {
        let derived = |rest: &str| format!(r#"{{"key":"k","value":"canary",{rest}}}"#);
        for (line, said) in [
            ("canary".to_owned(), "no JSON"),
            (r#"{"key":"k","value":"canary"#.to_owned(), "no JSON"),
            (r#"{"key":"k","value":"v"} canary"#.to_owned(), "no JSON"),
            (r#"["canary"]"#.to_owned(), "no record"),
            (r#""canary""#.to_owned(), "no record"),
            (r#"{"key":"canary"}"#.to_owned(), "no record"),
            (r#"{"key":"canary","value":7}"#.to_owned(), "no record"),
            (r#"{"key":"k","value":"v","canary":1}"#.to_owned(), "no record"),
            (r#"{"key":"k","value":{"base64":"","canary":""}}"#.to_owned(), "no record"),
            (r#"{"key":"k","value":{"base64":"canary!"}}"#.to_owned(), "value: this is no base64"),
            (r#"{"key":"","value":"canary"}"#.to_owned(), "key: "),
            (r#"{"table":"ca/nary","key":"k","value":"v"}"#.to_owned(), "table: "),
            (derived(r#""expires_at":18446744073709551615"#), "expires_at: "),
            (derived(r#""expires_at":-1"#), "no record"),
            (derived(r#""type":"User""#), "envelope"),
            (
                derived(r#""type":"U","type_version":0,"fingerprint":"0","codec":"json""#),
                "envelope",
            ),
            (
                derived(r#""type":"U","type_version":1,"fingerprint":"0","codec":"canary""#),
                "envelope",
            ),
        ] {
            let error = Record::parse(line.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("canary"), "{line}: {error}");
        }
    }
}
