//! Files that hold secrets: read only when nobody else can read them, written with mode 0600 from
//! the first byte on.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a file with a secret is not used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// The system refuses.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner can get at the file.
    #[error(
        "{path} is open to other users of this machine (mode {mode:04o}); run `chmod 600 {path}`",
        path = path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// Opens a file with a secret.
pub(crate) fn open(path: &Path) -> Result<File, SecretFileError> {
    let file = File::open(path).map_err(|source| unreadable(path, source))?;
    refuse_if_exposed(path, &file)?;
    Ok(file)
}

/// Asks the open file: what is checked is what is read or written.
fn refuse_if_exposed(path: &Path, file: &File) -> Result<(), SecretFileError> {
    let found = file.metadata().map_err(|source| unreadable(path, source))?;
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

fn unreadable(path: &Path, source: io::Error) -> SecretFileError {
    SecretFileError::Io { action: "read", path: path.to_owned(), source }
}

/// Opens a file to write at its end, and makes it if it is not there.
pub(crate) fn open_to_append(path: &Path) -> Result<File, SecretFileError> {
    let io = |source| SecretFileError::Io { action: "write", path: path.to_owned(), source };
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(io)?;
    refuse_if_exposed(path, &file)?;
    Ok(file)
}

/// Reads a file with a secret.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, SecretFileError> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(|source| unreadable(path, source))?;
    Ok(bytes)
}

/// Creates a file with a secret. One that exists is an error.
pub(crate) fn create(path: &Path, contents: &[u8]) -> Result<(), SecretFileError> {
    create_with_mode(path, contents, 0o600).map_err(|source| SecretFileError::Io {
        action: "create",
        path: path.to_owned(),
        source,
    })
}

/// Creates a file with this mode, whole or not at all. One that exists is an error.
pub(crate) fn create_with_mode(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    let written = file.write_all(contents).and_then(|()| file.sync_all());
    if written.is_err() {
        // The error of the write is the one to tell.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// Replaces a file with a secret by another content, so that a crash leaves the old or the new
/// one. The file keeps its owner: an administrator's edit must not lock the server out.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> Result<(), SecretFileError> {
    let write = || {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // Created with mode 0600.
        let mut next = tempfile::NamedTempFile::new_in(folder)?;
        next.write_all(contents)?;
        let old = std::fs::metadata(path)?;
        let new = next.as_file().metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            std::os::unix::fs::fchown(next.as_file(), Some(old.uid()), Some(old.gid()))?;
        }
        next.as_file().sync_all()?;
        next.persist(path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| SecretFileError::Io { action: "write", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_file_open_to_others_is_refused_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create(&path, b"s").unwrap();
        assert_eq!(read(&path).unwrap(), b"s");
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let error = read(&path).unwrap_err();
            assert!(matches!(error, SecretFileError::Exposed { .. }), "{mode:o}: {error}");
            assert!(error.to_string().contains("chmod 600 "), "{error}");
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
        assert_eq!(read(&path).unwrap(), b"s");
    }

    #[test]
    fn creating_never_overwrites_and_replacing_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create(&path, b"one").unwrap();
        assert!(create(&path, b"two").is_err());
        assert_eq!(read(&path).unwrap(), b"one");
        replace(&path, b"three").unwrap();
        assert_eq!(read(&path).unwrap(), b"three");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
