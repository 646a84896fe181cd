//! Limits as an operator sets them, and clients who go beyond all of them at once.

use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use super::nonsense::{HELLO, first_seed};
use super::random::run_session;
use super::target::{PATIENCE, Target};
use super::wire::{Client, get, hello, message, set};

/// How long it takes until a newcomer is served, at most [`PATIENCE`]: others may be in the way.
fn somebody_is_served(target: &Target) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = Client::new(target.connect());
        let asked = [&hello(None)[..], &message(7, &get("default", b"k"))].concat();
        if client.stream.write_all(&asked).is_ok() {
            let mut heard = || client.try_next().ok().flatten();
            if heard().is_some_and(|welcome| contains(&welcome, b"#h:0"))
                && heard().is_some_and(|answer| contains(&answer, b"#g:7"))
            {
                return;
            }
        }
        assert!(Instant::now() < deadline, "nobody is served any more: {}", target.log());
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn what_all_clients_hold_together_stays_below_its_limit() {
    const CLIENTS: usize = 64;
    const LIMIT: u64 = 64 << 20;
    let target = Target::dev(&["--connection-memory", "64MiB"]);
    let mut client = target.client();
    assert!(client.ask(&set("default", b"k", b"v")).starts_with("Written"));
    let before = target.most_memory();
    // Each has sent 8 MiB of a value of 10 MiB, and stops there.
    let part = [b"$65536\r\n".as_slice(), &[b'v'; 65536], b"\r\n"].concat();
    let mut begun = Vec::new();
    for number in 0..128 {
        let remaining = (10 << 20) - (number + 1) * 65536;
        begun.extend_from_slice(format!("*4\r\n#K:1\r\n:{remaining}\r\n").as_bytes());
        begun.extend_from_slice(&part);
    }
    let crowd: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let mut greedy = target.client();
            // Those who hold most are cut off on the way.
            let _ = greedy.stream.write_all(&begun);
            greedy.stream
        })
        .collect();
    let grown = target.most_memory().saturating_sub(before);
    println!("{grown} bytes for {CLIENTS} clients");
    // Without the limit it would be 512 MiB.
    let most = LIMIT + (24 << 20);
    assert!(grown <= most, "{grown} bytes for {CLIENTS} clients, {most} at most");
    drop(crowd);
    somebody_is_served(&target);
    target.stop();
}

#[test]
fn nonsense_under_the_tightest_limits_leaves_the_server_as_it_was() {
    const SESSIONS: u64 = 2_000;
    let target = Target::dev(&[
        "--max-connections=12",
        "--max-connections-per-address=8",
        "--max-unauthenticated=2",
        "--handshake-timeout=300ms",
        "--idle-timeout=300ms",
        "--max-in-flight=1",
        "--max-output-bytes=64KiB",
        "--max-value-bytes=1KiB",
        "--max-tables=2",
        "--log=error",
    ]);
    let before = target.held();
    let start = first_seed();
    std::thread::scope(|scope| {
        // More than one address may have, so that some of them are always too many.
        for client in 0..16 {
            let target = &target;
            scope.spawn(move || {
                for session in 0..SESSIONS / 16 {
                    run_session(target, start.wrapping_add(session * 16 + client));
                }
            });
        }
    });
    somebody_is_served(&target);
    let deadline = Instant::now() + PATIENCE;
    while target.connections() > 0 {
        assert!(Instant::now() < deadline, "connections are never closed: {:?}", target.held());
        std::thread::yield_now();
    }
    let grown = target.most_memory().saturating_sub(before.memory);
    assert!(grown <= 16 << 20, "{grown} bytes");
    target.stop();
}

/// Waits until the log names this reason.
fn is_told(target: &Target, why: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !target.log().contains(&format!("why=\"{why}\"")) {
        assert!(Instant::now() < deadline, "{why} is not in the log:\n{}", target.log());
        std::thread::yield_now();
    }
}

#[test]
fn whoever_is_refused_is_named_in_the_log_with_the_reason() {
    let users = Target::with_users(&["ops"], &["--handshake-timeout", "500ms"]);
    let tls = Target::tls(&[]);
    let wrong = hello(Some(("ops", "wrong")));
    let too_large = [b"*9\r\n#H".as_slice(), HELLO].concat();
    for (target, said, why) in [
        (&users, &b"?"[..], "garbage"),
        (&users, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "tls_on_plain"),
        (&users, b"*6\r\n#H:0\r\n:8\r\n:9\r\n||", "version"),
        (&users, HELLO, "no_credentials"),
        (&users, &wrong, "wrong_credentials"),
        (&users, &too_large, "over_limit"),
        (&users, b"*6\r\n#H", "handshake_late"),
        (&tls, HELLO, "tls"),
    ] {
        let mut stream = target.connect();
        stream.write_all(said).unwrap();
        is_told(target, why);
    }
    for _ in 0..12 {
        let mut client = Client::new(users.connect());
        client.say(&wrong);
        client.rest();
    }
    is_told(&users, "too_many_failures");
    users.stop();
    tls.stop();

    let few = Target::dev(&["--max-connections-per-address", "1"]);
    let first = few.client();
    drop(few.connect());
    is_told(&few, "address_full");
    drop(first);
    few.stop();
}
