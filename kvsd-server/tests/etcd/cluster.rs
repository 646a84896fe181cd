//! An etcd cluster for tests: members as processes on loopback ports, to be killed, paused and cut
//! off from each other. Knows processes and bytes; never what kvsd keeps in etcd.
//!
//! ```text
//!  member 0 --SOCKS--> proxy of member 0 --link 0>1--> peer port of member 1
//!                                        --link 0>2--> peer port of member 2
//! ```
//!
//! Peers advertise addresses that exist nowhere (192.0.2.1 and on), and each member runs with a
//! proxy of its own in `HTTP_PROXY`, which etcd obeys between peers (for loopback addresses it
//! would not). So a proxy knows who calls and whom, and every link breaks in each direction alone;
//! a member that went round its proxy would reach nobody at all. A broken link is silent, as a
//! network's is: connections stay and carry nothing, and end when the link is whole again.
//!
//! Both the library's unit tests and the tests of the binaries include this file.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the right answer to a surprise")]

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

/// How the members of a cluster are started.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    members: usize,
    arguments: Vec<String>,
    tls: Option<Tls>,
}

/// The files for TLS between the members and their clients.
#[derive(Clone, Debug)]
struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

impl Options {
    /// This many members, 1 to 9, each with etcd's own settings but for a small snapshot count.
    pub(crate) fn members(members: usize) -> Self {
        assert!((1..=9).contains(&members));
        Self { members, arguments: Vec::new(), tls: None }
    }

    /// The size of the database in bytes from which on the space alarm is raised.
    pub(crate) fn quota(self, bytes: u64) -> Self {
        self.argument(format!("--quota-backend-bytes={bytes}"))
    }

    /// One more argument for each member.
    pub(crate) fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Serves clients by TLS with this certificate, which must name 127.0.0.1.
    pub(crate) fn tls(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls = Some(Tls { certificate: certificate.into(), key: key.into(), client_ca: None });
        self
    }

    /// After [`Options::tls`]: asks each client for a certificate of this authority.
    pub(crate) fn client_ca(mut self, ca: impl Into<PathBuf>) -> Self {
        self.tls.as_mut().expect("client certificates need TLS").client_ca = Some(ca.into());
        self
    }
}

/// Members that run. All are killed and their folders removed when it is dropped, and also when
/// the test's process is killed.
#[derive(Debug)]
pub(crate) struct Cluster {
    members: Vec<Member>,
    network: Network,
    /// How a process is run so that it dies with us: in front of `etcd`.
    prefix: &'static [&'static str],
    folder: TempDir,
}

#[derive(Debug)]
struct Member {
    client: u16,
    metrics: u16,
    arguments: Vec<String>,
    proxy: u16,
    log: PathBuf,
    process: Option<Child>,
}

impl Cluster {
    /// Starts this many members and waits until each serves. `None`, with the reason on standard
    /// error, where `etcd` is not installed.
    pub(crate) async fn start(members: usize) -> Option<Self> {
        Self::start_with(Options::members(members)).await
    }

    /// As [`Cluster::start`], with options.
    pub(crate) async fn start_with(options: Options) -> Option<Self> {
        let Some(prefix) = installed() else {
            eprintln!("skipped: `etcd` is not installed (Debian package etcd-server)");
            return None;
        };
        for _ in 0..ATTEMPTS {
            let mut cluster = Self::prepare(&options, prefix);
            for member in 0..options.members {
                cluster.restart(member).await;
            }
            match cluster.settle().await {
                Ok(()) => return Some(cluster),
                // Another program took one of the ports.
                Err(log) if log.contains("address already in use") => {}
                Err(log) => panic!("etcd did not start: {log}"),
            }
        }
        panic!("no free ports for etcd in {ATTEMPTS} attempts");
    }

