//! Batches: all of it or nothing.

use std::time::Duration;

use kvsd::{ErrorKind, Keyed, Outcome, Ttl};
use serde::{Deserialize, Serialize};

use super::start;

#[tokio::test]
async fn the_changes_of_a_batch_happen_together_under_one_version() {
    let (server, client) = start().await;
    client.set("old", "v").await.unwrap();
    client.set("stays", "v").ttl(Duration::from_secs(60)).await.unwrap();
    let done = client
        .batch()
        .set("a", 1)
        .if_absent()
        .set("b", "two")
        .ttl(Duration::from_secs(60))
        .delete("old")
        .if_present()
        .increment("n", 5)
        .persist("stays")
        .expire("nobody", Duration::from_secs(60))
        .await
        .unwrap();
    let version = done.version.unwrap();
    let existed: Vec<_> = done.changes.iter().map(|change| change.existed).collect();
    assert_eq!(existed, [false, false, true, false, true, false]);
    assert_eq!(done.changes[3].counter, Some(5));
    for key in ["a", "b", "n", "stays"] {
        let stored = client.get_bytes(key).await.unwrap().unwrap();
        assert_eq!(stored.version(), version, "{key}");
    }
    assert!(!client.exists("old").await.unwrap() && !client.exists("nobody").await.unwrap());
    assert!(matches!(client.ttl("b").await.unwrap(), Ttl::Left(_)));
    assert_eq!(client.ttl("stays").await.unwrap(), Ttl::Endless);
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_condition_that_does_not_hold_stops_all_of_it_and_is_named_by_its_place() {
    let (server, client) = start().await;
    let first = client.set("a", "1").await.unwrap();
    let second = client.set("a", "2").await.unwrap();
    let batch = client.batch().set("b", "x").set("a", "3").if_version(first).delete("c");
    let error = batch.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict { current: Some(second) });
    assert_eq!((error.place(), error.outcome()), (Some(1), Outcome::Refused));
    let error = client.batch().check("b").if_present().set("a", "3").await.unwrap_err();
    assert_eq!((error.kind(), error.place()), (ErrorKind::Conflict { current: None }, Some(0)));
    assert!(!client.exists("b").await.unwrap());

    // A check that holds, and does not change what it checks.
    let done = client.batch().check("a").if_version(second).set("b", "x").await.unwrap();
    assert!(done.version.unwrap() > second);
    let read = client.get::<String>("a").versioned().await.unwrap().unwrap();
    assert_eq!(read.version, second);
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_counter_that_cannot_be_added_to_stops_all_of_it() {
    let (server, client) = start().await;
    client.set("text", "x").await.unwrap();
    client.set("full", i64::MAX).await.unwrap();
    let error = client.batch().set("a", 1).increment("text", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::NotAnInteger, Outcome::Refused));
    let error = client.batch().set("a", 1).increment("full", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Overflow, Outcome::Refused));
    assert!(!client.exists("a").await.unwrap());
    server.close().await.unwrap();
}

#[tokio::test]
async fn as_many_changes_as_a_batch_takes_go_and_one_more_does_not() {
    let (server, client) = start().await;
    let fill = |n: usize| (0..n).fold(client.batch(), |batch, i| batch.set(format!("k{i}"), i));
    let done = fill(1024).await.unwrap();
    assert_eq!(done.changes.len(), 1024);
    let error = fill(1025).await.unwrap_err();
    assert_eq!((error.kind(), error.place()), (ErrorKind::InvalidArgument, Some(1024)));
    assert_eq!(error.outcome(), Outcome::NotSent);

    // Keys as long as they may be, and values that together take all that one may.
    let key = |i: u32| {
        let mut key = vec![0; 1024];
        key[..4].copy_from_slice(&i.to_be_bytes());
        key
    };
    let value = vec![7; client.max_value_bytes() / 1024];
    let batch = (0..1024).fold(client.batch(), |batch, i| batch.set(key(i), &value));
    batch.await.unwrap();
    server.close().await.unwrap();
}

