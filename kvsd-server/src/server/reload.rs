//! Reading configuration, certificate and users again while the server serves: the latter two when
//! their files change, all of them when it is told to, and then the audit log is opened again too.
//! Users that several servers share are in [`super::shared_users`].
//!
//! A file that cannot be used changes nothing: what was read last stays in force, and the log says
//! why. Connections are not touched, except for those of users who have gone, or have another
//! password or other grants. Next file to read: [`crate::auth`].

use std::convert::Infallible;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::shared_users::{self, SharedUsers};
use crate::audit::Audit;
use crate::auth::Authenticator;
use crate::config::keys::Setting;
use crate::config::{LogFilter, Reread, Settings, Sources, Watch};
use crate::limits::InForce;
use crate::users::{UserStoreError, Users, UsersError};

/// Has a server read its configuration file, its certificate and its users again, and open its audit
/// log again.
///
/// Certificate and users it reads by itself within a second of a change. What a change of time and
/// size does not show, as on some network file systems, needs a word, and so does the configuration:
/// the binary gives it on SIGHUP. The file is read by a server that was given
/// [`Settings::with_layers`]; what can change at run time does, and the log names what waits for a
/// restart.
#[derive(Debug, Clone)]
pub struct Reloader(Arc<Notify>);

impl Reloader {
    /// Asks the server to read the files again. What comes of it stands in the log.
    pub fn reload(&self) {
        self.0.notify_one();
    }
}

/// What is in force, and where it came from. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Reload {
    asked: Arc<Notify>,
    inner: Arc<Inner>,
}

struct Inner {
    tls: RwLock<Option<TlsAcceptor>>,
    shutdown_timeout: RwLock<Duration>,
    log_filter: Option<Arc<dyn LogFilter>>,
    authenticator: Authenticator,
    audit: Arc<Audit>,
    limits: Arc<InForce>,
    sources: Mutex<Sources>,
    /// Where the users are in no file.
    shared: Option<SharedUsers>,
}

/// Which files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    Changed,
}

impl Reload {
    pub(super) fn new(
        settings: &Settings,
        shared: Option<SharedUsers>,
        audit: Arc<Audit>,
        limits: Arc<InForce>,
    ) -> Self {
        if let Some((file, _)) = &settings.sources.users {
            tell_of_ungranted(&settings.authenticator, &how_to_grant(file));
        }
        let inner = Inner {
            tls: RwLock::new(settings.tls.clone().map(TlsAcceptor::from)),
            shutdown_timeout: RwLock::new(settings.shutdown_timeout),
            log_filter: settings.log_filter.clone(),
            authenticator: settings.authenticator.clone(),
            audit,
            limits,
            sources: Mutex::new(settings.sources.clone()),
            shared,
        };
        Self { asked: Arc::default(), inner: Arc::new(inner) }
    }

    pub(super) fn reloader(&self) -> Reloader {
        Reloader(Arc::clone(&self.asked))
    }

    /// What the next connection is encrypted by; `None` for plain TCP.
    pub(super) fn tls(&self) -> Option<TlsAcceptor> {
        self.inner.tls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long the server may take to stop.
    pub(super) fn shutdown_timeout(&self) -> Duration {
        *self.inner.shutdown_timeout.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an eye on the files, on what is remembered of users and on what is left out of the
    /// audit, for as long as it is polled.
    pub(super) async fn watch(&self) -> Infallible {
        loop {
            let which = match timeout(PERIOD, self.asked.notified()).await {
                Ok(()) => Which::All,
                Err(_) => Which::Changed,
            };
            if which == Which::All || self.inner.watches_files() {
                let inner = Arc::clone(&self.inner);
                let read = tokio::task::spawn_blocking(move || inner.read(which));
                if read.await.is_err() {
                    warn!("reading the files again has failed; what was before stays in force");
                }
            }
            if which == Which::All
                && let Some(shared) = &self.inner.shared
            {
                // Whoever watches them says so if they cannot be read.
                let _ = shared.refresh().await;
            }
            self.inner.authenticator.forget();
            self.inner.audit.settle();
        }
    }
}

impl Reload {
    /// Takes up what others change of shared users, for as long as it is polled.
    pub(super) async fn watch_users(&self) -> Infallible {
        match &self.inner.shared {
            Some(shared) => shared.watch().await,
            None => std::future::pending().await,
        }
    }
}

/// Whether a file that cannot be read is told of in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Why,
    /// It was told of before.
    Nothing,
}

impl Which {
    /// Whether to read these files. One that could not be read may be readable now: a descriptor was
    /// missing, or the disk.
    fn to_read(self, watch: &mut Watch) -> Option<Says> {
        match (watch.has_changed(), self) {
            (true, _) | (false, Self::All) => Some(Says::Why),
            (false, Self::Changed) => watch.is_unread.then_some(Says::Nothing),
        }
    }
}

impl Inner {
    fn watches_files(&self) -> bool {
        // Whoever reads meanwhile may wait for the disk, and this thread serves.
        let Ok(sources) = self.sources.try_lock() else {
            return false;
        };
        sources.tls.is_some() || sources.users.is_some()
    }

