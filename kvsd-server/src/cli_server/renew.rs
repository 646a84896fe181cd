//! `kvsd-server renew`: another certificate from the CA that `init` has made.

use std::io::{self, Write};

use super::args::RenewArgs;
use super::exit::Failure;
use crate::init::{Renew, Renewed, SERVER_DAYS};

/// Replaces the server's certificate and key.
pub(super) fn run(args: RenewArgs) -> Result<(), Failure> {
    // With etcd too, certificates are in the folder.
    let (folder, _) = args.folder.find()?;
    let renew = Renew { folder, names: args.names };
    let Renewed { names, until } = renew.run().map_err(Failure::other)?;
    writeln!(
        io::stdout(),
        "made a certificate for {}; {SERVER_DAYS} days, until {until}\n\
         a running server takes it within a second; connections that are open go on",
        names.join(", ")
    )
    .map_err(Failure::other)
}
