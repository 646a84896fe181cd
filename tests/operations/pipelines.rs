//! Pipelines: in order, each operation for itself, answers to the hands that they belong in.

use std::time::Duration;

use kvsd::{ErrorKind, Outcome, Ttl};
use kvsd_server::Embedded;

use super::start;

#[tokio::test]
async fn operations_of_a_pipeline_see_those_before_them() {
    let (server, client) = start().await;
    let mut pipeline = client.pipeline();
    let before = pipeline.get::<String>("k");
    let set = pipeline.set("k", "v");
    let after = pipeline.get::<String>("k");
    let first = pipeline.increment("n", 2);
    let second = pipeline.increment("n", 3);
    let deleted = pipeline.delete("k");
    let exists = pipeline.add(client.exists("k"));
    let ttl = pipeline.add(client.ttl("n"));
    let mut answers = pipeline.await.unwrap();
    assert_eq!(answers.len(), 8);
    // In any order.
    assert_eq!(answers.take(second).unwrap(), 5);
    assert_eq!(answers.take(first).unwrap(), 2);
    assert_eq!(answers.take(before).unwrap(), None);
    assert_eq!(answers.take(after).unwrap().as_deref(), Some("v"));
    assert!(answers.take(set).unwrap().get() > 0);
    assert!(answers.take(deleted).unwrap());
    assert!(!answers.take(exists).unwrap());
    assert_eq!(answers.take(ttl).unwrap(), Ttl::Endless);
    server.close().await.unwrap();
}

#[tokio::test]
async fn one_that_fails_does_not_stop_the_others() {
    let (server, client) = start().await;
    client.set("text", "canary").await.unwrap();
    let mut pipeline = client.pipeline();
    let wrong = pipeline.increment("text", 1);
    let conflict = pipeline.add(client.set("text", "new").if_absent());
    let other_type = pipeline.get::<u64>("text");
    let fine = pipeline.increment("n", 1);
    let mut answers = pipeline.await.unwrap();
    assert_eq!(answers.take(fine).unwrap(), 1);
    let error = answers.take(wrong).unwrap_err();
    assert_eq!((error.kind(), error.place()), (ErrorKind::NotAnInteger, Some(0)));
    assert_eq!((error.operation(), error.table()), (Some("increment"), Some("default")));
    assert!(error.address().is_some());
    assert!(answers.take(conflict).unwrap_err().is_conflict());
    let error = answers.take(other_type).unwrap_err();
    assert_eq!((error.kind(), error.place()), (ErrorKind::Decode, Some(2)));
    assert!(!format!("{error:#} {error:?} {answers:?}").contains("canary"));
    server.close().await.unwrap();
}

#[tokio::test]
async fn more_than_one_message_takes_goes_in_several_and_stays_in_order() {
    let (server, client) = start().await;
    client.set("large", vec![7; 400_000]).await.unwrap();
    let mut pipeline = client.pipeline();
    let mut counts = Vec::new();
    let mut large = Vec::new();
    for i in 0..2500 {
        counts.push(pipeline.increment("n", 1));
        if i % 250 == 0 {
            large.push(pipeline.get::<Vec<u8>>("large"));
        }
    }
    let mut answers = pipeline.await.unwrap();
    for (n, place) in (1..).zip(counts) {
        assert_eq!(answers.take(place).unwrap(), n);
    }
    for place in large {
        assert!(answers.take(place).unwrap().unwrap() == vec![7; 400_000]);
    }
    assert_eq!(client.get::<u32>("n").await.unwrap(), Some(2500), "each counts once");
    server.close().await.unwrap();
}

#[tokio::test]
async fn operations_keep_their_tables_and_their_refinements() {
    let (server, client) = start().await;
    let other = client.table("other").unwrap();
    let mut pipeline = client.pipeline();
    let set = pipeline.add(other.set("k", "v").ttl(Duration::from_secs(60)));
    let swap = pipeline.add(other.swap::<String>("k", "w"));
    let read = pipeline.add(other.get::<String>("k").versioned());
    let here = pipeline.get::<String>("k");
    let mut answers = pipeline.await.unwrap();
    let version = answers.take(set).unwrap();
    assert_eq!(answers.take(swap).unwrap().as_deref(), Some("v"));
    assert!(answers.take(read).unwrap().unwrap().version > version);
    assert_eq!(answers.take(here).unwrap(), None);
    server.close().await.unwrap();
}

#[tokio::test]
async fn what_does_not_belong_into_a_pipeline_is_refused_before_anything_is_sent() {
    let (server, client) = start().await;
    let (stranger_server, stranger) = start().await;
    let mut pipeline = client.pipeline();
    let _set = pipeline.set("k", "v");
    let _foreign = pipeline.add(stranger.set("k", "v"));
    let error = pipeline.await.unwrap_err();
    assert_eq!((error.kind(), error.place()), (ErrorKind::InvalidArgument, Some(1)));

    let mut pipeline = client.pipeline();
    let _set = pipeline.set("k", "v");
    let _empty = pipeline.get::<String>("");
    let error = pipeline.await.unwrap_err();
    assert_eq!((error.kind(), error.place()), (ErrorKind::InvalidArgument, Some(1)));
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert!(!client.exists("k").await.unwrap() && !stranger.exists("k").await.unwrap());
    server.close().await.unwrap();
    stranger_server.close().await.unwrap();
}

#[tokio::test]
async fn a_place_of_another_pipeline_gets_nothing() {
    let (server, client) = start().await;
    client.set("k", "v").await.unwrap();
    let (mut one, mut two) = (client.pipeline(), client.pipeline());
    let place = one.get::<String>("k");
    let _other = two.get::<String>("k");
    let mut answers = two.await.unwrap();
    assert_eq!(answers.take(place).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert!(client.pipeline().await.unwrap().is_empty());
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_pipeline_can_be_spawned() {
    let server = Embedded::temporary().await.unwrap();
    let client = server.client().await.unwrap();
    let mut pipeline = client.pipeline();
    let place = pipeline.increment("n", 1);
    let mut answers = tokio::spawn(pipeline.owned()).await.unwrap().unwrap();
    assert_eq!(answers.take(place).unwrap(), 1);
    server.close().await.unwrap();
}
