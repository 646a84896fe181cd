//! Writes as the cases spell them.

use bytes::Bytes;
use kvsd::{UnixMillis, Version};

use crate::engine::{Action, BeforeDetail, Change, Condition, Write};

/// Stores a value without an end.
pub(super) fn set(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Write {
    one(key, Action::Set { value: Bytes::copy_from_slice(value.as_ref()), expires_at: None })
}

/// Stores a value that ends.
pub(super) fn set_until(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, end: UnixMillis) -> Write {
    let value = Bytes::copy_from_slice(value.as_ref());
    one(key, Action::Set { value, expires_at: Some(end) })
}

pub(super) fn delete(key: impl AsRef<[u8]>) -> Write {
    one(key, Action::Delete)
}

pub(super) fn increment(key: impl AsRef<[u8]>, by: i64) -> Write {
    one(key, Action::Increment { by })
}

pub(super) fn expire(key: impl AsRef<[u8]>, at: Option<UnixMillis>) -> Write {
    one(key, Action::Expire { at })
}

pub(super) fn check(key: impl AsRef<[u8]>, condition: Condition) -> Write {
    when(condition, one(key, Action::Check))
}

fn one(key: impl AsRef<[u8]>, action: Action) -> Write {
    let key = Bytes::copy_from_slice(key.as_ref());
    let change = Change { key, condition: Condition::Any, action };
    Write { changes: [change].into(), before: BeforeDetail::Record }
}

/// The write, if the condition holds for each of its keys.
pub(super) fn when(condition: Condition, mut write: Write) -> Write {
    write.changes.iter_mut().for_each(|change| change.condition = condition);
    write
}

/// All of them as one write.
pub(super) fn batch(writes: impl IntoIterator<Item = Write>) -> Write {
    let changes = writes.into_iter().flat_map(|write| write.changes).collect();
    Write { changes, before: BeforeDetail::Record }
}

/// The write, whose answer only tells whether there were records.
pub(super) fn quiet(write: Write) -> Write {
    Write { before: BeforeDetail::Presence, ..write }
}

/// A version that no write of a case gets.
pub(super) fn unheard_of() -> Version {
    Version::new(1 << 60).expect("it is below 2^63")
}