    /// Reads what has changed, or all of it. Blocks.
    fn read(&self, which: Which) -> ReadAgain {
        let mut again = ReadAgain::default();
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if which == Which::All {
            again.kept.extend(self.configure(&mut sources));
        }
        let Sources { tls, users, audit_log, layers: _ } = &mut *sources;
        if let Some((files, watch)) = tls
            && let Some(says) = which.to_read(watch)
        {
            let loaded = files.load();
            watch.is_unread = loaded.is_err();
            match loaded {
                Ok(config) => {
                    *self.tls.write().unwrap_or_else(PoisonError::into_inner) = Some(config.into());
                    info!(file = %files.cert.display(), "certificate read again");
                }
                Err(error) => again.kept.push(keep(&files.cert, &error, says)),
            }
        }
        if let Some((file, watch)) = users
            && let Some(says) = which.to_read(watch)
        {
            let loaded = load_users(file);
            watch.is_unread = loaded.is_err();
            match loaded {
                Ok(users) => {
                    let changed = self.authenticator.replace(&users);
                    info!(file = %file.display(), changed = changed.len(), "users read again");
                    self.audit.users_changed(&changed);
                    again.users = changed.len();
                    tell_of_ungranted(&self.authenticator, &how_to_grant(file));
                }
                Err(error) => again.kept.push(keep(file, &error, says)),
            }
        }
        if which == Which::All
            && let Err(error) = self.audit.reopen(audit_log.as_deref())
        {
            let file = audit_log.clone().unwrap_or_default();
            again.kept.push(keep(&file, &error, Says::Why));
        }
        again
    }

    /// Changes the users file, and puts in force what stands there then. Blocks.
    fn edit_users<T>(
        &self,
        change: impl FnOnce(&mut Users) -> Result<T, UsersError>,
    ) -> Result<T, ReadAgainError> {
        // The file has a lock of its own, which others may hold for long.
        let edited = Users::edit(&self.users_file()?, change)?;
        // The file differs from what was seen, and so it is read.
        self.read(Which::Changed);
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        match &sources.users {
            Some((_, watch)) if watch.is_unread => Err(ReadAgainError::Kept(
                "the users file is changed, but could not be read again yet".to_owned(),
            )),
            _ => Ok(edited),
        }
    }

    /// The users as their file names them. Blocks.
    fn users(&self) -> Result<Users, ReadAgainError> {
        Ok(Users::load(&self.users_file()?)?)
    }

    fn users_file(&self) -> Result<PathBuf, ReadAgainError> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, _) = sources.users.as_ref().ok_or(ReadAgainError::NoUsersFile)?;
        Ok(file.clone())
    }
}

/// What reading again has come to.
#[derive(Debug, Default)]
struct ReadAgain {
    /// How many users were added, removed or changed.
    users: usize,
    /// Why files were not read.
    kept: Vec<String>,
}

impl Reload {
    /// Reads all files again, now; how many users were added, removed or changed.
    pub(super) async fn now(&self) -> Result<usize, ReadAgainError> {
        let mut again = self.blocking(|inner| Ok(inner.read(Which::All))).await?;
        if let Some(shared) = &self.inner.shared {
            match shared.refresh().await {
                Ok(users) => again.users += users,
                Err(error) => again.kept.push(with_causes(&error)),
            }
        }
        match again.kept.is_empty() {
            true => Ok(again.users),
            false => Err(ReadAgainError::Kept(again.kept.join("; "))),
        }
    }

    /// Changes the users where they are kept; what stands there then is in force once this is ready.
    pub(super) async fn edit_users(
        &self,
        change: impl Fn(&mut Users) -> Result<(), UsersError> + Send + Sync + 'static,
    ) -> Result<(), ReadAgainError> {
        match &self.inner.shared {
            None => self.blocking(|inner| inner.edit_users(change)).await,
            Some(shared) => match shared.edit(&change).await? {
                shared_users::InForce::Now => Ok(()),
                shared_users::InForce::Later => Err(ReadAgainError::Kept(
                    "the users are changed, but could not be read again yet".to_owned(),
                )),
            },
        }
    }

    /// The users as they are where they are kept.
    pub(super) async fn users(&self) -> Result<Users, ReadAgainError> {
        match &self.inner.shared {
            None => self.blocking(Inner::users).await,
            Some(shared) => Ok(shared.users().await?),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Inner) -> Result<T, ReadAgainError> + Send + 'static,
    ) -> Result<T, ReadAgainError> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || job(&inner)).await;
        done.unwrap_or(Err(ReadAgainError::Lost))
    }
}

