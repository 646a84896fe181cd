//! The command line `kvsd`: what it takes, what it prints, how it ends.
//!
//! Owns the process: arguments, environment, standard streams, exit code. All that it knows of a
//! server goes through the SDK; nothing of the server's own code is used here, but for how a password
//! is asked for and hashed. A password is never an argument of its own, and neither passwords nor
//! values reach standard error. Next file to read: `args`, then `target`; `scan`, `watch`, `tables`,
//! `export` and `import` stand for themselves, and `admin` and `bench` have an order of their own.

mod admin;
mod answer;
mod args;
mod bench;
mod command;
mod completions;
mod export;
mod failure;
mod import;
mod output;
mod progress;
mod scan;
mod show;
mod stats;
mod tables;
mod target;
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::json;
use tokio::runtime;

use self::answer::{Answer, Remark};
use self::args::{Command, ServerFlags, Word};
use self::failure::Failure;
use self::output::{Format, note, write_json};
use self::target::Target;

/// Runs the binary.
pub fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let wants_json = args::wants_json(&args);
    let cli = match args::parse(args) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && wants_json => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            return Failure::wrong_usage(text.trim_end()).report(Format::Json);
        }
        Err(error) => error.exit(),
    };
    let format = cli.output;
    let answer = match cli.word {
        Word::Command(command) => run(cli.server, command, format),
        Word::Admin(args) => admin::run(args).map(Answer::Administered),
        Word::Completions { shell } => Ok(Answer::Script(completions::script(shell))),
    };
    match answer.and_then(|answer| print(&answer, format)) {
        Ok(code) => code,
        Err(failure) => failure.report(format),
    }
}

fn run(server: ServerFlags, command: Command, format: Format) -> Result<Answer, Failure> {
    command.check()?;
    let target = Target::resolve(&server, |name| std::env::var_os(name))?;
    let (hint, address) = (target.hint(), target.address());
    let table = server.table;
    let builder = target.builder(table.clone())?.pool_size(command.connections());
    let runtime =
        runtime(&command).enable_all().build().map_err(|error| Failure::stream("start", &error))?;
    let answer = runtime.block_on(async {
        let client = builder.connect().await.map_err(|error| Failure::connect(&error, hint))?;
        command::carry_out(&client, &address, table, command, format).await
    });
    // A name server that does not answer still holds a thread, and nobody waits for it any more.
    runtime.shutdown_background();
    answer
}

fn runtime(command: &Command) -> runtime::Builder {
    match command {
        Command::Bench(_) => runtime::Builder::new_multi_thread(),
        // Connections live on while the command waits for a reader, a file or a person.
        Command::Scan(_)
        | Command::Watch(_)
        | Command::Export(_)
        | Command::Import(_)
        | Command::Tables { .. } => {
            let mut builder = runtime::Builder::new_multi_thread();
            builder.worker_threads(1);
            builder
        }
        // One command sends one request or two: more threads would only take time to start.
        Command::Ping
        | Command::Set { .. }
        | Command::Get { .. }
        | Command::Delete { .. }
        | Command::Exists { .. }
        | Command::Stats => runtime::Builder::new_current_thread(),
    }
}

/// Prints the answer and tells the exit code that goes with it.
fn print(answer: &Answer, format: Format) -> Result<ExitCode, Failure> {
    match answer.write(&mut io::stdout().lock(), format) {
        // The reader has had enough. What was done is done, and the code says what it came to.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.map_err(|error| Failure::stream("write to standard output", &error))?,
    }
    match (answer.remark(), format) {
        (None, _) => {}
        (Some(Remark::Note(text)), _) => note(format, &text),
        // Nobody may be reading; the exit code still tells.
        (Some(Remark::Fault(text)), Format::Text) => {
            let _ = writeln!(io::stderr(), "{text}");
        }
        (Some(Remark::Fault(text)), Format::Json) => {
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            let _ = write_json(&mut io::stderr(), &json!({ "error": text }));
        }
    }
    Ok(answer.code())
}
