//! Users in etcd: one key each, whose value is what stands behind the name in a users file.
//!
//! Reads all of them at once, for there are few; a change is one transaction, bound to the users
//! that it changes being as they were read. Knows no sessions: who is let in decides
//! [`crate::auth`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{Compare, CompareOp, GetOptions, TxnOp, WatchOptions};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

#[cfg(feature = "cli")]
use super::config::EtcdConfig;
#[cfg(feature = "cli")]
use super::error::EtcdError;
use super::layout::Layout;
use super::link::{Ask, Door, Failed, Link};
use super::once::{Room, once};
use crate::users::{Change, Point, StoredUsers, User, UserStore, UserStoreError, Users};

/// The users of one prefix.
#[derive(Debug, Clone)]
pub(crate) struct EtcdUsers {
    link: Arc<Link>,
    layout: Layout,
}

/// All users, and at which revisions their keys were written last.
struct Snapshot {
    users: Users,
    written: HashMap<String, i64>,
    revision: i64,
}

impl EtcdUsers {
    /// Connects to a cluster for its users alone.
    ///
    /// # Errors
    ///
    /// As [`super::EtcdEngine::open`].
    #[cfg(feature = "cli")]
    pub(crate) async fn open(config: &EtcdConfig) -> Result<Self, EtcdError> {
        let link = Arc::new(Link::open(config).await?);
        Ok(Self::new(link, Layout::new(&config.prefix)))
    }

    pub(crate) fn new(link: Arc<Link>, layout: Layout) -> Self {
        Self { link, layout }
    }

    async fn snapshot(&self) -> Result<Snapshot, UserStoreError> {
        let range = self.layout.users();
        let get = |door: Arc<Door>| {
            let (from, to) = (range.start.clone(), range.end.clone());
            async move { door.kv().get(from, Some(GetOptions::new().with_range(to))).await }
        };
        let found = self.link.call(self.link.deadline(), Ask::Led, get).await;
        let found = found.map_err(unavailable)?;
        let mut written = HashMap::new();
        let mut users = Vec::with_capacity(found.kvs().len());
        for kv in found.kvs() {
            let text = |bytes: &'_ [u8]| String::from_utf8_lossy(bytes).into_owned();
            // A name that is no UTF-8 becomes one that no user can have.
            let name = self.layout.user_of(kv.key()).unwrap_or_default();
            let user = User::parse(name, &text(kv.value()))
                .map_err(|source| UserStoreError::Invalid { key: text(kv.key()), source })?;
            written.insert(name.to_owned(), kv.mod_revision());
            users.push(user);
        }
        let revision = found.header().map_or(0, |header| header.revision());
        Ok(Snapshot { users: Users::of(users), written, revision })
    }

    /// Writes a change of what was seen, if the users that it changes are still what they were: the
    /// answer is whether they are.
    async fn commit(&self, seen: &Snapshot, changes: &Changes) -> Result<bool, UserStoreError> {
        let (mut compares, mut writes) = (Vec::new(), Vec::new());
        for (name, behind) in changes {
            let key = self.layout.user(name);
            // Zero is that of a key which is not there.
            let written = seen.written.get(name).copied().unwrap_or_default();
            compares.push(Compare::mod_revision(key.clone(), CompareOp::Equal, written));
            writes.push(match behind {
                Some(behind) => TxnOp::put(key, behind.as_str(), None),
                None => TxnOp::delete(key, None),
            });
        }
        let deadline = self.link.deadline();
        let removes = changes.values().all(Option::is_none);
        let room = if removes { Room::Frees } else { Room::Takes };
        let done = once(&self.link, &self.layout, deadline, room, compares, writes).await;
        done.map_err(|failed| match failed {
            Failed { fault, in_doubt: true } => {
                UserStoreError::Unknown { reason: fault.to_string() }
            }
            failed => unavailable(failed),
        })
    }