/// Why files were not read again or not changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadAgainError {
    #[error("this server has no users file: it lets in whoever comes")]
    NoUsersFile,
    #[error(transparent)]
    Users(#[from] UsersError),
    #[error(transparent)]
    Shared(UserStoreError),
    #[error("not read again; what was read before stays in force: {0}")]
    Kept(String),
    #[error("the server has failed to do it; its log says more")]
    Lost,
}

impl From<UserStoreError> for ReadAgainError {
    fn from(error: UserStoreError) -> Self {
        match error {
            UserStoreError::Users(error) => Self::Users(error),
            error @ (UserStoreError::Unavailable { .. }
            | UserStoreError::Unknown { .. }
            | UserStoreError::Invalid { .. }) => Self::Shared(error),
        }
    }
}

impl ReadAgainError {
    /// With its causes, in a line.
    pub(super) fn with_causes(&self) -> String {
        with_causes(self)
    }
}

impl Inner {
    /// Reads the configuration file again, and puts into force what can change. The answer is why
    /// not, if it could not be read.
    fn configure(&self, sources: &mut Sources) -> Option<String> {
        let layers = sources.layers.as_ref()?;
        let file = layers.path()?.to_owned();
        let Reread { layers, config, settings, changed, waiting } = match layers.reread() {
            Ok(reread) => reread,
            Err(error) => return Some(keep(&file, &error, Says::Why)),
        };
        // The only part that may be refused still comes first.
        if changed.iter().any(|setting| setting.key == "log")
            && let Some(filter) = &self.log_filter
            && let Err(reason) = filter.set(&config.log)
        {
            warn!(file = %file.display(), %reason, "log: not read again; nothing has changed");
            return Some(format!("log: {reason}"));
        }
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = settings.tls.map(Into::into);
        *self.shutdown_timeout.write().unwrap_or_else(PoisonError::into_inner) =
            settings.shutdown_timeout;
        self.limits.replace(settings.limits);
        *sources = Sources { layers: Some(layers), ..settings.sources };
        info!(file = %file.display(), changed = %names(&changed), "configuration read again");
        if !changed.is_empty() {
            self.audit.settings_changed(&names(&changed));
        }
        if !waiting.is_empty() {
            warn!(settings = %names(&waiting), "changed in the configuration; wait for a restart");
        }
        None
    }
}

fn names(settings: &[&Setting]) -> String {
    settings.iter().map(|setting| setting.key).collect::<Vec<_>>().join(", ")
}

/// A file of no bytes is being written, or has lost them: that all users have gone is said by one
/// with a comment.
fn load_users(file: &Path) -> Result<Users, UsersError> {
    let users = Users::load(file)?;
    if users.is_blank() {
        return Err(UsersError::Blank { path: file.to_owned() });
    }
    Ok(users)
}

/// Says once for all of them which users can do nothing, as those of older files, and what mends it.
pub(super) fn tell_of_ungranted(authenticator: &Authenticator, how_to_grant: &str) {
    let mut users = authenticator.ungranted();
    if users.is_empty() {
        return;
    }
    let more = users.len().saturating_sub(MAX_TOLD);
    users.truncate(MAX_TOLD);
    if more > 0 {
        users.push(format!("and {more} more"));
    }
    warn!(
        users = %users.join(", "),
        "these users may log in and no more: nothing was granted to them, as it was not by older \
         versions; for each: {how_to_grant}"
    );
}

fn how_to_grant(file: &Path) -> String {
    format!("kvsd-server user grant NAME 'write@*' --users {}", file.display())
}

/// Says why a file was not read, and returns it.
fn keep(file: &Path, error: &dyn Error, says: Says) -> String {
    let reason = with_causes(error);
    if says == Says::Why {
        let file = file.display();
        warn!(%file, %reason, "not read again; what was read before stays in force");
    }
    reason
}

pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        reason.push_str(": ");
        reason.push_str(&error.to_string());
        cause = error.source();
    }
    reason
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("authenticator", &self.authenticator).finish_non_exhaustive()
    }
}

