//! The arguments of `kvsd-server`. The flags of settings are made from the table of settings.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use kvsd::TableName;

use super::health;
use crate::config::{DEFAULT_PORT, keys};
use crate::init::HostName;
use crate::users::{Grant, UserName};

/// The server of kvsd, the typed key/value store for async Rust.
///
/// Without a command it serves until it is told to stop (SIGINT or SIGTERM; a second one ends it at
/// once). Once it serves, it prints `listening on ADDR:PORT` on standard output; its log goes to
/// standard error. It starts only with TLS and at least one user, unless --insecure or --dev says
/// otherwise for this machine alone.
#[derive(Debug, Parser)]
#[command(
    name = "kvsd-server",
    version,
    args_conflicts_with_subcommands = true,
    next_line_help = true,
    after_help = AFTER_HELP,
    max_term_width = 100
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    #[arg(
        long,
        value_name = "FILE",
        help = "Read settings from this TOML file; paths in it start from its folder\n\
                [env: KVSD_SERVER_CONFIG]"
    )]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) settings: SettingFlags,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a folder with a CA, a server certificate, a first user and a configuration
    #[command(next_line_help = true)]
    Init(InitArgs),
    /// Make the server another certificate and key
    ///
    /// They take the place of those that `kvsd-server init` has made, and are signed by the same
    /// CA, so that clients need nothing new. The certificate is for the names of the one before,
    /// and for those given here. Needs the CA's key where `init` has put it, `tls/ca.key`.
    #[command(next_line_help = true)]
    Renew(RenewArgs),
    /// Add, remove or list the users who may log in
    User(UserArgs),
    /// Check a configuration, or print the reference of all settings
    Config(ConfigArgs),
    /// Check every record of a data folder, and change nothing
    ///
    /// Prints a line for each table, one for each damaged place, and `OK` at the end if there was
    /// none; otherwise the exit code is 1. What a crash has left unfinished at the end of a log is
    /// no damage: the server cuts it off when it starts; nor is a hint that does not fit its
    /// segment, of which a warning is printed: the server makes it again. The server must not be running. Keeps the
    /// keys of one table at a time in memory.
    #[command(next_line_help = true)]
    Verify {
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Print a data folder's records as JSON, one a line
    ///
    /// Ordered by table, and by key within it. `expires_at` is in milliseconds since 1970, or null.
    /// A key or value that is no UTF-8 stands as {"base64": ".."}; a derived value has its `type`,
    /// `type_version`, `fingerprint` and `codec` beside it, and `value` is what the codec wrote.
    /// The server must not be running. Keeps the keys of one table at a time in memory.
    #[command(next_line_help = true)]
    Dump(DumpArgs),
    /// Make a new data folder from a backup
    ///
    /// Every byte of the backup is verified before the new folder gets its name; a backup that is
    /// damaged is refused, and nothing is left behind. The new folder shares no file with the
    /// backup. Versions go on far above those of before, and watches that were under way find a
    /// gap. Users, certificates and configuration are no part of a backup: keep copies of them.
    #[command(next_line_help = true)]
    Restore {
        /// The backup: a folder that `kvsd admin backup` made
        #[arg(value_name = "BACKUP_FOLDER")]
        backup: PathBuf,
        /// The data folder to make; it must not be there, or be empty
        #[arg(long, value_name = "NEWDIR")]
        data_dir: PathBuf,
    },
    /// Move the tables of a data folder into another engine
    ///
    /// The server of the folder must be stopped, and nobody may write to the tables in etcd
    /// meanwhile. Keys, values and expiry are copied, and at the end both sides are read through and
    /// compared; versions are new ones. Nothing is taken out of the folder. When it was interrupted,
    /// the same command goes on where it was.
    #[command(next_line_help = true)]
    Migrate(MigrateArgs),
    /// Copy what still verifies of a damaged data folder into a new one
    ///
    /// The damaged folder is only read. For each key the newest record that verifies is copied;
    /// each place that is skipped is printed. If a damaged record was a key's newest, the key comes
    /// back with an older value, or a deleted key comes back; a batch that is hit is copied in part.
    /// The server must not be running.
    #[command(next_line_help = true)]
    Salvage {
        #[command(flatten)]
        folder: FolderArgs,
        /// The folder to make; it must not be there, or be empty
        #[arg(long, value_name = "NEWDIR")]
        to: PathBuf,
    },
    /// Ask a running server how it is
    ///
    /// Prints what /healthz answers, or with --ready what /readyz does, and ends with code 0 if
    /// that is good, else with code 1: for a container's health check.
    #[command(next_line_help = true)]
    Health(HealthArgs),
    /// Print a script that lets a shell complete our commands and flags
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(super) struct DumpArgs {
    #[command(flatten)]
    pub(super) folder: FolderArgs,
    /// Print this table alone
    #[arg(long, value_name = "NAME", value_parser = TableName::parse)]
    pub(super) table: Option<TableName>,
    /// Print records whose time is up as well, as long as they are there
    #[arg(long)]
    pub(super) expired: bool,
}

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// The server's status address, its `status_listen`
    #[arg(long, value_name = "ADDR:PORT", default_value_t = health::USUAL_ADDRESS)]
    pub(super) status: SocketAddr,
    /// Ask whether clients are served, and not only whether the server lives
    #[arg(long)]
    pub(super) ready: bool,
}