#[tokio::test]
async fn what_no_batch_can_say_is_refused_before_anything_is_sent() {
    let (server, client) = start().await;
    let half = vec![0; client.max_value_bytes() / 2 + 1];
    let cases = [
        (client.batch(), None, ErrorKind::InvalidArgument),
        (client.batch().set("a", 1).delete("a"), Some(1), ErrorKind::InvalidArgument),
        (client.batch().set("a", 1).delete(""), Some(1), ErrorKind::InvalidArgument),
        (client.batch().set("a", 1).set([0; 1025], 1), Some(1), ErrorKind::InvalidArgument),
        (client.batch().set("a", 1).check("b"), Some(1), ErrorKind::InvalidArgument),
        (client.batch().if_absent(), None, ErrorKind::InvalidArgument),
        (
            client.batch().delete("a").ttl(Duration::from_secs(1)),
            Some(0),
            ErrorKind::InvalidArgument,
        ),
        (client.batch().set("a", 1).ttl(Duration::ZERO), Some(0), ErrorKind::InvalidArgument),
        (client.batch().set("a", &half).set("b", &half), Some(1), ErrorKind::ValueTooLarge),
    ];
    for (number, (batch, place, kind)) in cases.into_iter().enumerate() {
        let error = batch.await.unwrap_err();
        assert_eq!((error.kind(), error.place()), (kind, place), "case {number}: {error}");
        assert_eq!(error.outcome(), Outcome::NotSent);
        client.ping().await.unwrap();
    }
    assert!(!client.exists("a").await.unwrap());
    server.close().await.unwrap();
}

#[tokio::test]
async fn transfers_between_two_accounts_lose_and_make_nothing() {
    let (server, client) = start().await;
    client.batch().set("a", 1000).set("b", 1000).await.unwrap();
    let transfers = (0..20_i64).map(|i| {
        let client = client.clone();
        async move {
            let mut done = 0;
            while done < 10 {
                let values = client.get::<i64>("a").versioned().await.unwrap().unwrap();
                let amount = i - 10;
                let batch = client.batch();
                let batch = batch.set("a", values.value - amount).if_version(values.version);
                match batch.increment("b", amount).await {
                    Ok(_) => done += 1,
                    Err(error) => assert!(error.is_conflict(), "{error}"),
                }
            }
        }
    });
    futures_util::future::join_all(transfers).await;
    let values = client.get_many::<i64>(["a", "b"]).await.unwrap();
    assert_eq!(values, [Some(1100), Some(900)]);
    server.close().await.unwrap();
}

#[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
#[kvsd(table = "sessions", key = "session/{id}", ttl = "1h")]
struct Session {
    id: u32,
    user: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "note/{id}")]
struct Note {
    id: u32,
}

fn session(id: u32) -> Session {
    Session { id, user: "ada".into() }
}

#[tokio::test]
async fn records_that_know_their_keys_go_into_a_batch_of_their_table() {
    let (server, client) = start().await;
    let sessions = client.of::<Session>();
    let seen = client.put(&session(1)).await.unwrap();
    let batch = sessions.batch().remove(Session::key_of(1)).if_version(seen);
    let batched = batch.put(&session(2)).if_absent().put(&Note { id: 1 }).await.unwrap();
    assert!(batched.changes[0].existed);
    assert_eq!(client.fetch(Session::key_of(1)).await.unwrap(), None);
    assert_eq!(client.fetch(Session::key_of(2)).await.unwrap(), Some(session(2)));
    assert_eq!(sessions.fetch(Note::key_of(1)).await.unwrap(), Some(Note { id: 1 }));

    let hour = Duration::from_secs(3600);
    let left = async |id| sessions.ttl(Session::key_of(id)).await.unwrap();
    assert!(matches!(left(2).await, Ttl::Left(left) if left <= hour));
    sessions.batch().put(&session(3)).ttl(2 * hour).await.unwrap();
    assert!(matches!(left(3).await, Ttl::Left(left) if left > hour));
    assert_eq!(sessions.ttl(Note::key_of(1)).await.unwrap(), Ttl::Endless);
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_record_of_another_table_is_refused_by_a_batch_before_anything_is_sent() {
    let (server, client) = start().await;
    let put = client.batch().set("a", 1).put(&session(1)).await.unwrap_err();
    let removed = client.batch().set("a", 1).remove(Session::key_of(1)).await.unwrap_err();
    for error in [put, removed] {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidArgument, Outcome::NotSent));
        assert_eq!((error.place(), error.table()), (Some(1), Some("default")));
        assert!(error.to_string().contains("the table \"sessions\""), "{error}");
    }
    assert!(!client.exists("a").await.unwrap());
    server.close().await.unwrap();
}
