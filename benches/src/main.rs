//! kvsd beside its peers: starts the servers, loads them in turn, prints one table with ratios.
//!
//! Under the name `kvsd-server` this program *is* the server, the shipped one with all its flags:
//! so the benchmark finds it without knowing where cargo puts things, and it still runs as a
//! process of its own. Nothing here writes outside its own temporary folder. Next files to read:
//! `cell` (what is measured), `measure` (how), `peer` (against whom).

mod args;
mod cell;
mod disk;
mod latency;
mod load;
mod machine;
mod measure;
mod peer;
mod record;
mod report;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::machine::Machine;

/// What ends a benchmark early: a server that does not start, an answer that is wrong.
type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    if is_called(peer::kvsd::SERVER_NAME) {
        return kvsd_server::cli_server::main();
    }
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether this program was started under that name.
fn is_called(name: &str) -> bool {
    let called = std::env::args_os().next();
    called.as_deref().map(Path::new).and_then(Path::file_name) == Some(OsStr::new(name))
}

fn run(args: &Args) -> Result<(), Error> {
    let cells = cell::named_like(&args.cells)?;
    let folder = args.folder()?;
    // As an application has it: a worker thread for each core.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (machine, redis) = (Machine::look(folder.path()), peer::redis::find());
    println!("{}\n", report::head(&machine, args, &redis));
    let bench = measure::Bench { runtime, folder, redis, rounds: args.rounds, time: args.seconds };
    let mut results = Vec::new();
    for cell in cells {
        results.push(bench.measure(cell)?);
    }
    print!("{}", report::table(&results));
    Ok(())
}