/// Which data folder is meant.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct FolderArgs {
    /// The data folder [env: KVSD_SERVER_DATA_DIR] [default: ./kvsd-data]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// The configuration that names it [env: KVSD_SERVER_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The folder to make, and the server's data folder [default: ./kvsd-data]
    #[arg(long, value_name = "DIR", default_value = "./kvsd-data", hide_default_value = true)]
    pub(super) data_dir: PathBuf,
    /// A name or address that clients will call the server by; may be given several times. The
    /// certificate is for localhost, 127.0.0.1 and ::1 in any case
    #[arg(long = "name", value_name = "HOST", value_parser = HostName::parse)]
    pub(super) names: Vec<HostName>,
    /// The first user [default: app]
    #[arg(
        long,
        value_name = "NAME",
        value_parser = UserName::parse,
        default_value = "app",
        hide_default_value = true
    )]
    pub(super) user: UserName,
    /// The address that the configuration says to serve on [default: 127.0.0.1:7379]
    #[arg(
        long,
        value_name = "ADDR:PORT",
        default_value_t = SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT)),
        hide_default_value = true
    )]
    pub(super) listen: SocketAddr,
    /// Make a front end of this etcd cluster, whose members are separated by commas: users and data
    /// are there, and --user is of no use
    #[arg(long, value_name = "URLS", conflicts_with = "user")]
    pub(super) etcd_endpoints: Option<String>,
    /// The prefix of all keys in the cluster [default: kvsd]
    #[arg(
        long,
        value_name = "NAME",
        default_value = "kvsd",
        hide_default_value = true,
        requires = "etcd_endpoints"
    )]
    pub(super) etcd_prefix: String,
}

