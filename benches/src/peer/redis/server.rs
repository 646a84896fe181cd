//! `redis-server`, as it serves best.
//!
//! Where its defaults would slow it down it is helped: no snapshots, and no rewriting of its log
//! behind the scenes where a cell does not ask for it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Error;
use crate::cell::Sync;
use crate::peer::process::Process;
use crate::peer::setting::{Certificate, Link, Rewrites, Setting};

/// What `redis-server` calls itself, or why there is none.
pub(crate) fn find() -> Result<String, String> {
    let output = Command::new(PROGRAM).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{PROGRAM} cannot be started: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split(' ').find_map(|word| word.strip_prefix("v="));
    version.map(ToOwned::to_owned).ok_or_else(|| format!("{PROGRAM} does not tell its version"))
}

/// Why `redis-server` does not speak TLS, if it does not: it is not built with it.
pub(crate) fn lack_of_tls() -> Option<String> {
    // It refuses an option that it was built without, and else this version of Redis's own wish for
    // a certificate.
    let tried = Command::new(PROGRAM)
        .args(["--port", "0", "--tls-port", "1", "--save", ""])
        .stdin(Stdio::null())
        .output();
    let output = tried.ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let unknown = text.contains("Bad directive") || text.contains("Missing TLS support");
    unknown.then(|| format!("{PROGRAM} is built without TLS"))
}

/// How a cell configures the server's log.
pub(crate) fn log_settings(sync: Sync) -> &'static [&'static str] {
    match sync {
        Sync::Unlogged | Sync::Never => &["--appendonly", "no"],
        Sync::Interval => &["--appendonly", "yes", "--appendfsync", "everysec"],
        Sync::Always => &["--appendonly", "yes", "--appendfsync", "always"],
    }
}

/// What is set in every cell.
pub(crate) const SETTINGS: [&str; 2] = ["--save", ""];
/// What is set where a cell does not ask for rewriting.
pub(crate) const NO_REWRITES: [&str; 2] = ["--auto-aof-rewrite-percentage", "0"];

/// Where a server is, and how to trust it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) port: u16,
    /// The certificate to trust, in PEM; without one it is plain TCP.
    pub(crate) authority: Option<String>,
}

/// Starts a server on a folder, which may hold one's data already.
pub(crate) fn serve(folder: &Path, setting: &Setting) -> Result<(Process, Place), Error> {
    std::fs::create_dir_all(folder)?;
    // Free a moment ago; should somebody else take it now, the server says so and ends.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let mut command = Command::new(PROGRAM);
    command.args(["--bind", "127.0.0.1", "--loglevel", "warning"]);
    command.arg("--dir").arg(folder).args(SETTINGS).args(log_settings(setting.sync));
    match setting.rewrites {
        Rewrites::On => {}
        Rewrites::Off => {
            command.args(NO_REWRITES);
        }
    }
    let authority = match setting.link {
        Link::Plain => {
            command.args(["--port", &port.to_string()]);
            None
        }
        Link::Tls => {
            let made = Certificate::make(folder)?;
            command.args(["--port", "0", "--tls-port", &port.to_string()]);
            command.args(["--tls-auth-clients", "no"]);
            command.arg("--tls-cert-file").arg(&made.cert);
            command.arg("--tls-key-file").arg(&made.key);
            Some(made.pem)
        }
    };
    let log = folder.join("log");
    command.arg("--logfile").arg(&log).stdout(Stdio::null());
    Ok((Process::start(&mut command, &log)?, Place { port, authority }))
}

/// Tries to connect until the server takes connections.
pub(crate) async fn connect<C, E: std::fmt::Display>(
    server: &Process,
    attempt: impl AsyncFn() -> Result<C, E>,
) -> Result<C, Error> {
    let give_up = Instant::now() + START_TIME;
    loop {
        match attempt().await {
            Ok(connected) => return Ok(connected),
            Err(_) if Instant::now() < give_up => tokio::time::sleep(START_STEP).await,
            Err(error) => {
                return Err(format!("{PROGRAM}: {error}; {}", server.last_words()).into());
            }
        }
    }
}

pub(super) const PROGRAM: &str = "redis-server";
const START_TIME: Duration = Duration::from_secs(10);
/// How often it is asked whether it is ready.
pub(super) const START_STEP: Duration = Duration::from_millis(1);
