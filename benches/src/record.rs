//! The typed value that is read and written, and the keys it stands at.

use bincode::Options;
use serde::{Deserialize, Serialize};

use crate::Error;

/// What an application might keep: 100 bytes of bincode, and a payload where a cell asks for one. A
/// peer without typed values stores exactly these; kvsd adds its envelope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, kvsd::Value)]
pub(crate) struct Profile {
    /// The place of its key, so that a value read from another key shows.
    pub(crate) id: u64,
    /// Which run wrote it, so that a write that never happened shows.
    pub(crate) revision: u32,
    name: String,
    mail: String,
    city: String,
    tags: Vec<String>,
    score: f64,
    notes: String,
}

/// What stands beside the 100 bytes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    None,
    /// As much as makes 1 KiB of the whole.
    Kibibyte,
    /// As much as makes 64 KiB of the whole.
    Long,
}

/// All keys, and the value that one run finds or leaves at them.
///
/// Small on purpose: a client is to be measured, not the memory behind a heap of prepared values.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    count: usize,
    profile: Profile,
}

/// A record's place, and the key that it has.
///
/// It is made where it is used: a list of all keys would cost more than what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) at: usize,
    text: [u8; KEY_BYTES],
}

impl Records {
    /// As many records, with short values, as a server has been filled with.
    pub(crate) fn new(count: usize) -> Self {
        Self::with_payload(count, Payload::None)
    }

    /// As many records with such values, as a server has been filled with.
    pub(crate) fn with_payload(count: usize, payload: Payload) -> Self {
        let profile = Profile {
            id: 0,
            revision: 0,
            name: "Augusta Ada King, Countess Lovelace".to_owned(),
            city: "Turin".to_owned(),
            tags: vec!["analyst".to_owned(), "engine".to_owned(), "notes".to_owned()],
            mail: "ada@analytical.example".to_owned(),
            score: 0.5,
            notes: String::new(),
        };
        // The payload's length takes 3 bytes or 5 instead of one.
        let notes = match payload {
            Payload::None => 0,
            Payload::Kibibyte => 1024 - Profile::BINCODE_BYTES - 2,
            Payload::Long => (64 << 10) - Profile::BINCODE_BYTES - 2,
        };
        Self { count, profile: Profile { notes: "n".repeat(notes), ..profile } }
    }

    /// The same records, as run number `revision` writes them.
    pub(crate) fn revised(&self, revision: u32) -> Self {
        let profile = Profile { revision, ..self.profile.clone() };
        Self { count: self.count, profile }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn key(&self, at: usize) -> Key {
        debug_assert!(at < self.count, "{at} is none of {} keys", self.count);
        Key::of(at)
    }

    /// The bytes of a key and a value as kvsd stores them, the value with its envelope.
    pub(crate) fn stored_bytes(&self) -> Result<usize, Error> {
        let longest = Profile { id: self.count() as u64, ..self.first() };
        Ok(KEY_BYTES + kvsd::value::encode_to_bytes(&longest, usize::MAX)?.len())
    }

    /// Which run writes them.
    pub(crate) fn revision(&self) -> u32 {
        self.profile.revision
    }

    /// Whether a value is the one at a key, as this run wrote it.
    pub(crate) fn are_of(&self, value: &Profile, at: usize, run: u32) -> bool {
        // All fields are named, so that none is forgotten.
        let Profile { id, revision, name, mail, city, tags, score, notes } = value;
        let like = &self.profile;
        *id == at as u64
            && *revision == run
            && (name, mail, city, tags, notes)
                == (&like.name, &like.mail, &like.city, &like.tags, &like.notes)
            && score.to_bits() == like.score.to_bits()
    }

    /// The value of the first key; that of another one differs in its `id`.
    pub(crate) fn first(&self) -> Profile {
        self.profile.clone()
    }
}

impl Key {
    pub(crate) fn of(at: usize) -> Self {
        let mut text = *b"profile/00000000";
        let mut rest = at;
        for digit in text.iter_mut().skip("profile/".len()).rev() {
            *digit += u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        Self { at, text }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// What this key and the 99 beside it begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.text()[..KEY_BYTES - 2]
    }
}

impl Profile {
    /// What bincode makes of one.
    pub(crate) const BINCODE_BYTES: usize = 100;

    /// Encodes it as kvsd does by default, without an envelope.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) -> Result<(), Error> {
        into.clear();
        Ok(bincode::DefaultOptions::new().serialize_into(into, self)?)
    }

    /// The counterpart of [`Profile::encode`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Ok(bincode::DefaultOptions::new().deserialize(bytes)?)
    }
}

const KEY_BYTES: usize = "profile/00000000".len();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::FEW;

    #[test]
    fn a_value_has_the_bytes_that_its_cell_says_unless_its_number_is_small() {
        let sizes = [(Payload::None, 100), (Payload::Kibibyte, 1024), (Payload::Long, 64 << 10)];
        for (payload, bytes) in sizes {
            for (id, less) in [(FEW as u64 - 1, 0), (0, 2)] {
                let profile = Profile { id, ..Records::with_payload(1, payload).first() };
                let mut encoded = Vec::new();
                profile.encode(&mut encoded).unwrap();
                assert_eq!(encoded.len(), bytes - less);
                assert_eq!(Profile::decode(&encoded).unwrap(), profile);
            }
        }
    }

    #[test]
    fn every_key_is_another_one() {
        let records = Records::new(FEW);
        let keys: std::collections::HashSet<_> = (0..FEW).map(|at| records.key(at)).collect();
        assert_eq!(keys.len(), FEW);
        let has = |text: &str| keys.iter().any(|key| key.text() == text);
        assert!(has("profile/00000000") && has("profile/00009999"));
        assert_eq!(records.key(4711).prefix(), "profile/000047");
    }
}
