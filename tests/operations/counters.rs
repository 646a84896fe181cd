//! Integers that are added to in place.

use std::time::Duration;

use kvsd::{ErrorKind, Outcome, Ttl};

use super::start;

#[tokio::test]
async fn a_counter_begins_at_nothing_and_goes_both_ways() {
    let (server, client) = start().await;
    assert_eq!(client.increment("n", 5).await.unwrap(), 5);
    assert_eq!(client.increment("n", -12).await.unwrap(), -7);
    assert_eq!(client.increment("n", 0).await.unwrap(), -7);
    assert_eq!(client.get::<i64>("n").await.unwrap(), Some(-7));
    // What a set wrote can be counted on, whatever integer it was.
    client.set("n", 40_u8).await.unwrap();
    assert_eq!(client.increment("n", 2).await.unwrap(), 42);
    assert_eq!(client.get::<u16>("n").await.unwrap(), Some(42));
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_counter_that_would_overflow_stays_as_it_is() {
    let (server, client) = start().await;
    for (start, by) in [(i64::MAX, 1), (i64::MIN, -1), (i64::MAX - 1, i64::MAX)] {
        client.set("n", start).await.unwrap();
        let error = client.increment("n", by).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Overflow, Outcome::Refused));
        assert!(!error.is_retryable());
        assert_eq!(client.get::<i64>("n").await.unwrap(), Some(start));
    }
    assert_eq!(client.increment("least", i64::MIN).await.unwrap(), i64::MIN);
    server.close().await.unwrap();
}

#[tokio::test]
async fn what_is_no_integer_is_not_counted_on() {
    let (server, client) = start().await;
    for value in ["", "seven", "+7", "007", "-0", "7 ", "9223372036854775808", "1.0"] {
        client.set("k", value).await.unwrap();
        let error = client.increment("k", 1).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::NotAnInteger, Outcome::Refused));
        assert_eq!(client.get::<String>("k").await.unwrap().as_deref(), Some(value));
    }
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_counter_keeps_its_end_and_knows_conditions() {
    let (server, client) = start().await;
    let error = client.increment("n", 1).if_present().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict { current: None });
    assert_eq!(client.increment("n", 1).if_absent().await.unwrap(), 1);
    assert!(client.increment("n", 1).if_absent().await.unwrap_err().is_conflict());
    client.expire("n", Duration::from_secs(3600)).await.unwrap();
    let read = client.get::<i64>("n").versioned().await.unwrap().unwrap();
    assert_eq!(client.increment("n", 1).if_version(read.version).await.unwrap(), 2);
    assert!(client.increment("n", 1).if_version(read.version).await.unwrap_err().is_conflict());
    assert!(matches!(client.ttl("n").await.unwrap(), Ttl::Left(_)));
    server.close().await.unwrap();
}
