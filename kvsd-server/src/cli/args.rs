//! The arguments of `kvsd`, and its help.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};
use kvsd::TableName;
use kvsd::types::check_key;

use super::bench::{self, BenchArgs};
use super::failure::Failure;

/// Read and write the values of a kvsd server.
#[derive(Debug, Parser)]
#[command(name = "kvsd", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) server: ServerFlags,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Server")]
pub(super) struct ServerFlags {
    // With line breaks of our own: wrapping would tear the variables' names off.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        help = "Where the server is: kvsd://HOST (plain TCP) or kvsds://HOST (TLS)\n[env: KVSD_URL]"
    )]
    pub(super) url: Option<String>,
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "Trust the CA in this PEM file, and no other\n[env: KVSD_TLS_CA]"
    )]
    pub(super) ca: Option<PathBuf>,
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        value_parser = TableName::parse,
        help = "Use this table\n[default: the URL's, else `default`]"
    )]
    pub(super) table: Option<TableName>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Ask the server for a sign of life and print how long its answer took
    ///
    /// Prints `OK` and the time in milliseconds. Opening the connection, logging in included, is
    /// not part of it.
    Ping,
    /// Store a value
    ///
    /// Prints `OK` once the server has stored it. A value that stands there already is replaced.
    #[command(after_help = SET_EXAMPLES)]
    Set {
        /// The key: 1 to 1,024 bytes. Put `--` before one that begins with `-`
        #[arg(value_name = "KEY")]
        key: OsString,
        /// The value; `-` stores standard input, byte for byte, up to the server's limit for a
        /// value (10 MiB unless it says otherwise)
        // A PEM text begins with a hyphen, as a negative number does.
        #[arg(value_name = "VALUE", allow_hyphen_values = true)]
        value: OsString,
    },
    /// Print the value at a key
    ///
    /// Prints the value's bytes and one line feed. Without a value there, standard output stays
    /// empty and the exit code is 1.
    #[command(after_help = GET_EXAMPLES)]
    Get {
        /// The key
        #[arg(value_name = "KEY")]
        key: OsString,
        /// Print the value alone, without the line feed
        #[arg(long)]
        raw: bool,
    },
    /// Remove the value at a key
    ///
    /// Prints `OK old value: ` and the value, or `OK` if there was none; the exit code is 0 either
    /// way.
    Delete {
        /// The key
        #[arg(value_name = "KEY")]
        key: OsString,
    },
    /// Say whether there is a value at a key
    ///
    /// Prints `true` and ends with code 0, or prints `false` and ends with code 1.
    Exists {
        /// The key
        #[arg(value_name = "KEY")]
        key: OsString,
    },
    /// Put a load on the server and print how it bore it
    ///
    /// Tasks read and overwrite values, each one operation at a time; then the rate, the latencies
    /// and the errors are printed.
    #[command(after_help = bench::EXAMPLES)]
    Bench(BenchArgs),
}

impl Command {
    /// Checks what needs no server.
    ///
    /// # Errors
    ///
    /// The key is empty or too long.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self.key() {
            Some(key) => check_key(key.as_encoded_bytes()).map_err(|error| Failure::usage(&error)),
            None => Ok(()),
        }
    }

    /// How many connections it wants.
    pub(super) fn connections(&self) -> u32 {
        match self {
            Command::Bench(args) => args.connections,
            Command::Ping
            | Command::Set { .. }
            | Command::Get { .. }
            | Command::Delete { .. }
            | Command::Exists { .. } => 1,
        }
    }

    fn key(&self) -> Option<&OsStr> {
        match self {
            Command::Ping | Command::Bench(_) => None,
            Command::Set { key, .. }
            | Command::Get { key, .. }
            | Command::Delete { key }
            | Command::Exists { key } => Some(key),
        }
    }
}

/// Parses the arguments, the program's name first.
///
/// # Errors
///
/// What clap says, help and version included, but never with a text that may be a value or hold a
/// password: a value whose quotes were forgotten must not end up in the log of some job.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(args).map_err(|error| {
        let (kind, quoted) = match error.kind() {
            ErrorKind::UnknownArgument => (ContextKind::InvalidArg, is_flag as fn(&str) -> bool),
            ErrorKind::InvalidSubcommand => (ContextKind::InvalidSubcommand, is_word as _),
            _ => return error,
        };
        match error.get(kind) {
            Some(ContextValue::String(text)) if !quoted(text) => Cli::command().error(
                error.kind(),
                "an argument has no place where it stands; a value with spaces needs quotes",
            ),
            _ => error,
        }
    })
}

fn is_flag(text: &str) -> bool {
    text.strip_prefix("--").or(text.strip_prefix('-')).is_some_and(is_word)
}

