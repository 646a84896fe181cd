//! What an error says, and what it never shows.

use std::error::Error as _;

use kvsd::{Change, Client, Error, ErrorKind};

use super::start;

/// The texts of an error and of its causes, one each.
fn layers(error: &Error) -> Vec<String> {
    let mut layers = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        layers.push(error.to_string());
        cause = error.source();
    }
    layers
}

async fn failures(client: &Client) -> Vec<Error> {
    client.set("canary-key", "canary-value").await.unwrap();
    let mut failures = vec![
        client.get::<u64>("canary-key").await.unwrap_err(),
        client.get_many::<u64>(["canary-key"]).await.unwrap_err(),
        client.set("canary-key", "canary-new").if_absent().await.unwrap_err(),
        client.increment("canary-key", 1).await.unwrap_err(),
        client.batch().set("canary-key", "canary-new").if_absent().await.unwrap_err(),
        client.update("canary-key", |_: Option<u64>| Change::Keep).await.unwrap_err(),
        client.get::<u64>("canary".repeat(200)).await.unwrap_err(),
        client.set("k", "canary".repeat(2_000_000)).await.unwrap_err(),
        client.table("canary/table").unwrap_err(),
        Client::connect("kvsd://user:canary-secret@").await.unwrap_err(),
        Client::connect("http://canary.example").await.unwrap_err(),
    ];
    failures.push(client.swap::<u64>("canary-key", "canary-new").await.unwrap_err());
    failures
}

#[tokio::test]
async fn an_error_shows_no_key_no_value_and_no_secret() {
    let (server, client) = start().await;
    for error in failures(&client).await {
        let shown = format!("{error} {error:#} {error:?}");
        assert!(!shown.contains("canary"), "{shown}");
    }
    server.close().await.unwrap();
}

#[tokio::test]
async fn each_layer_speaks_for_itself_and_the_chain_says_it_all() {
    let (server, client) = start().await;
    for error in failures(&client).await {
        let layers = layers(&error);
        for (number, layer) in layers.iter().enumerate() {
            let behind = layers.iter().skip(number + 1);
            for cause in behind {
                assert!(!layer.contains(cause.as_str()), "{layer:?} repeats {cause:?}");
            }
            assert!(format!("{error:#}").contains(layer.as_str()), "{error:#} lacks {layer:?}");
        }
    }
    let error = client.get::<u64>("canary-key").await.unwrap_err();
    let text = format!("{error:#}");
    assert!(text.starts_with("get: the stored bytes are not a value of this type"), "{text}");
    assert!(text.ends_with("decimal text of a number (u64 was asked for)"), "{text}");
    server.close().await.unwrap();
}

#[tokio::test]
async fn an_error_names_operation_table_and_address() {
    let (server, client) = start().await;
    let users = client.table("users").unwrap();
    let error = users.increment("k", 1).if_present().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict { current: None });
    assert_eq!((error.operation(), error.table()), (Some("increment"), Some("users")));
    assert!(error.address().is_some());
    client.close().await;
    let error = client.drop_table("orders").await.unwrap_err();
    assert_eq!((error.operation(), error.table()), (Some("drop_table"), Some("orders")));
    let error = client.ping().await.unwrap_err();
    assert_eq!((error.operation(), error.table()), (Some("ping"), None));
    server.close().await.unwrap();
}
