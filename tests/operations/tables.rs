//! Tables as a whole, and what the server says of itself.

use super::start;

#[tokio::test]
async fn tables_are_made_named_and_removed() {
    let (server, client) = start().await;
    assert!(client.create_table("users").await.unwrap());
    assert!(!client.create_table("users").await.unwrap());
    client.table("orders").unwrap().set("k", "v").await.unwrap();
    let names = client.tables().await.unwrap();
    let names: Vec<_> = names.iter().map(kvsd::TableName::as_str).collect();
    assert!(names.contains(&"orders") && names.contains(&"users"), "{names:?}");
    assert!(names.is_sorted());

    assert!(client.drop_table("orders").await.unwrap());
    assert!(!client.drop_table("orders").await.unwrap());
    let orders = client.table("orders").unwrap();
    assert!(!orders.exists("k").await.unwrap());
    assert_eq!(orders.statistics().await.unwrap(), None);
    assert!(!client.tables().await.unwrap().iter().any(|name| name.as_str() == "orders"));
    server.close().await.unwrap();
}

#[tokio::test]
async fn statistics_count_what_a_table_holds() {
    let (server, client) = start().await;
    let users = client.table("users").unwrap();
    assert_eq!(users.statistics().await.unwrap(), None);
    users.set_many((0..10).map(|i| (format!("k{i}"), "v".repeat(100)))).await.unwrap();
    let last = users.set("k0", "w".repeat(100)).await.unwrap();
    let statistics = users.statistics().await.unwrap().unwrap();
    assert_eq!((statistics.keys, statistics.last_version), (10, Some(last)));
    assert!(statistics.live_bytes > 10 * 100 && statistics.dead_bytes > 100);
    assert!(statistics.segments >= 1 && statistics.disk_bytes > 0);
    assert_eq!(statistics.stopped, None);

    client.drop_table("users").await.unwrap();
    client.create_table("users").await.unwrap();
    let again = users.statistics().await.unwrap().unwrap();
    assert_eq!(again.keys, 0);
    assert_ne!(again.incarnation, statistics.incarnation, "it is another table");
    server.close().await.unwrap();
}

#[tokio::test]
async fn the_server_says_what_it_is() {
    let (server, client) = start().await;
    let info = client.server_info();
    assert!(!info.server.is_empty() && !info.engine.is_empty() && !info.durability.is_empty());
    assert_eq!(info.max_value_bytes, client.max_value_bytes());
    server.close().await.unwrap();
}
