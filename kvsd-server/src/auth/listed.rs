//! The pool that checks passwords, and all that comes before it.
//!
//! Next file to read: `list`.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::Denied;
use super::attempts::Attempts;
use super::list::{Changes, List, Login};
use super::seal::Seal;
use super::turns::Turns;
use crate::users::{HashMemory, Password, StoredHash, Users};

/// The users and the pool that checks them.
pub(super) struct Listed {
    list: RwLock<Arc<List>>,
    /// Chooses among the decoys.
    decoy: RandomState,
    /// None if nothing can be remembered.
    seal: Option<Seal>,
    attempts: Attempts,
    turns: Turns,
    /// Who waits or is being checked.
    queue: Semaphore,
    /// Who is being checked.
    pool: Arc<Semaphore>,
    /// What the checks worked in that have ended.
    memory: Arc<Mutex<Vec<HashMemory>>>,
}

impl Listed {
    pub(super) fn new(users: &Users) -> Option<Self> {
        let list = List::new(users, &List::default());
        if list.users.is_empty() { None } else { Some(Self::of(list)) }
    }

    pub(super) fn of_nobody() -> Self {
        Self::of(List::default())
    }

    fn of(list: List) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            list: RwLock::new(Arc::new(list)),
            decoy: RandomState::new(),
            seal: Seal::new(),
            attempts: Attempts::new(),
            turns: Turns::default(),
            queue: Semaphore::new(MAX_QUEUE),
            pool: Arc::new(Semaphore::new(cores.min(MAX_CHECKS))),
            memory: Arc::default(),
        }
    }

    pub(super) fn list(&self) -> Arc<List> {
        Arc::clone(&self.list.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets go of what was right too long ago.
    pub(super) fn forget(&self, now: Instant) {
        self.list().users.values().for_each(|user| user.forget(now));
    }

    pub(super) fn replace(&self, users: &Users) -> Changes {
        let mut current = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let list = List::new(users, &current);
        let changes = list.changes(&current);
        current.end(&list);
        *current = Arc::new(list);
        changes
    }

    pub(super) async fn verify(
        &self,
        user: &[u8],
        password: &[u8],
        from: Option<IpAddr>,
    ) -> Result<Login, Denied> {
        let Ok(password) = Password::new(password.to_vec()) else {
            // No user has such a password; that it cannot be right is no secret.
            return Err(Denied::Credentials);
        };
        let deadline = Instant::now() + MAX_WAIT;
        let who = self.attempts.who(from, user);
        let turn = timeout_at(deadline, self.turns.take(who)).await;
        let _turn = turn.map_err(|_| Denied::Busy)?;
        if !self.attempts.allows(who, Instant::now()) {
            return Err(Denied::Failures);
        }
        let list = self.list();
        let known = list.users.get(user);
        // For unknown users too, who are to cost the same.
        let sealed = self.seal.as_ref().map(|seal| seal.seal(user, &password));
        if let (Some(known), Some(sealed)) = (known, &sealed)
            && known.remembers(sealed, Instant::now())
        {
            return Ok(known.login());
        }
        let hash = match known {
            Some(known) => &known.hash,
            // Nobody was ever known: there is nothing to find out.
            None if list.decoys.is_empty() => return Err(Denied::Credentials),
            None => self.decoy_for(user, &list.decoys),
        };
        let is_right = self.check(hash.clone(), password, deadline).await?;
        match known {
            Some(known) if is_right => {
                if let Some(sealed) = sealed {
                    known.remember(sealed, Instant::now());
                }
                // Of the list that was asked: if that is the old one by now, it ends at once.
                Ok(known.login())
            }
            _ => {
                self.attempts.failed(who, Instant::now());
                Err(Denied::Credentials)
            }
        }
    }

    /// Whether this is the hash of the password, once the pool has a place for the question.
    async fn check(
        &self,
        hash: StoredHash,
        password: Password,
        deadline: Instant,
    ) -> Result<bool, Denied> {
        let _place = self.queue.try_acquire().map_err(|_| Denied::Busy)?;
        let slot = timeout_at(deadline, Arc::clone(&self.pool).acquire_owned()).await;
        let slot = slot.map_err(|_| Denied::Busy)?.map_err(|_| Denied::Busy)?;
        let all_memory = Arc::clone(&self.memory);
        let check = tokio::task::spawn_blocking(move || {
            let kept = || all_memory.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = kept().pop().unwrap_or_default();
            let matches = hash.matches(&password, &mut memory);
            kept().push(memory);
            // The slot goes with the work, not with the one who waits for it.
            drop(slot);
            matches
        });
        // The runtime stops, or the check panicked: either way, nobody gets in.
        check.await.map_err(|_| Denied::Busy)
    }

    /// The same user's hash for the same name, so that repeating a name tells nothing either.
    fn decoy_for<'l>(&self, user: &[u8], decoys: &'l [StoredHash]) -> &'l StoredHash {
        let digest = self.decoy.hash_one(user) % decoys.len() as u64;
        let place = usize::try_from(digest);
        &decoys[place.expect("a remainder is smaller than the length, a usize")]
    }
}

