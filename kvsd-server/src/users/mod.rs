//! Who may log in, and what they may do then: names, passwords, their hashes, grants, and the file
//! that keeps them.
//!
//! ```text
//! # a line that starts with '#' is a comment; so is an empty one
//! app:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$6S1...:write@orders-*,read@default
//! `-' `--------------------------------------------------' `--------------------------'
//! name  PHC string of the password: argon2id, version 19     grants: roles on tables
//! ```
//!
//! A line without grants, with the second `:` or without it, is a user who may log in and no more.
//!
//! A line a user, each name once, UTF-8. The file holds secrets: it is refused when its group or
//! others can reach it, and rewritten as a whole, so that a crash leaves the old or the new one.
//! Nothing here knows connections, and no password is ever shown, logged or written. Next file to
//! read: [`crate::auth`], which checks passwords against it.

mod file;
mod grant;
mod hash;
mod name;
mod password;
mod store;

pub(crate) use file::{InvalidUser, User};
pub use file::{Users, UsersError};
pub use grant::{Grant, GrantError, Grants, MAX_GRANTS, Pattern, Role};
pub(crate) use hash::HashMemory;
pub use hash::{HashError, StoredHash};
pub use name::{MAX_USER_NAME_BYTES, UserName, UserNameError};
pub use password::{MAX_PASSWORD_BYTES, Password, PasswordError};
pub(crate) use store::{Change, Point, StoredUsers, UserStore, UserStoreError};

pub use crate::secret_file::SecretFileError;
