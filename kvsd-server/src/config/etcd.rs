//! The settings of the etcd engine, checked; and which settings are of one engine only.
//!
//! Reads the files that it names; never asks a cluster. Next file to read: `sources`.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kvsd::types::DEFAULT_MAX_VALUE_BYTES;

use super::settings::within;
use super::{Config, ConfigError, EngineKind};
use crate::secret_file::{self, SecretFileError};
use crate::units;

/// How an etcd cluster is reached and used.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "etcd"), expect(dead_code, reason = "only that engine looks into it"))]
pub(crate) struct EtcdSettings {
    /// Each with its scheme.
    pub(crate) endpoints: Vec<String>,
    pub(crate) prefix: String,
    pub(crate) ca: Option<PathBuf>,
    /// A certificate and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    pub(crate) user: Option<EtcdUser>,
    pub(crate) timeout: Duration,
    /// None leaves it to the cluster.
    pub(crate) history: Option<Duration>,
}

/// A user of etcd's own access control.
#[derive(Clone)]
#[cfg_attr(not(feature = "etcd"), expect(dead_code, reason = "only that engine looks into it"))]
pub(crate) struct EtcdUser {
    pub(crate) name: String,
    pub(crate) password: String,
}

/// Never shows the password.
impl fmt::Debug for EtcdUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EtcdUser").field(&self.name).finish()
    }
}

impl Config {
    /// The largest value, in bytes: what was chosen, or else what the engine takes by default.
    pub(super) fn max_value_bytes(&self) -> usize {
        self.max_value_bytes.unwrap_or(match self.engine {
            EngineKind::Log => DEFAULT_MAX_VALUE_BYTES,
            EngineKind::Etcd => LARGEST_ETCD_VALUE_BYTES,
        })
    }

    /// How the cluster is reached, if one is to be: for whoever needs nothing else of the settings.
    ///
    /// # Errors
    ///
    /// As [`Config::check`], for the settings of the engine alone.
    pub(crate) fn check_engine(&self) -> Result<Option<EtcdSettings>, ConfigError> {
        if self.engine == EngineKind::Etcd && !cfg!(feature = "etcd") {
            return Err(ConfigError::BuiltWithoutEtcd);
        }
        self.check_other_engine()?;
        match self.engine {
            EngineKind::Log => Ok(None),
            EngineKind::Etcd => self.check_etcd().map(Some),
        }
    }

    /// What is for the other engine has to be as it is by default.
    fn check_other_engine(&self) -> Result<(), ConfigError> {
        let default = Self::default();
        let (of, changed) = match self.engine {
            EngineKind::Etcd => (
                EngineKind::Log,
                [
                    ("sync", self.sync != default.sync),
                    ("sync_interval", self.sync_interval != default.sync_interval),
                    ("backups", self.backups.is_some()),
                    ("min_free_disk", self.min_free_disk != default.min_free_disk),
                    ("cache_bytes", self.cache_bytes.is_some()),
                    ("history_bytes", self.history_bytes != default.history_bytes),
                    ("history_time", self.history_time != default.history_time),
                ]
                .to_vec(),
            ),
            EngineKind::Log => (
                EngineKind::Etcd,
                [
                    ("etcd_endpoints", !self.etcd_endpoints.is_empty()),
                    ("etcd_prefix", self.etcd_prefix != default.etcd_prefix),
                    ("etcd_ca", self.etcd_ca.is_some()),
                    ("etcd_cert", self.etcd_cert.is_some()),
                    ("etcd_key", self.etcd_key.is_some()),
                    ("etcd_user", self.etcd_user.is_some()),
                    ("etcd_password_file", self.etcd_password_file.is_some()),
                    ("etcd_timeout", self.etcd_timeout != default.etcd_timeout),
                    ("etcd_history", self.etcd_history != default.etcd_history),
                ]
                .to_vec(),
            ),
        };
        match changed.into_iter().find(|(_, is_changed)| *is_changed) {
            Some((key, _)) => Err(ConfigError::OtherEngine {
                origin: key.to_owned(),
                of,
                engine: self.engine,
                advice: advice(key, of),
            }),
            None => Ok(()),
        }
    }

