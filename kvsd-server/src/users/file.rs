//! The users file: read, look up, change.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{Grant, GrantError, Grants, HashError, StoredHash, UserName, UserNameError};
use crate::secret_file::{self, SecretFileError};

/// The users of one file, with its comments.
#[derive(Debug, Clone)]
pub struct Users {
    lines: Vec<Line>,
}

/// One line of the file.
#[derive(Debug, Clone)]
enum Line {
    /// A comment or an empty line, kept for the next reader.
    Comment(String),
    User(User),
}

/// A user's line.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) name: UserName,
    pub(crate) hash: StoredHash,
    pub(crate) grants: Grants,
}

impl User {
    /// The user of this name, by what stands behind it in a line.
    pub(crate) fn parse(name: &str, behind: &str) -> Result<Self, InvalidUser> {
        let (hash, grants) = behind.split_once(':').unwrap_or((behind, ""));
        let parse = || -> Result<Self, LineReason> {
            let (name, hash) = (UserName::parse(name)?, StoredHash::parse(hash)?);
            Ok(Self { name, hash, grants: grants.parse()? })
        };
        parse().map_err(InvalidUser)
    }

    /// What stands behind the name in a line: a secret.
    pub(crate) fn behind_name(&self) -> String {
        format!("{}:{}", self.hash.as_str(), self.grants)
    }
}

impl Users {
    /// Reads a users file. Blocks.
    ///
    /// # Errors
    ///
    /// [`UsersError`] names the file, and the line where one is to blame.
    pub fn load(path: &Path) -> Result<Self, UsersError> {
        Self::from_bytes(path, secret_file::read(path)?)
    }

    /// Reads the text of a users file.
    ///
    /// # Errors
    ///
    /// [`LineError`] for the first line that is not as it must be.
    fn parse(text: &str) -> Result<Self, LineError> {
        let mut users = Self { lines: Vec::new() };
        for (number, line) in (1..).zip(text.lines()) {
            let wrong = |reason| LineError { line: number, reason };
            if line.is_empty() || line.starts_with('#') {
                users.lines.push(Line::Comment(line.to_owned()));
                continue;
            }
            let (name, behind) = line.split_once(':').ok_or(wrong(LineReason::NoColon))?;
            let user = User::parse(name, behind).map_err(|InvalidUser(reason)| wrong(reason))?;
            if users.contains(&user.name) {
                return Err(wrong(LineReason::Twice));
            }
            users.lines.push(Line::User(user));
        }
        Ok(users)
    }

    /// These users, each of whom is there once.
    #[cfg(feature = "etcd")]
    pub(crate) fn of(users: impl IntoIterator<Item = User>) -> Self {
        Self { lines: users.into_iter().map(Line::User).collect() }
    }

    /// Changes a users file under its lock, and creates it if there is none: reads it, lets
    /// `change` act, replaces it as a whole. An error of `change` leaves it as it was. Blocks while
    /// another process changes it.
    ///
    /// # Errors
    ///
    /// [`UsersError`] of the file or of `change`.
    pub fn edit<T>(
        path: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, UsersError>,
    ) -> Result<T, UsersError> {
        let mut file = lock(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|source| io("read", path, source))?;
        let mut users = Self::from_bytes(path, bytes)?;
        let result = change(&mut users)?;
        secret_file::replace(path, users.to_text().as_bytes())?;
        Ok(result)
    }

    /// Adds a user.
    ///
    /// # Errors
    ///
    /// [`UsersError::Exists`] if there is one of that name.
    pub fn add(
        &mut self,
        name: UserName,
        hash: StoredHash,
        grants: Grants,
    ) -> Result<(), UsersError> {
        if self.contains(&name) {
            return Err(UsersError::Exists { name });
        }
        self.lines.push(Line::User(User { name, hash, grants }));
        Ok(())
    }

    /// Gives a user another password.
    ///
    /// # Errors
    ///
    /// [`UsersError::Unknown`] if there is none of that name.
    pub fn set_password(&mut self, name: &UserName, hash: StoredHash) -> Result<(), UsersError> {
        self.get_mut(name)?.hash = hash;
        Ok(())
    }

