//! Updates: optimistic, bounded, and nobody's write is lost.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use kvsd::{Change, ErrorKind, Outcome, Ttl};

use super::start;

#[tokio::test]
async fn an_update_makes_changes_or_removes_a_record_or_leaves_it() {
    let (server, client) = start().await;
    let begin = |old: Option<u32>| Change::Set(old.unwrap_or(10) + 1);
    assert_eq!(client.update("n", begin).await.unwrap(), Some(11));
    assert_eq!(client.update("n", begin).await.unwrap(), Some(12));
    let before = client.get::<u32>("n").versioned().await.unwrap().unwrap();
    assert_eq!(client.update("n", |_: Option<u32>| Change::Keep).await.unwrap(), Some(12));
    let after = client.get::<u32>("n").versioned().await.unwrap().unwrap();
    assert_eq!(before, after, "what is kept is not written");
    assert_eq!(client.update("n", |_: Option<u32>| Change::Delete).await.unwrap(), None);
    assert!(!client.exists("n").await.unwrap());
    assert_eq!(client.update("n", |_: Option<u32>| Change::Delete).await.unwrap(), None);
    assert_eq!(client.update("n", |_: Option<u32>| Change::Keep).await.unwrap(), None);
    server.close().await.unwrap();
}

#[tokio::test]
async fn an_update_keeps_the_end_of_the_record() {
    let (server, client) = start().await;
    client.set("k", 1_u32).ttl(Duration::from_secs(3600)).await.unwrap();
    let end = client.get_bytes("k").await.unwrap().unwrap().expires_at();
    client.update("k", |n: Option<u32>| Change::Set(n.unwrap() + 1)).await.unwrap();
    assert!(end.is_some());
    assert_eq!(client.get_bytes("k").await.unwrap().unwrap().expires_at(), end);
    // Right before the end, it may have come when the write does.
    for _ in 0..50 {
        client.set("brief", 1_u32).ttl(Duration::from_millis(1)).await.unwrap();
        let value = client.update("brief", |n: Option<u32>| Change::Set(n.unwrap_or(7))).await;
        assert!(matches!(value.unwrap(), Some(1 | 7)));
        client.delete("brief").await.unwrap();
    }
    server.close().await.unwrap();
}

#[tokio::test]
async fn of_updates_at_once_each_one_counts() {
    let (server, client) = start().await;
    let updates = (0..64).map(|i| {
        client.update("list", move |list: Option<String>| {
            Change::Set(format!("{} {i}", list.unwrap_or_default()))
        })
    });
    for result in futures_util::future::join_all(updates).await {
        result.unwrap();
    }
    let list = client.get::<String>("list").await.unwrap().unwrap();
    let mut seen: Vec<u32> = list.split_whitespace().map(|i| i.parse().unwrap()).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..64));
    server.close().await.unwrap();
}

#[tokio::test]
async fn an_update_that_refuses_writes_nothing_and_says_why() {
    let (server, client) = start().await;
    client.set("balance", 30_i64).await.unwrap();
    let withdraw = |amount: i64| {
        move |balance: Option<i64>| match balance.unwrap_or(0) - amount {
            left @ 0.. => Ok(Change::Set(left)),
            missing => Err(-missing),
        }
    };
    assert_eq!(client.try_update("balance", withdraw(50)).await.unwrap(), Err(20));
    assert_eq!(client.try_update("balance", withdraw(20)).await.unwrap(), Ok(Some(10)));
    assert_eq!(client.get::<i64>("balance").await.unwrap(), Some(10));
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_function_that_panics_harms_only_its_own_update() {
    let (server, client) = start().await;
    client.set("n", 1_u32).await.unwrap();
    let update = client.update("n", |_: Option<u32>| -> Change<u32> { panic!("a planned panic") });
    assert!(AssertUnwindSafe(update).catch_unwind().await.is_err());
    let plus = |n: Option<u32>| Change::Set(n.unwrap() + 1);
    assert_eq!(client.update("n", plus).await.unwrap(), Some(2));
    server.close().await.unwrap();
}

#[tokio::test]
async fn an_update_fails_for_what_it_cannot_read_or_write() {
    let (server, client) = start().await;
    client.set("k", "text").await.unwrap();
    let error = client.update("k", |_: Option<u32>| Change::Set(1)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Decode, Outcome::Refused));
    assert_eq!((error.operation(), error.table()), (Some("update"), Some("default")));
    let large = vec![0_u8; client.max_value_bytes() + 1];
    let error = client.update("v", |_: Option<Vec<u8>>| Change::Set(large.clone())).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::ValueTooLarge);
    let none = client.update("k", |_: Option<String>| Change::Keep).attempts(0).await;
    assert_eq!(none.unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(client.ttl("v").await.unwrap(), Ttl::NoRecord);
    server.close().await.unwrap();
}
