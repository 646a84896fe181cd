//! `kvsd admin`: users, tables, connections, backups and the log of a running server.
//!
//! Speaks [`kvsd::protocol::admin`] over the server's Unix socket; whoever may open it needs no
//! password. A user's password is hashed here, and only the hash crosses. Reading order: `args`,
//! `socket` (the connection), then a file for each noun, and `outcome` (what is printed).

mod args;
mod backup;
mod connections;
mod outcome;
mod socket;
mod tables;
mod users;

use kvsd::protocol::admin::{MAX_FILTER_BYTES, Reply, Request};

pub(super) use self::args::{AdminArgs, EXAMPLES};
use self::args::{AdminCommand, ConnectionsCommand, UserCommand};
pub(super) use self::outcome::Outcome;
use self::socket::{Patience, Socket};
use super::failure::Failure;

/// Carries out a command.
pub(super) fn run(args: AdminArgs) -> Result<Outcome, Failure> {
    let AdminArgs { socket, command } = args;
    let connect = || Socket::connect(socket.clone());
    match command {
        AdminCommand::Backup { name } => backup::run(&mut connect()?, name),
        AdminCommand::Compact { tables } => tables::compact(&mut connect()?, tables),
        AdminCommand::Tables => tables::list(&mut connect()?),
        AdminCommand::Reload => {
            let read = |reply: Reply<'_>| match reply {
                Reply::Reloaded { users } => Some(Outcome::Reloaded { users }),
                _ => None,
            };
            connect()?.ask(&Request::Reload, Patience::Short, read)
        }
        AdminCommand::User { command: UserCommand::List } => users::list(&mut connect()?),
        AdminCommand::User { command } => users::change(connect, command),
        AdminCommand::Connections { command: ConnectionsCommand::List } => {
            connections::list(&mut connect()?)
        }
        AdminCommand::Connections { command: ConnectionsCommand::Kill { ids } } => {
            connections::kill(&mut connect()?, ids)
        }
        AdminCommand::Log { filter: None } => {
            let read = |reply: Reply<'_>| match reply {
                Reply::LogFilter { filter } => Some(Outcome::LogFilter(filter.to_owned())),
                _ => None,
            };
            connect()?.ask(&Request::LogFilter, Patience::Short, read)
        }
        AdminCommand::Log { filter: Some(filter) } => {
            if filter.len() > MAX_FILTER_BYTES {
                let message = format!("a log filter has at most {MAX_FILTER_BYTES} bytes");
                return Err(Failure::wrong_usage(message));
            }
            connect()?.done(&Request::SetLogFilter { filter: &filter })?;
            Ok(Outcome::LogFilterSet(filter))
        }
    }
}
