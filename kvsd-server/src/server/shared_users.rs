//! Users that several servers share, in force on this one: what one of them changes, all take up.
//!
//! While nobody can be asked who the users are, those that were known last stay in force. Next file
//! to read: [`crate::auth`].

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::sleep;
use tracing::{info, warn};

use super::reload::{tell_of_ungranted, with_causes};
use crate::audit::Audit;
use crate::auth::Authenticator;
use crate::users::{Change, Point, StoredUsers, UserStore, UserStoreError, Users};

/// The users of a store, and those whom they are in force with.
#[derive(Debug)]
pub(super) struct SharedUsers {
    store: Arc<dyn UserStore>,
    authenticator: Authenticator,
    audit: Arc<Audit>,
    /// Of what is in force. Held from reading the users until they are, so that older ones never
    /// take the place of newer ones.
    at: Mutex<Point>,
}

impl SharedUsers {
    /// Puts the users in force that there are; how many, which may be none.
    pub(super) async fn open(
        store: Arc<dyn UserStore>,
        authenticator: Authenticator,
        audit: Arc<Audit>,
    ) -> Result<(Self, usize), UserStoreError> {
        let StoredUsers { users, at } = store.load().await?;
        let count = authenticator.replace(&users).len();
        tell_of_ungranted(&authenticator, HOW_TO_GRANT);
        Ok((Self { store, authenticator, audit, at: Mutex::new(at) }, count))
    }

    /// Puts the users in force that there are now; how many were added, removed or changed.
    pub(super) async fn refresh(&self) -> Result<usize, UserStoreError> {
        let mut in_force = self.at.lock().await;
        let StoredUsers { users, at } = self.store.load().await?;
        let changed = self.authenticator.replace(&users);
        *in_force = at;
        drop(in_force);
        if changed.len() > 0 {
            info!(changed = changed.len(), "users read again");
            self.audit.users_changed(&changed);
            tell_of_ungranted(&self.authenticator, HOW_TO_GRANT);
        }
        Ok(changed.len())
    }

    /// Changes the users for all servers; in force here once this is ready. Whether it is, if they
    /// could be changed.
    pub(super) async fn edit(&self, change: &Change<'_>) -> Result<InForce, UserStoreError> {
        self.store.edit(change).await?;
        Ok(self.refresh().await.map_or(InForce::Later, |_| InForce::Now))
    }

    pub(super) async fn users(&self) -> Result<Users, UserStoreError> {
        Ok(self.store.load().await?.users)
    }

    /// Takes up what others change, for as long as it is polled.
    pub(super) async fn watch(&self) -> Infallible {
        let mut is_lost = false;
        loop {
            let at = *self.at.lock().await;
            self.store.changed(at).await;
            match (self.refresh().await, is_lost) {
                (Ok(_), false) => {}
                (Ok(_), true) => {
                    is_lost = false;
                    info!("the users can be read again");
                }
                (Err(error), was_lost) => {
                    is_lost = true;
                    if !was_lost {
                        let reason = with_causes(&error);
                        warn!(%reason, "users not read again; those known last stay in force");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// When a change acts on this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InForce {
    Now,
    /// As soon as the users can be read.
    Later,
}

const HOW_TO_GRANT: &str = "kvsd-server user grant NAME 'write@*' --config FILE";
/// How long to wait when the users cannot be read.
const PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;

    use async_trait::async_trait;
    use tokio::sync::Notify;

    use super::*;
    use crate::users::{Grants, Password, StoredHash, UserName};

    /// Users in memory, that can be out of reach.
    #[derive(Debug, Default)]
    struct Store {
        users: StdMutex<(Users, i64)>,
        is_away: StdMutex<bool>,
        told: Notify,
    }

    impl Store {
        fn set(&self, names: &[&str]) {
            let mut users = Users::default();
            for name in names {
                let password = Password::new(name.as_bytes().to_vec()).unwrap();
                let hash = StoredHash::of(&password).unwrap();
                users.add(UserName::parse(name).unwrap(), hash, Grants::all()).unwrap();
            }
            let mut now = self.users.lock().unwrap();
            *now = (users, now.1 + 1);
            self.told.notify_one();
        }

        fn go(&self, is_away: bool) {
            *self.is_away.lock().unwrap() = is_away;
            self.told.notify_one();
        }
    }

    #[async_trait]
    impl UserStore for Store {
        async fn load(&self) -> Result<StoredUsers, UserStoreError> {
            if *self.is_away.lock().unwrap() {
                return Err(UserStoreError::Unavailable { reason: "away".to_owned() });
            }
            let (users, at) = self.users.lock().unwrap().clone();
            Ok(StoredUsers { users, at: Point(at) })
        }

        async fn edit(&self, change: &Change<'_>) -> Result<(), UserStoreError> {
            change(&mut self.users.lock().unwrap().0)?;
            Ok(())
        }

        async fn changed(&self, _: Point) {
            self.told.notified().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_taken_up_and_the_last_known_users_stay_while_nobody_can_be_asked() {
        let store = Arc::new(Store::default());
        store.set(&["one"]);
        let authenticator = Authenticator::of_nobody();
        let (shared, count) =
            SharedUsers::open(Arc::clone(&store) as _, authenticator.clone(), Arc::default())
                .await
                .unwrap();
        assert_eq!(count, 1);
        let login = |name: &'static str| {
            let authenticator = authenticator.clone();
            async move { authenticator.verify(name.as_bytes(), name.as_bytes(), None).await.map(drop) }
        };
        assert!(login("one").await.is_ok());

        let watching = tokio::spawn(async move { shared.watch().await });
        let mut one = authenticator.admit(b"one").unwrap();
        store.go(true);
        sleep(PAUSE * 3).await;
        assert!(login("one").await.is_ok(), "known from before");
        store.set(&["two"]);
        sleep(PAUSE * 3).await;
        assert!(login("two").await.is_err(), "nobody could be asked");
        store.go(false);
        one.revoked().await;
        assert!(login("one").await.is_err());
        assert!(login("two").await.is_ok());
        watching.abort();
    }

    #[tokio::test]
    async fn a_change_is_in_force_before_it_is_answered() {
        let store = Arc::new(Store::default());
        store.set(&["one", "two"]);
        let authenticator = Authenticator::of_nobody();
        let opened =
            SharedUsers::open(Arc::clone(&store) as _, authenticator.clone(), Arc::default());
        let (shared, _) = opened.await.unwrap();
        let one = UserName::parse("one").unwrap();
        let remove = move |users: &mut Users| users.remove(&one);
        assert_eq!(shared.edit(&remove).await.unwrap(), InForce::Now);
        assert!(authenticator.admit(b"one").is_none() && authenticator.admit(b"two").is_some());
        assert!(matches!(shared.edit(&remove).await, Err(UserStoreError::Users(_))));
    }
}
