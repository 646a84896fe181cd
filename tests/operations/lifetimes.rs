//! Ends of records: set with them, changed, taken away, asked for.

use std::time::{Duration, SystemTime};

use kvsd::{Client, ErrorKind, Ttl};

use super::start;

const HOUR: Duration = Duration::from_secs(3600);

async fn left(client: &Client, key: &str) -> Duration {
    match client.ttl(key).await.unwrap() {
        Ttl::Left(left) => left,
        other => panic!("no time is left: {other:?}"),
    }
}

#[tokio::test]
async fn a_time_to_live_counts_down_and_ends_the_record() {
    let (server, client) = start().await;
    client.set("k", "v").ttl(HOUR).await.unwrap();
    let first = left(&client, "k").await;
    assert!(first <= HOUR && first > HOUR / 2);
    assert!(left(&client, "k").await <= first);

    // Less than the smallest step is one step, not none.
    client.set("brief", "v").ttl(Duration::from_nanos(1)).await.unwrap();
    while client.ttl("brief").await.unwrap() != Ttl::NoRecord {}
    assert!(!client.exists("brief").await.unwrap());
    server.close().await.unwrap();
}

#[tokio::test]
async fn without_an_end_a_record_is_endless_and_a_set_takes_an_end_away() {
    let (server, client) = start().await;
    assert_eq!(client.ttl("k").await.unwrap(), Ttl::NoRecord);
    client.set("k", "v").await.unwrap();
    assert_eq!(client.ttl("k").await.unwrap(), Ttl::Endless);
    client.set("k", "v").ttl(HOUR).await.unwrap();
    left(&client, "k").await;
    client.set("k", "v").await.unwrap();
    assert_eq!(client.ttl("k").await.unwrap(), Ttl::Endless);
    server.close().await.unwrap();
}

#[tokio::test]
async fn an_end_can_be_moved_and_taken_away_and_the_value_stays() {
    let (server, client) = start().await;
    assert!(!client.expire("k", HOUR).await.unwrap());
    assert!(!client.persist("k").await.unwrap());
    let first = client.set("k", "v").await.unwrap();
    assert!(client.expire("k", HOUR).await.unwrap());
    assert!(left(&client, "k").await <= HOUR);
    assert!(client.expire_at("k", SystemTime::now() + 3 * HOUR).await.unwrap());
    assert!(left(&client, "k").await > 2 * HOUR);

    let read = client.get::<String>("k").versioned().await.unwrap().unwrap();
    assert_eq!(read.value, "v");
    assert!(read.version > first, "another end is another version");
    let error = client.persist("k").if_version(first).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict { current: Some(read.version) });
    assert!(client.persist("k").if_version(read.version).await.unwrap());
    assert_eq!(client.ttl("k").await.unwrap(), Ttl::Endless);
    server.close().await.unwrap();
}

#[tokio::test]
async fn an_end_in_the_past_is_refused_and_nothing_is_written() {
    let (server, client) = start().await;
    client.set("k", "v").await.unwrap();
    let past = SystemTime::now() - Duration::from_secs(1);
    for error in [
        client.set("k", "new").expire_at(past).await.unwrap_err(),
        client.set("k", "new").expire_at(SystemTime::UNIX_EPOCH).await.unwrap_err(),
        client.swap::<String>("k", "new").expire_at(past).await.unwrap_err(),
        client.expire_at("k", past).await.unwrap_err(),
        client.set("k", "new").ttl(Duration::ZERO).await.unwrap_err(),
        client.expire("k", Duration::ZERO).await.unwrap_err(),
        client.expire("k", Duration::MAX).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    assert_eq!(client.get::<String>("k").await.unwrap().as_deref(), Some("v"));
    assert_eq!(client.ttl("k").await.unwrap(), Ttl::Endless);
    server.close().await.unwrap();
}
