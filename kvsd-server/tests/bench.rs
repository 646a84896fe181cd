//! `kvsd bench` against `kvsd-server --dev`: what it measures, checks, prints, and leaves behind.

#![expect(clippy::unwrap_used, reason = "a test's helpers unwrap as its functions do")]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Output, Stdio};

use kvsd::Client;
use rustix::process::{Pid, Signal, kill_process};
use support::{Server, assert_fails, kvsd, outcome};
use tokio::runtime::Runtime;

/// A run to its end, without a warm-up.
fn bench(server: &Server, args: &[&str]) -> Output {
    server.run([&["bench", "--warm-up", "0s", "--keys", "100"], args].concat())
}

/// What a run that succeeded wrote to standard output.
#[track_caller]
fn report(output: &Output) -> String {
    let (code, stdout, stderr) = outcome(output);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    stdout
}

/// How many operations of a kind the table of latencies counts.
fn count_of(report: &str, operation: &str) -> u64 {
    let line = report.lines().find(|line| line.starts_with(operation));
    let count = line.and_then(|line| line.split_whitespace().nth(1));
    count.map_or(0, |count| count.replace(',', "").parse().unwrap())
}

/// A client in this process, to look at the server with.
fn client(server: &Server) -> (Runtime, Client) {
    let runtime = Runtime::new().unwrap();
    let url = format!("kvsd://{}", server.address);
    let client = runtime.block_on(Client::connect(&url)).unwrap();
    (runtime, client)
}

fn tables(server: &Server) -> Vec<String> {
    let (runtime, client) = client(server);
    let names = runtime.block_on(client.tables()).unwrap();
    names.iter().map(ToString::to_string).collect()
}

