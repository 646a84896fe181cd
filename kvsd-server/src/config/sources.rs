//! The files that are read again while the server runs, and how it sees that they have changed.
//!
//! Looks at what the system says of a file, never into it. Next file to read: `settings`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::Layers;
use crate::tls::TlsFiles;

/// What is read again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    pub(crate) tls: Option<(TlsFiles, Watch)>,
    pub(crate) users: Option<(PathBuf, Watch)>,
    /// Written, and opened again.
    pub(crate) audit_log: Option<PathBuf>,
    /// With the configuration file.
    pub(crate) layers: Option<Layers>,
}

/// Some files, as they were when they were looked at last.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    files: Vec<(PathBuf, Option<Stamp>)>,
    /// They could not be read when they had changed.
    pub(crate) is_unread: bool,
}

/// What differs when a file was written, replaced, or opened to others. Behind a link: of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    bytes: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Watch {
    /// Looks at these files. To be called before they are read: what changes later is noticed.
    pub(crate) fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let look = |file: PathBuf| {
            let stamp = Stamp::of(&file);
            (file, stamp)
        };
        Self { files: files.into_iter().map(look).collect(), is_unread: false }
    }

    /// Looks again; whether anything has changed.
    pub(crate) fn has_changed(&mut self) -> bool {
        let mut has_changed = false;
        for (file, seen) in &mut self.files {
            let now = Stamp::of(file);
            has_changed |= now != *seen;
            *seen = now;
        }
        has_changed
    }
}

impl Stamp {
    /// None for a file that cannot be reached.
    fn of(file: &PathBuf) -> Option<Self> {
        let found = fs::metadata(file).ok()?;
        Some(Self {
            file: (found.dev(), found.ino()),
            bytes: found.len(),
            written: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_is_replaced_written_opened_or_gone_has_changed_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut watch = Watch::new([path("one"), path("two")]);
        assert!(!watch.has_changed(), "absent as before");
        let mut assert_changed = |what: &str| {
            assert!(watch.has_changed(), "{what}");
            assert!(!watch.has_changed(), "{what}, seen already");
        };
        fs::write(path("one"), "1").unwrap();
        assert_changed("made");
        fs::write(path("one"), "12").unwrap();
        assert_changed("written");
        fs::write(path("other"), "12").unwrap();
        fs::rename(path("other"), path("one")).unwrap();
        assert_changed("replaced");
        fs::set_permissions(path("one"), PermissionsExt::from_mode(0o640)).unwrap();
        assert_changed("opened to others");
        std::os::unix::fs::symlink(path("one"), path("two")).unwrap();
        assert_changed("linked");
        fs::write(path("one"), "123").unwrap();
        assert_changed("written behind the link");
        fs::remove_file(path("two")).unwrap();
        assert_changed("gone");
    }
}
