//! What each operation takes: the one table of all that can be asked of a server.
//!
//! Sessions look up here what they are asked for, and tests go through all of it. An operation that
//! is new has to get its row, because those who ask name their operations exhaustively. Knows
//! roles; never a user, a message or how something is carried out. Next file to read: `list`.

use crate::users::Role;

/// Something that can be asked of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Ping,
    Get,
    Exists,
    Lifetime,
    Set,
    Delete,
    Increment,
    Expire,
    Batch,
    Pipeline,
    Scan,
    Watch,
    Cancel,
    CreateTable,
    DropTable,
    Tables,
    Statistics,
    Backup,
    BackupProgress,
}

/// What a client must have to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// To be logged in.
    Nothing,
    /// A role on the table that it is about.
    Role(Role),
    /// What each of its parts takes; each is answered on its own.
    OfEachPart,
    /// To see a table in the answer: this role on it. The others are left out.
    RoleToSee(Role),
    /// The administrators' socket. No role is enough on any other connection, where there is not even
    /// a message for it.
    Socket,
}

/// A row for each operation, in the order of their declaration.
pub(crate) const OPERATIONS: [(Operation, &str, Need); 19] = [
    (Operation::Ping, "ping", Need::Nothing),
    (Operation::Get, "get", Need::Role(Role::Read)),
    (Operation::Exists, "exists", Need::Role(Role::Read)),
    (Operation::Lifetime, "lifetime", Need::Role(Role::Read)),
    (Operation::Set, "set", Need::Role(Role::Write)),
    (Operation::Delete, "delete", Need::Role(Role::Write)),
    (Operation::Increment, "increment", Need::Role(Role::Write)),
    (Operation::Expire, "expire", Need::Role(Role::Write)),
    (Operation::Batch, "batch", Need::Role(Role::Write)),
    (Operation::Pipeline, "pipeline", Need::OfEachPart),
    (Operation::Scan, "scan", Need::Role(Role::Read)),
    (Operation::Watch, "watch", Need::Role(Role::Read)),
    (Operation::Cancel, "cancel", Need::Nothing),
    // A write makes its table, so that making one takes no more.
    (Operation::CreateTable, "create table", Need::Role(Role::Write)),
    (Operation::DropTable, "drop table", Need::Role(Role::Admin)),
    (Operation::Tables, "tables", Need::RoleToSee(Role::Read)),
    (Operation::Statistics, "statistics", Need::Role(Role::Read)),
    (Operation::Backup, "backup", Need::Socket),
    (Operation::BackupProgress, "backup progress", Need::Socket),
];

impl Operation {
    /// The operation's name, for people.
    pub(crate) const fn name(self) -> &'static str {
        OPERATIONS[self as usize].1
    }

    /// What it takes.
    pub(crate) const fn need(self) -> Need {
        OPERATIONS[self as usize].2
    }
}

/// Each operation finds its own row.
const _: () = {
    let mut place = 0;
    while place < OPERATIONS.len() {
        assert!(OPERATIONS[place].0 as usize == place, "in the order of the declaration");
        place += 1;
    }
    assert!(Operation::BackupProgress as usize + 1 == OPERATIONS.len(), "all of them");
};