    /// Waits for the next change behind a revision; an error is anything that ends the watch.
    async fn next_change(&self, since: i64) -> Result<(), String> {
        let told = |error: etcd_client::Error| error.to_string();
        let door = self.link.door(self.link.deadline()).await;
        let (member, door) = door.map_err(|fault| fault.to_string())?;
        let range = self.layout.users();
        let options =
            WatchOptions::new().with_range(range.end).with_start_revision(since.saturating_add(1));
        let watch = async {
            let mut stream = door.watch().watch(range.start, Some(options)).await.map_err(told)?;
            loop {
                match stream.message().await.map_err(told)? {
                    Some(message) if message.canceled() => {
                        return Err(message.cancel_reason().to_owned());
                    }
                    Some(message) if message.events().is_empty() => {}
                    Some(_) => return Ok(()),
                    None => return Err("the watch has ended".to_owned()),
                }
            }
        };
        let watched = watch.await;
        if watched.is_err() {
            self.link.leave(member);
        }
        watched
    }
}

#[async_trait]
impl UserStore for EtcdUsers {
    async fn load(&self) -> Result<StoredUsers, UserStoreError> {
        let Snapshot { users, revision, .. } = self.snapshot().await?;
        Ok(StoredUsers { users, at: Point(revision) })
    }

    async fn edit(&self, change: &Change<'_>) -> Result<(), UserStoreError> {
        let deadline = Instant::now() + LONGEST_EDIT;
        loop {
            let seen = self.snapshot().await?;
            let mut users = seen.users.clone();
            change(&mut users)?;
            let changes = changes(&seen.users, &users);
            if changes.is_empty() || self.commit(&seen, &changes).await? {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let reason = "others change the same user all the time".to_owned();
                return Err(UserStoreError::Unavailable { reason });
            }
        }
    }

    async fn changed(&self, since: Point) {
        match timeout(LONGEST_WATCH, self.next_change(since.0)).await {
            // Whoever waits looks anyway, from time to time.
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(reason)) => {
                debug!(%reason, "the users in etcd are not watched for a moment");
                sleep(PAUSE).await;
            }
        }
    }
}

/// What is to stand behind names; nothing for those of users who go.
type Changes = BTreeMap<String, Option<String>>;

fn changes(before: &Users, after: &Users) -> Changes {
    let entries = |users: &Users| -> HashMap<String, String> {
        users.iter().map(|user| (user.name.to_string(), user.behind_name())).collect()
    };
    let (before, after) = (entries(before), entries(after));
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let gone: Vec<_> = gone.map(|name| (name.clone(), None)).collect();
    let new = after.into_iter().filter(|(name, behind)| before.get(name) != Some(behind));
    new.map(|(name, behind)| (name, Some(behind))).chain(gone).collect()
}

fn unavailable(failed: Failed) -> UserStoreError {
    UserStoreError::Unavailable { reason: failed.fault.to_string() }
}

/// How long a change is tried again because others change the same user.
const LONGEST_EDIT: Duration = Duration::from_secs(5);
/// How long one watch lasts: whatever it has missed is seen by then.
const LONGEST_WATCH: Duration = Duration::from_secs(30);
/// How long to wait before the next watch when one has failed.
const PAUSE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::{Grants, StoredHash, UserName};

    const HASH: &str = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$\
                        Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8";

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    fn users(entries: &[(&str, &str)]) -> Users {
        let user = |(name, grants): &(&str, &str)| User::parse(name, &format!("{HASH}:{grants}"));
        Users::of(entries.iter().map(|entry| user(entry).unwrap()))
    }

    #[test]
    fn a_change_writes_whom_it_changes_and_nobody_else() {
        let before = users(&[("app", "read@*"), ("gone", ""), ("same", "write@a")]);
        let mut after = before.clone();
        after.remove(&name("gone")).unwrap();
        after.add(name("new"), StoredHash::parse(HASH).unwrap(), Grants::default()).unwrap();
        after.grant(&name("app"), ["write@a".parse().unwrap()]).unwrap();
        let changes = changes(&before, &after);
        let expected = [
            ("app", Some(format!("{HASH}:read@*,write@a"))),
            ("gone", None),
            ("new", Some(format!("{HASH}:"))),
        ];
        assert_eq!(changes, expected.map(|(name, behind)| (name.to_owned(), behind)).into());
    }

    #[test]
    fn nothing_changed_is_nothing_to_write() {
        let users = users(&[("app", "read@*")]);
        assert!(changes(&users, &users.clone()).is_empty());
    }
}
