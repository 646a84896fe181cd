//! Walks `docs/operations.md`: runs its console blocks in their order and compares what they print.
//!
//! The page is written for a machine with systemd and a package; here `/var/lib` is a folder of the
//! test, the ports are free ones, there is no `sudo` and nobody to `chown` to. `systemctl` is played
//! by the test, with what the unit says and a notification socket, and `curl` by a few lines. In
//! what a command prints, `...` on the page stands for anything within a line, and alone on a line
//! for any lines. Blocks of other languages than `console` and `rust` are not run.

#![allow(clippy::unwrap_used, reason = "a test's helpers unwrap as its functions do")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use support::binary;
use tempfile::TempDir;
use tokio::net::TcpSocket;

/// Longer than any step takes, even on a busy machine; only a broken server waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

// The page's program.
async fn remember(url: &str, password: String) -> Result<Option<String>, kvsd::Error> {
    let client = kvsd::Client::builder()
        .url(url)? // kvsds://orders@localhost:7379?ca=ca.pem
        .default_credentials(None, Some(password))
        .connect()
        .await?;
    let orders = client.table("orders-eu")?;
    orders.set("order/2", "two pairs of shoes").await?;
    orders.get::<String>("order/2").await
}
// The end of the page's program.

#[tokio::test]
async fn the_newcomers_hour_goes_as_the_page_says() {
    let mut walk = Walk::start();
    let page = fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    let mut steps = 0;
    let blocks = blocks(&page);
    for (language, block) in blocks {
        match language {
            "console" => {
                for (command, expected) in commands(block) {
                    walk.step(&command, &expected);
                    steps += 1;
                }
            }
            "rust" => {
                let source = include_str!("operations.rs");
                let (_, ours) = source.split_once("\n// The page's program.\n").unwrap();
                let (ours, _) = ours.split_once("// The end of the page's program.\n").unwrap();
                assert_eq!(
                    block,
                    ours.trim_end(),
                    "the page shows another program than the test runs"
                );
                let (url, _) = walk.shell.run("echo $KVSD_URL");
                let (password, _) = walk.shell.run("echo $KVSD_PASSWORD");
                let url = format!("{}?ca={}", url.trim(), walk.place("ca.pem").display());
                let read = remember(&url, password.trim().to_owned()).await.unwrap();
                assert_eq!(read.as_deref(), Some("two pairs of shoes"));
            }
            _ => {}
        }
    }
    assert!(steps > 20, "the page's commands were not found");
}

/// The fenced blocks of a page: language and content.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let inside = page.split("\n```").skip(1).step_by(2);
    inside.map(|block| block.split_once('\n').unwrap()).collect()
}

/// The commands of a console block, each with what it prints.
fn commands(block: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        let last = commands.last_mut();
        match (line.strip_prefix("$ "), last) {
            (Some(command), _) => commands.push((command.to_owned(), String::new())),
            (None, Some((command, printed))) if printed.is_empty() && command.ends_with('\\') => {
                command.push('\n');
                command.push_str(line);
            }
            (None, Some((_, printed))) => {
                printed.push_str(line);
                printed.push('\n');
            }
            (None, None) => panic!("a console block begins with a command: {block}"),
        }
    }
    commands
}

/// Whether the output is what the page says, `...` standing for anything.
fn fits(said: &[&str], printed: &[&str]) -> bool {
    match (said.split_first(), printed.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((&"...", more)), rest) => {
            fits(more, printed) || rest.is_some_and(|(_, rest)| fits(said, rest))
        }
        (Some(_), None) => false,
        (Some((line, more)), Some((other, rest))) => line_fits(line, other) && fits(more, rest),
    }
}

fn line_fits(said: &str, printed: &str) -> bool {
    let Some((before, after)) = said.split_once("...") else {
        return said == printed;
    };
    let rest = printed.strip_prefix(before);
    rest.is_some_and(|rest| {
        rest.char_indices()
            .map(|(at, _)| at)
            .chain([rest.len()])
            .any(|at| line_fits(after, &rest[at..]))
    })
}

