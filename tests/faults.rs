//! The network that fails on demand does what it says, and the client lives through it.

use std::io;
use std::time::Duration;

use kvsd::testing::{Connects, Faults};
use kvsd::transport::{ConnectError, Stream, Transport};
use kvsd::{Client, ErrorKind, Outcome};
use kvsd_server::Embedded;
use tokio::io::AsyncWriteExt;

/// Longer than anything here takes, so that a hang is a failure with a name.
const PATIENCE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_millis(100);

async fn client(server: &Embedded, faults: &Faults) -> Client {
    let builder = Client::builder().transport(server.transport()).faults(faults);
    builder.pool_size(1).timeout(PATIENCE).connect().await.unwrap()
}

#[tokio::test]
async fn values_that_arrive_byte_by_byte_are_the_same_values() {
    let server = Embedded::temporary().await.unwrap();
    let faults = Faults::seeded(1);
    faults.split(1);
    let client = client(&server, &faults).await;
    let value = "0123456789".repeat(500);
    client.set("k", &value).await.unwrap();
    assert_eq!(client.get::<String>("k").await.unwrap(), Some(value));
    let counts = faults.counts();
    assert_eq!(counts.pieces, counts.bytes);
    assert!(counts.bytes > 10_000, "{counts:?}");
    server.close().await.unwrap();
}

#[tokio::test]
async fn what_is_held_up_arrives_whole_and_later() {
    let server = Embedded::temporary().await.unwrap();
    let faults = Faults::seeded(2);
    faults.split(100);
    faults.delay(3, Duration::from_millis(2));
    let client = client(&server, &faults).await;
    for number in 0..20_u64 {
        client.set(number.to_string(), number).await.unwrap();
        assert_eq!(client.get::<u64>(number.to_string()).await.unwrap(), Some(number));
    }
    assert!(faults.counts().delays > 10, "{:?}", faults.counts());
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_cut_connection_is_replaced_and_a_write_on_it_may_have_happened() {
    let server = Embedded::temporary().await.unwrap();
    let faults = Faults::seeded(3);
    let client = client(&server, &faults).await;
    client.set("k", "before").await.unwrap();
    faults.delay(1, PATIENCE);
    let mut set = Box::pin(client.set("k", "after"));
    let polled = tokio::time::timeout(Duration::from_millis(50), &mut set).await;
    assert!(polled.is_err(), "it was held up");
    faults.cut_all();
    // Before anything else happens: a connection that served is replaced at once.
    faults.calm();
    let error = set.await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Unknown));
    let read = client.get::<String>("k").await.unwrap().unwrap();
    assert!(["before", "after"].contains(&read.as_str()));
    assert_eq!((faults.counts().cuts, faults.counts().open), (1, 1));
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_half_open_connection_takes_everything_and_says_nothing() {
    let server = Embedded::temporary().await.unwrap();
    let faults = Faults::seeded(4);
    let client = client(&server, &faults).await;
    faults.half_open_all();
    let error = client.set("k", "v").timeout(SOON).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Unknown));
    let counts = faults.counts();
    assert_eq!((counts.half_opens, counts.open, counts.cuts), (1, 0, 0));
    assert!(counts.swallowed > 0);

    faults.cut_all();
    assert_eq!(client.get::<String>("k").await.unwrap(), None, "it never arrived");
    server.close().await.unwrap();
}

#[tokio::test]
async fn refused_and_swallowed_attempts_are_told_in_time() {
    let server = Embedded::temporary().await.unwrap();
    let faults = Faults::seeded(5);
    faults.connects(Connects::Refuse);
    let builder = || Client::builder().transport(server.transport()).faults(&faults);
    let error = builder().connect().await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Connect, Outcome::NotSent));

    faults.connects(Connects::RefuseOneIn(0));
    let client = client(&server, &faults).await;
    faults.connects(Connects::Swallow);
    faults.cut_all();
    let error = client.set("k", "v").timeout(SOON).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert!(faults.counts().refused >= 2, "{:?}", faults.counts());
    faults.calm();
    client.set("k", "v").await.unwrap();
    server.close().await.unwrap();
}

#[tokio::test]
async fn each_connection_ends_after_the_bytes_that_its_seed_says() {
    let ends = |seed| async move {
        let faults = Faults::seeded(seed);
        faults.split(5);
        // One piece never crosses the end.
        faults.cut_after(100..=10_000);
        let transport = faults.wrap(Sink);
        let mut ends = Vec::new();
        for _ in 0..10 {
            let before = faults.counts().bytes;
            let error = pour(&transport).await;
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            ends.push(faults.counts().bytes - before);
        }
        assert!(ends.iter().all(|bytes| (100..=10_000).contains(bytes)), "{ends:?}");
        (ends, faults.counts())
    };
    let first = ends(6).await;
    assert_eq!(first, ends(6).await);
    assert_ne!(first, ends(7).await);
    assert_eq!(first.1.cuts, 10);
}

#[tokio::test]
async fn connections_go_silent_after_their_bytes() {
    let faults = Faults::seeded(8);
    faults.half_open_after(500..=500);
    let transport = faults.wrap(Sink);
    let poured = tokio::time::timeout(Duration::from_millis(50), pour(&transport)).await;
    assert!(poured.is_err(), "nothing ends it");
    let counts = faults.counts();
    assert_eq!((counts.bytes, counts.half_opens), (500, 1));
    assert!(counts.swallowed > 500);
}

#[tokio::test]
async fn some_attempts_are_refused_and_others_go_through() {
    let faults = Faults::seeded(9);
    faults.connects(Connects::RefuseOneIn(3));
    let transport = faults.wrap(Sink);
    let mut refused = 0;
    for _ in 0..300 {
        refused += u64::from(transport.connect().await.is_err());
    }
    assert!((50..150).contains(&refused), "{refused} of 300");
    assert_eq!((faults.counts().connects, faults.counts().refused), (300, refused));
}

/// Writes to a new connection until that fails.
async fn pour(transport: &impl Transport) -> io::Error {
    let (_reader, mut writer) = transport.connect().await.unwrap().into_split();
    loop {
        if let Err(error) = writer.write_all(&[7; 100]).await {
            return error;
        }
        tokio::task::yield_now().await;
    }
}

/// A transport whose streams take everything.
#[derive(Debug)]
struct Sink;

#[async_trait::async_trait]
impl Transport for Sink {
    async fn connect(&self) -> Result<Stream, ConnectError> {
        Ok(Stream::new(tokio::io::empty(), tokio::io::sink()))
    }

    fn address(&self) -> String {
        "sink".into()
    }
}
