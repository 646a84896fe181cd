//! The arguments of `kvsd`, and its help.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use kvsd::TableName;
use kvsd::types::check_key;

use super::admin::{self, AdminArgs};
use super::bench::{self, BenchArgs};
use super::export::{self, ExportArgs};
use super::failure::Failure;
use super::import::{self, ImportArgs};
use super::output::Format;
use super::scan::{self, ScanArgs};
use super::tables::{self, TablesCommand};
use super::watch::{self, WatchArgs};
use super::{completions, stats};

/// Read and write the values of a kvsd server.
#[derive(Debug, Parser)]
#[command(name = "kvsd", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(super) struct Cli {
    /// Print text for people, or for programs an object of JSON in each line
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        help_heading = "Output"
    )]
    pub(super) output: Format,
    #[command(flatten)]
    pub(super) server: ServerFlags,
    #[command(subcommand)]
    pub(super) word: Word,
}

/// What the command line can begin with.
#[derive(Debug, Subcommand)]
pub(super) enum Word {
    #[command(flatten)]
    Command(Command),
    /// Administer the server of this machine, over its socket and without a password
    #[command(after_help = admin::EXAMPLES)]
    Admin(AdminArgs),
    /// Print a script that lets a shell complete our commands and flags
    #[command(after_help = completions::EXAMPLES)]
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
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

/// What a server is needed for.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Ask the server for a sign of life and print how long its answer took
    ///
    /// Prints `OK` and the time in milliseconds. Opening the connection, logging in included, is
    /// not part of it.
    #[command(after_help = PING_EXAMPLES)]
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
    /// Prints the value's bytes and one line feed; of a value of a derived type its type, version,
    /// codec and size, and all of it if the codec is JSON. Without a value there, standard output
    /// stays empty and the exit code is 1.
    #[command(after_help = GET_EXAMPLES)]
    Get {
        /// The key
        #[arg(value_name = "KEY")]
        key: OsString,
        /// Print the stored bytes as they are, without the line feed
        #[arg(long)]
        raw: bool,
        /// Be content with what stood some time ago: a cluster may answer without agreeing first
        #[arg(long)]
        stale: bool,
    },
    /// Remove the value at a key
    ///
    /// Prints `OK old value: ` and the value, or `OK` if there was none; the exit code is 0 either
    /// way. Of a value of a derived type it prints what `get` does.
    #[command(after_help = DELETE_EXAMPLES)]
    Delete {
        /// The key
        #[arg(value_name = "KEY")]
        key: OsString,
    },
    /// Say whether there is a value at a key
    ///
    /// Prints `true` and ends with code 0, or prints `false` and ends with code 1.
    #[command(after_help = EXISTS_EXAMPLES)]
    Exists {
        /// The key
        #[arg(value_name = "KEY")]
        key: OsString,
        /// Be content with what stood some time ago: a cluster may answer without agreeing first
        #[arg(long)]
        stale: bool,
    },
    /// Print the records of a range of keys, in their order
    #[command(after_help = scan::EXAMPLES)]
    Scan(ScanArgs),
    /// Print what changes, as it does
    #[command(after_help = watch::EXAMPLES)]
    Watch(WatchArgs),
    /// Write the records of a table as lines of JSON
    #[command(after_help = export::EXAMPLES)]
    Export(ExportArgs),
    /// Store the records of lines of JSON
    #[command(after_help = import::EXAMPLES)]
    Import(ImportArgs),
    /// List, make, remove and measure tables
    #[command(after_help = tables::EXAMPLES)]
    Tables {
        #[command(subcommand)]
        command: TablesCommand,
    },
    /// Print what the server and its tables say of themselves
    #[command(after_help = stats::EXAMPLES)]
    Stats,
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
            | Command::Exists { .. }
            | Command::Scan(_)
            | Command::Watch(_)
            | Command::Export(_)
            | Command::Import(_)
            | Command::Tables { .. }
            | Command::Stats => 1,
        }
    }

    fn key(&self) -> Option<&OsStr> {
        match self {
            Command::Ping
            | Command::Scan(_)
            | Command::Export(_)
            | Command::Import(_)
            | Command::Tables { .. }
            | Command::Stats
            | Command::Bench(_) => None,
            Command::Watch(args) => args.key(),
            Command::Set { key, .. }
            | Command::Get { key, .. }
            | Command::Delete { key }
            | Command::Exists { key, .. } => Some(key),
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

/// Whether somebody wants errors for programs, though the arguments could not be parsed.
pub(super) fn wants_json(args: &[OsString]) -> bool {
    let follows = |pair: &[OsString]| matches!(pair, [flag, format] if flag == "--output" && format == "json");
    args.iter().any(|arg| arg == "--output=json") || args.windows(2).any(follows)
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
  1  `get`, `exists`: there is no value; `tables drop`, `tables stats`, `admin compact`: there is
     no such table
  2  the usage or a setting is wrong
  3  anything else: no connection, TLS, a wrong password, an error of the server; `bench`: some
     operation failed
A reader that closes the pipe early (kvsd get big | head -c 1) changes none of them.

For programs: with --output json each line is an object, on standard error too: {\"error\": ..} or
{\"note\": ..}; only the progress of `bench` and of transfers stays what it is.

Examples:
  kvsd set hello rust
  kvsd get hello
  KVSD_HOST=db.example KVSD_USERNAME=app KVSD_PASSWORD=... kvsd --ca ca.crt ping
  kvsd --url kvsd://localhost:7000/users exists user/7";

const PING_EXAMPLES: &str = "\
Example:
  kvsd ping";

const SET_EXAMPLES: &str = "\
Examples:
  kvsd set hello rust
  kvsd set greeting 'hello, world'
  kvsd set photo - < photo.jpg";

const GET_EXAMPLES: &str = "\
Examples:
  kvsd get hello
  kvsd get --raw photo > photo.jpg
  kvsd get --stale motd";

const DELETE_EXAMPLES: &str = "\
Example:
  kvsd delete hello";

const EXISTS_EXAMPLES: &str = "\
Example:
  kvsd exists hello && echo there";

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
            let Word::Command(Command::Set { value: parsed, .. }) =
                parse_words(&["set", "k", value]).unwrap().word
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
            for words in [["get", &key].as_slice(), &["watch", "--key", &key]] {
                let Word::Command(command) = parse_words(words).unwrap().word else {
                    panic!("no command");
                };
                assert_eq!(command.check().is_ok(), fits);
            }
        }
    }
}
