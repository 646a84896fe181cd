//! Changes to come, in the order in which they happen.

use std::pin::pin;
use std::task::Poll;

use kvsd::stream::Watch;
use kvsd::{ErrorKind, Event, Version, WatchToken};

use super::{Host, start};

/// A change as the tests compare it: key, value or nothing, version.
type Told = (String, Option<String>, Version);

/// The next change.
async fn told(watch: &mut Watch<String>) -> Told {
    match watch.next().await.unwrap().unwrap() {
        Event::Set(entry) => {
            let key = String::from_utf8(entry.key.to_vec()).unwrap();
            (key, Some(entry.value), entry.version)
        }
        Event::Deleted { key, version } => {
            (String::from_utf8(key.to_vec()).unwrap(), None, version)
        }
        Event::Gap { now } => panic!("a gap up to {now}"),
    }
}

fn set(key: &str, value: &str, version: Version) -> Told {
    (key.into(), Some(value.into()), version)
}

/// Where a gap leads to.
async fn gap(watch: &mut Watch<String>) -> WatchToken {
    match watch.next().await.unwrap().unwrap() {
        Event::Gap { now } => now,
        other => panic!("no gap: {other:?}"),
    }
}

#[tokio::test]
async fn a_watch_of_a_key_a_prefix_or_all_tells_each_its_own_changes() {
    let (server, client) = start().await;
    client.set("a/1", "before").await.unwrap();
    let mut key = client.watch_key::<String>("a/1");
    let mut prefix = client.watch::<String>("a/");
    let mut all = client.watch::<String>("");
    for watch in [&mut key, &mut prefix, &mut all] {
        assert_eq!(watch.token(), None);
        let token = watch.begin().await.unwrap();
        assert_eq!((watch.token(), watch.begin().await.unwrap()), (Some(token.clone()), token));
    }
    let first = client.set("a/1", "one").await.unwrap();
    let other = client.set("b", "b").await.unwrap();
    let second = client.set("a/12", "two").await.unwrap();
    assert!(client.delete("a/1").await.unwrap());
    assert!(!client.delete("a/3").await.unwrap());
    let last = client.set("a/1", "three").await.unwrap();
    let (one, two, b) =
        (set("a/1", "one", first), set("a/12", "two", second), set("b", "b", other));
    let deleted = ("a/1".to_owned(), None, Version::new(second.get() + 1).unwrap());
    let three = set("a/1", "three", last);
    for (watch, expected) in [
        (&mut key, vec![&one, &deleted, &three]),
        (&mut prefix, vec![&one, &two, &deleted, &three]),
        (&mut all, vec![&one, &b, &two, &deleted, &three]),
    ] {
        for expected in expected {
            assert_eq!(&told(watch).await, expected);
        }
    }
    server.close().await.unwrap();
}