    /// Grants a user more; one role on a pattern takes the place of another.
    ///
    /// # Errors
    ///
    /// [`UsersError::Unknown`] if there is no user of that name; [`UsersError::Grant`] if it would
    /// have too many grants.
    pub fn grant(
        &mut self,
        name: &UserName,
        grants: impl IntoIterator<Item = Grant>,
    ) -> Result<(), UsersError> {
        let user = self.get_mut(name)?;
        grants.into_iter().try_for_each(|grant| user.grants.add(grant)).map_err(Into::into)
    }

    /// Takes grants away from a user.
    ///
    /// # Errors
    ///
    /// [`UsersError::Unknown`] if there is no user of that name; [`UsersError::NotGranted`] for the
    /// first grant that it does not have.
    pub fn revoke<'g>(
        &mut self,
        name: &UserName,
        grants: impl IntoIterator<Item = &'g Grant>,
    ) -> Result<(), UsersError> {
        let user = self.get_mut(name)?;
        grants.into_iter().try_for_each(|grant| match user.grants.remove(grant) {
            true => Ok(()),
            false => {
                Err(UsersError::NotGranted { name: name.clone(), grants: user.grants.clone() })
            }
        })
    }

    /// What a user may do; `None` if there is none of that name.
    #[must_use]
    pub fn grants(&self, name: &UserName) -> Option<&Grants> {
        self.iter().find(|user| user.name == *name).map(|user| &user.grants)
    }

    /// Removes a user.
    ///
    /// # Errors
    ///
    /// [`UsersError::Unknown`] if there is none of that name.
    pub fn remove(&mut self, name: &UserName) -> Result<(), UsersError> {
        let is_it = |line: &Line| matches!(line, Line::User(user) if user.name == *name);
        let place = self.lines.iter().position(is_it);
        let place = place.ok_or_else(|| UsersError::Unknown { name: name.clone() })?;
        self.lines.remove(place);
        Ok(())
    }

    /// The names, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &UserName> {
        self.iter().map(|user| &user.name)
    }

    /// The users, in the order of the file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &User> {
        self.lines.iter().filter_map(|line| match line {
            Line::Comment(_) => None,
            Line::User(user) => Some(user),
        })
    }

    fn get_mut(&mut self, name: &UserName) -> Result<&mut User, UsersError> {
        let mut users = self.lines.iter_mut().filter_map(|line| match line {
            Line::Comment(_) => None,
            Line::User(user) => Some(user),
        });
        let found = users.find(|user| user.name == *name);
        found.ok_or_else(|| UsersError::Unknown { name: name.clone() })
    }

    /// Whether there is a user of this name.
    #[must_use]
    pub fn contains(&self, name: &UserName) -> bool {
        self.names().any(|other| other == name)
    }

    /// Whether the file has no line at all.
    pub(crate) fn is_blank(&self) -> bool {
        self.lines.is_empty()
    }

    fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, UsersError> {
        let text =
            String::from_utf8(bytes).map_err(|_| UsersError::NotText { path: path.to_owned() })?;
        Self::parse(&text).map_err(|source| UsersError::Line { path: path.to_owned(), source })
    }

    /// The text of the file.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            match line {
                Line::Comment(comment) => text.push_str(comment),
                Line::User(user) => {
                    text.push_str(&format!("{}:{}", user.name, user.behind_name()));
                }
            }
            text.push('\n');
        }
        text
    }
}

/// A file without users: the comment that says what it is.
impl Default for Users {
    fn default() -> Self {
        Self { lines: vec![Line::Comment(HEADER.to_owned())] }
    }
}

