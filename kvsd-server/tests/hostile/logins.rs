//! Those who are not let in: what they get, and what their tries cost others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use kvsd::protocol::v2::Request;

use super::nonsense::{HELLO, MESSAGES};
use super::target::{PATIENCE, Target};
use super::wire::{Client, hello};
use super::witness::Witness;

#[test]
fn a_stranger_gets_nothing_whatever_he_asks_first() {
    let target = Target::with_users(&["ops"], &[]);
    let unnamed = hello(Some(("ops", "")));
    let too_long = [hello(Some((&"u".repeat(129), "p"))), hello(Some(("ops", &"p".repeat(513))))];
    let others = too_long.iter().chain([&unnamed]).map(|hello| &hello[..]);
    for first in MESSAGES.into_iter().chain(others) {
        let mut stranger = Client::new(target.connect());
        stranger.say(first);
        // What he asks behind it is not carried out either.
        let _ = std::io::Write::write_all(&mut stranger.stream, b"*3\r\n#N:17\r\n+burgled\r\n");
        let answer = stranger.rest();
        let shown = first.escape_ascii();
        assert!(answer.contains("#f") || answer.contains("#\\x04"), "{shown}: {answer}");
        assert!(!answer.contains("#h") && !answer.contains("#e"), "{shown}: {answer}");
    }
    let mut client = target.client_of("ops");
    let tables = client.ask(&Request::Tables { after: None });
    assert!(!tables.contains("burgled") && !tables.contains("users"), "{tables}");
    target.stop();
}

#[test]
fn a_flood_of_bad_passwords_is_refused_within_bounds_and_those_inside_are_served() {
    const CLIENTS: u64 = 16;
    const TRIES: u64 = 12;
    let target = Target::with_users(&["app", "ops"], &[]);
    let witness = Witness::with(target.client_of("app"));
    let before = target.most_memory();
    let (wrong, busy) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (target, wrong, busy) = (&target, &wrong, &busy);
            scope.spawn(move || {
                // Most names are nobody's, so that the limit for each of them is not in the way.
                for guess in 0..TRIES {
                    let name =
                        if guess == 0 { "ops".to_owned() } else { format!("u{client}-{guess}") };
                    let mut stranger = Client::new(target.connect());
                    stranger.say(&hello(Some((&name, "guess"))));
                    let answer = stranger.rest();
                    let count = if answer.contains("UNAUTHENTICATED") { wrong } else { busy };
                    assert!(answer.contains("#f:0"), "{answer}");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        witness.is_served();
    });
    let (wrong, busy) = (wrong.into_inner(), busy.into_inner());
    assert_eq!(wrong + busy, CLIENTS * TRIES);
    assert!(wrong > 0, "no password was looked at");
    // A few checks at a time, whose memory is 19 MiB each.
    let grown = target.most_memory().saturating_sub(before);
    assert!(grown <= 160 << 20, "{grown} bytes for {wrong} checks and {busy} refusals");

    // Who knows his password comes in once the flood is over, if not at the first try.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = Client::new(target.connect());
        client.say(&hello(Some(("app", "secret"))));
        if client.heard().contains("#h:0") {
            break;
        }
        assert!(Instant::now() < deadline, "the flood has locked everybody out");
    }
    witness.leave();
    target.stop();
}

/// The longest and the oddest that a stranger may send, over and over on one connection each.
#[test]
fn one_who_says_hello_for_ever_is_answered_once() {
    let target = Target::dev(&[]);
    let mut client = Client::new(target.connect());
    let _ = std::io::Write::write_all(&mut client.stream, &HELLO.repeat(1000));
    let answer = client.rest();
    assert_eq!(answer.matches("#h:0").count(), 1, "{answer}");
    assert!(answer.contains("a second Hello"), "{answer}");
    target.stop();
}