#[tokio::test]
async fn the_changes_of_a_batch_share_its_version_and_a_token_in_their_midst_is_exact() {
    let (server, client) = start().await;
    let first = client.set("a", "1").await.unwrap();
    client.batch().set("b", "2").set("c", "3").delete("a").set("d", "4").await.unwrap();
    let last = client.set("e", "5").await.unwrap();
    let batch = Version::new(first.get() + 1).unwrap();
    let expected = [
        set("a", "1", first),
        set("b", "2", batch),
        set("c", "3", batch),
        ("a".into(), None, batch),
        set("d", "4", batch),
        set("e", "5", last),
    ];
    // A watch for each change, each begun where the one before it was left.
    let mut watch = client.watch::<String>("").with_history();
    for expected in &expected {
        assert_eq!(&told(&mut watch).await, expected);
        let token = watch.token().unwrap().to_string();
        watch = client.watch("").after(token.parse().unwrap());
    }
    let mut from = client.watch::<String>("").from(batch);
    assert_eq!(told(&mut from).await, expected[5]);
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_watch_survives_restarts_of_the_server_and_so_does_its_token() {
    let (mut host, client) = Host::start().await;
    let mut stays = client.watch::<String>("");
    let mut token = stays.begin().await.unwrap().to_string();
    for round in 0..3 {
        let before = client.set("before", round.to_string()).await.unwrap();
        host.stop().await;
        host.run().await;
        let after = client.set("after", round.to_string()).await.unwrap();
        let mut comes = client.watch::<String>("").after(token.parse().unwrap());
        for watch in [&mut stays, &mut comes] {
            assert_eq!(told(watch).await, set("before", &round.to_string(), before));
            assert_eq!(told(watch).await, set("after", &round.to_string(), after));
        }
        token = comes.token().unwrap().to_string();
    }
}

#[tokio::test]
async fn while_there_is_no_server_a_watch_says_so_and_then_goes_on() {
    let (mut host, client) = Host::start().await;
    let mut watch = client.watch::<String>("");
    watch.begin().await.unwrap();
    host.stop().await;
    for _ in 0..3 {
        let error = watch.next().await.unwrap().unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
    }
    host.run().await;
    let version = client.set("k", "v").await.unwrap();
    let told = loop {
        match watch.next().await.unwrap() {
            Ok(event) => break event,
            Err(error) => assert!(error.is_retryable(), "{error:?}"),
        }
    };
    assert!(matches!(told, Event::Set(entry) if entry.version == version));
    client.close().await;
    let error = watch.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_dropped_table_and_a_version_that_was_not_reached_are_gaps_and_the_watch_goes_on() {
    let (server, client) = start().await;
    let version = client.set("k", "1").await.unwrap();
    let ahead = Version::new(version.get() + 5).unwrap();
    let mut watch = client.watch::<String>("").from(ahead);
    let now = gap(&mut watch).await;
    assert_eq!(watch.token(), Some(now));
    let mut behind = client.watch::<String>("").from(version);
    behind.begin().await.unwrap();
    // Not yet bound to this table: it waits for what comes in whichever has the name.
    assert!(client.drop_table("default").await.unwrap());
    gap(&mut watch).await;
    let version = client.set("k", "2").await.unwrap();
    assert_eq!(told(&mut watch).await, set("k", "2", version));
    assert_eq!(told(&mut behind).await, set("k", "2", version));
    // A watch can begin before there is a table.
    let table = client.table("to-come").unwrap();
    let mut watch = table.watch::<String>("");
    watch.begin().await.unwrap();
    let version = table.set("k", "3").await.unwrap();
    assert_eq!(told(&mut watch).await, set("k", "3", version));
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_token_from_the_midst_of_a_batch_hides_nothing_of_a_server_that_begins_anew() {
    let (mut host, client) = Host::start().await;
    let first = client.batch().set("a", "1").set("b", "2").await.unwrap().version.unwrap();
    let mut watch = client.watch::<String>("").with_history();
    assert_eq!(told(&mut watch).await, set("a", "1", first));
    let token = watch.token().unwrap();
    host.stop().await;
    host.folder = tempfile::tempdir().unwrap();
    host.run().await;
    client.create_table("default").await.unwrap();
    let mut watch = client.watch::<String>("").after(token);
    gap(&mut watch).await;
    let version = client.set("k", "3").await.unwrap();
    assert_eq!(version, first, "versions come again");
    client.set("l", "4").await.unwrap();
    assert_eq!(told(&mut watch).await, set("k", "3", version));
}

#[tokio::test]
async fn a_change_to_another_type_is_an_error_that_knows_its_key_and_the_watch_goes_on() {
    let (server, client) = start().await;
    let mut watch = client.watch::<u64>("").with_history();
    client.set_many([("a", "1"), ("canary", "canary-value"), ("z", "3")]).await.unwrap();
    assert!(matches!(watch.next().await, Some(Ok(Event::Set(entry))) if entry.value == 1));
    let error = watch.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Decode, Some(&b"canary"[..])));
    assert!(!format!("{error} {error:#} {error:?} {watch:?}").contains("canary"));
    assert!(matches!(watch.next().await, Some(Ok(Event::Set(entry))) if entry.value == 3));
    server.close().await.unwrap();
}

#[tokio::test]
async fn futures_of_next_that_are_dropped_lose_no_change() {
    let (server, client) = start().await;
    let mut watch = client.watch::<String>("").with_history();
    let writer = tokio::spawn(async move {
        for number in 0..300 {
            client.set("k", number.to_string()).await.unwrap();
        }
        client
    });
    let (mut seen, mut dropped) = (0, 0);
    while seen < 300 {
        let polled = {
            let mut next = pin!(watch.next());
            std::future::poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await
        };
        match polled {
            Poll::Ready(Some(Ok(Event::Set(entry)))) => {
                assert_eq!(entry.value, seen.to_string());
                seen += 1;
            }
            Poll::Ready(other) => panic!("{other:?}"),
            Poll::Pending => {
                dropped += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    assert!(dropped > 0);
    writer.await.unwrap();
    server.close().await.unwrap();
}