    fn check_etcd(&self) -> Result<EtcdSettings, ConfigError> {
        let values = (1 << 10, LARGEST_ETCD_VALUE_BYTES);
        let size = |bytes: &usize| units::show_size(*bytes);
        within("with engine = \"etcd\", max_value_bytes", self.max_value_bytes(), values, size)?;
        if let Some(path) = self.users.clone() {
            return Err(ConfigError::UsersInEtcd { path });
        }
        if !is_prefix(&self.etcd_prefix) {
            return Err(ConfigError::EtcdPrefix { prefix: self.etcd_prefix.clone() });
        }
        let identity = match (&self.etcd_cert, &self.etcd_key) {
            (None, None) => None,
            (Some(cert), Some(key)) => {
                readable(cert)?;
                secret_file::open(key)?;
                Some((cert.clone(), key.clone()))
            }
            (Some(_), None) => return Err(half("--etcd-cert", "--etcd-key")),
            (None, Some(_)) => return Err(half("--etcd-key", "--etcd-cert")),
        };
        if let Some(ca) = &self.etcd_ca {
            readable(ca)?;
        }
        let user = match (&self.etcd_user, &self.etcd_password_file) {
            (None, None) => None,
            (Some(name), Some(file)) => {
                Some(EtcdUser { name: name.clone(), password: password(file)? })
            }
            (Some(_), None) => return Err(half("--etcd-user", "--etcd-password-file")),
            (None, Some(_)) => return Err(half("--etcd-password-file", "--etcd-user")),
        };
        Ok(EtcdSettings {
            endpoints: self.endpoints()?,
            prefix: self.etcd_prefix.clone(),
            ca: self.etcd_ca.clone(),
            identity,
            user,
            timeout: self.etcd_timeout,
            history: Some(self.etcd_history).filter(|history| !history.is_zero()),
        })
    }

    /// The members with their schemes, which are all the same.
    fn endpoints(&self) -> Result<Vec<String>, ConfigError> {
        let count = self.etcd_endpoints.len();
        if count == 0 {
            return Err(ConfigError::NoEtcdEndpoints);
        }
        within("the number of etcd_endpoints", count, (1, MOST_ENDPOINTS), usize::to_string)?;
        let for_tls = match (&self.etcd_ca, &self.etcd_cert) {
            (Some(_), _) => Some("--etcd-ca"),
            (None, Some(_)) => Some("--etcd-cert"),
            (None, None) => None,
        };
        let mut endpoints: Vec<String> = Vec::with_capacity(count);
        for given in &self.etcd_endpoints {
            let wrong = |reason| ConfigError::EtcdEndpoint { endpoint: given.clone(), reason };
            let (scheme, address) = match given.split_once("://") {
                Some((scheme @ ("http" | "https"), address)) => (scheme, address),
                Some(_) => return Err(wrong(ENDPOINT_FORM)),
                None if for_tls.is_some() => ("https", given.as_str()),
                None => ("http", given.as_str()),
            };
            let address = address.strip_suffix('/').unwrap_or(address);
            if !is_address(address) {
                return Err(wrong(ENDPOINT_FORM));
            }
            if let (Some(given), "http") = (for_tls, scheme) {
                return Err(ConfigError::EtcdPlain {
                    given,
                    endpoint: format!("http://{address}"),
                });
            }
            let endpoint = format!("{scheme}://{address}");
            if endpoints.contains(&endpoint) {
                return Err(wrong("it stands there twice"));
            }
            if endpoints.first().is_some_and(|first| !first.starts_with(&format!("{scheme}:"))) {
                return Err(wrong("write http:// for all members, or https:// for all"));
            }
            endpoints.push(endpoint);
        }
        Ok(endpoints)
    }
}

/// What to do about a setting of this engine where another is used.
pub(super) fn advice(key: &str, of: EngineKind) -> &'static str {
    match (of, key) {
        (EngineKind::Etcd, _) => "say engine = \"etcd\" as well, or drop it",
        (EngineKind::Log, "sync" | "sync_interval") => {
            "drop it: a write is acknowledged once the cluster has replicated it"
        }
        (EngineKind::Log, "backups") => {
            "drop it: backups are made with `etcdctl snapshot save`, for the whole cluster"
        }
        (EngineKind::Log, "history_bytes" | "history_time") => {
            "drop it: etcd_history says how long the past is kept"
        }
        (EngineKind::Log, _) => "drop it: nothing is kept on this machine",
    }
}

