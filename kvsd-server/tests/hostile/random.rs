//! Ten thousand sessions of sense and nonsense over sockets, and a thousand on the administrators'
//! socket: the server neither panics nor grows nor leaves anybody waiting.
//!
//! `KVSD_TEST_NONSENSE_SEED` chooses other choices.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use kvsd::protocol::v2::Request;

use super::crowds::{Way, reset};
use super::nonsense::{Random, damaged, first_seed, script};
use super::target::{PATIENCE, Target, add_user, add_users};
use super::wire::{Client, hello, set};
use super::witness::Witness;

const SESSIONS: u64 = 10_000;
const ADMINISTRATORS: u64 = 1_000;
/// How many are connected at a time.
const CLIENTS: u64 = 8;
/// What the server may have taken at its worst, above what it had before the first session.
const ROOM: u64 = 16 << 20;

#[test]
fn ten_thousand_sessions_of_nonsense_do_the_server_no_harm() {
    let target = Target::dev(&[
        "--max-tables",
        "16",
        "--max-value-bytes",
        "4KiB",
        "--history-bytes",
        "1MiB",
    ]);
    let witness = Witness::of(&target);
    let before = target.held();
    let (next, answers) = (AtomicU64::new(0), AtomicU64::new(0));
    let start = first_seed();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let session = next.fetch_add(1, Ordering::Relaxed);
                    if session >= SESSIONS {
                        return;
                    }
                    let said = run_session(&target, start.wrapping_add(session));
                    answers.fetch_add(said, Ordering::Relaxed);
                }
            });
        }
    });
    let cost = target.cpu_time();
    let answers = answers.into_inner();
    assert!(answers > SESSIONS, "the storm was a breeze: {answers} answers");
    let mut random = Random::new(start);
    for _ in 0..ADMINISTRATORS {
        let mut client = target.administrator();
        let mut bytes = script(&mut random);
        // What a session begins with does not begin an administrator's.
        bytes.drain(..bytes.len().min(random.below(30)));
        let _ = client.stream.write_all(&bytes);
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        client.rest();
    }
    witness.leave();
    let grown = target.most_memory().saturating_sub(before.memory);
    println!("{answers} answers, {cost:?} of the server's threads, {grown} bytes at the worst");
    assert!(grown <= ROOM, "{grown} bytes, {ROOM} at most");
    // Those who went without a word are gone over there too.
    let deadline = Instant::now() + PATIENCE;
    while target.held().descriptors > before.descriptors + DESCRIPTORS_OF_TABLES {
        assert!(Instant::now() < deadline, "{before:?} before, {:?} now", target.held());
        std::thread::yield_now();
    }
    target.stop();
}

#[test]
fn nonsense_of_a_user_with_few_rights_reaches_no_table_of_others() {
    let folder = tempfile::tempdir().unwrap();
    add_users(folder.path(), &["ops"]);
    add_user(folder.path(), "guest", "write@t");
    let target = Target::start(folder, &["--insecure", "--users", "users"]);
    let mut own = target.client_of("ops");
    for table in ["default", "users"] {
        assert!(own.ask(&set(table, b"hello", b"mine")).starts_with("Written"));
    }
    let versions = |client: &mut Client| {
        ["default", "users"].map(|table| client.ask(&Request::Statistics { table }))
    };
    let before = versions(&mut own);
    let mut random = Random::new(first_seed());
    let mut denials = 0;
    for _ in 0..FEW {
        let mut client = Client::new(target.connect());
        // The damage may hit the hello too; then there is nobody who could do harm.
        let bytes = damaged(&mut random, &hello(Some(("guest", "secret"))));
        let _ = client.stream.write_all(&bytes);
        client.finish();
        denials += client.rest().matches("+DENIED").count();
    }
    assert!(denials > FEW / 2, "the guest hardly tried: {denials}");
    assert_eq!(versions(&mut own), before);
    target.stop();
}

/// How many sessions the user with few rights has.
const FEW: usize = 1_000;

/// What tables that came into being keep open, generously.
const DESCRIPTORS_OF_TABLES: u64 = 16 * 4;

/// One session; how many whole messages it was answered with.
pub(crate) fn run_session(target: &Target, seed: u64) -> u64 {
    let mut random = Random::new(seed);
    let bytes = script(&mut random);
    let way = match random.below(4) {
        0 => Way::Reset,
        1 => Way::Drop,
        _ => Way::Half,
    };
    let mut client = Client::new(target.connect());
    for piece in bytes.chunks(1 + random.below(400)) {
        // The server may have closed long ago.
        if client.stream.write_all(piece).is_err() {
            break;
        }
    }
    match way {
        Way::Reset => reset(client.stream),
        Way::Drop => drop(client),
        Way::Half => {
            client.finish();
            let mut answers = 0;
            while client.next().is_some() {
                answers += 1;
            }
            return answers;
        }
    }
    0
}
