//! The command line of the binary `kvsd-server`: what it takes, what it prints, how it ends.
//!
//! Owns the process: arguments, environment, standard streams, signals, exit code. Decides nothing
//! about the server itself: that is [`crate::config`] and `crate::server`. Exit code 0 follows a
//! clean stop, 2 a mistake in usage or configuration, 1 anything else. Next file to read: `serve`.

mod args;
mod completions;
mod config;
mod descriptors;
mod dump;
mod exit;
mod folder;
mod health;
mod init;
mod logging;
mod migrate;
mod renew;
mod restore;
mod salvage;
mod serve;
mod supervisor;
mod user;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

/// Runs the binary.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => serve::run(cli.server),
        Some(Command::Init(args)) => init::run(args),
        Some(Command::Renew(args)) => renew::run(args),
        Some(Command::Config(args)) => config::run(args.action),
        Some(Command::User(args)) => user::run(args.action),
        Some(Command::Verify { folder }) => verify::run(folder),
        Some(Command::Dump(args)) => dump::run(args),
        Some(Command::Salvage { folder, to }) => salvage::run(folder, &to),
        Some(Command::Restore { backup, data_dir }) => restore::run(&backup, &data_dir),
        Some(Command::Migrate(args)) => migrate::run(args),
        Some(Command::Health(args)) => health::run(args),
        Some(Command::Completions { shell }) => completions::run(shell),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