    fn prepare(options: &Options, prefix: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let peers: Vec<u16> = (0..options.members).map(|_| free_port()).collect();
        let (network, proxies) = Network::start(&peers);
        let initial: Vec<_> = (0..options.members)
            .map(|member| format!("{}={}", name(member), advertised(member)))
            .collect();
        let members = (0..options.members)
            .map(|index| {
                let (client, metrics) = (free_port(), free_port());
                let scheme = if options.tls.is_some() { "https" } else { "http" };
                let mut arguments = vec![
                    format!("--name={}", name(index)),
                    format!("--data-dir={}", folder.path().join(name(index)).display()),
                    format!("--listen-peer-urls=http://127.0.0.1:{}", peers[index]),
                    format!("--initial-advertise-peer-urls={}", advertised(index)),
                    format!("--listen-client-urls={scheme}://127.0.0.1:{client}"),
                    format!("--advertise-client-urls={scheme}://127.0.0.1:{client}"),
                    format!("--listen-metrics-urls=http://127.0.0.1:{metrics}"),
                    format!("--initial-cluster={}", initial.join(",")),
                    // Another one for each cluster, and so another number of the cluster.
                    format!("--initial-cluster-token={}", folder.path().display()),
                    "--logger=zap".into(),
                    format!("--heartbeat-interval={}", HEARTBEAT.as_millis()),
                    format!("--election-timeout={}", ELECTION.as_millis()),
                    format!("--snapshot-count={SNAPSHOT_COUNT}"),
                ];
                if let Some(tls) = &options.tls {
                    arguments.push(format!("--cert-file={}", tls.certificate.display()));
                    arguments.push(format!("--key-file={}", tls.key.display()));
                    if let Some(ca) = &tls.client_ca {
                        arguments.push("--client-cert-auth=true".into());
                        arguments.push(format!("--trusted-ca-file={}", ca.display()));
                    }
                }
                arguments.extend(options.arguments.iter().cloned());
                let log = folder.path().join(format!("{}.log", name(index)));
                Member { client, metrics, arguments, proxy: proxies[index], log, process: None }
            })
            .collect();
        Self { members, network, prefix, folder }
    }