/// Opens the file and takes its lock, creating it if need be. The lock is on the file and the file
/// is replaced by every change, so after waiting for the lock the name may mean another file.
fn lock(path: &Path) -> Result<File, UsersError> {
    loop {
        let file = match secret_file::open(path) {
            Ok(file) => file,
            Err(SecretFileError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                match secret_file::create(path, Users::default().to_text().as_bytes()) {
                    Err(SecretFileError::Io { source, .. })
                        if source.kind() == std::io::ErrorKind::AlreadyExists => {}
                    created => created?,
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        file.lock().map_err(|source| io("lock", path, source))?;
        let locked = file.metadata().map_err(|source| io("read", path, source))?;
        let named = std::fs::metadata(path).map_err(|source| io("read", path, source))?;
        if (locked.dev(), locked.ino()) == (named.dev(), named.ino()) {
            return Ok(file);
        }
    }
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> UsersError {
    UsersError::File(SecretFileError::Io { action, path: path.to_owned(), source })
}

/// What a new file starts with.
const HEADER: &str = "# The users of kvsd, one a line: NAME:HASH:GRANTS (argon2id; \
                      ROLE@TABLE,...). Change it with `kvsd-server user`.";

/// Why the users cannot be read or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UsersError {
    /// The file cannot be read or written, or others can read it.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// The file is not UTF-8.
    #[error("the users file {} is not UTF-8 text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The file has no line at all, not even a comment.
    #[error("the users file {} is empty", path.display())]
    Blank {
        /// The file.
        path: PathBuf,
    },
    /// A line is not as it must be.
    #[error("the users file {} is not valid", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, and why.
        source: LineError,
    },
    /// There is a user of that name.
    #[error(
        "there is a user {name} already; `kvsd-server user password {name}` gives it another password"
    )]
    Exists {
        /// The name.
        name: UserName,
    },
    /// There is no user of that name.
    #[error("there is no user {name}")]
    Unknown {
        /// The name.
        name: UserName,
    },
    /// A user cannot have these grants.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// What was to be taken away was not granted.
    #[error("user {name} does not have that grant; it has: {}", Shown(grants))]
    NotGranted {
        /// The user.
        name: UserName,
        /// What it has.
        grants: Grants,
    },
}

/// Grants for people.
struct Shown<'g>(&'g Grants);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.is_empty() {
            true => f.write_str("none"),
            false => self.0.fmt(f),
        }
    }
}

/// A line of a users file that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct LineError {
    line: usize,
    reason: LineReason,
}

/// What stands for a user somewhere, and is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(transparent)]
pub(crate) struct InvalidUser(LineReason);

/// What is wrong with a line. Never shows the line: it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
enum LineReason {
    #[error("write NAME:HASH:GRANTS")]
    NoColon,
    #[error(transparent)]
    Name(#[from] UserNameError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Grant(#[from] GrantError),
    #[error("this user stands on an earlier line already")]
    Twice,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$\
                        Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8";

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    fn hash() -> StoredHash {
        StoredHash::parse(HASH).unwrap()
    }

    fn names(path: &Path) -> Vec<String> {
        Users::load(path).unwrap().names().map(ToString::to_string).collect()
    }

    fn reason(text: &str) -> (usize, String) {
        let error = Users::parse(text).unwrap_err();
        (error.line, error.reason.to_string())
    }

    #[test]
    fn added_users_are_there_and_removed_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        for user in ["app", "ops"] {
            Users::edit(&path, |users| users.add(name(user), hash(), Grants::default())).unwrap();
        }
        assert_eq!(names(&path), ["app", "ops"]);
        let again = Users::edit(&path, |users| users.add(name("app"), hash(), Grants::default()));
        assert!(matches!(again, Err(UsersError::Exists { .. })));
        Users::edit(&path, |users| users.remove(&name("app"))).unwrap();
        assert_eq!(names(&path), ["ops"]);
        let again = Users::edit(&path, |users| users.remove(&name("app")));
        assert!(matches!(again, Err(UsersError::Unknown { .. })));
    }