/// A machine of the test's own, as far as the page needs one.
struct Walk {
    folder: TempDir,
    shell: Shell,
    server: Option<Service>,
    /// What the page's ports are here. They are bound, so that nobody else takes them; a server
    /// that listens may share them with one who does not.
    ports: Vec<(&'static str, TcpSocket)>,
}

impl Walk {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        for made in [&home, &folder.path().join("var/lib/kvsd")] {
            fs::create_dir_all(made).unwrap();
        }
        let ports = ["7379", "7380"].map(|page| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            (page, socket)
        });
        Self { shell: Shell::start(&home), folder, server: None, ports: ports.into() }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join("home").join(name)
    }

    /// Carries out a command of the page and compares what it prints.
    fn step(&mut self, command: &str, expected: &str) {
        // What was logged before is not about this step.
        let logged = self.server.as_ref().map_or(0, |server| server.log().len());
        let ours = self.ours(command);
        let (printed, succeeded) = match ours.split_once(' ').unwrap_or((&ours, "")) {
            ("systemctl", action) => (self.systemctl(action), true),
            ("curl", url) => (get(url.trim_start_matches("-s ")), true),
            ("chown", _) => (String::new(), true),
            _ => self.shell.run(&ours),
        };
        self.move_status_page();
        let printed = self.theirs(&printed);
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let (said, told) = (lines(expected), lines(&printed));
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        let log = self.server.as_ref().map(Service::log).unwrap_or_default();
        assert!(
            fits(&said, &told),
            "$ {command}\nthe page says:\n{expected}\nprinted was:\n{printed}\nthe log: {log:#?}"
        );
        let fails = said.iter().any(|line| line.starts_with("error:"));
        assert_eq!(succeeded, !fails, "$ {command}\n{printed}");
        if let Some(server) = self.server.as_ref().filter(|_| printed.contains("within a second")) {
            server.hear(logged, &["users read again", "certificate read again"]);
        }
    }

    /// `init` writes an address into the configuration that is taken here, or may be.
    fn move_status_page(&self) {
        let file = self.folder.path().join("var/lib/kvsd/kvsd.toml");
        if let Ok(text) = fs::read_to_string(&file)
            && text.contains(":7380")
        {
            fs::write(&file, self.ours(&text)).unwrap();
        }
    }

    /// A text of the page as it is here.
    fn ours(&self, text: &str) -> String {
        let text = text.replace("sudo -u kvsd ", "").replace("sudo ", "");
        let root = self.folder.path().to_str().unwrap();
        let mut text = text.replace("/var/lib", &format!("{root}/var/lib"));
        text = text.replace("0.0.0.0:", "127.0.0.1:");
        for (page, socket) in &self.ports {
            text = text.replace(&format!(":{page}"), &format!(":{}", port(socket)));
        }
        text
    }

    /// A text from here as the page has it.
    fn theirs(&self, text: &str) -> String {
        let mut text = text.replace(self.folder.path().to_str().unwrap(), "");
        for (page, socket) in &self.ports {
            text = text.replace(&format!(":{}", port(socket)), &format!(":{page}"));
        }
        text
    }

    /// Does to the service what systemd would; what that prints.
    fn systemctl(&mut self, action: &str) -> String {
        match action {
            "enable --now kvsd-server" | "start kvsd-server" => self.serve(),
            "stop kvsd-server" => self.server = None,
            "restart kvsd-server" => {
                self.server = None;
                self.serve();
            }
            "reload kvsd-server" => {
                let server = self.server.as_ref().expect("a server runs");
                kill_process(Pid::from_child(&server.child), Signal::HUP).unwrap();
            }
            "is-active kvsd-server" => {
                return if self.server.is_some() { "active\n" } else { "inactive\n" }.into();
            }
            other => panic!("systemctl {other}?"),
        }
        String::new()
    }

    fn serve(&mut self) {
        let unit = fs::read_to_string(repository().join("packaging/kvsd-server.service")).unwrap();
        let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let command = self.ours(command.strip_prefix("/usr/bin/kvsd-server ").unwrap());
        assert!(self.server.is_none(), "a server runs already");
        self.server = Some(Service::start(self.folder.path(), &command));
    }
}