    /// How many members it has.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The addresses for clients, one for each member in order: `127.0.0.1:12379`.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        (0..self.len()).map(|member| self.endpoint(member)).collect()
    }

    /// A member's address for clients.
    pub(crate) fn endpoint(&self, member: usize) -> String {
        format!("127.0.0.1:{}", self.members[member].client)
    }

    /// Where the members keep their data and logs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What a member has logged so far, of all its runs.
    pub(crate) fn log(&self, member: usize) -> String {
        fs::read_to_string(&self.members[member].log).unwrap_or_default()
    }

    /// Kills a member with SIGKILL; no harm to one that does not run.
    pub(crate) fn kill(&mut self, member: usize) {
        if let Some(mut process) = self.members[member].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts a killed member again, on its ports and its data. Returns once the process runs;
    /// [`Cluster::ready`] waits until it serves.
    pub(crate) async fn restart(&mut self, member: usize) {
        assert!(self.members[member].process.is_none(), "member {member} runs already");
        let state = &self.members[member];
        let log = File::options().create(true).append(true).open(&state.log).unwrap();
        let mut program = self.prefix.iter().copied().chain(["etcd"]);
        let mut command = Command::new(program.next().unwrap());
        command.args(program).args(&state.arguments).current_dir(self.folder.path());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("ETCD_") || name.to_lowercase().ends_with("_proxy") {
                command.env_remove(&*name);
            }
        }
        command.env("HTTP_PROXY", format!("socks5://127.0.0.1:{}", state.proxy));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // By the network's thread: what a thread starts may be told to die with that thread.
        let spawned = self.network.runtime.spawn(async move { command.spawn() });
        self.members[member].process = Some(spawned.await.unwrap().unwrap());
    }

    /// Sets a killed lone member back to a snapshot, as a cluster of another name.
    ///
    /// # Panics
    ///
    /// If `etcdctl` does not do it.
    pub(crate) fn restore(&mut self, snapshot: &Path) {
        assert!(self.len() == 1 && self.members[0].process.is_none(), "one member, killed");
        let data = self.folder.path().join(name(0));
        fs::remove_dir_all(&data).unwrap();
        let options = [
            format!("--name={}", name(0)),
            format!("--data-dir={}", data.display()),
            format!("--initial-cluster={}={}", name(0), advertised(0)),
            format!("--initial-advertise-peer-urls={}", advertised(0)),
            "--initial-cluster-token=restored".into(),
        ];
        etcdctl(&["snapshot", "restore", &snapshot.display().to_string()], &options);
    }

    /// Writes a snapshot of a member into the folder; `None` where `etcdctl` is not installed.
    pub(crate) fn snapshot(&self, member: usize) -> Option<PathBuf> {
        if Command::new("etcdctl").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            eprintln!("skipped: `etcdctl` is not installed (Debian package etcd-client)");
            return None;
        }
        let file = self.folder.path().join("snapshot");
        let endpoint = format!("--endpoints=http://{}", self.endpoint(member));
        etcdctl(&["snapshot", "save", &file.display().to_string()], &[endpoint]);
        Some(file)
    }

    /// Stops a member where it is, with SIGSTOP: its connections stay, and nothing answers.
    pub(crate) fn pause(&self, member: usize) {
        self.signal(member, Signal::STOP);
        // All of its threads: what one of them does meanwhile would count as done.
        waitpid(Some(self.pid(member)), WaitOptions::UNTRACED).unwrap();
    }

    /// Lets a paused member go on.
    pub(crate) fn resume(&self, member: usize) {
        self.signal(member, Signal::CONT);
    }

    fn signal(&self, member: usize, signal: Signal) {
        kill_process(self.pid(member), signal).unwrap();
    }

    fn pid(&self, member: usize) -> Pid {
        let process = self.members[member].process.as_ref().expect("the member runs");
        Pid::from_raw(process.id().try_into().unwrap()).unwrap()
    }

    /// Cuts a member off from all others, in both directions, and waits until it has noticed:
    /// it knows no leader and serves no linearizable read. Its clients still reach it.
    ///
    /// # Panics
    ///
    /// If the member goes on working.
    pub(crate) async fn cut(&self, member: usize) {
        assert!(self.len() > 1, "a lone member has nobody to be cut off from");
        self.network.set(member, Link::Cut);
        let failed = async || !self.has_leader(member).await && !self.serves(member).await;
        if !within(PATIENCE, failed).await {
            panic!("member {member} still works though it was cut off: {}", self.tail(member));
        }
    }

    /// Makes a cut member's links whole again. Waits for nothing.
    pub(crate) fn heal(&self, member: usize) {
        self.network.set(member, Link::Whole);
    }

    /// Waits until every member that runs serves linearizable reads.
    ///
    /// # Panics
    ///
    /// If one does not, within a minute, or has exited by itself.
    pub(crate) async fn ready(&mut self) {
        if let Err(log) = self.settle().await {
            panic!("etcd is not ready: {log}");
        }
    }

    /// As [`Cluster::ready`]; the log of the one that does not serve.
    async fn settle(&mut self) -> Result<(), String> {
        for index in 0..self.len() {
            let start = Instant::now();
            while let Some(process) = &mut self.members[index].process {
                let exited = process.try_wait().unwrap().is_some();
                if exited || start.elapsed() > PATIENCE {
                    return Err(self.tail(index));
                }
                if self.serves(index).await {
                    break;
                }
                sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// The member that leads, once there is one. Not one that was cut off.
    pub(crate) async fn leader(&self) -> usize {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            for member in 0..self.len() {
                if self.metric(member, "etcd_server_is_leader").await == Some(1.0)
                    && self.serves(member).await
                {
                    return member;
                }
            }
            sleep(POLL).await;
        }
        panic!("no member leads");
    }

    /// Whether a member answers and knows a leader.
    pub(crate) async fn has_leader(&self, member: usize) -> bool {
        self.metric(member, "etcd_server_has_leader").await == Some(1.0)
    }

    /// Whether a member serves a linearizable read and knows of no alarm.
    pub(crate) async fn serves(&self, member: usize) -> bool {
        let answer = http(self.members[member].metrics, "GET /health", "").await;
        answer.is_ok_and(|answer| answer.contains(r#""health":"true""#))
    }

    /// A figure of a member's metrics, by its whole name with labels; `None` if the member does
    /// not answer or has no such figure.
    pub(crate) async fn metric(&self, member: usize, name: &str) -> Option<f64> {
        let answer = http(self.members[member].metrics, "GET /metrics", "").await.ok()?;
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        answer.lines().find_map(value)
    }

    /// Calls a member's JSON gateway, as `("/v3/kv/put", r#"{"key": "YQ==", "value": "Yg=="}"#)`
    /// with keys and values in base64; the answer's body. Not for members with TLS.
    ///
    /// # Errors
    ///
    /// If the member does not answer within 10 s, or with another status than 200.
    pub(crate) async fn call(&self, member: usize, path: &str, body: &str) -> io::Result<String> {
        http(self.members[member].client, &format!("POST {path}"), body).await
    }

    fn tail(&self, member: usize) -> String {
        let log = self.log(member);
        let lines: Vec<_> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().map(|line| format!("\n{line}")).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in 0..self.len() {
            self.kill(member);
        }
    }
}

/// The links between the members, on a thread of their own: they run on whatever the test does.
#[derive(Debug)]
struct Network {
    /// By caller and called.
    links: Arc<Vec<Vec<watch::Sender<Link>>>>,
    runtime: Handle,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Link {
    Whole,
    Cut,
}

impl Network {
    /// The network, and the port of each member's proxy.
    fn start(peers: &[u16]) -> (Self, Vec<u16>) {
        let links: Vec<Vec<_>> = peers
            .iter()
            .map(|_| peers.iter().map(|_| watch::Sender::new(Link::Whole)).collect())
            .collect();
        let links = Arc::new(links);
        let listeners: Vec<_> =
            peers.iter().map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        let proxies = listeners.iter().map(|it| it.local_addr().unwrap().port()).collect();

        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        for (caller, listener) in listeners.into_iter().enumerate() {
            let (links, peers) = (links.clone(), peers.to_vec());
            handle.spawn(async move {
                listener.set_nonblocking(true).unwrap();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (links, peers) = (links.clone(), peers.clone());
                    // A connection that fails is a peer's to notice.
                    tokio::spawn(async move { carry(stream, &links[caller], &peers).await });
                }
            });
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let _ = runtime.block_on(stopped);
        });
        (Self { links, runtime: handle, stop: Some(stop), thread: Some(thread) }, proxies)
    }

    fn set(&self, member: usize, link: Link) {
        for other in (0..self.links.len()).filter(|&other| other != member) {
            self.links[member][other].send_replace(link);
            self.links[other][member].send_replace(link);
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Carries a caller's connection over the link to the member that it asks for, by SOCKS 5.
async fn carry(
    mut caller: TcpStream,
    links: &[watch::Sender<Link>],
    peers: &[u16],
) -> io::Result<()> {
    let mut greeting = [0; 2];
    caller.read_exact(&mut greeting).await?;
    let mut methods = vec![0; greeting[1].into()];
    caller.read_exact(&mut methods).await?;
    caller.write_all(&[5, 0]).await?;
    // Version, connect, reserved, IPv4, four bytes of address, two of port.
    let mut request = [0; 10];
    caller.read_exact(&mut request).await?;
    assert_eq!(request[..7], [5, 1, 0, 1, 192, 0, 2], "peers name each other by our addresses");
    let called = usize::from(request[7]) - 1;

    let mut link = links[called].subscribe();
    if *link.borrow_and_update() == Link::Whole {
        let Ok(mut peer) = TcpStream::connect((Ipv4Addr::LOCALHOST, peers[called])).await else {
            return caller.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        };
        caller.set_nodelay(true)?;
        peer.set_nodelay(true)?;
        caller.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        let cut = tokio::select! {
            ended = tokio::io::copy_bidirectional(&mut caller, &mut peer) => return ended.map(drop),
            cut = link.changed() => cut,
        };
        if cut.is_ok() {
            // Both ends stay open, without a word, until the link is whole again.
            let _ = link.wait_for(|link| *link == Link::Whole).await;
        }
        return Ok(());
    }
    let _ = link.wait_for(|link| *link == Link::Whole).await;
    Ok(())
}

/// What stands in front of a program so that it dies with the thread that started it; `None` if
/// there is no `etcd`.
pub(crate) fn installed() -> Option<&'static [&'static str]> {
    let runs = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    const DIES_WITH_US: &[&str] = &["setpriv", "--pdeathsig=KILL"];
    if runs("setpriv", &["--pdeathsig=KILL", "etcd", "--version"]) {
        return Some(DIES_WITH_US);
    }
    runs("etcd", &["--version"]).then_some(&[])
}

/// A port that nobody listens on, below those that systems give to outgoing connections: it is
/// still free when a killed member comes back.
pub(crate) fn free_port() -> u16 {
    loop {
        let random = RandomState::new().hash_one(0) % 20_000;
        let port = 10_000 + u16::try_from(random).expect("it is below 20,000");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn etcdctl(arguments: &[&str], options: &[String]) {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(arguments).args(options);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn name(member: usize) -> String {
    format!("member-{member}")
}

fn advertised(member: usize) -> String {
    format!("http://192.0.2.{}:2380", member + 1)
}

/// Asks again and again until it is so; whether it was in time.
pub(crate) async fn within(patience: Duration, so: impl AsyncFn() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < patience {
        if so().await {
            return true;
        }
        sleep(POLL).await;
    }
    false
}

/// One HTTP request to a port of this machine; the answer's body.
pub(crate) async fn http(port: u16, request: &str, body: &str) -> io::Result<String> {
    let exchange = async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect(address).await?;
        let head =
            format!("{request} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n", body.len());
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
            _ => Err(io::Error::other(answer)),
        }
    };
    timeout(ANSWER, exchange).await?
}

/// How often the ports are chosen anew.
const ATTEMPTS: usize = 5;

const HEARTBEAT: Duration = Duration::from_millis(100);
const ELECTION: Duration = Duration::from_millis(1000);

/// Small, so that a member that was away long needs a snapshot.
const SNAPSHOT_COUNT: usize = 1000;

/// How long a member may take to answer one request.
const ANSWER: Duration = Duration::from_secs(10);

/// How long the members may take to become what was asked for.
const PATIENCE: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(50);
