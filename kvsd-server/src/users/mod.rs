//! Who may log in: names, passwords, their hashes and the file that keeps them.
//!
//! ```text
//! # a line that starts with '#' is a comment; so is an empty one
//! app:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$6S1...
//! `-' `--------------------------------------------------'
//! name  PHC string of the password: argon2id, version 19
//! ```
//!
//! A line a user, each name once, UTF-8. The file holds secrets: it is refused when its group or
//! others can reach it, and rewritten as a whole, so that a crash leaves the old or the new one.
//! Nothing here knows connections, and no password is ever shown, logged or written. Next file to
//! read: [`crate::auth`], which checks passwords against it.

mod file;
mod hash;
mod name;
mod password;

pub use file::{Users, UsersError};
pub(crate) use hash::HashMemory;
pub use hash::{HashError, StoredHash};
pub use name::{MAX_USER_NAME_BYTES, UserName, UserNameError};
pub use password::{MAX_PASSWORD_BYTES, Password, PasswordError};

pub use crate::secret_file::SecretFileError;
