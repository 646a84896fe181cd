//! What the compiler says of types: texts with numbers in them, put together at compile time.
//!
//! Nothing here runs in a program. Next file to read: `standard.rs`.

use super::Layout;
use super::typed::Typed;

/// A text under construction; what has no room is left out.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Message {
    const fn new() -> Self {
        Self { bytes: [0; CAPACITY], len: 0 }
    }

    /// Appends a text, cut at the end of a character if it must be cut.
    const fn text(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut end = bytes.len();
        if end > CAPACITY - self.len {
            end = CAPACITY - self.len;
            // The bytes inside a character begin with the bits 10.
            while end > 0 && bytes[end] & 0xC0 == 0x80 {
                end -= 1;
            }
        }
        let mut at = 0;
        while at < end {
            self.bytes[self.len] = bytes[at];
            self.len += 1;
            at += 1;
        }
        self
    }

    const fn number(self, number: u16) -> Self {
        let more = if number > 9 { self.number(number / 10) } else { self };
        more.digit((number % 10) as u8)
    }

    /// Appends a fingerprint as it is written in a program: `0x0123_4567_89ab_cdef`.
    const fn fingerprint(self, hash: u64) -> Self {
        let mut written = self.text("0x");
        let mut at = 0;
        while at < 16 {
            if at > 0 && at % 4 == 0 {
                written = written.ascii(b'_');
            }
            written = written.digit((hash >> (60 - 4 * at) & 0xF) as u8);
            at += 1;
        }
        written
    }

    const fn digit(self, digit: u8) -> Self {
        self.ascii(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 })
    }

    const fn ascii(mut self, byte: u8) -> Self {
        if self.len < CAPACITY {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
        self
    }

    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        let (written, _) = self.bytes.split_at(self.len);
        match std::str::from_utf8(written) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}

/// What is wrong with a type whose layout is frozen: that it is another one by now.
pub const fn frozen<T: Layout + ?Sized>(name: &str, frozen: u64) -> Option<Message> {
    if T::FINGERPRINT == frozen {
        return None;
    }
    let message = Message::new()
        .text("the layout of `")
        .text(name)
        .text("` has changed: its fingerprint is ")
        .fingerprint(T::FINGERPRINT)
        .text(", frozen is ")
        .fingerprint(frozen)
        .text(
            "; if nothing is stored yet, write the new one; if only names have changed and the \
               bytes are the same, write the new one and `accept = [",
        )
        .fingerprint(frozen)
        .text(
            "]`; else give the type its next `version`, keep the old one under a name of its \
               own, and say `from = ..`",
        );
    Some(message)
}

/// What is wrong with two generations of a type, of which `P` is the older one.
pub const fn chained<T: Typed, P: Typed>(older: &str) -> Option<Message> {
    if !same(T::NAME, P::NAME) {
        let message = Message::new()
            .text("`")
            .text(older)
            .text("` is stored as `")
            .text(P::NAME)
            .text("`, and this type as `")
            .text(T::NAME)
            .text("`: all versions of a type carry one name; write `#[kvsd(name = \"")
            .text(T::NAME)
            .text("\", version = ");
        let message = match P::VERSION < T::VERSION {
            true => message.number(P::VERSION),
            false => message.number(T::VERSION - 1),
        };
        return Some(message.text(")]` on the older one"));
    }
    if P::VERSION >= T::VERSION {
        let message = Message::new()
            .text("`")
            .text(older)
            .text("` has version ")
            .number(P::VERSION)
            .text(", and the type that is made from it has version ")
            .number(T::VERSION)
            .text(": the newer one has the higher version; write `version = ")
            .number(P::VERSION.saturating_add(1))
            .text("` here, or a lower one on `")
            .text(older)
            .text("`");
        return Some(message);
    }
    None
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

const CAPACITY: usize = 640;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_fingerprints_are_written_as_in_a_program() {
        let message = Message::new()
            .number(0)
            .text(" ")
            .number(65_535)
            .text(" ")
            .fingerprint(0x0123_4567_89ab_cdef);
        assert_eq!(message.as_str(), "0 65535 0x0123_4567_89ab_cdef");
    }

    #[test]
    fn what_has_no_room_is_left_out_and_no_character_is_cut() {
        let full = Message::new().text(&"x".repeat(CAPACITY - 1));
        assert_eq!(full.text("\u{e9}").as_str().len(), CAPACITY - 1);
        assert_eq!(full.text("ab").text("c").as_str().len(), CAPACITY);
        assert_eq!(full.text("ab").text("").as_str().len(), CAPACITY);
    }
}