/// A run that lasts until something ends it.
struct Endless {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Endless {
    /// Starts it and waits until it measures.
    fn start(server: &Server, args: &[&str]) -> Self {
        let args = [&["bench", "--duration", "1h", "--warm-up", "0s", "--keys", "100"], args];
        let mut child = server
            .kvsd(args.concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut endless = Self { child, stderr };
        endless.wait_for(|line| line.starts_with("measuring: "));
        endless
    }

    /// Reads standard error up to a line.
    fn wait_for(&mut self, fits: impl Fn(&str) -> bool) {
        loop {
            let mut line = String::new();
            assert_ne!(self.stderr.read_line(&mut line).unwrap(), 0, "it has ended");
            if fits(&line) {
                return;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code, and the rest of both streams.
    fn end(mut self) -> (Option<i32>, String, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        (self.child.wait().unwrap().code(), stdout, rest)
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_closed_loop_does_what_it_says_and_leaves_nothing_behind() {
    let server = Server::dev();
    let output = bench(&server, &["--operations", "1000", "--tasks", "7"]);
    let report = report(&output);
    assert!(report.starts_with("operations: 1,000 in "), "{report}");
    assert!(report.contains("\nerrors: 0\n"), "{report}");
    assert_eq!(count_of(&report, "get ") + count_of(&report, "set "), 1000, "{report}");
    assert!(report.contains("\nlatency of get\n  to "), "{report}");
    let stderr = outcome(&output).2;
    let address = server.address;
    for said in [
        &format!("server: {address}, kvsd-server/{}, synced: always", env!("CARGO_PKG_VERSION")),
        "made for this run; removed at the end",
        "data: 100 keys (uniform), values of 100 bytes",
        "load: 7 tasks over 2 connections, 90 % reads, as fast as answers come, for 10s\n",
    ] {
        assert!(stderr.contains(said), "`{said}` is not in: {stderr}");
    }
    assert_eq!(tables(&server), [""; 0]);
}

#[test]
fn an_open_loop_begins_as_many_operations_as_are_due() {
    let server = Server::dev();
    let report = report(&bench(&server, &["--rate", "2000", "--operations", "500"]));
    assert!(report.starts_with("operations: 500 in "), "{report}");
    assert!(report.contains("\ndue: 2,000 a second; begun late by "), "{report}");
    assert!(report.contains("; not begun: 0\n"), "{report}");
}

#[test]
fn an_open_loop_says_what_it_could_not_begin() {
    let server = Server::dev();
    let args = ["--rate", "1000000", "--tasks", "1", "--duration", "200ms"];
    let report = report(&bench(&server, &args));
    let line = report.lines().find(|line| line.starts_with("due: ")).unwrap();
    assert!(!line.ends_with("not begun: 0"), "{line}");
    // How long it waited for its beginning counts: one task is some 200 ms behind at the end.
    let latencies = report.lines().find(|line| line.starts_with("get ")).unwrap();
    let longest: f64 = latencies.split_whitespace().last().unwrap().parse().unwrap();
    assert!(longest > 50.0, "{report}");
}

#[test]
fn the_mix_is_what_was_asked_for() {
    let server = Server::dev();
    for (reads, gets) in [("100", 1000..=1000), ("0", 0..=0), ("50", 300..=700)] {
        let args = ["--reads", reads, "--operations", "1000", "--distribution", "zipf"];
        let report = report(&bench(&server, &args));
        let found = count_of(&report, "get ");
        assert!(gets.contains(&found), "{reads}: {report}");
        assert_eq!(count_of(&report, "set "), 1000 - found, "{reads}: {report}");
        assert_eq!(report.contains("latency of set"), found < 1000, "{reads}: {report}");
    }
}

#[test]
fn values_of_any_size_come_back_as_they_were_written() {
    let server = Server::dev();
    for size in ["0", "1", "8", "100KiB"] {
        let args = ["--size", size, "--operations", "200", "--reads", "50", "--keys", "20"];
        let output = server.run([&["bench", "--warm-up", "0s"][..], &args].concat());
        assert!(report(&output).contains("\nerrors: 0\n"), "{size}");
    }
}

#[test]
fn a_given_table_keeps_what_others_wrote_and_loses_what_the_run_wrote() {
    let server = Server::dev();
    support::assert_prints(
        &server.run(["--table", "users", "set", "kvsd-bench/mine", "v"]),
        "OK\n",
    );
    let output = bench(&server, &["--table", "users", "--operations", "300"]);
    report(&output);
    assert!(outcome(&output).2.contains("the table users, below the prefix kvsd-bench/"));
    let (runtime, client) = client(&server);
    let statistics = runtime.block_on(client.table("users").unwrap().statistics()).unwrap();
    assert_eq!(statistics.unwrap().keys, 1);
    let output = server.run(["--table", "users", "get", "kvsd-bench/mine"]);
    support::assert_prints(&output, "v\n");
    assert_eq!(tables(&server), ["users"]);
}

#[test]
fn the_table_of_the_url_is_left_alone() {
    let server = Server::dev();
    let url = format!("kvsd://{}/users", server.address);
    let args = ["bench", "--operations", "100", "--warm-up", "0s", "--keys", "10", "--keep"];
    let output = kvsd(args).env("KVSD_URL", url).output().unwrap();
    report(&output);
    assert!(outcome(&output).2.contains("kept: the table kvsd-bench-"));
    let tables = tables(&server);
    assert!(tables.len() == 1 && tables[0].starts_with("kvsd-bench-"), "{tables:?}");
    let (runtime, client) = client(&server);
    let statistics = runtime.block_on(client.table(&tables[0]).unwrap().statistics()).unwrap();
    assert_eq!(statistics.unwrap().keys, 10);
}

#[test]
fn a_value_that_is_another_keys_or_not_there_is_an_error() {
    let server = Server::dev();
    let mut run = Endless::start(&server, &["--table", "t", "--reads", "100", "--tasks", "2"]);
    let (runtime, client) = client(&server);
    let table = client.table("t").unwrap();
    runtime.block_on(async {
        let mut scan = table.scan::<bytes::Bytes>("kvsd-bench/");
        let mut records = Vec::new();
        while let Some(entry) = scan.next().await {
            let entry = entry.unwrap();
            records.push((entry.key, entry.value));
        }
        assert_eq!(records.len(), 100);
        // Each key gets the value of the next; one gets none.
        let values = records.iter().map(|(_, value)| value).cycle().skip(1);
        table.set_many(records.iter().map(|(key, _)| key).zip(values)).await.unwrap();
        table.delete(&records[0].0).await.unwrap();
    });
    run.wait_for(|line| line.starts_with("measuring: ") && !line.ends_with("errors 0\n"));
    run.signal(Signal::INT);
    let (code, stdout, stderr) = run.end();
    assert_eq!(code, Some(3), "{stdout}{stderr}");
    assert!(stdout.contains(": another value was read than was written\n"), "{stdout}");
    assert!(stderr.contains("error: ") && stderr.contains("operations failed"), "{stderr}");
    let statistics = runtime.block_on(table.statistics()).unwrap().unwrap();
    assert_eq!(statistics.keys, 0, "it has cleared up all the same");
}

#[test]
fn a_signal_ends_it_early_with_its_result_and_nothing_left_behind() {
    let server = Server::dev();
    for (signal, args) in
        [(Signal::INT, &[][..]), (Signal::TERM, &[]), (Signal::INT, &["--rate", "1"])]
    {
        let run = Endless::start(&server, args);
        run.signal(signal);
        let (code, stdout, stderr) = run.end();
        assert_eq!(code, Some(0), "{signal:?}: {stdout}{stderr}");
        assert!(stdout.starts_with("operations: "), "{signal:?}: {stdout}");
        assert!(stdout.contains("\nerrors: 0\n"), "{signal:?}: {stdout}");
        assert_eq!(tables(&server), [""; 0], "{signal:?}");
    }
}

#[test]
fn a_signal_before_anything_was_measured_leaves_nothing_behind() {
    let server = Server::dev();
    let args = ["bench", "--keys", "1000000000", "--tasks", "1"];
    let mut child =
        server.kvsd(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut run = Endless { child, stderr };
    run.wait_for(|line| line.starts_with("writing: "));
    run.signal(Signal::INT);
    let (code, stdout, stderr) = run.end();
    assert_eq!((code, stdout.as_str()), (Some(3), ""), "{stderr}");
    assert!(stderr.contains("error: interrupted before anything was measured\n"), "{stderr}");
    assert_eq!(tables(&server), [""; 0]);
}

#[test]
fn a_server_that_goes_away_is_counted_and_ends_the_run() {
    let mut server = Server::dev();
    let run = Endless::start(&server, &["--tasks", "4"]);
    server.child().kill().unwrap();
    let (code, stdout, stderr) = run.end();
    assert_eq!(code, Some(3), "{stdout}{stderr}");
    let operations = stdout.strip_prefix("operations: ").unwrap();
    assert!(!operations.starts_with("0 "), "what was measured before is told: {stdout}");
    assert!(stdout.contains(": cannot reach the server\n    such as: "), "{stdout}");
    assert!(stdout.contains(&server.address.to_string()), "{stdout}");
    for said in [
        "what was written is still there: the table kvsd-bench-",
        "operations failed; ended because nothing succeeded any more\n",
    ] {
        assert!(stderr.contains(said), "`{said}` is not in: {stderr}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is_written() {
    for (args, said) in [
        (&["--tasks", "0"][..], "--tasks"),
        (&["--tasks", "many"], "--tasks"),
        (&["--connections", "1025"], "--connections"),
        (&["--keys", "0"], "--keys"),
        (&["--reads", "101"], "--reads"),
        (&["--size", "1.5KiB"], "such as 10MiB"),
        (&["--rate", "0"], "operations a second, 1 to"),
        (&["--rate=-5"], "--rate"),
        (&["--duration", "10"], "10s"),
        (&["--duration", "0s"], "1ms to 365d"),
        (&["--operations", "0"], "--operations"),
        (&["--distribution", "normal"], "zipf"),
        (&["--frobnicate"], "--frobnicate"),
    ] {
        let output = kvsd([&["bench"], args].concat()).output().unwrap();
        assert_fails(&output, 2, &[said]);
    }
    let server = Server::dev();
    let output = bench(&server, &["--size", "11MiB"]);
    assert_fails(&output, 2, &["--size: the server takes values of at most 10485760 bytes"]);
    assert_eq!(tables(&server), [""; 0]);
}

#[test]
fn without_a_server_it_says_so_like_every_command() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = kvsd(["bench"]).env("KVSD_HOST", free.to_string()).output().unwrap();
    assert_fails(&output, 3, &["cannot connect: connection refused"]);
}

#[test]
fn its_help_says_what_it_does_to_the_server() {
    let help = String::from_utf8(kvsd(["bench", "--help"]).output().unwrap().stdout).unwrap();
    for said in ["Usage: kvsd bench", "removes the table at the end", "kvsd bench --rate"] {
        assert!(help.contains(said), "`{said}` is not in: {help}");
    }
}
