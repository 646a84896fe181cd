//! Many keys at once: order, gaps, any number and any size of them.

use std::time::Duration;

use kvsd::{ErrorKind, Outcome, Ttl};

use super::start;

#[tokio::test]
async fn order_and_gaps_are_kept_however_many_keys_there_are() {
    let (server, client) = start().await;
    let pairs = (0..3000).map(|i| (format!("k{i}"), i));
    let versions = client.set_many(pairs).await.unwrap();
    assert_eq!(versions.len(), 3000);
    assert!(versions.is_sorted_by(|a, b| a < b), "each is a write of its own, in order");

    // Backwards, every third of them unknown, and one of them twice.
    let mut keys: Vec<_> = (0..4500).rev().map(|i| format!("k{i}")).collect();
    keys.push("k7".into());
    let values = client.get_many::<i32>(&keys).await.unwrap();
    let expected: Vec<_> =
        (0..4500).rev().map(|i| (i < 3000).then_some(i)).chain([Some(7)]).collect();
    assert!(values == expected);

    let deleted = client.delete_many(&keys).await.unwrap();
    let expected: Vec<_> = (0..4500).rev().map(|i| i < 3000).chain([false]).collect();
    assert!(deleted == expected);
    assert_eq!(client.get_many::<i32>(["k1", "k2"]).await.unwrap(), [None, None]);
    server.close().await.unwrap();
}

#[tokio::test]
async fn values_too_large_for_one_answer_come_all_the_same() {
    let (server, client) = start().await;
    let value = |i: u8| vec![i; 300_000];
    client.set_many((0..20).map(|i| ([i], value(i)))).await.unwrap();
    let mut values = client.get_many::<Vec<u8>>((0..21).map(|i| [i])).await.unwrap();
    assert_eq!(values.pop(), Some(None));
    assert_eq!(values.len(), 20);
    for (i, read) in (0..).zip(values) {
        assert!(read.unwrap() == value(i), "value {i}");
    }
    // Each as large as a value may be.
    let largest = |i: u8| vec![i; client.max_value_bytes()];
    client.set_many((0..3).map(|i| ([i], largest(i)))).await.unwrap();
    let values = client.get_many::<Vec<u8>>([[0], [1], [2]]).await.unwrap();
    for (i, read) in (0..).zip(values) {
        assert!(read.unwrap() == largest(i), "largest value {i}");
    }
    server.close().await.unwrap();
}

#[tokio::test]
async fn nothing_asked_is_nothing_answered() {
    let (server, client) = start().await;
    assert!(client.get_many::<String>(Vec::<String>::new()).await.unwrap().is_empty());
    assert!(client.set_many(Vec::<(String, String)>::new()).await.unwrap().is_empty());
    assert!(client.delete_many(Vec::<String>::new()).await.unwrap().is_empty());
    server.close().await.unwrap();
}

#[tokio::test]
async fn one_value_of_another_type_is_named_by_its_place() {
    let (server, client) = start().await;
    client.set_many([("canary-key-1", "1"), ("canary-key-2", "canary-value")]).await.unwrap();
    let keys = ["none", "canary-key-1", "canary-key-2"];
    let error = client.get_many::<u64>(keys).await.unwrap_err();
    assert_eq!((error.kind(), error.place()), (ErrorKind::Decode, Some(2)));
    assert_eq!((error.outcome(), error.operation()), (Outcome::Refused, Some("get_many")));
    assert!(!format!("{error:#} {error:?}").contains("canary"));
    server.close().await.unwrap();
}

#[tokio::test]
async fn one_bad_argument_keeps_all_of_them_from_being_sent() {
    let (server, client) = start().await;
    let error = client.set_many([("a", "1"), ("", "2"), ("c", "3")]).await.unwrap_err();
    assert_eq!((error.kind(), error.place()), (ErrorKind::InvalidArgument, Some(1)));
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert!(!client.exists("a").await.unwrap());
    let error = client.delete_many(["a", ""]).await.unwrap_err();
    assert_eq!((error.kind(), error.place()), (ErrorKind::InvalidArgument, Some(1)));
    server.close().await.unwrap();
}

#[tokio::test]
async fn many_can_end_together() {
    let (server, client) = start().await;
    let pairs = [("a", "1"), ("b", "2")];
    client.set_many(pairs).ttl(Duration::from_secs(60)).await.unwrap();
    for (key, _) in pairs {
        assert!(matches!(client.ttl(key).await.unwrap(), Ttl::Left(_)));
    }
    let error = client.set_many(pairs).ttl(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    server.close().await.unwrap();
}

#[tokio::test]
async fn records_read_with_their_versions_keep_their_order_and_their_gaps() {
    let (server, client) = start().await;
    let minute = Duration::from_secs(60);
    let ada = client.set("ada", 50).await.unwrap();
    let bob = client.set("bob", 0).ttl(minute).await.unwrap();
    let read = client.get_many::<i64>(["bob", "nobody", "ada", "bob"]).versioned().await.unwrap();
    let told: Vec<_> =
        read.iter().map(|found| found.as_ref().map(|r| (r.value, r.version))).collect();
    assert_eq!(told, [Some((0, bob)), None, Some((50, ada)), Some((0, bob))]);
    let ends: Vec<_> = read.iter().flatten().map(|record| record.expires_at.is_some()).collect();
    assert_eq!(ends, [true, false, true]);

    client.set("eve", "text").await.unwrap();
    let error = client.get_many::<i64>(["ada", "eve"]).versioned().await.unwrap_err();
    assert_eq!((error.kind(), error.place()), (ErrorKind::Decode, Some(1)));
    server.close().await.unwrap();
}
