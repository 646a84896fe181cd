//! The log on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::ConfigError;

/// Starts the log.
///
/// # Errors
///
/// [`ConfigError::Value`] for a filter that is none.
pub(super) fn start(filter: &str) -> Result<(), ConfigError> {
    let parsed = parse(filter).map_err(|reason| ConfigError::Value {
        origin: "log".to_owned(),
        text: filter.to_owned(),
        reason,
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // A closed standard error must not end the server: no complaint about it either.
        .log_internal_errors(false)
        .init();
    Ok(())
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
}
