//! A server that runs on while everything around it changes: connections come and go in every way,
//! users and certificates are replaced, tables are made, filled, emptied and dropped, backups are
//! taken. What it holds at the end is what it held after the warm-up.
//!
//! The ordinary run takes seconds. `KVSD_TEST_SOAK_SECONDS=600 cargo test -p kvsd-server --test
//! hostile soak -- --nocapture` goes on for ten minutes.

use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kvsd::protocol::v2::{Position, Request, Select, Watch};
use rustix::process::Signal;

use super::crowds::reset;
use super::nonsense::{Random, first_seed, script};
use super::target::{Held, PATIENCE, Target, add_users, make_certificates};
use super::wire::{Client, get, hello, message, set};
use super::witness::Witness;

/// How long the ordinary run goes on behind its warm-up.
const SHORT: Duration = Duration::from_secs(6);
/// What may have come on top of the memory after the warm-up, in bytes: the allocator keeps small
/// pieces that its threads have freed, each for threads that come to it.
const MEMORY_SLACK: u64 = 16 << 20;
/// Threads that wait for more work for some seconds before they end, and did not after the warm-up.
const THREAD_SLACK: u64 = 16;
/// Segments and hints that are open for reading.
const DESCRIPTOR_SLACK: u64 = 32;
/// How many of those who keep the server busy there are.
const CHURNERS: u64 = 3;
const TABLES: [&str; 4] = ["orders", "users", "sessions", "logs"];

#[test]
fn what_a_server_holds_does_not_grow_with_the_time_that_it_runs() {
    let chosen = std::env::var("KVSD_TEST_SOAK_SECONDS").ok();
    let chosen = chosen.map(|text| Duration::from_secs(text.parse().expect("a number of seconds")));
    let length = chosen.unwrap_or(SHORT);
    let soak = Soak::start();
    let witness = Witness::with(soak.enter().expect("the first client comes in"));
    soak.run(length / 2);
    let before = soak.at_rest();
    soak.run(length);
    let after = soak.at_rest();
    println!(
        "{} sessions, {} changes: {before:?} before, {after:?} after",
        soak.sessions.load(Ordering::Relaxed),
        soak.changes.load(Ordering::Relaxed)
    );
    assert!(soak.changes.load(Ordering::Relaxed) > 4, "hardly anything has changed");
    for (what, before, after, slack) in [
        ("bytes", before.memory, after.memory, MEMORY_SLACK),
        ("descriptors", before.descriptors, after.descriptors, DESCRIPTOR_SLACK),
        ("threads", before.threads, after.threads, THREAD_SLACK),
    ] {
        assert!(after <= before + slack, "{before} {what} after the warm-up, {after} at the end");
    }
    witness.leave();
    soak.target.stop();
}

struct Soak {
    target: Target,
    sessions: AtomicU64,
    changes: AtomicU64,
    seeds: AtomicU64,
}

