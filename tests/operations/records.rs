//! Swaps, takes and records as they are stored.

use kvsd::{ErrorKind, Outcome};
use serde::{Deserialize, Serialize};

use super::start;

#[tokio::test]
async fn a_swap_gives_back_what_stood_there() {
    let (server, client) = start().await;
    assert_eq!(client.swap::<String>("k", "one").await.unwrap(), None);
    assert_eq!(client.swap::<String>("k", "two").await.unwrap().as_deref(), Some("one"));
    let error = client.swap::<String>("k", "three").if_absent().await.unwrap_err();
    assert!(error.is_conflict());
    assert_eq!(client.get::<String>("k").await.unwrap().as_deref(), Some("two"));
    // What is no value of the type is replaced all the same, and the error says so.
    let error = client.swap::<u64>("k", 3).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Decode, Outcome::Done));
    assert_eq!(client.get::<u64>("k").await.unwrap(), Some(3));
    server.close().await.unwrap();
}

#[tokio::test]
async fn of_many_swappers_each_sees_another_value() {
    let (server, client) = start().await;
    let swaps = (0..100_u32).map(|i| client.swap::<u32>("k", i));
    let seen = futures_util::future::join_all(swaps).await;
    let mut seen: Vec<_> = seen.into_iter().map(Result::unwrap).collect();
    seen.push(client.get::<u32>("k").await.unwrap());
    seen.sort_unstable();
    let all: Vec<_> = std::iter::once(None).chain((0..100).map(Some)).collect();
    assert_eq!(seen, all);
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_take_of_another_version_leaves_the_record() {
    let (server, client) = start().await;
    let first = client.set("k", "one").await.unwrap();
    let second = client.set("k", "two").await.unwrap();
    let error = client.take::<String>("k").if_version(first).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict { current: Some(second) });
    assert_eq!(client.take::<String>("k").if_version(second).await.unwrap().unwrap(), "two");
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_value_can_be_borrowed_from_its_record() {
    #[derive(Serialize, Deserialize, kvsd::Value)]
    struct Page {
        text: String,
    }
    #[derive(Serialize, Deserialize, kvsd::Value)]
    #[kvsd(name = "Page")]
    struct PageView<'a> {
        text: &'a str,
    }
    let (server, client) = start().await;
    assert!(client.get_bytes("page").await.unwrap().is_none());
    let version = client.set("page", Page { text: "canary".repeat(1000) }).await.unwrap();
    let stored = client.get_bytes("page").await.unwrap().unwrap();
    let view: PageView<'_> = stored.decode().unwrap();
    assert!(stored.bytes().as_ptr_range().contains(&view.text.as_ptr()), "the text was copied");
    assert_eq!(view.text, "canary".repeat(1000));
    assert_eq!((stored.version(), stored.expires_at()), (version, None));
    assert!(stored.decode::<String>().is_err());
    assert!(!format!("{stored:?}").contains("canary"));
    server.close().await.unwrap();
}
