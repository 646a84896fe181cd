//! The log on standard error: its format, and its filter, which may change while it is written.

use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, registry, reload};

use crate::config::{ConfigError, LogFilter, LogFormat};

/// Starts the log; what is returned changes its filter.
///
/// # Errors
///
/// [`ConfigError::Value`] for a filter that is none.
pub(super) fn start(filter: &str, format: LogFormat) -> Result<Arc<dyn LogFilter>, ConfigError> {
    let (layer, filter) = Filter::new(filter)?;
    // A closed standard error must not end the server: no complaint about it either.
    let lines = fmt::layer().with_writer(io::stderr).log_internal_errors(false);
    let log = registry().with(layer);
    match format {
        LogFormat::Text => log.with(lines.with_ansi(io::stderr().is_terminal())).init(),
        LogFormat::Json => log.with(lines.json().flatten_event(true)).init(),
    }
    Ok(Arc::new(filter))
}

/// Checks a filter.
///
/// # Errors
///
/// [`ConfigError::Value`] for one that is none.
pub(super) fn check(filter: &str) -> Result<EnvFilter, ConfigError> {
    parse(filter).map_err(|reason| ConfigError::Value {
        origin: "log".to_owned(),
        text: filter.to_owned(),
        reason,
    })
}

/// The filter in force.
#[derive(Debug)]
struct Filter {
    /// As it was given.
    text: Mutex<String>,
    handle: reload::Handle<EnvFilter, Registry>,
}

impl Filter {
    fn new(text: &str) -> Result<(reload::Layer<EnvFilter, Registry>, Self), ConfigError> {
        let (layer, handle) = reload::Layer::new(check(text)?);
        Ok((layer, Self { text: Mutex::new(text.to_owned()), handle }))
    }
}

impl LogFilter for Filter {
    fn get(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, filter: &str) -> Result<(), String> {
        let parsed = parse(filter)?;
        // Held until both have changed: of two who set it, one wins as a whole.
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        self.handle.reload(parsed).map_err(|error| error.to_string())?;
        filter.clone_into(&mut text);
        Ok(())
    }
}

/// Reads a filter. A bare word that is no level would be taken for a module and silence everything
/// else: it is refused.
fn parse(filter: &str) -> Result<EnvFilter, String> {
    let parts: Vec<&str> = filter.split(',').map(str::trim).collect();
    let stray = |part: &&str| !part.contains(['=', '[']) && !is_level(part);
    if parts.iter().any(stray) {
        return Err("write error, warn, info, debug, trace or off, or module=level".to_owned());
    }
    EnvFilter::builder().parse(parts.join(",")).map_err(|error| error.to_string())
}

fn is_level(word: &str) -> bool {
    !word.is_empty() && word.parse::<LevelFilter>().is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn levels_and_modules_are_taken() {
        for filter in ["info", "off", "WARN", "info,kvsd_server::session=debug", "warn, a=info"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for filter in ["verbose", "", "info,", "info,kvsd_server", "info,a=loud"] {
            assert!(parse(filter).is_err(), "{filter}");
        }
    }

    #[test]
    fn another_filter_acts_at_once_and_a_bad_one_not_at_all() {
        let (layer, filter) = Filter::new("warn").unwrap();
        let told = Told::default();
        let writer = told.clone();
        let lines = fmt::layer().with_ansi(false).with_writer(move || writer.clone());
        tracing::subscriber::with_default(registry().with(layer).with(lines), || {
            let says = || {
                tracing::debug!("a debug line");
                tracing::warn!("a warning");
                std::mem::take(&mut *told.0.lock().unwrap())
            };
            let lines = |log: Vec<u8>| String::from_utf8(log).unwrap().lines().count();
            assert_eq!(lines(says()), 1);
            filter.set("debug").unwrap();
            assert_eq!((lines(says()), filter.get()), (2, "debug".to_owned()));
            assert!(filter.set("loud").unwrap_err().contains("write error, warn"));
            assert_eq!((lines(says()), filter.get()), (2, "debug".to_owned()));
            filter.set("off").unwrap();
            assert_eq!((lines(says()), filter.get()), (0, "off".to_owned()));
        });
    }

    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<u8>>>);

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
