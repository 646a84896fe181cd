//! Whether a hint says of its segment what that holds.
//!
//! A hint that does not is no damage: whoever needs it reads the segment instead, and makes it again.
//! It costs time at the next start, and may tell of a disk that fails.
//!
//! Next file to read: [`super::salvage`].

use std::path::PathBuf;
use std::sync::Arc;

use crate::log::storage::chunk::Entries;
use crate::log::storage::chunk::in_order;
use crate::log::storage::entry::{KeyRange, Order};
use crate::log::storage::hint::{BadHint, Hint, HintCursor, Of, file_name};

/// A hint that is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrongHint {
    pub(crate) file: PathBuf,
    pub(crate) what: &'static str,
}

/// Compares a segment's hint, if it has one, with all that was found in the segment.
pub(super) fn check(of: Of<'_>, found: &Entries) -> Option<WrongHint> {
    let name = file_name(of.identity.id);
    // Without a hint there is none that is wrong.
    if !of.disk.list(of.folder).ok()?.contains(&name) {
        return None;
    }
    let what = match compare(of, found) {
        Ok(Says::TheSame) => return None,
        Ok(Says::SomethingElse) => "it tells something else than its segment",
        Err(BadHint) => "it is damaged, or of another state of its segment",
    };
    Some(WrongHint { file: of.folder.join(name), what })
}

/// What a hint says of its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    TheSame,
    SomethingElse,
}

fn compare(of: Of<'_>, found: &Entries) -> Result<Says, BadHint> {
    let hint = Arc::new(Hint::open(of)?);
    if hint.counts != found.counts {
        return Ok(Says::SomethingElse);
    }
    let order = Order::Ascending;
    let mut told = HintCursor::at_start(hint, &KeyRange::ALL, order)?;
    let chunks = found.chunks();
    for expected in in_order(&chunks) {
        if told.entry() != Some(expected) {
            return Ok(Says::SomethingElse);
        }
        told.step(order)?;
    }
    Ok(if told.entry().is_none() { Says::TheSame } else { Says::SomethingElse })
}

#[cfg(test)]
mod tests {
    use crate::log::storage::entry::Entry;
    use std::path::Path;

    use super::*;
    use crate::log::storage::record::Kind;
    use crate::log::storage::segment::SegmentIdentity;
    use crate::log::storage::sim::SimDisk;

    const PATH: &str = "/00000001.hint";

    fn of(disk: &SimDisk) -> Of<'_> {
        let identity = SegmentIdentity { incarnation: 5, id: 1, salt: 9 };
        Of { disk, folder: Path::new("/"), identity, length: 10_000 }
    }

    fn entries(of: &[Entry<'_>]) -> Entries {
        let mut entries = Entries::default();
        of.iter().for_each(|entry| entries.push(entry));
        entries
    }

    fn write(disk: &SimDisk, entries: &Entries) {
        Hint::write(of(disk), entries.counts, in_order(&entries.chunks())).unwrap();
    }

    const ENTRY: Entry<'_> =
        Entry { key: b"b", offset: 64, version: 1, expires: 9, value_bytes: 3, kind: Kind::Set };
    const OTHER: Entry<'_> = Entry { key: b"a", offset: 200, version: 2, ..ENTRY };

    #[test]
    fn a_hint_that_says_the_same_is_right_and_a_missing_one_is_not_wrong() {
        let disk = SimDisk::new(1);
        let found = entries(&[ENTRY, OTHER, Entry { version: 3, offset: 300, ..ENTRY }]);
        assert_eq!(check(of(&disk), &found), None);
        write(&disk, &found);
        assert_eq!(check(of(&disk), &found), None);
        write(&disk, &Entries::default());
        assert_eq!(check(of(&disk), &Entries::default()), None);
    }

    #[test]
    fn a_sound_hint_that_tells_something_else_is_told_from_a_damaged_one() {
        let disk = SimDisk::new(1);
        let found = entries(&[ENTRY, OTHER]);
        for other in [
            Entry { key: b"c", ..ENTRY },
            Entry { offset: 65, ..ENTRY },
            Entry { version: 7, ..ENTRY },
            Entry { expires: 8, ..ENTRY },
            Entry { value_bytes: 4, ..ENTRY },
            Entry { kind: Kind::Delete, ..ENTRY },
            // As many records and bytes, but of one key.
            Entry { key: b"a", ..ENTRY },
        ] {
            write(&disk, &entries(&[other, OTHER]));
            let wrong = check(of(&disk), &found).unwrap();
            assert_eq!(wrong.file, Path::new(PATH));
            assert!(wrong.what.contains("something else"), "{other:?}: {}", wrong.what);
        }
        for others in [&[ENTRY][..], &[ENTRY, OTHER, Entry { key: b"c", ..ENTRY }]] {
            write(&disk, &entries(others));
            assert!(check(of(&disk), &found).unwrap().what.contains("something else"));
        }
        write(&disk, &found);
        let whole = disk.content(Path::new(PATH));
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            for bytes in [&flipped, &whole[..at].to_vec()] {
                disk.put(Path::new(PATH), bytes);
                let wrong = check(of(&disk), &found).unwrap();
                assert!(wrong.what.contains("damaged"), "byte {at}: {}", wrong.what);
                assert_eq!(disk.content(Path::new(PATH)), *bytes);
            }
        }
    }
}
