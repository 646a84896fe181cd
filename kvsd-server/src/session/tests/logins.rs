//! Who is let in: what counts against the deadline, and what a client is told.

use kvsd::protocol::v2::Hello;
use kvsd::protocol::v2::hello::Credentials;

use super::*;

#[tokio::test]
async fn the_time_of_a_check_does_not_count_against_the_deadline() {
    let bench = Bench::with_users();
    let (mut ours, mut theirs) = tokio::io::duplex(PIPE_BYTES);
    ours.write_all(&hello("secret")).await.unwrap();
    ours.shutdown().await.unwrap();
    let mut stop = bench.stopper.subscribe();
    // No time at all: what it has to say is there already.
    let ended =
        run(&mut theirs, &bench.service, &arriving(&bench.roster, Duration::ZERO), &mut stop).await;
    assert!(matches!(ended, Ended::Left), "{ended}");
}

#[tokio::test]
async fn too_many_failures_are_answered_with_a_word_that_says_so() {
    let bench = Bench::with_users();
    let mut refusals = Vec::new();
    for _ in 0..12 {
        let mut peer = bench.connect();
        peer.send(&hello("wrong")).await;
        refusals.push(peer.reply().await.1);
    }
    assert!(refusals[0].contains("Unauthenticated"), "{}", refusals[0]);
    assert!(refusals[11].contains("Busy"), "{}", refusals[11]);
    assert!(refusals[11].contains("try again in some seconds"), "{}", refusals[11]);

    // The right password is not looked at, in either version.
    let mut peer = bench.connect();
    peer.send(&hello("secret")).await;
    assert_eq!(peer.reply().await.1, refusals[11]);
    let mut peer = bench.connect();
    peer.send(b"*3\r\n#\x02+app\r\n+secret\r\n").await;
    let refused = peer.reply_bytes().await.escape_ascii().to_string();
    assert!(refused.contains("try again in some seconds"), "{refused}");
}

/// A Hello of the user `app`.
fn hello(password: &str) -> Vec<u8> {
    let mut hello = BytesMut::new();
    let credentials = Credentials { user: b"app", password: password.as_bytes() };
    let hello_of_app = Hello { lowest: 2, highest: 2, credentials: Some(credentials) };
    hello_of_app.encode(id_of(0), &mut hello);
    hello.to_vec()
}
