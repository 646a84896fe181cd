//! Brings together what flags, environment and file say: the strongest source that names a setting
//! wins.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::etcd::advice;
use super::keys::{self, Reload, Setting, Text};
use super::{Config, ConfigError, EngineKind};

/// Settings given as text, from the strongest source to the weakest.
///
/// Fill it in this order: flags, environment, file. What a stronger source has given stays.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    given: BTreeMap<&'static str, Given>,
    /// The file that was added.
    file: Option<PathBuf>,
}

/// One value and where it stands.
#[derive(Debug, Clone)]
struct Given {
    setting: &'static Setting,
    text: String,
    origin: String,
    base: PathBuf,
    source: Source,
}

/// What kind of place a value was given at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Flag or environment, which stay what they are as long as the process runs.
    Process,
    File,
}

impl Layers {
    /// Adds a flag's value. A relative path in it starts from the working folder.
    pub fn flag(&mut self, setting: &'static Setting, text: String) {
        let origin = format!("--{}", setting.flag());
        self.add(Given { setting, text, origin, base: PathBuf::new(), source: Source::Process });
    }

    /// Adds the variables that name settings. An empty one counts as not set; a relative path
    /// starts from the working folder. Returns a warning for each variable whose name is nearly
    /// that of a setting; others with our prefix are not ours to judge.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Value`] for a value that is not UTF-8.
    pub fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Vec<String>, ConfigError> {
        let mut warnings = Vec::new();
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            let Some(rest) = name.strip_prefix(keys::VARIABLE_PREFIX) else {
                continue;
            };
            if value.is_empty() || rest == CONFIG_VARIABLE {
                continue;
            }
            let Some(setting) = keys::find(&rest.to_ascii_lowercase()) else {
                let (nearest, letters) = keys::nearest(rest);
                if letters <= 2 {
                    let meant = nearest.variable();
                    warnings.push(format!("ignored variable {name}; did you mean {meant}?"));
                }
                continue;
            };
            let text = value.into_string().map_err(|value| ConfigError::Value {
                origin: name.to_owned(),
                text: value.to_string_lossy().into_owned(),
                reason: "write UTF-8".to_owned(),
            })?;
            let (origin, base) = (name.to_owned(), PathBuf::new());
            self.add(Given { setting, text, origin, base, source: Source::Process });
        }
        Ok(warnings)
    }

    /// Adds what a TOML file says. A relative path in it starts from the file's own folder.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the file, and the key where one is to blame. Keys that no setting has
    /// are refused.
    pub fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        self.every_key_of(path)?.into_iter().collect()
    }

    /// As [`Layers::file`]; what is wrong with one key does not keep the others from being added.
    fn every_key_of(&mut self, path: &Path) -> Result<Vec<Result<(), ConfigError>>, ConfigError> {
        self.file = Some(path.to_owned());
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let table: toml::Table = text.parse().map_err(|source: toml::de::Error| {
            ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) }
        })?;
        Ok(table.into_iter().map(|(key, value)| self.key(path, key, value)).collect())
    }

    fn key(&mut self, path: &Path, key: String, value: toml::Value) -> Result<(), ConfigError> {
        let Some(setting) = keys::find(&key) else {
            let (nearest, _) = keys::nearest(&key);
            let path = path.to_owned();
            return Err(ConfigError::UnknownKey { path, key, nearest: nearest.key });
        };
        let origin = format!("{key} in {}", path.display());
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(switch) => switch.to_string(),
            toml::Value::Array(parts) if setting.is_list() => match one_text(parts) {
                Some(text) => text,
                None => return Err(not_a_value(origin, "array", "write strings into the array")),
            },
            other @ (toml::Value::Float(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_)
            | toml::Value::Table(_)) => {
                let reason = "write one string, whole number, true or false";
                return Err(not_a_value(origin, other.type_str(), reason));
            }
        };
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        self.add(Given { setting, text, origin, base, source: Source::File });
        Ok(())
    }

    /// The settings that result: what was given, over the defaults.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Value`] names the flag, variable or key whose value is not valid, and
    /// [`ConfigError::OtherEngine`] one that is of no use with this engine.
    pub fn resolve(&self) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        for given in self.given.values() {
            given.apply(&mut config)?;
        }
        match self.strangers(config.engine).next() {
            Some(stranger) => Err(stranger),
            None => Ok(config),
        }
    }

    /// What was given and is for another engine than this one, even if it says what is so anyway.
    fn strangers(&self, engine: EngineKind) -> impl Iterator<Item = ConfigError> {
        self.given.values().filter_map(move |given| {
            let of = given.setting.engine().filter(|of| *of != engine)?;
            let (origin, advice) = (given.origin.clone(), advice(given.setting.key, of));
            Some(ConfigError::OtherEngine { origin, of, engine, advice })
        })
    }

    /// Adds what a TOML file says, if one is named, and looks for everything that is wrong with
    /// what was given: each key and each value, and then all of it together, as
    /// [`Config::problems`] does. Tells what results from that which is right. Blocks on the files
    /// that are named; changes nothing.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("kvsd.toml");
    /// use kvsd_server::config::Layers;
    ///
    /// std::fs::write(&path, "dev = true\nmax_tabels = 5\nsync = 'often'")?;
    /// let (config, problems) = Layers::default().problems(Some(&path));
    /// assert!(config.dev);
    /// assert_eq!(problems.len(), 2);
    /// assert!(problems[0].to_string().contains("the nearest valid key is `max_tables`"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn problems(&mut self, file: Option<&Path>) -> (Config, Vec<ConfigError>) {
        let mut config = Config::default();
        let mut problems: Vec<ConfigError> = match file.map(|path| self.every_key_of(path)) {
            None => Vec::new(),
            Some(Ok(keys)) => keys.into_iter().filter_map(Result::err).collect(),
            Some(Err(error)) => return (config, vec![error]),
        };
        for given in self.given.values() {
            // Alone, so that each number that is out of its bounds is told.
            let mut alone = Config::default();
            match given.apply(&mut alone).and_then(|()| alone.check_bounds()) {
                Ok(()) => problems.extend(given.apply(&mut config).err()),
                Err(error) => problems.push(error),
            }
        }
        let strangers: Vec<_> = self.strangers(config.engine).collect();
        let is_strange = !strangers.is_empty();
        problems.extend(strangers);
        // They are told with the place where they stand.
        let is_told = |problem: &ConfigError| {
            is_strange && matches!(problem, ConfigError::OtherEngine { .. })
        };
        problems.extend(config.problems().into_iter().filter(|problem| !is_told(problem)));
        (config, problems)
    }

    /// The file that was added, and is read again.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads the file again; what flags and environment said stays.
    ///
    /// # Errors
    ///
    /// As [`Layers::file`].
    pub(super) fn again(&self) -> Result<Self, ConfigError> {
        let mut next = Self { given: self.given.clone(), file: None };
        next.given.retain(|_, given| given.source == Source::Process);
        if let Some(path) = &self.file {
            next.file(path)?;
        }
        Ok(next)
    }

    /// These layers, but what can change while the server runs is as in those.
    pub(super) fn reloading_from(&self, next: &Self) -> Self {
        let now = |given: &&Given| given.setting.reload == Reload::Now;
        let kept = self.given.values().filter(|given| !now(given));
        let given = kept.chain(next.given.values().filter(now));
        let given = given.map(|given| (given.setting.key, given.clone())).collect();
        Self { given, file: self.file.clone() }
    }

    /// The settings that have one value here and another there.
    pub(super) fn differences(&self, other: &Self) -> Vec<&'static Setting> {
        let alone = |layers: &Self, setting: &Setting| {
            let mut config = Config::default();
            let given = layers.given.get(setting.key);
            given.map_or(Ok(()), |given| given.apply(&mut config)).map(|()| config).ok()
        };
        let differs = |setting: &&Setting| alone(self, setting) != alone(other, setting);
        keys::SETTINGS.iter().filter(differs).collect()
    }

    fn add(&mut self, given: Given) {
        self.given.entry(given.setting.key).or_insert(given);
    }
}