/// How many users are named in one line of the log.
const MAX_TOLD: usize = 16;
/// How often the files are looked at: what has changed in them acts within a second.
const PERIOD: Duration = Duration::from_millis(400);

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::config::{Config, Layers};
    use crate::users::{Grants, Password, StoredHash, UserName};

    #[test]
    fn a_file_that_could_not_be_read_is_tried_again_and_told_of_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let mut watch = Watch::new([path.clone()]);
        assert_eq!(Which::Changed.to_read(&mut watch), None);
        fs::write(&path, "new").unwrap();
        assert_eq!(Which::Changed.to_read(&mut watch), Some(Says::Why));
        watch.is_unread = true;
        assert_eq!(Which::Changed.to_read(&mut watch), Some(Says::Nothing));
        assert_eq!(Which::All.to_read(&mut watch), Some(Says::Why));
        watch.is_unread = false;
        assert_eq!(Which::Changed.to_read(&mut watch), None);
    }

    struct Bench {
        folder: TempDir,
        reload: Reload,
    }

    impl Bench {
        /// A certificate and the user `app`.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            let hash = StoredHash::of(&Password::new(b"one".to_vec()).unwrap()).unwrap();
            Users::edit(&path("users"), |users| users.add(name("app"), hash, Grants::all()))
                .unwrap();
            new_certificate(&path("cert"), &path("key"));
            let config = Config {
                users: Some(path("users")),
                tls_cert: Some(path("cert")),
                tls_key: Some(path("key")),
                ..Config::default()
            };
            let settings = config.check().unwrap();
            let limits = Arc::new(InForce::new(settings.limits));
            let reload = Reload::new(&settings, None, Arc::default(), limits);
            Self { folder, reload }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// Reads again; whether there is another certificate now, and how many users.
        fn read(&self, which: Which) -> (bool, String) {
            let config = || Arc::clone(self.reload.tls().unwrap().config());
            let before = config();
            self.reload.inner.read(which);
            let is_new = !Arc::ptr_eq(&before, &config());
            (is_new, format!("{:?}", self.reload.inner.authenticator))
        }
    }

    fn name(name: &str) -> UserName {
        UserName::parse(name).unwrap()
    }

    fn new_certificate(cert: &Path, key: &Path) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(cert, made.cert.pem()).unwrap();
        fs::write(key, made.signing_key.serialize_pem()).unwrap();
        fs::set_permissions(key, Permissions::from_mode(0o600)).unwrap();
    }

    fn users(count: u32) -> String {
        format!("Authenticator({count} users)")
    }

    #[test]
    fn limits_that_the_file_changes_are_in_force_on_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kvsd.toml");
        fs::write(&file, "dev = true\nidle_timeout = '1m'").unwrap();
        let mut layers = Layers::default();
        layers.file(&file).unwrap();
        let settings = layers.resolve().unwrap().check().unwrap().with_layers(layers);
        let limits = Arc::new(InForce::new(settings.limits));
        let reload = Reload::new(&settings, None, Arc::default(), Arc::clone(&limits));
        fs::write(&file, "dev = true\nidle_timeout = '2m'\nmax_unauthenticated = 7").unwrap();
        reload.inner.read(Which::Changed);
        assert_eq!(limits.get(), settings.limits);
        reload.inner.read(Which::All);
        let now = limits.get();
        assert_eq!(now.idle_timeout, Some(Duration::from_secs(120)));
        assert_eq!(now.max_unauthenticated, 7);
        fs::write(&file, "dev = true\nmax_unauthenticated = 0").unwrap();
        reload.inner.read(Which::All);
        assert_eq!(limits.get(), now, "a bad file changes nothing");
    }

    #[test]
    fn what_has_not_changed_is_read_on_a_word_only() {
        let bench = Bench::new();
        assert_eq!(bench.read(Which::Changed), (false, users(1)));
        assert_eq!(bench.read(Which::All), (true, users(1)));
        new_certificate(&bench.path("cert"), &bench.path("key"));
        assert_eq!(bench.read(Which::Changed), (true, users(1)));
        assert_eq!(bench.read(Which::Changed), (false, users(1)));
    }

    #[test]
    fn what_cannot_be_used_changes_nothing_and_is_taken_once_it_can() {
        let bench = Bench::new();
        for (file, bad) in [
            ("users", &b""[..]),
            ("users", b"app:plain\n"),
            ("users", b"\xff"),
            ("cert", b""),
            ("cert", b"-----BEGIN CERTIFICATE-----\n!\n"),
            ("key", b"other"),
        ] {
            let good = fs::read(bench.path(file)).unwrap();
            fs::write(bench.path(file), bad).unwrap();
            for which in [Which::Changed, Which::All] {
                let is_new = which == Which::All && file == "users";
                assert_eq!(bench.read(which), (is_new, users(1)), "{file} {bad:?}");
            }
            fs::write(bench.path(file), &good).unwrap();
            assert_eq!(bench.read(Which::Changed).0, file != "users", "{file} {bad:?}");
        }
        let mode = |file: &str, mode| {
            fs::set_permissions(bench.path(file), Permissions::from_mode(mode)).unwrap();
        };
        fs::write(bench.path("users"), "# nobody\n").unwrap();
        mode("users", 0o640);
        mode("key", 0o640);
        assert_eq!(bench.read(Which::Changed), (false, users(1)), "readable by others");
        mode("users", 0o600);
        mode("key", 0o600);
        assert_eq!(bench.read(Which::Changed), (true, users(0)), "the last user has gone");
    }
}
