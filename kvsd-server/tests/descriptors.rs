//! The server where descriptors are few: whoever connects cannot take them from the tables.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the right answer to a surprise")]

mod support;

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Stdio};

use tempfile::TempDir;

/// A server whose log is read while it runs. Killed at the end.
struct Watched {
    address: SocketAddr,
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    _folder: TempDir,
}

impl Watched {
    /// Starts a server below this limit of the shell.
    fn limited(limit: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("ulimit {limit} && exec \"$@\"");
        let mut child = support::binary("/bin/sh")
            .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_kvsd-server")])
            .args(["--dev", "--listen", "127.0.0.1:0", "--log", "debug"])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ").expect(&line).trim_end().parse().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { address, child, log, _folder: folder }
    }

    /// Reads the log until one of these stands there; tells which.
    fn wait_for(&mut self, either: &str, or: &str) -> bool {
        let mut lines = self.log.by_ref().map(Result::unwrap);
        let line = lines.find(|line| line.contains(either) || line.contains(or)).unwrap();
        line.contains(either)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says something and takes the answer, which has at least as many bytes.
fn ask(client: &mut TcpStream, request: &str) -> String {
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 2048];
    let length = client.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[test]
fn silent_clients_leave_the_tables_their_descriptors() {
    const LIMIT: usize = 64;
    let mut server = Watched::limited(&format!("-n {LIMIT}"));
    let mut client = TcpStream::connect(server.address).unwrap();
    assert!(ask(&mut client, "*6\r\n#H:0\r\n:2\r\n:2\r\n||").contains("#h:0"));

    let flood: Vec<_> = (0..LIMIT).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    // The first of all was the client.
    for place in 0..LIMIT / 2 {
        assert!(server.wait_for("connected", "cannot take a connection"), "client {place}");
    }
    for table in 0..LIMIT / 4 {
        let set = format!("*5\r\n#S:1\r\n+t{table}\r\n$1\r\nk\r\n$1\r\nv\r\n");
        let answer = ask(&mut client, &set);
        assert!(answer.contains("#w:1"), "table {table}: {answer}");
    }
    drop(flood);
}

#[test]
fn the_soft_limit_is_raised() {
    const SOFT_LIMIT: usize = 64;
    let mut server = Watched::limited(&format!("-S -n {SOFT_LIMIT}"));
    let _flood: Vec<_> =
        (0..SOFT_LIMIT).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    for place in 0..SOFT_LIMIT {
        assert!(server.wait_for("connected", "cannot take a connection"), "client {place}");
    }
}