impl Given {
    fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        let text = Text { text: &self.text, base: &self.base };
        (self.setting.apply)(config, text).map_err(|reason| ConfigError::Value {
            origin: self.origin.clone(),
            text: self.text.clone(),
            reason,
        })
    }
}

fn not_a_value(origin: String, text: &str, reason: &str) -> ConfigError {
    ConfigError::Value { origin, text: text.to_owned(), reason: reason.to_owned() }
}

/// An array of strings as the text that means the same.
fn one_text(parts: Vec<toml::Value>) -> Option<String> {
    let text = |part: toml::Value| match part {
        toml::Value::String(text) => Some(text),
        _ => None,
    };
    Some(parts.into_iter().map(text).collect::<Option<Vec<_>>>()?.join(","))
}

/// What follows the prefix in the variable that names the configuration file: no setting.
const CONFIG_VARIABLE: &str = "CONFIG";

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kvsd.toml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn from_file(text: &str) -> Result<Config, ConfigError> {
        let (_folder, path) = file(text);
        let mut layers = Layers::default();
        layers.file(&path)?;
        layers.resolve()
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
        let (_folder, path) =
            file("max_connections = 3\nmax_tables = 3\nsync = 'never'\nlog = 'warn'");
        let mut layers = Layers::default();
        layers.flag(keys::find("max_connections").unwrap(), "1".to_owned());
        let environment = variables(&[
            ("KVSD_SERVER_MAX_CONNECTIONS", "2"),
            ("KVSD_SERVER_MAX_TABLES", "2"),
            ("KVSD_SERVER_LOG", ""),
        ]);
        assert!(layers.environment(environment).unwrap().is_empty());
        layers.file(&path).unwrap();
        let config = layers.resolve().unwrap();
        assert_eq!(config.max_connections, 1);
        assert_eq!(config.max_tables, 2);
        assert_eq!(config.sync, crate::config::SyncMode::Never);
        assert_eq!(config.log, "warn", "an empty variable counts as not set");
        assert_eq!(config.handshake_timeout, Config::default().handshake_timeout);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_valid_one() {
        let error = from_file("max_conections = 5").unwrap_err();
        assert!(matches!(
            &error,
            ConfigError::UnknownKey { key, nearest: "max_connections", .. }
                if key == "max_conections"
        ));
        assert!(error.to_string().contains("`max_connections`"));
    }

    #[test]
    fn a_table_where_a_value_belongs_is_refused() {
        assert!(matches!(from_file("[listen]\nport = 1"), Err(ConfigError::Value { .. })));
        assert!(matches!(from_file("max_tables = 1.5"), Err(ConfigError::Value { .. })));
    }

    #[test]
    fn a_list_is_an_array_or_a_text_with_commas() {
        for text in ["['a', 'b:1']", "'a,b:1'", "'a, b:1'"] {
            let config = from_file(&format!("status_hosts = {text}")).unwrap();
            assert_eq!(config.status_hosts, ["a", "b:1"], "{text}");
        }
        for text in ["status_hosts = ['a', 1]", "log = ['info']"] {
            assert!(matches!(from_file(text), Err(ConfigError::Value { .. })), "{text}");
        }
    }

    #[test]
    fn a_bad_value_names_its_source() {
        let error = from_file("handshake_timeout = 10").unwrap_err().to_string();
        assert!(error.starts_with("handshake_timeout in "), "{error}");
        assert!(error.contains("10s"), "{error}");

        let mut layers = Layers::default();
        layers.flag(keys::find("listen").unwrap(), "7379".to_owned());
        let error = layers.resolve().unwrap_err().to_string();
        assert!(error.starts_with("--listen: `7379`"), "{error}");

        let mut layers = Layers::default();
        layers.environment(variables(&[("KVSD_SERVER_DEV", "maybe")])).unwrap();
        let error = layers.resolve().unwrap_err().to_string();
        assert!(error.starts_with("KVSD_SERVER_DEV: `maybe`"), "{error}");
    }

    #[test]
    fn broken_toml_is_refused_with_its_place() {
        let error = from_file("listen = ").unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("line 1"), "{cause}");
    }

    #[test]
    fn paths_in_a_file_start_from_its_folder_and_others_from_the_working_folder() {
        let (folder, path) = file("users = 'users'\ntls_key = '/etc/kvsd/server.key'");
        let mut layers = Layers::default();
        layers.flag(keys::find("tls_cert").unwrap(), "server.pem".to_owned());
        layers.file(&path).unwrap();
        let config = layers.resolve().unwrap();
        assert_eq!(config.users, Some(folder.path().join("users")));
        assert_eq!(config.tls_key, Some(PathBuf::from("/etc/kvsd/server.key")));
        assert_eq!(config.tls_cert, Some(PathBuf::from("server.pem")));
    }

    #[test]
    fn a_mistyped_variable_is_warned_of_and_foreign_ones_are_not() {
        let mut layers = Layers::default();
        let environment = variables(&[
            ("KVSD_SERVER_MAX_TABELS", "1"),
            ("KVSD_SERVER_PORT_7379_TCP_ADDR", "10.0.0.1"),
            ("KVSD_SERVER_CONFIG", "x"),
            ("HOME", "/"),
        ]);
        let warnings = layers.environment(environment).unwrap();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("KVSD_SERVER_MAX_TABLES"), "{warnings:?}");
    }
}
