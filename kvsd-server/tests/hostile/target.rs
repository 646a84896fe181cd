//! The real server under attack: how it is started, what it holds, and how it must end.
//!
//! Reads what the system says of the process. A server that has panicked in any thread fails the
//! test that it served, whatever else that test looked at. Next file to read: `wire`.

use std::collections::HashSet;
use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::support::{Certificates, Server, binary, run_with_input};
use super::wire::Client;

/// Longer than anything takes on the busiest machine; only a broken server is waited for so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What stands in a log in which a thread's panic was told of.
const PANICKED: &str = "panicked at";

/// A server, and how to reach it.
pub(crate) struct Target {
    /// None once it has stopped.
    server: Option<Server>,
    tls: Option<Arc<ClientConfig>>,
    pid: Pid,
}

/// What a process has at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    /// Resident memory in bytes.
    pub(crate) memory: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
}

impl Target {
    /// A server for development, with these arguments besides.
    pub(crate) fn dev(more: &[&str]) -> Self {
        Self::start(tempfile::tempdir().unwrap(), &[&["--dev"], more].concat())
    }

    /// The same with TLS.
    pub(crate) fn tls(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = make_certificates(folder.path());
        let args = ["--dev", "--tls-cert", "server.pem", "--tls-key", "server.key"];
        let mut target = Self::start(folder, &[&args[..], more].concat());
        target.trust(&certificates);
        target
    }

    /// A server without TLS that has these users, each with the password `secret`.
    pub(crate) fn with_users(names: &[&str], more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        add_users(folder.path(), names);
        Self::start(folder, &[&["--insecure", "--users", "users"], more].concat())
    }

    /// A server with these arguments, in this folder.
    pub(crate) fn start(folder: tempfile::TempDir, more: &[&str]) -> Self {
        let args = ["--listen", "127.0.0.1:0", "--sync", "never"];
        // What is freed goes back to the system if it is large: only then does the resident memory
        // tell what is held.
        let mut server = Server::start_changed(folder, [more, &args].concat(), |command| {
            command.env("MALLOC_MMAP_THRESHOLD_", "131072");
        });
        let pid = Pid::from_child(server.child());
        Self { server: Some(server), tls: None, pid }
    }