impl Soak {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = make_certificates(folder.path());
        add_users(folder.path(), &["app", "guest"]);
        let mut target = Target::start(
            folder,
            &[
                "--tls-cert",
                "server.pem",
                "--tls-key",
                "server.key",
                "--users",
                "users",
                "--backups",
                "backups",
                "--history-bytes",
                "1MiB",
                "--history-time",
                "1s",
                "--cache-bytes",
                "4MiB",
                "--log",
                "error",
            ],
        );
        target.trust(&certificates);
        let seeds = AtomicU64::new(first_seed());
        Self { target, sessions: AtomicU64::new(0), changes: AtomicU64::new(0), seeds }
    }

    /// Comes in over TLS; not at all while the certificate is replaced.
    fn enter(&self) -> Option<Client<impl std::io::Read + Write + Send + use<>>> {
        let mut client = self.target.connect_tls();
        client.stream.write_all(&hello(Some(("app", "secret")))).ok()?;
        let answer = client.try_next().ok()??;
        answer.windows(4).any(|part| part == b"#h:0").then_some(client)
    }

    /// Keeps the server busy for so long.
    fn run(&self, length: Duration) {
        let (end, over) = (Instant::now() + length, AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..CHURNERS {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let seed = self.seeds.fetch_add(1, Ordering::Relaxed);
                        self.session(&mut Random::new(seed));
                        self.sessions.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let mut round = 0;
            // Each kind of change at least once.
            while Instant::now() < end || round < CHANGES {
                self.change(round);
                round += 1;
                self.changes.fetch_add(1, Ordering::Relaxed);
            }
            over.store(true, Ordering::Relaxed);
        });
    }

    fn session(&self, random: &mut Random) {
        if random.below(3) == 0 {
            // Whoever speaks no TLS is no less of a burden.
            let mut stream = self.target.connect();
            let _ = stream.write_all(&script(random));
            reset(stream);
            return;
        }
        let Some(mut client) = self.enter() else { return };
        let table = TABLES[random.below(TABLES.len())];
        let value = vec![b'v'; random.below(32 << 10)];
        for _ in 0..random.below(20) {
            let key = [b"k", random.below(100).to_string().as_bytes()].concat();
            let request = match random.below(8) {
                0 => Request::DropTable { table },
                1 => get(table, &key),
                2 => Request::Statistics { table },
                _ => set(table, &key, &value),
            };
            if client.stream.write_all(&message(7, &request)).is_err() || client.try_next().is_err()
            {
                return;
            }
        }
        if random.below(2) == 0 {
            // Leaves while it waits for a change.
            let since = Some(Position { incarnation: None, version: 0 });
            let watch = Watch { table, since, wait_millis: 30_000, select: Select::All };
            let _ = client.stream.write_all(&message(8, &Request::Watch(watch)));
        } else {
            // Leaves what is not worth reading to whoever wants it.
            let _ = client.stream.write_all(&script(random));
        }
    }

    /// One of the things that an operator does, in turn.
    fn change(&self, round: u64) {
        let folder = self.target.folder();
        match round % CHANGES {
            0 => {
                // The same certificate under another time: read again, and still trusted.
                let cert = fs::read(folder.join("server.pem")).unwrap();
                fs::write(folder.join("server.pem.new"), cert).unwrap();
                fs::rename(folder.join("server.pem.new"), folder.join("server.pem")).unwrap();
                self.target.signal(Signal::HUP);
            }
            1 => {
                let remove = ["user", "remove", "guest", "--users", "users"];
                assert!(self.target.tool(&remove).output().unwrap().status.success());
                add_users(folder, &["guest"]);
            }
            2 => {
                let name = format!("backup-{round}");
                let mut client = self.target.administrator();
                client.say(format!("*3\r\n#B:1\r\n+{name}\r\n").as_bytes());
                let answer = client.heard();
                assert!(answer.contains("#b:1"), "{answer}");
                fs::remove_dir_all(folder.join("backups").join(name)).unwrap();
            }
            _ => {
                // A minute's worth of garbage for the compaction.
                let Some(mut client) = self.enter() else { return };
                for key in 0..400_u32 {
                    let value = vec![b'g'; 16 << 10];
                    let answer = client.ask(&set("garbage", &(key % 4).to_be_bytes(), &value));
                    assert!(answer.starts_with("Written"), "{answer}");
                }
            }
        }
    }

    /// What the server holds once those who have gone are gone over there too.
    fn at_rest(&self) -> Held {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let held = self.target.held();
            if self.connections() <= 1 {
                return held;
            }
            assert!(Instant::now() < deadline, "connections are never closed: {held:?}");
            std::thread::yield_now();
        }
    }

    /// How many sockets of TCP connections the server has.
    fn connections(&self) -> usize {
        self.target.connections()
    }
}

/// How many kinds of changes there are.
const CHANGES: u64 = 4;
