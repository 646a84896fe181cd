//! `kvsd-server config`: is a configuration sound, and what is there to configure?

use std::io::{self, Write};
use std::path::PathBuf;

use super::args::ConfigAction;
use super::exit::{Failure, report};
use super::logging;
use super::serve::config_variable;
use crate::config::{Layers, reference};

/// Does what is asked.
pub(super) fn run(action: ConfigAction) -> Result<(), Failure> {
    let text = match action {
        ConfigAction::Check { config } => {
            check(config)?;
            "OK\n".to_owned()
        }
        ConfigAction::Reference => reference(),
    };
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::other)
}

fn check(file: Option<PathBuf>) -> Result<(), Failure> {
    let mut layers = Layers::default();
    for warning in layers.environment(std::env::vars_os())? {
        // Nobody may be reading; it is no mistake.
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    let (config, mut problems) = layers.problems(file.or_else(config_variable).as_deref());
    // The filter of the log is read by what writes it, and not by the library.
    problems.extend(logging::check(&config.log).err());
    for problem in &problems {
        report(problem);
    }
    match problems.len() {
        0 => Ok(()),
        1 => Err(Failure::other("a server would not start from this: 1 mistake")),
        count => {
            Err(Failure::other(format!("a server would not start from this: {count} mistakes")))
        }
    }
}