/// Such a prefix is never the beginning of another one and what follows it.
fn is_prefix(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=MAX_PREFIX_BYTES).contains(&text.len()) && text.bytes().all(is_fine)
}

/// Whether this is a host and a port, and nothing else.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !host.is_empty() && host.bytes().all(is_fine)
        }
    };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0);
    is_host && is_port
}

fn half(given: &'static str, missing: &'static str) -> ConfigError {
    ConfigError::EtcdHalf { given, missing }
}

/// An error if a file cannot be read that is no secret.
fn readable(path: &Path) -> Result<(), SecretFileError> {
    let unreadable = |source| SecretFileError::Io { action: "read", path: path.to_owned(), source };
    File::open(path).map(drop).map_err(unreadable)
}

/// The one line of a file that nobody else can read.
fn password(path: &Path) -> Result<String, ConfigError> {
    let wrong = || ConfigError::EtcdPassword { path: path.to_owned() };
    let text = String::from_utf8(secret_file::read(path)?).map_err(|_| wrong())?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.contains(['\n', '\r']) {
        return Err(wrong());
    }
    Ok(line.to_owned())
}

/// The largest value that a request of etcd has room for, by its default of 1.5 MiB.
const LARGEST_ETCD_VALUE_BYTES: usize = 1 << 20;
const MAX_PREFIX_BYTES: usize = 64;
const MOST_ENDPOINTS: usize = 64;
const ENDPOINT_FORM: &str = "write http://HOST:PORT, https://HOST:PORT or HOST:PORT";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layers, keys};

    /// What is wrong with a file that says this, by the two ways that tell it, which agree.
    fn refusals(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kvsd.toml");
        std::fs::write(&path, format!("dev = true\n{text}")).unwrap();
        let mut layers = Layers::default();
        layers.file(&path).unwrap();
        let checked = layers.resolve().and_then(|config| config.check()).map(drop);
        let (_, problems) = Layers::default().problems(Some(&path));
        assert_eq!(checked.is_ok(), problems.is_empty(), "{text}: {checked:?} {problems:?}");
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn settings_of_the_etcd_engine_are_refused_without_it_where_they_stand() {
        for line in [
            "etcd_endpoints = 'http://a:2379'",
            "etcd_prefix = 'kvsd'",
            "etcd_ca = 'ca.pem'",
            "etcd_cert = 'cert.pem'",
            "etcd_key = 'key.pem'",
            "etcd_user = 'app'",
            "etcd_password_file = 'password'",
            "etcd_timeout = '5s'",
            "etcd_history = '1h'",
        ] {
            let said = refusals(line);
            let key = line.split(' ').next().unwrap();
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].starts_with(&format!("{key} in ")), "{said:?}");
            assert!(said[0].contains("say engine = \"etcd\""), "{said:?}");
        }
        let config = Config { etcd_user: Some("app".to_owned()), dev: true, ..Config::default() };
        let error = config.check().unwrap_err().to_string();
        assert!(error.starts_with("etcd_user is for engine = \"etcd\""), "{error}");
    }

    #[test]
    fn every_setting_of_an_engine_is_refused_where_another_is_used() {
        for engine in [EngineKind::Log, EngineKind::Etcd] {
            let of = |setting: &&keys::Setting| setting.engine() == Some(engine);
            assert!(keys::SETTINGS.iter().filter(of).count() >= 7, "{engine}");
        }
        assert!(keys::find("data_dir").unwrap().engine().is_none());
    }

    #[cfg(not(feature = "etcd"))]
    #[test]
    fn a_server_that_was_built_without_etcd_says_how_to_build_it() {
        let said = refusals("engine = 'etcd'\netcd_endpoints = 'http://a:2379'");
        let expected = "this kvsd-server was built without the etcd engine; build it with \
                        --features etcd";
        assert_eq!(said, [expected]);
    }

    #[cfg(feature = "etcd")]
    mod built {
        use std::fs::Permissions;
        use std::os::unix::fs::PermissionsExt;

        use super::*;
        use crate::config::SyncMode;

        const SOUND: &str = "engine = 'etcd'\netcd_endpoints = 'http://a:2379'\n";

        fn etcd() -> Config {
            let mut config = Config { engine: EngineKind::Etcd, dev: true, ..Config::default() };
            config.etcd_endpoints = vec!["http://a:2379".to_owned()];
            config
        }

        fn refusal(config: &Config) -> String {
            config.check().unwrap_err().to_string()
        }

        #[test]
        fn etcd_needs_nothing_but_its_members() {
            assert_eq!(refusals(SOUND), [""; 0]);
            let settings = etcd().check().unwrap();
            assert_eq!(settings.max_value_bytes, 1 << 20);
            assert_eq!(settings.limits.min_free_disk, 0, "there is no data to leave room for");
            let etcd = settings.etcd.unwrap();
            assert_eq!(etcd.endpoints, ["http://a:2379"]);
            assert_eq!((etcd.prefix.as_str(), etcd.timeout.as_secs()), ("kvsd", 5));
            assert_eq!(etcd.history, Some(Duration::from_secs(3600)));
            let said = refusals("engine = 'etcd'");
            assert_eq!(said.len(), 1);
            assert!(said[0].contains("--etcd-endpoints"), "{said:?}");
        }

        #[test]
        fn settings_of_the_log_are_refused_with_etcd_even_if_they_say_what_is_so_anyway() {
            for (line, advice) in [
                ("sync = 'always'", "replicated"),
                ("sync_interval = '1s'", "replicated"),
                ("backups = 'backups'", "etcdctl snapshot save"),
                ("cache_bytes = 0", "drop it"),
                ("min_free_disk = 0", "drop it"),
                ("history_bytes = '64MiB'", "etcd_history"),
                ("history_time = '10m'", "etcd_history"),
            ] {
                let said = refusals(&format!("{SOUND}{line}"));
                let key = line.split(' ').next().unwrap();
                assert_eq!(said.len(), 1, "{said:?}");
                assert!(said[0].starts_with(&format!("{key} in ")), "{said:?}");
                assert!(said[0].contains(advice), "{said:?}");
            }
            // A program that fills in the settings itself is told of what it has changed.
            let error = refusal(&Config { sync: SyncMode::Never, ..etcd() });
            assert!(error.starts_with("sync is for engine = \"log\""), "{error}");
        }

        #[test]
        fn values_have_to_fit_into_a_request_of_etcd() {
            let with = |bytes| Config { max_value_bytes: Some(bytes), ..etcd() };
            assert_eq!(with(1 << 20).check().unwrap().max_value_bytes, 1 << 20);
            let error = refusal(&with((1 << 20) + 1));
            assert!(error.contains("max_value_bytes must be between 1KiB and 1MiB"), "{error}");
        }

        #[test]
        fn a_users_file_that_would_be_ignored_is_refused() {
            let error = refusal(&Config { dev: false, insecure: true, ..etcd() }.with_users());
            assert!(error.contains("kvsd-server user add"), "{error}");
            assert!(Config { dev: false, insecure: true, ..etcd() }.check().is_ok());
        }

        impl Config {
            fn with_users(self) -> Self {
                Self { users: Some("users".into()), ..self }
            }
        }

        #[test]
        fn endpoints_are_urls_or_addresses_and_all_alike() {
            let folder = tempfile::tempdir().unwrap();
            let ca = folder.path().join("ca.pem");
            std::fs::write(&ca, "").unwrap();
            let with = |text: &str, ca: Option<&Path>| {
                let etcd_endpoints = text.split(',').map(str::to_owned).collect();
                Config { etcd_endpoints, etcd_ca: ca.map(Path::to_owned), ..etcd() }
            };
            let read = |text: &str, ca: Option<&Path>| {
                let settings = with(text, ca).check().map(|settings| settings.etcd.unwrap());
                settings.map(|etcd| etcd.endpoints.join(" ")).map_err(|error| error.to_string())
            };
            for (text, ca, read_as) in [
                ("a:2379,b-1.x:1", None, "http://a:2379 http://b-1.x:1"),
                ("http://[::1]:2379/,10.0.0.1:1", None, "http://[::1]:2379 http://10.0.0.1:1"),
                ("https://a:2379", None, "https://a:2379"),
                ("a:2379,https://b:2379", Some(&*ca), "https://a:2379 https://b:2379"),
            ] {
                assert_eq!(read(text, ca).unwrap(), read_as, "{text}");
            }
            for (text, said) in [
                ("", "write http://HOST:PORT"),
                ("a", "write http://HOST:PORT"),
                ("a:0", "write http://HOST:PORT"),
                ("a:65536", "write http://HOST:PORT"),
                ("a:+1", "write http://HOST:PORT"),
                ("::1:2379", "write http://HOST:PORT"),
                ("http://a", "write http://HOST:PORT"),
                ("http://user:secret@a:2379", "write http://HOST:PORT"),
                ("http://a:2379/path", "write http://HOST:PORT"),
                ("unix://a:2379", "write http://HOST:PORT"),
                ("a:1,http://a:1", "twice"),
                ("http://a:1,https://b:1", "for all"),
            ] {
                let error = read(text, None).unwrap_err();
                assert!(error.contains(said), "{text}: {error}");
            }
            let error = read("http://a:2379", Some(&ca)).unwrap_err();
            assert!(error.contains("--etcd-ca is for TLS"), "{error}");
            let many: Vec<_> = (1..=65).map(|port| format!("a:{port}")).collect();
            assert!(read(&many.join(","), None).unwrap_err().contains("between 1 and 64"));
        }

        #[test]
        fn prefixes_that_could_hold_another_one_are_refused() {
            let with = |prefix: &str| Config { etcd_prefix: prefix.to_owned(), ..etcd() };
            for prefix in ["a", "kvsd-2.test_x", &"x".repeat(64)] {
                assert!(with(prefix).check().is_ok(), "{prefix}");
            }
            for prefix in ["", "a/b", "/", "a b", "\u{e4}", &"x".repeat(65)] {
                assert!(refusal(&with(prefix)).contains("etcd_prefix"), "{prefix}");
            }
        }

        #[test]
        fn what_goes_together_is_asked_for_by_name() {
            let file = || Some(PathBuf::from("/absent"));
            for (config, given, missing) in [
                (Config { etcd_cert: file(), ..etcd() }, "--etcd-cert", "--etcd-key"),
                (Config { etcd_key: file(), ..etcd() }, "--etcd-key", "--etcd-cert"),
                (
                    Config { etcd_user: Some("app".to_owned()), ..etcd() },
                    "--etcd-user",
                    "--etcd-password-file",
                ),
                (
                    Config { etcd_password_file: file(), ..etcd() },
                    "--etcd-password-file",
                    "--etcd-user",
                ),
            ] {
                let expected = format!("{given} is given without {missing}; etcd needs both");
                assert_eq!(refusal(&config), expected);
            }
        }

        #[test]
        fn secrets_that_others_can_read_are_refused_and_never_shown() {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            let file = |name: &str, text: &str, mode: u32| {
                std::fs::write(path(name), text).unwrap();
                std::fs::set_permissions(path(name), Permissions::from_mode(mode)).unwrap();
            };
            let mut config = etcd();
            config.etcd_user = Some("app".to_owned());
            config.etcd_password_file = Some(path("password"));
            assert!(refusal(&config).contains("cannot read"));
            file("password", "canary\n", 0o644);
            assert!(refusal(&config).contains("chmod 600"));
            file("password", "canary\n", 0o600);
            let settings = config.check().unwrap();
            assert_eq!(settings.etcd.as_ref().unwrap().user.as_ref().unwrap().password, "canary");
            assert!(!format!("{settings:?}").contains("canary"));
            for text in ["", "\n", "canary\ncanary\n"] {
                file("password", text, 0o600);
                let error = refusal(&config);
                assert!(error.contains("etcd_password_file"), "{error}");
                assert!(!error.contains("canary"), "{error}");
            }
            file("password", "canary", 0o600);

            config.etcd_endpoints = vec!["a:2379".to_owned()];
            config.etcd_cert = Some(path("cert"));
            config.etcd_key = Some(path("key"));
            file("cert", "", 0o644);
            file("key", "", 0o640);
            assert!(refusal(&config).contains("chmod 600"));
            file("key", "", 0o600);
            let identity = config.check().unwrap().etcd.unwrap().identity.unwrap();
            assert_eq!(identity, (path("cert"), path("key")));
        }

        #[test]
        fn no_history_leaves_the_past_to_the_cluster() {
            for text in ["0", "0s"] {
                assert_eq!(refusals(&format!("{SOUND}etcd_history = '{text}'")), [""; 0]);
            }
            let none = Config { etcd_history: Duration::ZERO, ..etcd() }.check().unwrap();
            assert_eq!(none.etcd.unwrap().history, None);
        }
    }
}