    /// Has TLS clients trust the CA of this folder.
    pub(crate) fn trust(&mut self, certificates: &Certificates) {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&certificates.ca).unwrap()).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots);
        self.tls = Some(Arc::new(client.with_no_client_auth()));
    }

    pub(crate) fn folder(&self) -> &Path {
        self.server().folder()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder().join("kvsd-data")
    }

    pub(crate) fn log(&self) -> String {
        self.server().log()
    }

    /// The command line `kvsd-server` in this server's folder.
    pub(crate) fn tool(&self, args: &[&str]) -> std::process::Command {
        tool(self.folder(), args)
    }

    /// A connection on which nothing was said.
    pub(crate) fn connect(&self) -> TcpStream {
        patient(TcpStream::connect(self.server().address).unwrap())
    }

    /// A client of version 2 that was let in without a name.
    pub(crate) fn client(&self) -> Client {
        let mut client = Client::new(self.connect());
        client.enter(None);
        client
    }

    /// A client of version 2 that was let in under this name.
    pub(crate) fn client_of(&self, user: &str) -> Client {
        let mut client = Client::new(self.connect());
        client.enter(Some((user, "secret")));
        client
    }

    /// A client of version 1 that was let in.
    pub(crate) fn client_v1(&self) -> Client {
        let mut client = Client::new(self.connect());
        client.say(b"*3\r\n#\x02+app\r\n+secret\r\n");
        assert_eq!(client.next().as_deref(), Some(&b"*2\r\n#\x03|"[..]));
        client
    }

    /// A connection for a TLS client, which shakes hands when something is said on it.
    pub(crate) fn connect_tls(&self) -> Client<StreamOwned<ClientConnection, TcpStream>> {
        let tls = Arc::clone(self.tls.as_ref().unwrap());
        let session = ClientConnection::new(tls, "localhost".try_into().unwrap()).unwrap();
        Client::new(StreamOwned::new(session, self.connect()))
    }

    /// An administrator's connection.
    pub(crate) fn administrator(&self) -> Client<UnixStream> {
        let stream = UnixStream::connect(self.data_dir().join("admin.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client::new(stream)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    pub(crate) fn held(&self) -> Held {
        let entries = fs::read_dir(self.proc("fd")).unwrap();
        Held {
            memory: self.status("VmRSS:") * 1024,
            descriptors: entries.count() as u64,
            threads: self.status("Threads:"),
        }
    }

    /// How many clients it is connected to: its sockets, but for those that listen.
    pub(crate) fn connections(&self) -> usize {
        let own = self.descriptors();
        let table = fs::read_to_string(self.proc("net/tcp")).unwrap();
        let inodes = table.lines().skip(1).filter_map(|line| {
            let mut fields = line.split_whitespace().skip(3);
            // 0A listens.
            let state = fields.next()?;
            (state != "0A").then(|| format!("socket:[{}]", fields.nth(5).unwrap()))
        });
        inodes.filter(|inode| own.contains(inode)).count()
    }

    /// What its descriptors stand for.
    fn descriptors(&self) -> HashSet<String> {
        let entries = fs::read_dir(self.proc("fd")).unwrap();
        // One may be closed while it is looked at.
        let links = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        links.map(|link| link.to_string_lossy().into_owned()).collect()
    }

    /// The most memory that has been resident so far, in bytes.
    pub(crate) fn most_memory(&self) -> u64 {
        self.status("VmHWM:") * 1024
    }

    /// How long its threads have run, those aside that have ended.
    pub(crate) fn cpu_time(&self) -> Duration {
        let tasks = fs::read_dir(self.proc("task")).unwrap();
        let times = tasks.filter_map(|task| {
            // A thread may end while it is looked at.
            let line = fs::read_to_string(task.unwrap().path().join("schedstat")).ok()?;
            line.split(' ').next().unwrap().parse::<u64>().ok()
        });
        Duration::from_nanos(times.sum())
    }

    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid))
    }

    /// Stops the server as an operator does; it must end well and in time.
    pub(crate) fn stop(self) {
        drop(self.stop_and_keep());
    }

    /// As [`Target::stop`]; its folder, to start another one in it.
    pub(crate) fn stop_and_keep(mut self) -> tempfile::TempDir {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.server.as_mut().unwrap().child().try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(Instant::now() < deadline, "it does not stop: {}", self.log()),
            }
            std::thread::yield_now();
        };
        let log = self.log();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(!log.contains(PANICKED), "{log}");
        self.server.take().unwrap().into_folder()
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("only a stop takes it")
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let Some(server) = &self.server else { return };
        let log = server.log();
        if !std::thread::panicking() {
            assert!(!log.contains(PANICKED), "the server has panicked:\n{log}");
        }
    }
}

pub(crate) fn tool(folder: &Path, args: &[&str]) -> std::process::Command {
    let mut command = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    command.args(args).current_dir(folder);
    command
}

/// Adds users to the file `users` of this folder, each with the password `secret` and every right.
pub(crate) fn add_users(folder: &Path, names: &[&str]) {
    for name in names {
        add_user(folder, name, "admin@*");
    }
}

/// Adds a user who may do no more than this.
pub(crate) fn add_user(folder: &Path, name: &str, grant: &str) {
    let mut add = tool(folder, &["user", "add", name, "--grant", grant, "--users", "users"]);
    let output = run_with_input(&mut add, b"secret\n");
    assert!(output.status.success(), "{output:?}");
}

/// Makes a CA, and a certificate for `localhost` in `server.pem` and `server.key`.
pub(crate) fn make_certificates(folder: &Path) -> Certificates {
    let made = Certificates::make(folder, "one", &["localhost"]);
    fs::rename(&made.server_key, folder.join("server.key")).unwrap();
    fs::rename(&made.server, folder.join("server.pem")).unwrap();
    made
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}
