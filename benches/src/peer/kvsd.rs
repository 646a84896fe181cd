//! kvsd: the shipped server and the SDK, both with their default settings.

use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tokio::runtime::Runtime;

use super::Peer;
use super::process::{Ending, Process};
use crate::Error;
use crate::cell::Sync;
use crate::load::{self, Client, Outcome, Plan};
use crate::record::{Profile, Records};

/// The name under which this program is the server.
pub(crate) const SERVER_NAME: &str = "kvsd-server";

/// A kvsd server and a client of it.
#[derive(Debug)]
pub(crate) struct Kvsd {
    server: Process,
    client: kvsd::Client,
}

impl Kvsd {
    /// Starts a server on a folder, which may hold one's data already, and connects to it.
    pub(crate) fn start(runtime: &Runtime, folder: &Path, sync: Sync) -> Result<Self, Error> {
        let (server, address) = serve(folder, sync)?;
        let url = format!("kvsd://{address}");
        let client = runtime.block_on(kvsd::Client::connect(&url))?;
        Ok(Self { server, client })
    }

    fn client(&self) -> impl Fn(usize) -> SdkClient {
        |_| SdkClient(self.client.clone())
    }
}

/// The value of `--sync` that a cell asks for. The default is named for the table's sake.
pub(crate) fn sync_mode(sync: Sync) -> &'static str {
    match sync {
        Sync::Unlogged | Sync::Always => "always",
        Sync::Interval => "interval",
    }
}

/// Starts the server and waits until it serves; returns where.
fn serve(folder: &Path, sync: Sync) -> Result<(Process, String), Error> {
    std::fs::create_dir_all(folder)?;
    let mut command = Command::new(std::env::current_exe()?);
    for (name, _) in std::env::vars_os() {
        // Settings that the user's own server has.
        if name.to_string_lossy().starts_with("KVSD_") {
            command.env_remove(name);
        }
    }
    command.arg0(SERVER_NAME).args(["--dev", "--listen", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(folder.join("data")).args(["--sync", sync_mode(sync)]);
    let log = folder.join("log");
    let mut server = Process::start(command.stdout(Stdio::piped()), &log)?;
    let mut line = String::new();
    if let Some(stdout) = server.child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    match line.trim_end().strip_prefix("listening on ") {
        Some(address) => Ok((server, address.to_owned())),
        None => Err(format!("kvsd-server did not start: {}", server.last_words()).into()),
    }
}

impl Peer for Kvsd {
    fn name(&self) -> &'static str {
        "kvsd"
    }

    fn server(&self) -> u32 {
        self.server.id()
    }

    fn fill(
        &self,
        runtime: &Runtime,
        records: &Arc<Records>,
        range: Range<usize>,
    ) -> Result<(), Error> {
        runtime.block_on(load::fill(records, range, self.client()))
    }

    /// There is nothing to choose: kvsd runs as it comes.
    fn warm_up(&mut self, runtime: &Runtime, plan: &Plan) -> Result<usize, Error> {
        self.run(runtime, plan)?;
        Ok(kvsd::DEFAULT_POOL_SIZE as usize)
    }

    fn run(&self, runtime: &Runtime, plan: &Plan) -> Result<Outcome, Error> {
        runtime.block_on(load::run(plan, self.client()))
    }

    fn get(&self, runtime: &Runtime, records: &Records, at: usize) -> Result<(), Error> {
        runtime.block_on(load::get(&mut self.client()(0), records, at))
    }

    fn end(self: Box<Self>, ending: Ending) -> Result<(), Error> {
        self.server.end(ending)
    }
}

struct SdkClient(kvsd::Client);

impl Client for SdkClient {
    async fn get(&mut self, key: &str) -> Result<Option<Profile>, Error> {
        Ok(self.0.get::<Profile>(key).await?)
    }

    async fn set(&mut self, key: &str, profile: &Profile) -> Result<(), Error> {
        self.0.set(key, profile).await?;
        Ok(())
    }
}
