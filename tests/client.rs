//! The operations of the client, against the embedded server.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use kvsd::{Client, ErrorKind, Outcome};
use kvsd_server::Embedded;

#[tokio::test]
async fn what_is_set_is_read_back_until_it_is_deleted() {
    let server = Embedded::temporary().await.unwrap();
    let client = server.client().await.unwrap();
    assert_eq!(client.get::<String>("hello").await.unwrap(), None);
    assert!(!client.exists("hello").await.unwrap());
    assert!(!client.delete("hello").await.unwrap());
    assert_eq!(client.take::<String>("hello").await.unwrap(), None);

    client.set("hello", "rust").await.unwrap();
    assert_eq!(client.get::<String>("hello").await.unwrap().as_deref(), Some("rust"));
    assert!(client.exists("hello").await.unwrap());
    client.set("hello", "rust!!!").await.unwrap();
    assert_eq!(client.take::<String>("hello").await.unwrap().as_deref(), Some("rust!!!"));
    assert!(!client.exists("hello").await.unwrap());

    client.set("empty", "").await.unwrap();
    assert_eq!(client.get::<String>("empty").await.unwrap().as_deref(), Some(""));
    assert!(client.delete("empty").await.unwrap());
    client.ping().await.unwrap();
    server.close().await.unwrap();
}

#[tokio::test]
async fn keys_and_values_are_any_bytes() {
    let server = Embedded::temporary().await.unwrap();
    let client = server.client().await.unwrap();
    let awkward: [&[u8]; 5] = [b"\0", b"a\r\nb", b"*4\r\n#G:0\r\n", &[0xFF; 1024], b"\xC3\x28"];
    for key in awkward {
        client.set(key, key).await.unwrap();
    }
    for key in awkward {
        assert_eq!(client.get::<Vec<u8>>(key).await.unwrap().as_deref(), Some(key));
    }
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_value_of_the_largest_size_goes_through_and_one_byte_more_does_not() {
    let server = Embedded::temporary().await.unwrap();
    let client = server.client().await.unwrap();
    let mut value: Vec<u8> = (0..kvsd::types::DEFAULT_MAX_VALUE_BYTES).map(|i| i as u8).collect();
    client.set("large", &value).await.unwrap();
    assert!(client.get::<Vec<u8>>("large").await.unwrap().unwrap() == value);
    value.push(0);
    let error = client.set("large", &value).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ValueTooLarge, Outcome::NotSent));
    client.ping().await.unwrap();
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_condition_that_does_not_hold_changes_nothing_and_tells_the_version() {
    let server = Embedded::temporary().await.unwrap();
    let client = server.client().await.unwrap();
    let error = client.set("k", "x").if_present().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict { current: None });

    let first = client.set("k", "1").if_absent().await.unwrap();
    let error = client.set("k", "2").if_absent().await.unwrap_err();
    assert!(error.is_conflict() && !error.is_retryable());
    assert_eq!(error.kind(), ErrorKind::Conflict { current: Some(first) });
    assert_eq!(error.outcome(), Outcome::Refused);

    let second = client.set("k", "2").if_version(first).await.unwrap();
    assert!(second > first);
    let error = client.set("k", "3").if_version(first).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict { current: Some(second) });
    let error = client.delete("k").if_version(first).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict { current: Some(second) });

    let read = client.get::<String>("k").versioned().await.unwrap().unwrap();
    assert_eq!((read.version, read.value.as_str(), read.expires_at), (second, "2", None));
    let third = client.set("k", "3").if_present().await.unwrap();
    assert!(client.delete("k").if_version(third).await.unwrap());
    server.close().await.unwrap();
}

#[tokio::test]
async fn an_expired_record_is_gone_for_reads_and_conditions() {
    let server = Embedded::temporary().await.unwrap();
    let client = server.client().await.unwrap();
    let later = SystemTime::now() + Duration::from_secs(3600);
    client.set("later", "v").expire_at(later).await.unwrap();
    let read = client.get::<String>("later").versioned().await.unwrap().unwrap();
    let millis = later.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    assert_eq!(u128::from(read.expires_at.unwrap().get()), millis);

    client.set("past", "v").ttl(Duration::from_millis(1)).await.unwrap();
    while client.get::<String>("past").await.unwrap().is_some() {}
    assert!(!client.exists("past").await.unwrap());
    client.set("past", "new").if_absent().await.unwrap();
    assert_eq!(client.get::<String>("past").await.unwrap().as_deref(), Some("new"));

    let error = client.set("k", "v").expire_at(SystemTime::UNIX_EPOCH - Duration::from_secs(1));
    assert_eq!(error.await.unwrap_err().kind(), ErrorKind::InvalidArgument);
    server.close().await.unwrap();
}

