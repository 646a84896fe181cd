//! Three etcd members on this machine.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use etcd_client::Client;
use tokio::runtime::Runtime;

use crate::Error;
use crate::peer::Process;

/// Members that end when this is dropped.
pub(super) struct Cluster {
    pub(super) members: Vec<Process>,
    urls: Vec<String>,
}

/// What etcd calls itself, or why there is none.
pub(super) fn version() -> Result<String, String> {
    let output = Command::new(PROGRAM).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{PROGRAM} cannot be started: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next();
    line.map(ToOwned::to_owned).ok_or_else(|| format!("{PROGRAM} does not tell its version"))
}

impl Cluster {
    /// Starts the members, and waits until they have a leader.
    pub(super) fn start(runtime: &Runtime, folder: &Path) -> Result<Self, Error> {
        version()?;
        // Free a moment ago; should somebody else take one now, etcd says so and ends.
        let listeners = (0..2 * MEMBERS).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
        let ports = listeners.iter().map(|listener| Ok(listener.local_addr()?.port()));
        let ports = ports.collect::<Result<Vec<_>, Error>>()?;
        drop(listeners);
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let (clients, peers) = ports.split_at(MEMBERS);
        let all: Vec<_> =
            peers.iter().enumerate().map(|(at, port)| format!("m{at}={}", url(*port))).collect();
        let mut members = Vec::new();
        for (at, (client, peer)) in clients.iter().zip(peers).enumerate() {
            let mut command = Command::new(PROGRAM);
            command.args(["--name", &format!("m{at}")]);
            command.arg("--data-dir").arg(folder.join(format!("m{at}")));
            for flag in ["--listen-client-urls", "--advertise-client-urls"] {
                command.args([flag, &url(*client)]);
            }
            for flag in ["--listen-peer-urls", "--initial-advertise-peer-urls"] {
                command.args([flag, &url(*peer)]);
            }
            command.args(["--initial-cluster", &all.join(",")]);
            command.args(["--quota-backend-bytes", "8589934592", "--logger", "zap"]);
            command.args(["--log-level", "error"]).stdout(Stdio::null());
            members.push(Process::start(&mut command, &folder.join(format!("m{at}.log")))?);
        }
        let cluster = Self { members, urls: clients.iter().map(|port| url(*port)).collect() };
        let give_up = Instant::now() + PATIENCE;
        while let Err(error) = runtime.block_on(cluster.ask()) {
            if Instant::now() > give_up {
                return Err(format!("etcd does not serve: {error}").into());
            }
            std::thread::sleep(LOOK);
        }
        Ok(cluster)
    }

    /// Where the members are.
    pub(super) fn urls(&self) -> Vec<String> {
        self.urls.clone()
    }

    /// Where the leader is.
    pub(super) async fn leader(&self) -> Result<String, Error> {
        for url in &self.urls {
            let status = Client::connect([url], None).await?.status().await?;
            if status.header().is_some_and(|header| header.member_id() == status.leader()) {
                return Ok(url.clone());
            }
        }
        Err("no member leads".into())
    }

    async fn ask(&self) -> Result<(), Error> {
        for url in &self.urls {
            Client::connect([url], None).await?.get("a", None).await?;
        }
        self.leader().await.map(drop)
    }
}

const PROGRAM: &str = "etcd";
const MEMBERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