fn is_word(text: &str) -> bool {
    text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

const AFTER_HELP: &str = "\
Where the server is, the first of these that is there:
  --url URL    kvsd://HOST (plain TCP) or kvsds://HOST (TLS), in full
               kvsds://[USER[:PASSWORD]@]HOST[:PORT][/TABLE][?timeout=2s&ca=FILE]
  KVSD_URL     the same
  KVSD_HOST    HOST, HOST:PORT or [IPV6]:PORT, with TLS; but localhost, 127.* and ::1 mean plain
               TCP unless a CA is given
  otherwise    this machine, 127.0.0.1:7379, as with KVSD_HOST

Who you are: the URL's user and password. What it lacks comes from KVSD_USERNAME and KVSD_PASSWORD.
Everybody on a machine can see arguments, so a password belongs into the environment.

Whom to trust (TLS): --ca, else the URL's, else KVSD_TLS_CA, else this machine's own certificates.

Exit codes:
  0  done; `exists`: there is a value
  1  `get`, `exists`: there is no value
  2  the usage or a setting is wrong
  3  anything else: no connection, TLS, a wrong password, an error of the server; `bench`: some
     operation failed
A reader that closes the pipe early (kvsd get big | head -c 1) changes none of them.

Examples:
  kvsd set hello rust
  kvsd get hello
  KVSD_HOST=db.example KVSD_USERNAME=app KVSD_PASSWORD=... kvsd --ca ca.crt ping
  kvsd --url kvsd://localhost:7000/users exists user/7";

const SET_EXAMPLES: &str = "\
Examples:
  kvsd set hello rust
  kvsd set greeting 'hello, world'
  kvsd set photo - < photo.jpg";

const GET_EXAMPLES: &str = "\
Examples:
  kvsd get hello
  kvsd get --raw photo > photo.jpg";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &[&str]) -> Result<Cli, clap::Error> {
        parse(std::iter::once(&"kvsd").chain(words).map(OsString::from))
    }

    fn error(words: &[&str]) -> String {
        let error = parse_words(words).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{words:?}");
        error.to_string()
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_names_every_variable_and_every_exit_code() {
        let help = Cli::command().render_long_help().to_string();
        for name in ["KVSD_URL", "KVSD_HOST", "KVSD_USERNAME", "KVSD_PASSWORD", "KVSD_TLS_CA"] {
            assert!(help.contains(name), "{name}");
        }
        for code in ["  0  ", "  1  ", "  2  ", "  3  "] {
            assert!(help.contains(code), "{code:?}");
        }
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    }

    #[test]
    fn a_value_may_begin_with_a_hyphen() {
        for value in ["-5", "-", "-----BEGIN CERTIFICATE-----\nMIIB", "--x=y", "-v"] {
            let Command::Set { value: parsed, .. } =
                parse_words(&["set", "k", value]).unwrap().command
            else {
                panic!("not a set");
            };
            assert_eq!(parsed, value);
        }
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for words in [
            ["--table", "users", "set", "k", "-5"],
            ["set", "--table", "users", "k", "-5"],
            ["set", "k", "--table", "users", "-5"],
            ["set", "k", "-5", "--table", "users"],
        ] {
            let cli = parse_words(&words).unwrap();
            assert_eq!(cli.server.table.unwrap().as_str(), "users", "{words:?}");
        }
    }

    #[test]
    fn a_usage_error_names_a_flag_and_never_shows_a_value_or_a_password() {
        assert!(error(&["get", "k", "--rwa"]).contains("--rwa"));
        assert!(error(&["gte", "k"]).contains("gte"));
        for words in [
            &["set", "k", "my", "canary"][..],
            &["set", "k", "v", "-----BEGIN canary"],
            &["get", "k", "--canary_Secret"],
            &["kvsd://app:canary@host", "ping"],
            &["--ulr=kvsd://app:canary@host", "ping"],
            &["--ulr", "kvsd://app:canary@host", "ping"],
            &["--url", "kvsd://app:canary@host"],
            &["--url", "kvsd://app:canary@host", "--url", "kvsd://app:canary@host", "ping"],
            &["ping", "kvsd://app:canary@host"],
        ] {
            let error = error(words);
            assert!(!error.contains("canary"), "{words:?}: {error}");
        }
    }

    #[test]
    fn a_key_has_1_to_1024_bytes() {
        for (length, fits) in [(0, false), (1, true), (1024, true), (1025, false)] {
            let key = "k".repeat(length);
            assert_eq!(parse_words(&["get", &key]).unwrap().command.check().is_ok(), fits);
        }
    }
}