#[tokio::test]
async fn tables_are_apart_and_come_into_being_with_their_first_write() {
    let server = Embedded::temporary().await.unwrap();
    let client = server.client().await.unwrap();
    let (users, orders) = (client.table("users").unwrap(), client.table("orders").unwrap());
    users.set("1", "ada").await.unwrap();
    assert_eq!(users.get::<String>("1").await.unwrap().as_deref(), Some("ada"));
    assert_eq!(orders.get::<String>("1").await.unwrap(), None);
    assert_eq!(client.get::<String>("1").await.unwrap(), None);
    server.close().await.unwrap();
}

#[tokio::test]
async fn of_many_takers_one_gets_the_value() {
    let server = Embedded::temporary().await.unwrap();
    let client = server.client().await.unwrap();
    client.set("prize", "won").await.unwrap();
    let takers = (0..100).map(|_| client.take::<String>("prize"));
    let taken = futures_util::future::join_all(takers).await;
    assert_eq!(taken.into_iter().filter_map(Result::unwrap).collect::<Vec<_>>(), ["won"]);
    server.close().await.unwrap();
}

#[tokio::test]
async fn every_write_of_a_table_gets_a_version_of_its_own() {
    let server = Embedded::temporary().await.unwrap();
    let client = server.client().await.unwrap();
    let writes = (0..500).map(|i| client.set(format!("k{i}"), i));
    let versions = futures_util::future::join_all(writes).await;
    let versions: BTreeSet<_> = versions.into_iter().map(Result::unwrap).collect();
    assert_eq!(versions.len(), 500);
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_value_of_another_type_is_an_error_and_not_nonsense() {
    let server = Embedded::temporary().await.unwrap();
    let client = server.client().await.unwrap();
    client.set("k", "not a number").await.unwrap();
    let error = client.get::<u64>("k").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(!format!("{error} {error:?}").contains("not a number"));
    let error = client.take::<u64>("k").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Decode, Outcome::Done));
    assert!(!client.exists("k").await.unwrap(), "a take removes what it cannot decode");
    server.close().await.unwrap();
}

#[tokio::test]
async fn operations_can_be_spawned_and_outlive_the_handle_they_came_from() {
    let server = Embedded::temporary().await.unwrap();
    let client = server.client().await.unwrap();
    let set = tokio::spawn(client.set("k", "v").owned());
    set.await.unwrap().unwrap();
    let get = client.get::<String>("k").owned();
    drop(client);
    assert_eq!(tokio::spawn(get).await.unwrap().unwrap().as_deref(), Some("v"));
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_closed_client_says_so_and_its_clones_too() {
    let server = Embedded::temporary().await.unwrap();
    let client = server.client().await.unwrap();
    let clone = client.clone();
    client.set("k", "v").await.unwrap();
    client.close().await;
    let error = clone.get::<String>("k").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::NotSent));
    let other = server.client().await.unwrap();
    assert!(other.exists("k").await.unwrap());
    server.close().await.unwrap();
}

#[test]
fn a_client_can_be_shared_and_its_operations_moved_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    fn moved<T: Send + Unpin>(_: &T) {}
    shared::<Client>();
    tokio_test::block_on(async {
        let server = Embedded::temporary().await.unwrap();
        let client = server.client().await.unwrap();
        moved(&client.get::<String>("k"));
        moved(&client.set("k", "v"));
        moved(&client.get_many::<String>(["k"]));
        moved(&client.set_many([("k", "v")]));
        moved(&client.pipeline());
        moved(&client.batch());
        moved(&client.update("k", |_: Option<String>| kvsd::Change::Keep));
        moved(&client.try_update("k", |_: Option<String>| Ok::<_, ()>(kvsd::Change::Keep)));
        moved(&client.tables());
        server.close().await.unwrap();
    });
}
