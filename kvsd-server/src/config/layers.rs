//! Brings together what flags, environment and file say: the strongest source that names a setting
//! wins.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::keys::{self, Setting, Text};
use super::{Config, ConfigError};

/// Settings given as text, from the strongest source to the weakest.
///
/// Fill it in this order: flags, environment, file. What a stronger source has given stays.
#[derive(Debug, Default)]
pub struct Layers {
    given: BTreeMap<&'static str, Given>,
}

/// One value and where it stands.
#[derive(Debug)]
struct Given {
    setting: &'static Setting,
    text: String,
    origin: String,
    base: PathBuf,
}

impl Layers {
    /// Adds a flag's value. A relative path in it starts from the working folder.
    pub fn flag(&mut self, setting: &'static Setting, text: String) {
        let origin = format!("--{}", setting.flag());
        self.add(Given { setting, text, origin, base: PathBuf::new() });
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
            self.add(Given { setting, text, origin: name.to_owned(), base: PathBuf::new() });
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
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let table: toml::Table = text.parse().map_err(|source: toml::de::Error| {
            ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) }
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        for (key, value) in table {
            let Some(setting) = keys::find(&key) else {
                let (nearest, _) = keys::nearest(&key);
                return Err(ConfigError::UnknownKey {
                    path: path.to_owned(),
                    key,
                    nearest: nearest.key,
                });
            };
            let origin = format!("{key} in {}", path.display());
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(switch) => switch.to_string(),
                other @ (toml::Value::Float(_)
                | toml::Value::Datetime(_)
                | toml::Value::Array(_)
                | toml::Value::Table(_)) => {
                    let reason = "write one string, whole number, true or false".to_owned();
                    return Err(ConfigError::Value {
                        origin,
                        text: other.type_str().to_owned(),
                        reason,
                    });
                }
            };
            self.add(Given { setting, text, origin, base: base.to_owned() });
        }
        Ok(())
    }

    /// The settings that result: what was given, over the defaults.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Value`] names the flag, variable or key whose value is not valid.
    pub fn resolve(&self) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        for given in self.given.values() {
            let text = Text { text: &given.text, base: &given.base };
            (given.setting.apply)(&mut config, text).map_err(|reason| ConfigError::Value {
                origin: given.origin.clone(),
                text: given.text.clone(),
                reason,
            })?;
        }
        Ok(config)
    }

    fn add(&mut self, given: Given) {
        self.given.entry(given.setting.key).or_insert(given);
    }
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
