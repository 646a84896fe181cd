//! The arguments of `kvsd admin`. Next file to read: `socket`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kvsd::TableName;

use crate::users::{Grant, UserName};

/// What follows `kvsd admin`.
#[derive(Debug, Args)]
pub(in crate::cli) struct AdminArgs {
    // With line breaks of our own: wrapping would tear the names off.
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        help_heading = "Server",
        help = "The server's socket: admin.sock in its data folder\n[env: KVSD_ADMIN_SOCKET] \
                [default: ./kvsd-data/admin.sock, else /var/lib/kvsd/admin.sock]"
    )]
    pub(super) socket: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: AdminCommand,
}

/// What an administrator can do.
#[derive(Debug, Subcommand)]
pub(super) enum AdminCommand {
    /// Have the server make a backup
    ///
    /// The server puts it into a folder of this name in the folder that its setting `backups` names.
    /// It goes on serving; all that it acknowledged before is in the backup. Each table is as it
    /// stood at one moment, which is not the same for all tables. The backup goes on if this command
    /// is ended. Users, certificates and configuration are no part of it. `kvsd-server restore`
    /// makes a data folder of it.
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup {
        /// What it is called: 1 to 64 letters, digits, `.`, `_` and `-`, not beginning with `.`
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Free all garbage of tables that may go
    ///
    /// The server compacts by itself, once a third of a file is garbage; this takes what is below
    /// that as well. What watches may still ask for stays (settings `history_bytes` and
    /// `history_time`). Reads and writes go on meanwhile, and so does the compaction if this command
    /// is ended.
    #[command(after_help = COMPACT_EXAMPLES)]
    Compact {
        /// The tables; without any, all of them, one after the other
        #[arg(value_name = "TABLE", value_parser = TableName::parse)]
        tables: Vec<TableName>,
    },
    /// Print how the tables are
    ///
    /// A table that takes no writes says why under `health`. What the columns are says `kvsd stats
    /// --help`.
    #[command(after_help = TABLES_EXAMPLES)]
    Tables,
    /// Have the server read configuration, certificate and users again
    ///
    /// It does so by itself within a second of a change of certificate and users; this tells whether it
    /// could. A file that
    /// cannot be used changes nothing.
    #[command(after_help = RELOAD_EXAMPLES)]
    Reload,
    /// List, add and remove users, and change their passwords and what they may do
    #[command(after_help = USER_EXAMPLES)]
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// List the clients' connections, or end some
    #[command(after_help = CONNECTIONS_EXAMPLES)]
    Connections {
        #[command(subcommand)]
        command: ConnectionsCommand,
    },
    /// Print what the server logs, or change it until it ends
    #[command(after_help = LOG_EXAMPLES)]
    Log {
        /// What to log from now on, as in the setting `log`: a level, and levels of parts
        #[arg(value_name = "FILTER")]
        filter: Option<String>,
    },
}

/// What to do with users. Each change stands in the users file and is in force when it is answered.
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Print the users, one in each line: the name, and behind a tab what it may do
    List,
    /// Let somebody log in
    ///
    /// The password is asked for on the terminal, without echo. Without a terminal on standard input
    /// it is the one line that stands there. It is never an argument, and never sent: the server
    /// gets its hash.
    Add {
        /// The name: 1 to 128 bytes without white space and `:`
        #[arg(value_name = "NAME", value_parser = UserName::parse)]
        name: UserName,
        #[command(flatten)]
        password: PasswordFlags,
        /// What the user may do: read@TABLE, write@TABLE or admin@TABLE, where TABLE is a name, the
        /// start of names and `*`, or `*`. May be given several times; without it the user may log in
        /// and no more
        #[arg(long, value_name = "ROLE@TABLE")]
        grant: Vec<Grant>,
    },
    /// Let a user do more, which ends the user's connections
    ///
    /// A role includes those below it: admin (drop the table), write, read. One role on the same
    /// TABLE takes the place of another.
    Grant {
        /// The user
        #[arg(value_name = "NAME", value_parser = UserName::parse)]
        name: UserName,
        /// What the user may do: read@TABLE, write@TABLE or admin@TABLE
        #[arg(value_name = "ROLE@TABLE", required = true)]
        grants: Vec<Grant>,
    },
    /// Let a user do less, which ends the user's connections
    Revoke {
        /// The user
        #[arg(value_name = "NAME", value_parser = UserName::parse)]
        name: UserName,
        /// What the user may do no more, as `list` shows it
        #[arg(value_name = "ROLE@TABLE", required = true)]
        grants: Vec<Grant>,
    },
    /// Give a user another password, which ends the user's connections
    ///
    /// The password comes from where that of `add` does.
    Password {
        /// The user
        #[arg(value_name = "NAME", value_parser = UserName::parse)]
        name: UserName,
        #[command(flatten)]
        password: PasswordFlags,
    },
    /// Let a user log in no more, and end the user's connections
    Remove {
        /// The user
        #[arg(value_name = "NAME", value_parser = UserName::parse)]
        name: UserName,
    },
}

/// Where a password comes from.
#[derive(Debug, Args)]
pub(super) struct PasswordFlags {
    /// Make a random password and print it, this once, on standard output
    #[arg(long, conflicts_with = "password_stdin")]
    pub(super) generate: bool,
    /// Read the password from standard input even if that is a terminal
    #[arg(long)]
    pub(super) password_stdin: bool,
}

/// What to do with connections.
#[derive(Debug, Subcommand)]
pub(super) enum ConnectionsCommand {
    /// Print the connections, in the order in which they came
    List,
    /// End connections; a client of the SDK opens another with its next call
    Kill {
        /// Their ids, as `list` prints them
        #[arg(value_name = "ID", required = true)]
        ids: Vec<u64>,
    },
}

pub(in crate::cli) const EXAMPLES: &str = "\
The socket is open to the user alone that the server runs as: whoever may open it needs no password.

Examples:
  kvsd admin tables
  kvsd admin user add app --grant write@*
  sudo -u kvsd kvsd admin --socket /var/lib/kvsd/admin.sock backup monday";

const BACKUP_EXAMPLES: &str = "\
Examples:
  kvsd admin backup 2026-11-22
  kvsd-server restore backups/2026-11-22 --data-dir new-data";
const COMPACT_EXAMPLES: &str = "\
Examples:
  kvsd admin compact
  kvsd admin compact users orders";
const TABLES_EXAMPLES: &str = "\
Examples:
  kvsd admin tables
  kvsd admin --output json tables";
const RELOAD_EXAMPLES: &str = "\
Example:
  kvsd admin reload";
const USER_EXAMPLES: &str = "\
Examples:
  kvsd admin user list
  kvsd admin user add app --generate --grant write@orders-* --grant read@default
  kvsd admin user revoke app read@default
  kvsd admin user password app < password.txt
  kvsd admin user remove app";
const CONNECTIONS_EXAMPLES: &str = "\
Examples:
  kvsd admin connections list
  kvsd admin connections kill 17";
const LOG_EXAMPLES: &str = "\
Examples:
  kvsd admin log
  kvsd admin log debug
  kvsd admin log info,kvsd_server::session=trace";