#[derive(Debug, Args)]
pub(super) struct RenewArgs {
    #[command(flatten)]
    pub(super) folder: FolderArgs,
    /// A further name or address that clients will call the server by; may be given several times
    #[arg(long = "name", value_name = "HOST", value_parser = HostName::parse)]
    pub(super) names: Vec<HostName>,
}

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    pub(super) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigAction {
    /// Name everything that is wrong with a configuration, and change nothing
    ///
    /// Looks at the file and at the variables of the environment, as the server does when it starts,
    /// and at the certificate, key and users that they name. Prints `OK` and ends with code 0 if a
    /// server starts from it; otherwise prints a line for each mistake and ends with code 1.
    #[command(next_line_help = true)]
    Check {
        /// The configuration [env: KVSD_SERVER_CONFIG]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print the reference of all settings, in Markdown
    Reference,
}

#[derive(Debug, Args)]
pub(super) struct UserArgs {
    #[command(subcommand)]
    pub(super) action: UserAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum UserAction {
    /// Add a user
    ///
    /// The password is asked for on the terminal, without echo. Without a terminal on standard
    /// input it is the one line that stands there. It is never an argument.
    #[command(next_line_help = true)]
    Add {
        /// The name: 1 to 128 bytes without white space and `:`
        #[arg(value_parser = UserName::parse)]
        name: UserName,
        #[command(flatten)]
        file: UsersFile,
        #[command(flatten)]
        password: PasswordFrom,
        /// What the user may do: read@TABLE, write@TABLE or admin@TABLE, where TABLE is a name, the
        /// start of names and `*`, or `*`. May be given several times; without it the user may log in
        /// and no more
        #[arg(long, value_name = "ROLE@TABLE")]
        grant: Vec<Grant>,
    },
    /// Let a user do more
    ///
    /// A role includes those below it: admin (drop the table), write, read. One role on the same
    /// TABLE takes the place of another. The user's connections end within a second, and come back
    /// with what they may do now.
    #[command(next_line_help = true)]
    Grant {
        /// The name
        #[arg(value_parser = UserName::parse)]
        name: UserName,
        /// What it may do, such as write@orders, read@logs-* or admin@*
        #[arg(required = true, value_name = "ROLE@TABLE")]
        grants: Vec<Grant>,
        #[command(flatten)]
        file: UsersFile,
    },
    /// Take away what a user was granted
    #[command(next_line_help = true)]
    Revoke {
        /// The name
        #[arg(value_parser = UserName::parse)]
        name: UserName,
        /// What it may do no more, as `kvsd-server user list` shows it
        #[arg(required = true, value_name = "ROLE@TABLE")]
        grants: Vec<Grant>,
        #[command(flatten)]
        file: UsersFile,
    },
    /// Give a user another password
    ///
    /// The password comes from where that of a new user does.
    #[command(next_line_help = true)]
    Password {
        /// The name
        #[arg(value_parser = UserName::parse)]
        name: UserName,
        #[command(flatten)]
        file: UsersFile,
        #[command(flatten)]
        password: PasswordFrom,
    },
    /// Remove a user
    #[command(next_line_help = true)]
    Remove {
        /// The name
        #[arg(value_parser = UserName::parse)]
        name: UserName,
        #[command(flatten)]
        file: UsersFile,
    },
    /// Print the users, one a line: the name, and behind a tab what it may do
    #[command(next_line_help = true)]
    List {
        #[command(flatten)]
        file: UsersFile,
    },
}

/// Where a password comes from, if not from the terminal.
#[derive(Debug, Args)]
pub(super) struct PasswordFrom {
    /// Make a random password and print it, this once, on standard output
    #[arg(long, conflicts_with = "password_stdin")]
    pub(super) generate: bool,
    /// Read the password from standard input even if that is a terminal
    #[arg(long)]
    pub(super) password_stdin: bool,
}

/// Which users file is meant.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct UsersFile {
    /// The users file [env: KVSD_SERVER_USERS]
    #[arg(long, value_name = "FILE")]
    pub(super) users: Option<PathBuf>,
    /// The configuration that names it [env: KVSD_SERVER_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The folder that `kvsd-server init` made
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
}

/// The settings that were given as flags, as text.
#[derive(Debug)]
pub(super) struct SettingFlags(pub(super) Vec<(&'static keys::Setting, String)>);

impl Args for SettingFlags {
    fn augment_args(mut command: clap::Command) -> clap::Command {
        for setting in keys::SETTINGS {
            // On a line of their own, so that wrapping never tears them.
            let mut help = format!("{}\n", setting.help);
            if let (Some(_), Some(text)) = (setting.value, setting.default) {
                help.push_str(&format!("[default: {text}] "));
            }
            help.push_str(&format!("[env: {}]", setting.variable()));
            let arg =
                Arg::new(setting.key).long(setting.flag()).help_heading(setting.group).help(help);
            command = command.arg(match setting.value {
                Some(name) => arg.value_name(name),
                None => arg.action(ArgAction::SetTrue),
            });
        }
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = keys::SETTINGS.iter().filter_map(|setting| {
            let text = match setting.value {
                Some(_) => matches.get_one::<String>(setting.key)?.clone(),
                None => matches.get_flag(setting.key).then(|| "true".to_owned())?,
            };
            Some((setting, text))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

const AFTER_HELP: &str = "\
A flag beats its environment variable, that beats the configuration file, and that the default.
In the file each setting is called as its flag, with `_` for `-`: max_connections = 100

Examples:
  kvsd-server --dev                          try it: this machine only, any credentials
  kvsd-server init --name db.example         make certificates, a user and a configuration
  kvsd-server --config kvsd-data/kvsd.toml   serve with them
  kvsd-server init --etcd-endpoints URLS     make the same for a front end of an etcd cluster
  kvsd-server config check --config FILE     name all that is wrong with a configuration
  kvsd-server verify                         check the data folder while no server runs";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_names_every_setting_with_its_variable_and_default() {
        let help = Cli::command().render_long_help().to_string();
        for setting in keys::SETTINGS {
            assert!(help.contains(&format!("--{}", setting.flag())), "{}", setting.key);
            assert!(help.contains(&format!("[env: {}]", setting.variable())), "{}", setting.key);
            if let (Some(_), Some(default)) = (setting.value, setting.default) {
                assert!(help.contains(&format!("[default: {default}]")), "{}", setting.key);
            }
        }
    }

    #[test]
    fn flags_arrive_as_text_and_absent_ones_do_not() {
        let cli = Cli::try_parse_from(["kvsd-server", "--dev", "--max-connections", "7"]).unwrap();
        let given: Vec<_> =
            cli.server.settings.0.iter().map(|(s, t)| (s.key, t.as_str())).collect();
        assert_eq!(given, [("max_connections", "7"), ("dev", "true")]);
    }
}

/// Which tables go where.
#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// The engine that has the tables
    #[arg(long, value_enum)]
    pub(super) from: MigrateFrom,
    /// The engine that gets them: the one of the configuration
    #[arg(long, value_enum)]
    pub(super) to: MigrateTo,
    /// The folder that has the tables
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: PathBuf,
    /// The configuration of the server that is to have them, with its cluster
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// An engine that tables can be taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum MigrateFrom {
    /// A data folder
    Log,
}

/// An engine that tables can be moved into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum MigrateTo {
    /// An etcd cluster
    Etcd,
}
