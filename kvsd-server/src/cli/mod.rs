//! The command line `kvsd`: what it takes, what it prints, how it ends.
//!
//! Owns the process: arguments, environment, standard streams, exit code. All that it knows of a
//! server goes through the SDK; nothing of the server's own code is used here. A password is never
//! an argument of its own, and neither passwords nor values reach standard error. Next file to
//! read: `args`, then `target`; `bench` has an order of its own.

mod answer;
mod args;
mod bench;
mod command;
mod failure;
mod target;

use std::io::{self, Write};
use std::process::ExitCode;

use tokio::runtime;

use self::answer::Answer;
use self::args::{Cli, Command};
use self::failure::Failure;
use self::target::Target;

/// Runs the binary.
pub fn main() -> ExitCode {
    let cli = match args::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match run(cli).and_then(|answer| print(&answer)) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn run(cli: Cli) -> Result<Answer, Failure> {
    cli.command.check()?;
    let target = Target::resolve(&cli.server, |name| std::env::var_os(name))?;
    let (hint, address) = (target.hint(), target.address());
    let table = cli.server.table;
    let builder = target.builder(table.clone())?.pool_size(cli.command.connections());
    let runtime = runtime(&cli.command)
        .enable_all()
        .build()
        .map_err(|error| Failure::stream("start", &error))?;
    let answer = runtime.block_on(async {
        let client = builder.connect().await.map_err(|error| Failure::connect(&error, hint))?;
        command::carry_out(&client, &address, table, cli.command).await
    });
    // A name server that does not answer still holds a thread, and nobody waits for it any more.
    runtime.shutdown_background();
    answer
}

fn runtime(command: &Command) -> runtime::Builder {
    match command {
        Command::Bench(_) => runtime::Builder::new_multi_thread(),
        // One command sends one request or two: more threads would only take time to start.
        Command::Ping
        | Command::Set { .. }
        | Command::Get { .. }
        | Command::Delete { .. }
        | Command::Exists { .. } => runtime::Builder::new_current_thread(),
    }
}

/// Prints the answer and tells the exit code that goes with it.
fn print(answer: &Answer) -> Result<ExitCode, Failure> {
    match answer.write(&mut io::stdout().lock()) {
        // The reader has had enough. What was done is done, and the code says what it came to.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.map_err(|error| Failure::stream("write to standard output", &error))?,
    }
    if let Some(remark) = answer.remark() {
        // Nobody may be reading; the exit code still tells.
        let _ = writeln!(io::stderr(), "{remark}");
    }
    Ok(answer.code())
}
