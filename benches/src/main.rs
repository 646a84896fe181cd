//! kvsd beside its peers: runs them in turn under the same load, prints tables with ratios.
//!
//! Under the name `kvsd-server` this program *is* the server, the shipped one with all its flags:
//! so the benchmark finds it without knowing where cargo puts things, and it still runs as a
//! process of its own. Under another name it is version 1's server. Nothing here writes outside its
//! own temporary folder. Next file to read: `suite` (what there is to measure).

mod args;
mod cell;
mod cells;
mod clock;
mod cost;
mod data;
mod disk;
mod engine;
#[cfg(feature = "etcd")]
mod frontend;
mod latency;
mod load;
mod machine;
mod measure;
mod memory;
mod overhead;
mod peer;
mod record;
mod report;
mod rounds;
mod space;
mod startup;
mod steady;
mod storage;
mod suite;
mod wire;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};

use crate::args::Args;
use crate::machine::Machine;

/// What ends a benchmark early: a server that does not start, an answer that is wrong.
type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    if is_called(peer::kvsd::SERVER_NAME) {
        return kvsd_server::cli_server::main();
    }
    if is_called(peer::version1::SERVER_NAME) {
        return peer::version1::main();
    }
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
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
    let choice = suite::choose(&args.words)?;
    let bench = Bench {
        folder: args.folder()?,
        runtime: runtime::Builder::new_multi_thread().enable_all().build()?,
        redis: peer::redis::server::find(),
        peers: args.peers.clone(),
        rounds: args.rounds,
        time: args.seconds,
        keys: args.keys(),
        one_thread: args.current_thread,
    };
    let machine = Machine::look(bench.folder.path());
    for (at, chosen) in choice.iter().enumerate() {
        if at > 0 {
            println!();
        }
        println!("{}\n{}\n", report::machine(&machine), chosen.head(&bench));
        chosen.measure(&bench)?;
    }
    Ok(())
}

/// What all suites share.
#[derive(Debug)]
struct Bench {
    runtime: Runtime,
    folder: TempDir,
    /// Redis's version, or why it is left out.
    redis: Result<String, String>,
    /// Who is measured beside kvsd where a cell names them.
    peers: Vec<peer::Kind>,
    rounds: u16,
    time: Duration,
    /// How many keys there are, where there are many.
    keys: usize,
    /// Whether a client's runtime has one thread.
    one_thread: bool,
}

impl Bench {
    /// A runtime for a client, as an application has it.
    fn client_runtime(&self) -> std::io::Result<Runtime> {
        let mut builder = match self.one_thread {
            true => runtime::Builder::new_current_thread(),
            false => runtime::Builder::new_multi_thread(),
        };
        builder.enable_all().build()
    }
}
