//! A front end as a process: the built `kvsd-server` on an etcd cluster. Next file: [`super::faults`].

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, free_port, http, installed};

/// A `kvsd-server` with `engine = "etcd"`. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct FrontEnd {
    endpoints: String,
    port: u16,
    status: u16,
    folder: TempDir,
    process: Option<Child>,
}

impl FrontEnd {
    /// Starts a front end on all members of a cluster and waits until it serves.
    pub(crate) async fn start(cluster: &Cluster) -> Self {
        Self::start_from(cluster, 0).await
    }

    /// As [`FrontEnd::start`]; it asks this member first.
    pub(crate) async fn start_from(cluster: &Cluster, first: usize) -> Self {
        let mut endpoints: Vec<_> =
            cluster.endpoints().iter().map(|endpoint| format!("http://{endpoint}")).collect();
        endpoints.rotate_left(first);
        let mut this = Self {
            endpoints: endpoints.join(","),
            port: free_port(),
            status: free_port(),
            folder: tempfile::tempdir().unwrap(),
            process: None,
        };
        this.restart().await;
        this
    }

    /// Where clients reach it: `127.0.0.1:12345`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts a killed front end again and waits until it serves. One that gives up meanwhile, as
    /// there is no leader just then, is started again, as a service manager would.
    pub(crate) async fn restart(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let start = Instant::now();
        let mut process = self.spawn();
        while !self.readiness().await.is_ok_and(|said| said.starts_with("ready")) {
            if process.try_wait().unwrap().is_some() {
                process = self.spawn();
            }
            if start.elapsed() > PATIENCE {
                let _ = process.kill();
                let _ = process.wait();
                panic!("the front end does not serve: {}", self.log());
            }
            sleep(POLL).await;
        }
        self.process = Some(process);
    }

    fn spawn(&self) -> Child {
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let server = env!("CARGO_BIN_EXE_kvsd-server");
        let mut program = installed().unwrap_or_default().iter().copied().chain([server]);
        let mut command = Command::new(program.next().unwrap());
        command.args(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KVSD_") {
                command.env_remove(name);
            }
        }
        command.arg("--dev").arg("--engine=etcd");
        command.arg(format!("--listen={}", self.address()));
        command.arg(format!("--status-listen=127.0.0.1:{}", self.status));
        command.arg(format!("--etcd-endpoints={}", self.endpoints));
        command.arg(format!("--etcd-timeout={}s", ETCD_TIMEOUT.as_secs()));
        command.arg("--data-dir").arg(self.folder.path().join("data"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().unwrap()
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Stops it where it is, with SIGSTOP.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused one go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("the front end runs");
        let pid = Pid::from_raw(process.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// What `/readyz` says; an error, with its text, if it says no.
    pub(crate) async fn readiness(&self) -> std::io::Result<String> {
        http(self.status, "GET /readyz", "").await
    }

    /// What is wrong, by `/healthz`.
    pub(crate) async fn health(&self) -> String {
        http(self.status, "GET /healthz", "").await.unwrap_or_else(|error| error.to_string())
    }

    /// How many clients' connections it has.
    pub(crate) async fn connections(&self) -> u64 {
        let metrics = http(self.status, "GET /metrics", "").await.unwrap_or_default();
        let value = metrics.lines().find_map(|line| line.strip_prefix("kvsd_connections "));
        value.and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    /// What it has logged so far, of all its runs.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> impl AsRef<Path> {
        self.folder.path().join("log")
    }
}

impl Drop for FrontEnd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().rev().take(SHOWN_LINES).collect();
            let lines: String = lines.into_iter().rev().map(|line| format!("\n{line}")).collect();
            eprintln!("the front end on {} said last:{lines}", self.address());
        }
        self.kill();
    }
}

/// How long a front end tries to get an answer from etcd.
pub(crate) const ETCD_TIMEOUT: Duration = Duration::from_secs(3);

/// How much of the log a failed test shows.
const SHOWN_LINES: usize = 40;

/// How long a front end may take to serve.
const PATIENCE: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(50);