fn port(socket: &TcpSocket) -> u16 {
    socket.local_addr().unwrap().port()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The body that a URL of this machine is answered with.
fn get(url: &str) -> String {
    let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let port = authority.rsplit_once(':').unwrap().1.parse().unwrap();
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").expect(&answer).1.to_owned()
}

/// The server as the unit starts it. Stopped as systemd does when it is dropped.
struct Service {
    child: Child,
    log: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Service {
    fn start(folder: &Path, arguments: &str) -> Self {
        let name = folder.join("notify");
        let _ = fs::remove_file(&name);
        let socket = UnixDatagram::bind(&name).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = binary(env!("CARGO_BIN_EXE_kvsd-server"));
        command.args(arguments.split(' ')).current_dir(folder.join("var/lib/kvsd"));
        command.env("NOTIFY_SOCKET", &name).env_remove("WATCHDOG_USEC");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let server = Self { child, log: Arc::default() };
        let log = Arc::clone(&server.log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                log.0.lock().unwrap().push(line);
                log.1.notify_all();
            }
        });
        let mut bytes = [0; 4096];
        loop {
            let length = socket.recv(&mut bytes).unwrap_or_default();
            match &bytes[..length] {
                [b'R', b'E', b'A', b'D', b'Y', ..] => return server,
                [] => panic!("never ready: {:#?}", server.log()),
                _ => {}
            }
        }
    }

    /// What was logged so far.
    fn log(&self) -> Vec<String> {
        self.log.0.lock().unwrap().clone()
    }

    /// Waits until a line from this one on holds one of these words.
    fn hear(&self, from: usize, words: &[&str]) {
        let unheard = |log: &mut Vec<String>| {
            !log[from..].iter().any(|line| words.iter().any(|words| line.contains(words)))
        };
        let log = self.log.0.lock().unwrap();
        let (log, waited) = self.log.1.wait_timeout_while(log, PATIENCE, unheard).unwrap();
        assert!(!waited.timed_out(), "none of {words:?} in {log:#?}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let code = self.child.wait().unwrap().code();
        if !std::thread::panicking() {
            assert_eq!(code, Some(0), "{:#?}", self.log());
        }
    }
}

/// One shell for the whole walk: what is exported stays.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn start(home: &Path) -> Self {
        let bin = Path::new(env!("CARGO_BIN_EXE_kvsd")).parent().unwrap();
        let mut command = binary("/bin/sh");
        command.current_dir(home).env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    /// Runs a command; what it prints on both streams, and whether it succeeded.
    fn run(&mut self, command: &str) -> (String, bool) {
        let end = "\u{1e}";
        writeln!(self.input, "{{ {command}\n}} </dev/null 2>&1; printf '{end}%s\\n' $?").unwrap();
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the shell ended: {command}");
            if let Some((last, status)) = line.split_once(end) {
                printed.push_str(last);
                return (printed, status.trim() == "0");
            }
            printed.push_str(&line);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn three_dots_stand_for_anything_and_nothing_else_does() {
    for (said, printed) in [
        ("a\nb\n", "a\nb\n"),
        ("a ... c\n", "a b c\n"),
        ("...\nc\n", "a\nb\nc\n"),
        ("a\n...\n", "a\n"),
        ("x...y...z\n", "x1y2yz\n"),
    ] {
        assert!(fits(&lines(said), &lines(printed)), "{said} {printed}");
    }
    for (said, printed) in [
        ("a\n", "a\nb\n"),
        ("a\nb\n", "a\n"),
        ("a ... c\n", "a b d\n"),
        ("...\nc\n", "a\nb\n"),
        ("ab...ba\n", "aba\n"),
        ("", "a\n"),
    ] {
        assert!(!fits(&lines(said), &lines(printed)), "{said} {printed}");
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}
