//! Reading the configuration file again while the server runs.
//!
//! Says what results; changes nothing. What acts only after a restart stays as it was. Next file to
//! read: `crate::server::reload`.

use super::keys::Setting;
use super::{Config, ConfigError, Layers, Settings};

/// What a configuration file says now.
#[derive(Debug)]
pub(crate) struct Reread {
    /// What is in force from now on.
    pub(crate) layers: Layers,
    pub(crate) config: Config,
    pub(crate) settings: Settings,
    /// What is another in them than before.
    pub(crate) changed: Vec<&'static Setting>,
    /// What has another value in the file and waits for a restart.
    pub(crate) waiting: Vec<&'static Setting>,
}

impl Layers {
    /// Reads the file again. Blocks on it and on the files that it names.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a file that a server would not start from, and for one whose changes go
    /// together with one that waits for a restart.
    pub(crate) fn reread(&self) -> Result<Reread, ConfigError> {
        let next = self.again()?;
        next.resolve()?.check()?;
        let layers = self.reloading_from(&next);
        let config = layers.resolve()?;
        let settings = config.check()?;
        let changed = self.differences(&layers);
        let waiting = layers.differences(&next);
        Ok(Reread { layers, config, settings, changed, waiting })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::config::keys;

    struct Bench {
        _folder: TempDir,
        path: PathBuf,
        layers: Layers,
    }

    impl Bench {
        /// A server that runs with this file, and with a flag.
        fn new(file: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("kvsd.toml");
            std::fs::write(&path, file).unwrap();
            let mut layers = Layers::default();
            layers.flag(keys::find("dev").unwrap(), "true".to_owned());
            layers.file(&path).unwrap();
            Self { _folder: folder, path, layers }
        }

        fn now(&self, file: &str) -> Result<Reread, ConfigError> {
            std::fs::write(&self.path, file).unwrap();
            self.layers.reread()
        }
    }

    fn keys_of(settings: &[&Setting]) -> Vec<&'static str> {
        settings.iter().map(|setting| setting.key).collect()
    }

    #[test]
    fn what_can_change_changes_and_the_rest_waits_for_a_restart() {
        let mut bench = Bench::new("log = 'warn'\nmax_tables = 5\nshutdown_timeout = '1s'");
        let reread = bench.now("log = 'debug'\nmax_tables = 6\nshutdown_timeout = '1s'").unwrap();
        assert_eq!(keys_of(&reread.changed), ["log"]);
        assert_eq!(keys_of(&reread.waiting), ["max_tables"]);
        assert_eq!((reread.config.log.as_str(), reread.config.max_tables), ("debug", 5));

        // What waits is named again, what has changed is not.
        bench.layers = reread.layers;
        let again = bench.layers.reread().unwrap();
        assert_eq!(keys_of(&again.changed), [""; 0]);
        assert_eq!(keys_of(&again.waiting), ["max_tables"]);
    }

    #[test]
    fn a_key_that_is_gone_has_its_default_again_and_a_flag_keeps_its_value() {
        let bench = Bench::new("log = 'warn'\ndev = false");
        let reread = bench.now("shutdown_timeout = '10000ms'").unwrap();
        assert_eq!(keys_of(&reread.changed), ["log"], "the default written otherwise is the same");
        assert_eq!((reread.config.log.as_str(), reread.config.dev), ("info", true));
    }

    #[test]
    fn a_bad_file_is_an_error_whatever_else_it_changes() {
        let bench = Bench::new("log = 'warn'");
        for file in [
            "log = ",
            "log = 'debug'\nlgo = 'info'",
            "log = 'debug'\nmax_tables = 0",
            "log = 'debug'\nshutdown_timeout = 10",
            "log = 'debug'\ntls_cert = 'absent'\ntls_key = 'absent'",
        ] {
            assert!(bench.now(file).is_err(), "{file}");
        }
    }
}
