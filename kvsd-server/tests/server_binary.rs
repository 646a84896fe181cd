//! Runs the binary `kvsd-server` as an operator does: what it prints, how it ends, what it refuses.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the right answer to a surprise")]

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longer than any of these takes, even on a busy machine; only a broken server waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, in a folder of its own and without our variables in its environment.
fn binary(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvsd-server"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KVSD_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
fn run(folder: &Path, args: &[&str]) -> Output {
    binary(folder).args(args).output().unwrap()
}

/// Runs the binary to its end with this on its standard input.
fn run_with_input(folder: &Path, args: &[&str], input: &str) -> Output {
    let mut command = binary(folder);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    match child.stdin.take().unwrap().write_all(input.as_bytes()) {
        // It may refuse its arguments before it reads.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.unwrap(),
    }
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Asserts that a run ended with this code, printed nothing on standard output, and said each of
/// these on standard error.
#[track_caller]
fn assert_refused(output: &Output, code: i32, said: &[&str]) {
    let error = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert_eq!(stdout(output), "", "{error}");
    for words in said {
        assert!(error.contains(words), "`{words}` is not in: {error}");
    }
}

/// A server that runs. Killed if the test ends before it does.
struct Running {
    pid: Pid,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    exit: Receiver<ExitStatus>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        command.stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let pid = Pid::from_child(&child);
        let stdout = child.stdout.take().map_or_else(|| sync_channel(1).1, lines);
        let stderr = lines(child.stderr.take().unwrap());
        Self { pid, stdout, stderr, exit: end_of(child) }
    }

    /// Starts a server and waits until it serves.
    fn serving(command: &mut Command) -> (Self, SocketAddr) {
        let running = Self::start(command.stdout(Stdio::piped()));
        let Ok(line) = running.stdout.recv_timeout(PATIENCE) else {
            panic!("not serving: {:?}", running.stderr.iter().collect::<Vec<_>>());
        };
        let address = line.strip_prefix("listening on ").expect(&line).parse().unwrap();
        (running, address)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Waits for the end; tells the exit code and what was still printed on both streams.
    fn end(&self) -> (Option<i32>, Vec<String>, Vec<String>) {
        let status = self.exit.recv_timeout(PATIENCE).expect("the server ends in time");
        (status.code(), self.stdout.iter().collect(), self.stderr.iter().collect())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.exit.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }
}

fn lines(stream: impl io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = sync_channel(100_000);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn end_of(mut child: Child) -> Receiver<ExitStatus> {
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        if let Ok(status) = child.wait() {
            let _ = sender.send(status);
        }
    });
    receiver
}

fn dev(folder: &Path) -> Command {
    let mut command = binary(folder);
    command.args(["--dev", "--listen", "127.0.0.1:0"]);
    command
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn a_server_prints_its_address_once_and_stops_cleanly_on_either_signal_whatever_it_logs() {
    for (signal, log) in [
        (Signal::TERM, "info"),
        (Signal::INT, "info"),
        (Signal::TERM, "error"),
        (Signal::INT, "off"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (server, address) = Running::serving(dev(folder.path()).args(["--log", log]));
        assert_ne!(address.port(), 0);
        TcpStream::connect(address).unwrap();
        server.signal(signal);
        let (code, more, log) = server.end();
        assert_eq!(code, Some(0), "{log:?}");
        assert!(more.is_empty(), "{more:?}");
    }
}

#[test]
fn a_closed_standard_output_does_not_end_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let server = Running::start(dev(folder.path()).stdout(writer));
    let mut log = server.stderr.iter();
    assert!(log.any(|line| line.contains("nobody reads standard output")));
    server.signal(Signal::TERM);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn a_closed_standard_error_does_not_end_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut command = dev(folder.path());
    command.env("KVSD_SERVER_LOG", "trace").stdout(Stdio::piped()).stderr(writer);
    let mut child = command.spawn().unwrap();
    let said = lines(child.stdout.take().unwrap());
    assert!(said.recv_timeout(PATIENCE).unwrap().starts_with("listening on "));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = end_of(child).recv_timeout(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn unsafe_or_incomplete_settings_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |args: &[&str], said: &[&str]| {
        assert_refused(&run(folder.path(), args), 2, said);
    };
    refused(&[], &["error: no TLS certificate", "kvsd-server init", "--insecure", "--dev"]);
    refused(&["--dev", "--listen", "0.0.0.0:0"], &["--dev", "loopback", "0.0.0.0:0"]);
    refused(&["--insecure", "--listen", "[::]:0"], &["--insecure", "loopback", "[::]:0"]);
    refused(&["--insecure", "--listen", "127.0.0.1:0"], &["no users", "kvsd-server user add"]);
    refused(&["--dev", "--tls-cert", "x.pem"], &["--tls-key"]);
    refused(&["--dev", "--tls-cert", "x.pem", "--tls-key", "x.key"], &["x.pem", "No such file"]);
    refused(&["--dev", "--users", "users"], &["would ignore the users file"]);
    refused(&["--dev", "--max-connections", "0"], &["max_connections must be between 1 and"]);
    refused(&["--dev", "--sync", "sometimes"], &["--sync", "always, interval or never"]);
    refused(&["--dev", "--log", "loud"], &["loud", "module=level"]);
    refused(&["--config", "absent.toml"], &["absent.toml", "No such file"]);
    refused(&["--frobnicate"], &["--frobnicate"]);
    refused(&["--dev", "init"], &["init"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_unknown_key_in_the_file_is_refused_with_the_nearest_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kvsd.toml"), "dev = true\nmax_conections = 5\n").unwrap();
    let output = run(folder.path(), &["--config", "kvsd.toml"]);
    assert_refused(&output, 2, &["`max_conections`", "kvsd.toml", "`max_connections`"]);
}

#[test]
fn a_flag_beats_the_environment_and_that_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = "dev = true\nlisten = 'from the file'\nsync = 'from the file'\n";
    std::fs::write(folder.path().join("kvsd.toml"), config).unwrap();
    let mut command = binary(folder.path());
    command
        .env("KVSD_SERVER_CONFIG", "kvsd.toml")
        .env("KVSD_SERVER_SYNC", "never")
        .env("KVSD_SERVER_LISTEN", "from the environment")
        .args(["--listen", "127.0.0.1:0"]);
    let (server, _) = Running::serving(&mut command);
    server.signal(Signal::TERM);
    assert_eq!(server.end().0, Some(0));

    let output = run(folder.path(), &["--config", "kvsd.toml", "--sync", "never"]);
    assert_refused(&output, 2, &["listen in kvsd.toml: `from the file`"]);
    let mut command = binary(folder.path());
    command.env("KVSD_SERVER_DEV", "true").env("KVSD_SERVER_LISTEN", "7379");
    assert_refused(&command.output().unwrap(), 2, &["KVSD_SERVER_LISTEN: `7379`"]);
}

#[test]
fn a_taken_port_and_a_locked_folder_end_with_code_1_and_their_cause() {
    let folder = tempfile::tempdir().unwrap();
    let (server, address) = Running::serving(&mut dev(folder.path()));

    let other = tempfile::tempdir().unwrap();
    let listen = address.to_string();
    let output = run(other.path(), &["--dev", "--listen", &listen]);
    assert_refused(&output, 1, &["error: ", &listen, "in use"]);

    let output = run(folder.path(), &["--dev", "--listen", "127.0.0.1:0"]);
    assert_refused(&output, 1, &["error: ", "kvsd-data", "another"]);

    server.signal(Signal::TERM);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn init_makes_a_folder_that_just_starts() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["init", "--listen", "127.0.0.1:0", "--name", "db.example"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for words in ["KVSD_URL='kvsds://app:", "KVSD_TLS_CA=", "kvsd::Client::connect", "825 days"] {
        assert!(stdout(&output).contains(words), "{words}");
    }

    // From another working folder: the paths in the configuration start from its own.
    let elsewhere = tempfile::tempdir().unwrap();
    let config = folder.path().join("kvsd-data/kvsd.toml");
    let mut command = binary(elsewhere.path());
    command.args(["--status-listen", "127.0.0.1:0"]);
    let (server, address) = Running::serving(command.arg("--config").arg(&config));
    TcpStream::connect(address).unwrap();
    server.signal(Signal::TERM);
    let (code, _, log) = server.end();
    assert_eq!(code, Some(0), "{log:?}");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);

    let before = std::fs::read(&config).unwrap();
    let output = run(folder.path(), &["init"]);
    assert_refused(&output, 1, &["kvsd.toml exists", "nothing was changed"]);
    assert_eq!(std::fs::read(&config).unwrap(), before);
    assert_refused(&run(elsewhere.path(), &["init", "--name", "no name"]), 2, &["no name"]);
}

/// The address that `init` printed, for a server that took another port.
#[test]
fn sighup_reads_the_files_again_and_a_bad_one_is_named_in_one_line_that_shows_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init", "--data-dir", "data"]);
    let args = ["--config", "data/kvsd.toml", "--listen", "127.0.0.1:0"];
    let args = [&args[..], &["--status-listen", "127.0.0.1:0"]].concat();
    let (server, _) = Running::serving(binary(folder.path()).args(args));
    let hear = |words: &str| {
        let heard = std::iter::from_fn(|| server.stderr.recv_timeout(PATIENCE).ok());
        let heard = heard.inspect(|line| assert!(!line.contains("canary"), "{line}"));
        let mut heard = heard.skip_while(|line| !line.contains(words));
        heard.next().unwrap_or_else(|| panic!("never heard: {words}"))
    };
    server.signal(Signal::HUP);
    assert!(hear("certificate read again").contains("server.pem"));
    hear("users read again");

    for (file, reason) in [
        ("users", "users is not valid: line 1: "),
        ("tls/server.key", "server.key holds no private key in PEM form"),
        ("tls/server.pem", "server.pem holds no certificate in PEM form"),
    ] {
        // A password in the place of its hash, say.
        std::fs::write(folder.path().join("data").join(file), "app:canary\n").unwrap();
        server.signal(Signal::HUP);
        let line = hear(reason);
        assert!(line.contains("what was read before stays in force"), "{line}");
    }
    server.signal(Signal::TERM);
    assert_eq!(server.end().0, Some(0));
}

fn printed_url(output: &Output, address: SocketAddr) -> String {
    let line = stdout(output).lines().find(|line| line.contains("Client::connect(")).unwrap();
    let url = line.split('"').nth(1).unwrap();
    url.replace("localhost:0", &format!("localhost:{}", address.port()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_url_logs_in_and_no_secret_reaches_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let made = run(folder.path(), &["init", "--listen", "127.0.0.1:0"]);
    let mut command = binary(folder.path());
    command.args(["--config", "kvsd-data/kvsd.toml", "--status-listen", "127.0.0.1:0"]);
    command.env("KVSD_SERVER_LOG", "trace");
    let (server, address) = Running::serving(&mut command);

    let url = printed_url(&made, address);
    let password = url.split(['/', ':', '@']).nth(4).unwrap();
    let client = kvsd::Client::connect(&url).await.unwrap();
    client.set("canary-key", "canary-value").await.unwrap();
    let value = client.get::<String>("canary-key").await.unwrap();
    assert_eq!(value.as_deref(), Some("canary-value"));
    let wrong = kvsd::Client::connect(&url.replace(password, "canary-password")).await;
    assert_eq!(wrong.unwrap_err().kind(), kvsd::ErrorKind::Unauthenticated);
    client.close().await;

    server.signal(Signal::TERM);
    let (code, _, log) = server.end();
    assert_eq!(code, Some(0), "{log:?}");
    assert!(log.iter().any(|line| line.contains("INFO")), "the log is on");
    let leak = log.iter().find(|line| line.contains("canary") || line.contains(password));
    assert_eq!(leak, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_data_ends_with_code_1_and_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (server, address) = Running::serving(&mut dev(folder.path()));
    let client = kvsd::Client::connect(&format!("kvsd://{address}")).await.unwrap();
    for key in ["first", "second", "third"] {
        client.set(key, "canary-value").await.unwrap();
    }
    client.close().await;
    // After a clean stop a hint vouches for the file, and damage shows when a value is read.
    server.signal(Signal::KILL);
    assert_eq!(server.end().0, None);

    let file = files_below(folder.path())
        .into_iter()
        .find(|file| damage(file, b"canary-value"))
        .expect("a file holds the values");
    let name = file.file_name().unwrap().to_str().unwrap();
    let output = run(folder.path(), &["--dev", "--listen", "127.0.0.1:0"]);
    assert_refused(&output, 1, &["error: ", "damaged", name]);
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Flips a bit where these bytes first stand; false if they do not.
fn damage(file: &Path, bytes: &[u8]) -> bool {
    let mut contents = std::fs::read(file).unwrap();
    let Some(at) = contents.windows(bytes.len()).position(|window| window == bytes) else {
        return false;
    };
    contents[at] ^= 1;
    std::fs::write(file, contents).unwrap();
    true
}

#[test]
fn a_secret_that_others_can_read_is_refused_with_the_command_that_mends_it() {
    for (file, start) in [("users", "users is open"), ("tls/server.key", "server.key is open")] {
        let folder = tempfile::tempdir().unwrap();
        assert!(run(folder.path(), &["init", "--data-dir", "d"]).status.success());
        let path = folder.path().join("d").join(file);
        set_mode(&path, 0o644);
        let output = run(folder.path(), &["--config", "d/kvsd.toml"]);
        assert_refused(&output, 2, &[start, "chmod 600 "]);
    }
}

#[test]
fn users_are_added_listed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let users = path.join("users");

    let add = ["user", "add", "app", "--users", "users"];
    let output = run_with_input(path, &add, "correct horse\n");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("may log in and no more"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    assert_eq!(std::fs::metadata(&users).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&users).unwrap().contains("correct"));

    let add = ["user", "add", "ops", "--users", "users", "--generate"];
    let grants = ["--grant", "read@*", "--grant", "admin@logs-*"];
    let output = run(path, &[&add[..], &grants[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let password = stdout(&output).strip_suffix('\n').unwrap();
    assert_eq!(password.len(), 32);
    assert!(!stderr(&output).contains(password));

    assert_eq!(
        stdout(&run(path, &["user", "list", "--users", "users"])),
        "app\t\nops\tread@*,admin@logs-*\n"
    );
    let mut by_variable = binary(path);
    by_variable.args(["user", "list"]).env("KVSD_SERVER_USERS", "users");
    assert_eq!(stdout(&by_variable.output().unwrap()), "app\t\nops\tread@*,admin@logs-*\n");

    let remove = ["user", "remove", "app", "--users", "users"];
    assert!(run(path, &remove).status.success());
    assert_eq!(
        stdout(&run(path, &["user", "list", "--users", "users"])),
        "ops\tread@*,admin@logs-*\n"
    );
    assert_refused(&run(path, &remove), 1, &["no user app"]);
}

#[test]
fn grants_are_given_and_taken_and_a_password_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let line =
        || std::fs::read_to_string(path.join("users")).unwrap().lines().last().map(str::to_owned);
    let user = |action: &str, grants: &[&str]| {
        run(path, &[&["user", action, "app", "--users", "users"][..], grants].concat())
    };
    let add = ["user", "add", "app", "--users", "users", "--grant=write@a"];
    assert!(run_with_input(path, &add, "one").status.success());
    let output = user("grant", &["read@a", "admin@b*"]);
    assert!(stderr(&output).contains("may do now: read@a,admin@b*"), "{}", stderr(&output));
    let output = user("revoke", &["read@a"]);
    assert!(stderr(&output).contains("may do now: admin@b*"), "{}", stderr(&output));

    let before = line().unwrap();
    assert_refused(&user("revoke", &["write@a"]), 1, &["does not have that grant", "admin@b*"]);
    assert_refused(&user("grant", &["owner@a"]), 2, &["read, write or admin"]);
    assert_refused(&user("grant", &["write"]), 2, &["ROLE@TABLE"]);
    assert_refused(&user("grant", &["write@../a"]), 2, &["table"]);
    assert_refused(&user("grant", &[]), 2, &["ROLE@TABLE"]);
    assert_refused(
        &run(path, &["user", "grant", "eve", "read@a", "--users", "users"]),
        1,
        &["no user eve"],
    );
    assert_eq!(line().unwrap(), before);

    let change = ["user", "password", "app", "--users", "users"];
    assert!(run_with_input(path, &change, "two").status.success());
    let after = line().unwrap();
    assert_ne!(after, before);
    assert!(after.ends_with(":admin@b*") && !after.contains("two"), "the grants stay");
    let unknown = ["user", "password", "eve", "--users", "users"];
    assert_refused(&run_with_input(path, &unknown, "two"), 1, &["no user eve"]);
    assert_refused(&run_with_input(path, &change, ""), 1, &["must not be empty"]);
    assert_eq!(line().unwrap(), after);
}

#[test]
fn users_of_an_init_folder_are_found_by_folder_and_by_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert!(run(path, &["init", "--user", "first"]).status.success());
    for place in [["--data-dir", "kvsd-data"], ["--config", "kvsd-data/kvsd.toml"]] {
        let output = run(path, &[["user", "list"], place].concat());
        assert_eq!(stdout(&output), "first\tadmin@*\n", "{}", stderr(&output));
    }
}

#[test]
fn user_mistakes_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let add = |name: &str, input: &str| {
        run_with_input(path, &["user", "add", name, "--users", "users"], input)
    };
    assert!(add("app", "one").status.success());
    let before = std::fs::read(path.join("users")).unwrap();

    assert_refused(&add("app", "two"), 1, &["user app already"]);
    assert_refused(&add("ops", ""), 1, &["must not be empty"]);
    assert_refused(&add("ops", "one\ntwo\n"), 1, &["one line"]);
    assert_refused(&add("ops", &"x".repeat(513)), 1, &["at most 512 bytes"]);
    assert_refused(&add("a:b", "one"), 2, &["user name"]);
    // A password as an argument is never taken.
    let output = run(path, &["user", "add", "ops", "secret", "--users", "users"]);
    assert_refused(&output, 2, &[]);
    assert_refused(&run(path, &["user", "list"]), 2, &["which users file?"]);
    assert_refused(&run(path, &["user", "remove", "x", "--users", "none"]), 1, &["none"]);
    assert!(!path.join("none").exists());
    assert_eq!(std::fs::read(path.join("users")).unwrap(), before);
}

#[test]
fn help_and_version_end_well() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--help"]);
    assert!(output.status.success());
    assert!(stdout(&output).contains("[env: KVSD_SERVER_LISTEN]"));
    let output = run(folder.path(), &["--version"]);
    assert_eq!(stdout(&output), format!("kvsd-server {}\n", env!("CARGO_PKG_VERSION")));
}