    #[test]
    fn comments_survive_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        secret_file::create(&path, b"# ours\n\n").unwrap();
        Users::edit(&path, |users| users.add(name("app"), hash(), Grants::default())).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("# ours\n\napp:{HASH}:\n"));
    }

    #[test]
    fn a_failed_change_leaves_the_file_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        Users::edit(&path, |users| users.add(name("app"), hash(), Grants::default())).unwrap();
        let before = std::fs::read(&path).unwrap();
        let failed: Result<(), _> = Users::edit(&path, |users| {
            users.remove(&name("app"))?;
            users.remove(&name("app"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn changes_at_the_same_time_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    let user = name(&format!("user-{number}"));
                    Users::edit(path, |users| users.add(user, hash(), Grants::default())).unwrap();
                });
            }
        });
        assert_eq!(names(&path).len(), 8);
    }

    #[test]
    fn wrong_lines_are_named() {
        let good = format!("app:{HASH}\n");
        assert_eq!(reason("app"), (1, "write NAME:HASH:GRANTS".to_owned()));
        assert_eq!(reason(&format!("\n{good}{good}")).0, 3);
        assert!(reason(&format!("{good}ops:secret")).1.contains("PHC"));
        assert!(!format!("{:?}", Users::parse("ops:canary")).contains("canary"));
        assert!(reason(&format!(":{HASH}")).1.contains("empty"));
        assert!(reason(&format!(" app:{HASH}")).1.contains("white space"));
    }

    #[test]
    fn grants_stand_behind_the_hash_and_an_older_line_has_none() {
        let text = format!("old:{HASH}\nnone:{HASH}:\napp:{HASH}:write@orders,read@*\n");
        let mut users = Users::parse(&text).unwrap();
        let shown = |users: &Users, of: &str| users.grants(&name(of)).unwrap().to_string();
        assert_eq!(shown(&users, "old"), "");
        assert_eq!(shown(&users, "none"), "");
        assert_eq!(shown(&users, "app"), "write@orders,read@*");
        assert_eq!(reason(&format!("app:{HASH}:owner@x")).1, GrantError::Role.to_string());

        let grant = |text: &str| text.parse::<Grant>().unwrap();
        users.grant(&name("old"), [grant("read@a"), grant("admin@b")]).unwrap();
        users.grant(&name("old"), [grant("write@a")]).unwrap();
        assert_eq!(shown(&users, "old"), "write@a,admin@b");
        users.revoke(&name("old"), [&grant("admin@b")]).unwrap();
        assert_eq!(shown(&users, "old"), "write@a");
        let error = users.revoke(&name("old"), [&grant("read@a")]).unwrap_err();
        assert_eq!(error.to_string(), "user old does not have that grant; it has: write@a");
        let error = users.grant(&name("eve"), [grant("read@a")]).unwrap_err();
        assert!(matches!(error, UsersError::Unknown { .. }));
    }

    #[test]
    fn another_password_leaves_the_grants() {
        let mut users = Users::parse(&format!("app:{HASH}:read@a\n")).unwrap();
        let other = HASH.replace("Zm9v", "YmFy");
        users.set_password(&name("app"), StoredHash::parse(&other).unwrap()).unwrap();
        assert_eq!(users.to_text(), format!("app:{other}:read@a\n"));
    }

    #[test]
    fn a_file_that_is_not_text_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        secret_file::create(&path, b"\xff\xfe").unwrap();
        assert!(matches!(Users::load(&path), Err(UsersError::NotText { .. })));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC*|(.|\n)*") {
            let _ = Users::parse(&text);
        }

        #[test]
        fn what_is_read_is_written_back(
            names in prop::collection::btree_set("[^\\s\\p{Cc}:#][^\\s\\p{Cc}:]{0,20}", 0..6),
        ) {
            let grants = ["", "read@a", "admin@*", "write@orders-*,read@default"];
            let lines = names.iter().zip(grants.iter().cycle());
            let text: String =
                lines.map(|(name, grants)| format!("{name}:{HASH}:{grants}\n")).collect();
            let users = Users::parse(&text).unwrap();
            prop_assert_eq!(users.to_text(), text);
            prop_assert_eq!(users.names().count(), names.len());
        }
    }
}
