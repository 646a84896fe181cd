//! The typed value that is read and written, and the keys it stands at.

use serde::{Deserialize, Serialize};

/// What an application might keep: 100 bytes of bincode. A peer without typed values stores exactly
/// these; kvsd adds its envelope.
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
}

/// All keys, and the value that one run finds or leaves at them.
///
/// Small on purpose: a client is to be measured, not the memory behind a heap of prepared values.
#[derive(Debug)]
pub(crate) struct Records {
    /// One after the other; all have the same length.
    keys: String,
    profile: Profile,
}

impl Records {
    /// As many records, as run number `revision` writes them.
    pub(crate) fn new(count: usize, revision: u32) -> Self {
        Self {
            keys: (0..count).map(|at| format!("profile/{at:08}")).collect(),
            profile: Profile {
                id: 0,
                revision,
                name: "Augusta Ada King, Countess Lovelace".to_owned(),
                city: "London".to_owned(),
                tags: vec!["analyst".to_owned(), "engine".to_owned(), "notes".to_owned()],
                mail: "ada@analytical.example".to_owned(),
                score: 0.5,
            },
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.keys.len() / KEY_BYTES
    }

    pub(crate) fn key(&self, at: usize) -> &str {
        &self.keys[at * KEY_BYTES..][..KEY_BYTES]
    }

    /// The value of the first key; that of another one differs in its `id`.
    pub(crate) fn first(&self) -> Profile {
        self.profile.clone()
    }
}

impl Profile {
    /// What bincode makes of one.
    pub(crate) const BINCODE_BYTES: usize = 100;
}

/// How many keys the cells work on.
pub(crate) const KEYS: usize = 10_000;
const KEY_BYTES: usize = "profile/00000000".len();

#[cfg(test)]
mod tests {
    use bincode::Options;

    use super::*;

    #[test]
    fn a_value_has_100_bytes_unless_its_number_is_small() {
        for (id, bytes) in [(KEYS - 1, Profile::BINCODE_BYTES), (0, Profile::BINCODE_BYTES - 2)] {
            let profile = Profile { id: id as u64, ..Records::new(1, 1).first() };
            let encoded = bincode::DefaultOptions::new().serialize(&profile).unwrap();
            assert_eq!(encoded.len(), bytes);
        }
    }

    #[test]
    fn every_key_is_another_one() {
        let records = Records::new(KEYS, 0);
        let keys: std::collections::HashSet<_> = (0..KEYS).map(|at| records.key(at)).collect();
        assert_eq!(keys.len(), KEYS);
        assert!(keys.contains("profile/00000000") && keys.contains("profile/00009999"));
    }
}
