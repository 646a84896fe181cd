//! Bad input to every operation is an error before anything is sent, and the client goes on.

use std::time::{Duration, SystemTime};

use kvsd::{Change, Client, Error, ErrorKind, Outcome};

use super::start;

async fn all_with_key(client: &Client, key: &[u8]) -> Vec<Error> {
    let keep = |_: Option<String>| Change::Keep;
    let second = Duration::from_secs(1);
    vec![
        client.get::<String>(key).await.unwrap_err(),
        client.get::<String>(key).versioned().await.unwrap_err(),
        client.get_bytes(key).await.unwrap_err(),
        client.exists(key).await.unwrap_err(),
        client.ttl(key).await.unwrap_err(),
        client.set(key, "v").await.unwrap_err(),
        client.swap::<String>(key, "v").await.unwrap_err(),
        client.delete(key).await.unwrap_err(),
        client.take::<String>(key).await.unwrap_err(),
        client.increment(key, 1).await.unwrap_err(),
        client.expire(key, second).await.unwrap_err(),
        client.expire_at(key, SystemTime::now() + second).await.unwrap_err(),
        client.persist(key).await.unwrap_err(),
        client.update(key, keep).await.unwrap_err(),
        client.try_update(key, |value| Ok::<_, ()>(keep(value))).await.unwrap_err(),
        client.get_many::<String>([key]).await.unwrap_err(),
        client.set_many([(key, "v")]).await.unwrap_err(),
        client.delete_many([key]).await.unwrap_err(),
        client.batch().set(key, "v").await.unwrap_err(),
        client.batch().check(key).if_absent().await.unwrap_err(),
    ]
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_by_every_operation() {
    let (server, client) = start().await;
    for key in [&b""[..], &[b'k'; 1025]] {
        for error in all_with_key(&client, key).await {
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
            assert!(error.operation().is_some() && error.table().is_some(), "{error}");
        }
        client.ping().await.unwrap();
    }
    // One byte less is fine.
    client.set([b'k'; 1024], "v").await.unwrap();
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_value_one_past_the_limit_is_refused_by_every_operation() {
    let (server, client) = start().await;
    let value = vec![0_u8; client.max_value_bytes() + 1];
    let set = |_: Option<Vec<u8>>| Change::Set(value.clone());
    for error in [
        client.set("k", &value).await.unwrap_err(),
        client.swap::<Vec<u8>>("k", &value).await.unwrap_err(),
        client.update("k", set).await.unwrap_err(),
        client.set_many([("k", &value)]).await.unwrap_err(),
        client.batch().set("k", &value).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::ValueTooLarge, Outcome::NotSent));
    }
    assert!(!client.exists("k").await.unwrap());
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_table_name_that_is_none_is_refused_by_every_operation() {
    let (server, client) = start().await;
    for name in ["", "a/b", "..", ".hidden", "a\0b", "a b", "\u{fc}", &"t".repeat(65)] {
        for error in [
            client.table(name).unwrap_err(),
            client.create_table(name).await.unwrap_err(),
            client.drop_table(name).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{name:?}: {error}");
            assert_eq!(error.outcome(), Outcome::NotSent);
        }
    }
    assert!(client.create_table(&"t".repeat(64)).await.unwrap());
    server.close().await.unwrap();
}

#[tokio::test]
async fn without_any_time_no_operation_is_sent() {
    let (server, client) = start().await;
    let none = Duration::ZERO;
    let keep = |_: Option<String>| Change::Keep;
    for error in [
        client.set("k", "v").timeout(none).await.unwrap_err(),
        client.set_many([("k", "v")]).timeout(none).await.unwrap_err(),
        client.batch().set("k", "v").timeout(none).await.unwrap_err(),
        client.update("k", keep).timeout(none).await.unwrap_err(),
        client.tables().timeout(none).await.unwrap_err(),
        client.create_table("t").timeout(none).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent));
    }
    assert!(!client.exists("k").await.unwrap());
    server.close().await.unwrap();
}