/// How many are checked at once, at most one a core: each takes 19 MiB.
const MAX_CHECKS: usize = 4;
/// How many wait or are being checked, at most: on two cores the last one waits some five seconds.
const MAX_QUEUE: usize = 512;
/// How long a client waits for its turn and for the pool.
const MAX_WAIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::{Grants, UserName};

    impl Listed {
        /// Whether this client is let in.
        async fn lets_in(
            &self,
            user: &[u8],
            password: &[u8],
            from: Option<IpAddr>,
        ) -> Result<(), Denied> {
            self.verify(user, password, from).await.map(|_| ())
        }
    }

    fn listed(pairs: &[(&str, &str)]) -> Listed {
        Listed::new(&users(pairs)).unwrap()
    }

    fn users(pairs: &[(&str, &str)]) -> Users {
        let mut users = Users::default();
        for (name, password) in pairs {
            let password = Password::new(password.as_bytes().to_vec()).unwrap();
            let hash = StoredHash::of(&password).unwrap();
            users.add(UserName::parse(name).unwrap(), hash, Grants::all()).unwrap();
        }
        users
    }

    #[tokio::test]
    async fn each_user_has_its_own_password() {
        let listed = listed(&[("app", "one"), ("ops", "two")]);
        assert_eq!(listed.lets_in(b"app", b"one", None).await, Ok(()));
        assert_eq!(listed.lets_in(b"ops", b"two", None).await, Ok(()));
        assert_eq!(listed.lets_in(b"app", b"two", None).await, Err(Denied::Credentials));
        assert_eq!(listed.lets_in(b"ops", b"one", None).await, Err(Denied::Credentials));
        assert_eq!(listed.lets_in(b"app", b"", None).await, Err(Denied::Credentials));
        assert_eq!(listed.lets_in(b"app", &[b'x'; 513], None).await, Err(Denied::Credentials));
    }

    #[tokio::test]
    async fn an_unknown_user_is_denied_even_with_the_password_of_its_decoy() {
        let listed = listed(&[("app", "one")]);
        for user in [&b"nobody"[..], b"", b"APP", b"app ", b"\xff"] {
            assert_eq!(listed.lets_in(user, b"one", None).await, Err(Denied::Credentials));
        }
    }

    #[tokio::test]
    async fn an_unknown_user_costs_a_check() {
        let listed = listed(&[("app", "one")]);
        let all = u32::try_from(listed.pool.available_permits()).unwrap();
        let taken = listed.pool.acquire_many(all).await.unwrap();
        let mut check = tokio_test::task::spawn(listed.lets_in(b"nobody", b"one", None));
        tokio_test::assert_pending!(check.poll());
        drop(taken);
        assert_eq!(check.await, Err(Denied::Credentials));
    }

    #[tokio::test]
    async fn the_queue_has_an_end_and_recovers() {
        let listed = listed(&[("app", "one")]);
        let full = listed.queue.try_acquire_many(u32::try_from(MAX_QUEUE).unwrap()).unwrap();
        assert_eq!(listed.lets_in(b"app", b"one", None).await, Err(Denied::Busy));
        drop(full);
        assert_eq!(listed.lets_in(b"app", b"one", None).await, Ok(()));
        assert_eq!(listed.queue.available_permits(), MAX_QUEUE);
    }

    #[tokio::test]
    async fn checks_share_the_memory_that_they_work_in() {
        let listed = listed(&[("app", "one")]);
        for _ in 0..4 {
            assert_eq!(listed.lets_in(b"app", b"two", None).await, Err(Denied::Credentials));
        }
        assert_eq!(listed.memory.lock().unwrap().len(), 1, "four checks, one after the other");
    }

    #[test]
    fn a_check_that_nobody_waits_for_keeps_its_slot_until_it_ends() {
        let listed = listed(&[("app", "one")]);
        let all = listed.pool.available_permits();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(1)
            .build();
        runtime.unwrap().block_on(async {
            // The only thread for checks is held up, so that the check cannot end meanwhile.
            let (go, wait) = std::sync::mpsc::sync_channel::<()>(0);
            tokio::task::spawn_blocking(move || wait.recv());
            let mut check = tokio_test::task::spawn(listed.lets_in(b"app", b"one", None));
            tokio_test::assert_pending!(check.poll());
            drop(check);
            assert_eq!(listed.queue.available_permits(), MAX_QUEUE);
            assert_eq!(listed.pool.available_permits(), all - 1);
            drop(go);
            assert!(listed.pool.acquire_many(u32::try_from(all).unwrap()).await.is_ok());
        });
    }

    const OFFICE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const HOME: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

    /// Fails until no more failures are taken; how often that was.
    async fn fail(listed: &Listed, user: &[u8], from: Option<IpAddr>) -> usize {
        for failures in 0..100 {
            match listed.lets_in(user, b"wrong", from).await {
                Err(Denied::Credentials) => {}
                Err(Denied::Failures) => return failures,
                other => panic!("{other:?}"),
            }
        }
        panic!("no limit");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_limited_for_known_and_unknown_users_alike_and_nobody_else_is_locked_out()
    {
        let listed = listed(&[("app", "one"), ("ops", "two")]);
        let failures = fail(&listed, b"app", OFFICE).await;
        assert_eq!(fail(&listed, b"nobody", OFFICE).await, failures);
        assert_eq!(listed.lets_in(b"app", b"one", OFFICE).await, Err(Denied::Failures));
        assert_eq!(listed.lets_in(b"app", b"one", HOME).await, Ok(()));
        assert_eq!(listed.lets_in(b"ops", b"two", OFFICE).await, Ok(()));
        // Remembered from elsewhere, it is not told here either: guesses would cost nothing.
        assert_eq!(listed.lets_in(b"app", b"one", OFFICE).await, Err(Denied::Failures));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(listed.lets_in(b"app", b"one", OFFICE).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_at_the_same_time_are_counted_one_by_one() {
        let listed = listed(&[("app", "one")]);
        let guesses = (0..30).map(|_| listed.lets_in(b"app", b"wrong", OFFICE));
        let answers = futures_util::future::join_all(guesses).await;
        let checked = answers.iter().filter(|answer| **answer == Err(Denied::Credentials)).count();
        assert_eq!(checked, fail(&listed, b"other", OFFICE).await);
    }

    /// Takes the whole pool.
    async fn busy_pool(listed: &Listed) -> tokio::sync::SemaphorePermit<'_> {
        let all = u32::try_from(listed.pool.available_permits()).unwrap();
        listed.pool.acquire_many(all).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_right_is_known_for_ten_minutes_without_a_check() {
        let listed = listed(&[("app", "one")]);
        assert_eq!(listed.lets_in(b"app", b"one", OFFICE).await, Ok(()));
        let taken = busy_pool(&listed).await;
        for from in [OFFICE, HOME] {
            assert_eq!(listed.lets_in(b"app", b"one", from).await, Ok(()));
        }
        tokio::time::advance(Duration::from_secs(601)).await;
        assert_eq!(listed.lets_in(b"app", b"one", OFFICE).await, Err(Denied::Busy));
        drop(taken);
        assert_eq!(listed.lets_in(b"app", b"one", OFFICE).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_of_a_password_is_kept_for_longer() {
        let listed = listed(&[("app", "one")]);
        assert_eq!(listed.lets_in(b"app", b"one", OFFICE).await, Ok(()));
        let is_kept = || listed.list().users[&b"app"[..]].memory.lock().unwrap().is_some();
        for (wait, kept) in [(1, true), (598, true), (2, false)] {
            tokio::time::advance(Duration::from_secs(wait)).await;
            listed.forget(Instant::now());
            assert_eq!(is_kept(), kept, "{wait}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pool_of_connections_is_checked_once() {
        let listed = listed(&[("app", "one")]);
        let taken = busy_pool(&listed).await;
        let all = (0..10).map(|_| listed.lets_in(b"app", b"one", OFFICE));
        let mut all = tokio_test::task::spawn(futures_util::future::join_all(all));
        tokio_test::assert_pending!(all.poll());
        assert_eq!(listed.queue.available_permits(), MAX_QUEUE - 1);
        drop(taken);
        assert_eq!(all.await, [Ok(()); 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let listed = listed(&[("app", "one")]);
        let _taken = busy_pool(&listed).await;
        let started = Instant::now();
        let both = tokio::join!(
            listed.lets_in(b"app", b"one", OFFICE),
            listed.lets_in(b"app", b"one", OFFICE),
        );
        assert_eq!(both, (Err(Denied::Busy), Err(Denied::Busy)));
        assert_eq!(started.elapsed(), MAX_WAIT);
    }

    /// Replaces the user `name` by one with this password, or removes it.
    fn change(users: &mut Users, name: &str, password: Option<&str>) {
        let name = UserName::parse(name).unwrap();
        users.remove(&name).unwrap();
        if let Some(password) = password {
            let password = Password::new(password.as_bytes().to_vec()).unwrap();
            users.add(name, StoredHash::of(&password).unwrap(), Grants::all()).unwrap();
        }
    }

    #[tokio::test]
    async fn a_removed_and_a_changed_user_are_logged_out_and_the_others_are_not() {
        let mut users = users(&[("app", "one"), ("ops", "two"), ("eve", "three")]);
        let listed = Listed::new(&users).unwrap();
        let mut app = listed.verify(b"app", b"one", None).await.unwrap();
        let mut ops = listed.verify(b"ops", b"two", None).await.unwrap();
        let mut eve = listed.verify(b"eve", b"three", None).await.unwrap();
        change(&mut users, "ops", Some("new"));
        change(&mut users, "eve", None);
        // A check that is under way holds on to the list that it has asked.
        let _asked = listed.list();
        let changes: Vec<_> =
            listed.replace(&users).iter().map(|(what, name)| format!("{what} {name}")).collect();
        assert_eq!(changes, ["removed eve", "changed ops"]);
        ops.revoked().await;
        eve.revoked().await;
        let mut app = tokio_test::task::spawn(app.revoked());
        tokio_test::assert_pending!(app.poll());

        // Nothing is remembered of those who have changed, and nothing forgotten of the others.
        let taken = busy_pool(&listed).await;
        assert_eq!(listed.lets_in(b"app", b"one", None).await, Ok(()));
        drop(taken);
        assert_eq!(listed.lets_in(b"ops", b"two", None).await, Err(Denied::Credentials));
        assert_eq!(listed.lets_in(b"eve", b"three", None).await, Err(Denied::Credentials));
        assert_eq!(listed.lets_in(b"ops", b"new", None).await, Ok(()));
        assert_eq!(listed.replace(&users), Changes::default());
        tokio_test::assert_pending!(app.poll());
    }

    #[tokio::test]
    async fn when_the_last_user_has_gone_nobody_gets_in_and_a_try_costs_a_check() {
        let mut users = users(&[("app", "one")]);
        let listed = Listed::new(&users).unwrap();
        change(&mut users, "app", None);
        assert_eq!(listed.replace(&users).removed, ["app"]);
        let taken = busy_pool(&listed).await;
        let mut check = tokio_test::task::spawn(listed.lets_in(b"app", b"one", None));
        tokio_test::assert_pending!(check.poll());
        drop(taken);
        assert_eq!(check.await, Err(Denied::Credentials));
    }

    #[tokio::test]
    async fn a_password_that_changes_while_it_is_checked_is_worth_nothing() {
        let mut users = users(&[("app", "one")]);
        let listed = Listed::new(&users).unwrap();
        let taken = busy_pool(&listed).await;
        let mut check = tokio_test::task::spawn(listed.verify(b"app", b"one", None));
        tokio_test::assert_pending!(check.poll());
        change(&mut users, "app", Some("two"));
        listed.replace(&users);
        drop(taken);
        check.await.unwrap().revoked().await;
        assert_eq!(listed.lets_in(b"app", b"one", None).await, Err(Denied::Credentials));
    }
}
