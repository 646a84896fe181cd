//! The command line `kvsd`. All of it is in the library: `kvsd_server::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    kvsd_server::cli::main()
}
