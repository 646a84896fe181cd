//! The binary `kvsd-server`. All of it is in the library: `kvsd_server::cli_server`.

use std::process::ExitCode;

fn main() -> ExitCode {
    kvsd_server::cli_server::main()
}
