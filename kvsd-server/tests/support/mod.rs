//! What the tests of the binaries share: running them, a server to talk to, certificates.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the right answer to a surprise")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// A binary without our variables in its environment and with nothing on its standard input.
pub(crate) fn binary(path: &str) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KVSD_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Every command of `kvsd`.
pub(crate) const COMMANDS: [&str; 14] = [
    "ping",
    "set",
    "get",
    "delete",
    "exists",
    "scan",
    "watch",
    "export",
    "import",
    "tables",
    "stats",
    "bench",
    "admin",
    "completions",
];

/// The command line `kvsd`, without a server to talk to.
pub(crate) fn kvsd(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = binary(env!("CARGO_BIN_EXE_kvsd"));
    command.args(args);
    command
}

/// A shell that finds the binaries, and nothing else, by their names.
pub(crate) fn shell(script: &str) -> Command {
    let mut command = binary("/bin/sh");
    command.args(["-c", script]);
    command.env("PATH", Path::new(env!("CARGO_BIN_EXE_kvsd")).parent().unwrap());
    command
}

/// Runs a command to its end with this on its standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || match stdin.write_all(input) {
            // It may end before it has read everything.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written.unwrap(),
        });
        child.wait_with_output().unwrap()
    })
}

/// What a command came to, for a comparison that shows all of it: exit code and both streams.
pub(crate) fn outcome(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Asserts that a command succeeded, printed this and nothing on standard error.
#[track_caller]
pub(crate) fn assert_prints(output: &Output, stdout: &str) {
    assert_eq!(outcome(output), (Some(0), stdout.into(), String::new()));
}

/// Asserts that a command ended with this code, printed nothing on standard output, and said each
/// of these in one error on standard error.
#[track_caller]
pub(crate) fn assert_fails(output: &Output, code: i32, said: &[&str]) {
    let (actual, stdout, stderr) = outcome(output);
    assert_eq!((actual, stdout.as_str()), (Some(code), ""), "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    for words in said {
        assert!(stderr.contains(words), "`{words}` is not in: {stderr}");
    }
}

/// A real `kvsd-server` on a free port, with a folder of its own. Killed at the end.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// `None` only once it was given away.
    folder: Option<TempDir>,
    child: Child,
}

impl Server {
    /// Starts `kvsd-server --dev`.
    pub(crate) fn dev() -> Self {
        Self::start(tempfile::tempdir().unwrap(), ["--dev", "--listen", "127.0.0.1:0"])
    }

    /// Starts a server with these arguments in this folder, and waits until it serves.
    pub(crate) fn start(
        folder: TempDir,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        Self::start_changed(folder, args, |_| {})
    }

    /// As [`Server::start`], with a change to the command first.
    pub(crate) fn start_changed(
        folder: TempDir,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let log = folder.path().join(LOG);
        let mut command = binary(env!("CARGO_BIN_EXE_kvsd-server"));
        change(&mut command);
        let mut child = command
            .args(args)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.strip_prefix("listening on ") else {
            let _ = child.kill();
            panic!("{line:?} instead of an address: {}", fs::read_to_string(log).unwrap());
        };
        Self { address: address.trim_end().parse().unwrap(), folder: Some(folder), child }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Kills the server if it still runs; its folder, to start another one in it.
    pub(crate) fn into_folder(mut self) -> TempDir {
        self.end();
        self.folder.take().unwrap()
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What the server has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder().join(LOG)).unwrap()
    }

    /// The command line `kvsd` with this server's address in `KVSD_HOST`.
    pub(crate) fn kvsd(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = kvsd(args);
        command.env("KVSD_HOST", self.address.to_string());
        command
    }

    /// Runs [`Server::kvsd`] to its end.
    pub(crate) fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
        self.kvsd(args).output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// A CA and a server certificate that it signed, as PEM files in a folder.
pub(crate) struct Certificates {
    pub(crate) ca: PathBuf,
    pub(crate) server: PathBuf,
    pub(crate) server_key: PathBuf,
}

impl Certificates {
    /// Makes a CA called `ca_name` and a certificate for these hosts.
    pub(crate) fn make(folder: &Path, ca_name: &str, hosts: &[&str]) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, ca_name);
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);

        let hosts: Vec<_> = hosts.iter().copied().map(String::from).collect();
        let server_key = KeyPair::generate().unwrap();
        let server =
            CertificateParams::new(hosts).unwrap().signed_by(&server_key, &issuer).unwrap();

        let write = |name: &str, text: String| {
            let file = folder.join(format!("{ca_name} {name}"));
            fs::write(&file, text).unwrap();
            make_private(&file);
            file
        };
        Self {
            ca: write("ca.pem", ca.pem()),
            server: write("server.pem", server.pem()),
            server_key: write("server.key", server_key.serialize_pem()),
        }
    }
}

/// Takes a file's content from everyone else: the server refuses secrets that others can read.
fn make_private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
}

const LOG: &str = "log";
