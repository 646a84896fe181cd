//! What a service manager hears from the binary, through a socket that stands for systemd's.

#![allow(clippy::unwrap_used, reason = "a test's helpers unwrap as its functions do")]

mod support;

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use support::binary;
use tempfile::TempDir;

/// Longer than any of these takes, even on a busy machine; only a broken server waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The manager's end, and a folder for the server.
struct Manager {
    folder: TempDir,
    socket: UnixDatagram,
    name: OsString,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("notify");
        let socket = UnixDatagram::bind(&name).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { folder, socket, name: name.into() }
    }

    /// A server for this machine that this manager would start.
    fn server(&self) -> Command {
        let mut command = binary(env!("CARGO_BIN_EXE_kvsd-server"));
        command
            .args(["--dev", "--listen", "127.0.0.1:0"])
            .current_dir(self.folder.path())
            .env("NOTIFY_SOCKET", &self.name)
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The next datagram.
    fn hear(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("the server says something");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// All datagrams up to the one with this line, which is the last.
    fn hear_until(&self, line: &str) -> Vec<String> {
        let mut heard = Vec::new();
        while !heard.last().is_some_and(|text: &String| text.lines().any(|one| one == line)) {
            heard.push(self.hear());
        }
        heard
    }

    /// What has come and was not looked at.
    fn rest(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut rest = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut bytes) {
            rest.push(String::from_utf8(bytes[..length].to_vec()).unwrap());
        }
        rest
    }
}

/// A process that is killed if the test ends before it does.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// The address that the server prints.
    fn address(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        line.strip_prefix("listening on ").expect(&line).trim_end().to_owned()
    }

    /// Tells it to stop, and waits; its exit code.
    fn stop(&mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_manager_hears_of_opening_serving_and_stopping_in_this_order_and_no_more() {
    let manager = Manager::new();
    let mut server = Running::start(&mut manager.server());
    assert_eq!(manager.hear(), "STATUS=opening the data folder");
    let ready = manager.hear();
    let address = server.address();
    assert_eq!(ready, format!("READY=1\nSTATUS=serving on {address}"));
    // Ready means that clients are let in.
    TcpStream::connect(address).unwrap();

    assert_eq!(server.stop(), Some(0));
    let stop = "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=20000000";
    assert_eq!(manager.rest(), [stop]);
}

#[test]
fn a_server_whose_data_does_not_open_is_never_ready() {
    let first = Manager::new();
    let mut server = Running::start(&mut first.server());
    first.hear_until("READY=1");

    // The folder is the first one's: to open it is what fails.
    let manager = Manager::new();
    let mut second = manager.server();
    let output = second.current_dir(first.folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(manager.rest(), ["STATUS=opening the data folder"]);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn the_watchdog_hears_of_the_server_again_and_again() {
    let manager = Manager::new();
    let mut server = Running::start(manager.server().env("WATCHDOG_USEC", "100000"));
    manager.hear_until("READY=1");
    for _ in 0..5 {
        assert_eq!(manager.hear(), "WATCHDOG=1");
    }
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn the_watchdog_of_another_process_hears_nothing() {
    let manager = Manager::new();
    let own = std::process::id().to_string();
    let mut command = manager.server();
    // So small a patience that the server's start alone would make many words.
    let mut server = Running::start(command.env("WATCHDOG_USEC", "2000").env("WATCHDOG_PID", own));
    let heard = manager.hear_until("READY=1");
    assert_eq!(server.stop(), Some(0));
    let rest = manager.rest();
    assert!(!heard.iter().chain(&rest).any(|text| text.contains("WATCHDOG")), "{heard:?} {rest:?}");
}

#[test]
fn a_manager_without_a_path_is_told_as_well() {
    let mut manager = Manager::new();
    let name = format!("kvsd-test-{}-{}", std::process::id(), manager.folder.path().display());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    manager.socket = UnixDatagram::bind_addr(&address).unwrap();
    manager.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    manager.name = format!("@{name}").into();
    let mut server = Running::start(&mut manager.server());
    manager.hear_until("READY=1");
    assert_eq!(server.stop(), Some(0));
    manager.hear_until("STOPPING=1");
}

#[test]
fn a_manager_that_cannot_be_told_does_not_keep_the_server_from_serving() {
    let manager = Manager::new();
    for name in [OsStr::new("relative"), OsStr::new("/absent/notify")] {
        let mut server = Running::start(manager.server().env("NOTIFY_SOCKET", name));
        TcpStream::connect(server.address()).unwrap();
        assert_eq!(server.stop(), Some(0));
        let mut log = BufReader::new(server.0.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(log.any(|line| line.contains("the service manager cannot be told anything")));
    }
}
