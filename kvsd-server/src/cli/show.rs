//! Keys and values as people read them: nothing that steers a terminal, and a record in a line.

use std::fmt::{self, Display, Formatter};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kvsd::Entry;
use kvsd::value::{CodecId, Envelope};

use crate::record_line::{RecordLine, Text, ValueFields};

/// Bytes for people: text as it is, text with control characters in quotes and escaped, anything
/// else as base64 with a note.
pub(super) struct Shown<'a>(pub(super) &'a [u8]);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok(text) if text.chars().all(is_harmless) => f.write_str(text),
            Ok(text) => write!(f, "{text:?}"),
            Err(_) => write!(f, "({} bytes, base64) {}", self.0.len(), STANDARD.encode(self.0)),
        }
    }
}

/// Whether a terminal shows this character and does nothing else.
fn is_harmless(c: char) -> bool {
    matches!(c, '"' | '\'' | '\\') || c.escape_debug().count() == 1
}

/// A stored value for people: a derived one by its envelope, and in full if it is JSON.
pub(super) struct ShownValue<'a>(pub(super) &'a [u8]);

impl Display for ShownValue<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match derived(self.0) {
            Some(envelope) => write_derived(f, &envelope),
            None => Shown(self.0).fmt(f),
        }
    }
}

/// A derived value for people; `None` for a plain one.
pub(super) fn show_derived(value: &[u8]) -> Option<String> {
    derived(value).map(|_| ShownValue(value).to_string())
}

fn derived(value: &[u8]) -> Option<Envelope<'_>> {
    // Raw bytes that only begin like an envelope are no derived value.
    Envelope::parse(value).ok().flatten()
}

fn write_derived(f: &mut Formatter<'_>, envelope: &Envelope<'_>) -> fmt::Result {
    let Envelope { type_name, version, codec, payload, .. } = envelope;
    write!(f, "<{type_name} v{version}, {codec}, {} bytes>", payload.len())?;
    match *codec {
        CodecId::JSON => write!(f, " {}", Shown(payload)),
        _ => Ok(()),
    }
}

/// A record for programs.
pub(super) fn line<'a>(table: &'a str, entry: &'a Entry<Bytes>) -> RecordLine<'a> {
    RecordLine { value: Some(ValueFields::new(&entry.value)), ..key_line(table, entry) }
}

/// A record without its value, for programs.
pub(super) fn key_line<'a, T>(table: &'a str, entry: &'a Entry<T>) -> RecordLine<'a> {
    RecordLine {
        table,
        key: Text::new(&entry.key),
        version: entry.version.get(),
        expires_at: entry.expires_at.map(kvsd::UnixMillis::get),
        value: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_quoted_and_what_is_no_text_is_base64() {
        for (bytes, shown) in [
            (&b""[..], ""),
            (b"it's \"here\"", "it's \"here\""),
            ("\u{e4}\u{1f980}".as_bytes(), "\u{e4}\u{1f980}"),
            (b"a\tb\n\x1b[2J", r#""a\tb\n\u{1b}[2J""#),
            ("a\u{202e}b".as_bytes(), r#""a\u{202e}b""#),
            (b"\xff\x01\x02", "(3 bytes, base64) /wEC"),
        ] {
            assert_eq!(ShownValue(bytes).to_string(), shown);
        }
    }

    #[test]
    fn a_derived_value_is_shown_by_its_envelope_and_json_in_full() {
        let header =
            |codec| [&b"\xFF\x01"[..], &[codec], &b"\x02\x00\0\0\0\0\0\0\0\0\x04User"[..]].concat();
        let value = [&header(1), &b"\xffcanary"[..]].concat();
        assert_eq!(ShownValue(&value).to_string(), "<User v2, bincode, 7 bytes>");
        let value = [&header(3), &b"{\"id\":7}"[..]].concat();
        assert_eq!(ShownValue(&value).to_string(), "<User v2, json, 8 bytes> {\"id\":7}");
        let value = [&header(3), &b"\"\x1b[2J\""[..]].concat();
        assert!(!ShownValue(&value).to_string().contains('\x1b'));
        assert_eq!(show_derived(b"\xFF\x01"), None);
    }
}
