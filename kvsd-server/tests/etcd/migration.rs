//! `kvsd-server migrate`, as a process, into a real cluster.

use std::process::{Command, Output};

use kvsd::Client;
use kvsd_server::Embedded;

use crate::cluster::Cluster;
use crate::front_end::FrontEnd;

const RECORDS: u64 = 1000;

fn migrate(folder: &std::path::Path, cluster: &Cluster) -> Output {
    let config = folder.with_extension("toml");
    let endpoints: Vec<_> =
        cluster.endpoints().iter().map(|endpoint| format!("\"http://{endpoint}\"")).collect();
    let text = format!("engine = \"etcd\"\netcd_endpoints = [{}]\n", endpoints.join(", "));
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvsd-server"));
    command.args(["migrate", "--from", "log", "--to", "etcd", "--data-dir"]).arg(folder);
    command.arg("--config").arg(config).output().unwrap()
}

#[tokio::test]
async fn tables_move_whole_and_a_second_run_changes_nothing() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("before");
    let server = Embedded::open(&folder).await.unwrap();
    let client = server.client().await.unwrap();
    for number in 0..RECORDS {
        client.set(format!("n/{number:05}"), number).await.unwrap();
    }
    let others = client.table("others").unwrap();
    others.set("large", vec![7_u8; 1024 * 1024]).await.unwrap();
    others.set("soon", "x").ttl(std::time::Duration::from_secs(3600)).await.unwrap();
    others.set("gone", "x").await.unwrap();
    others.delete("gone").await.unwrap();
    drop((client, others));
    server.close().await.unwrap();

    let first = migrate(&folder, &cluster);
    let said = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(first.status.success(), "{first:?}");
    assert!(said.contains("default\t1000 records") && said.contains("others\t2 records"), "{said}");

    let front_end = FrontEnd::start(&cluster).await;
    let client = Client::connect(&format!("kvsd://{}", front_end.address())).await.unwrap();
    for number in 0..RECORDS {
        let found = client.get::<u64>(&format!("n/{number:05}")).await.unwrap();
        assert_eq!(found, Some(number));
    }
    let others = client.table("others").unwrap();
    assert_eq!(others.get::<Vec<u8>>("large").await.unwrap().unwrap(), vec![7; 1024 * 1024]);
    assert!(!others.exists("gone").await.unwrap());
    assert!(matches!(others.ttl("soon").await.unwrap(), kvsd::Ttl::Left(_)));

    // What was verified is not touched again, whatever has happened to it since.
    client.set("n/00000", 42_u64).await.unwrap();
    let second = migrate(&folder, &cluster);
    assert!(second.status.success(), "{second:?}");
    assert_eq!(String::from_utf8_lossy(&second.stdout), said);
    assert_eq!(client.get::<u64>("n/00000").await.unwrap(), Some(42));
}

#[tokio::test]
async fn what_was_written_since_is_not_said_to_be_there_and_a_dropped_table_is_migrated_anew() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("before");
    let write = async |key: &str| {
        let server = Embedded::open(&folder).await.unwrap();
        server.client().await.unwrap().set(key, "v").await.unwrap();
        server.close().await.unwrap();
    };
    write("then").await;
    assert!(migrate(&folder, &cluster).status.success());
    write("later").await;
    let refused = migrate(&folder, &cluster);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("default was migrated before, and written to here since; drop"),
        "{said}"
    );
    let front_end = FrontEnd::start(&cluster).await;
    let client = Client::connect(&format!("kvsd://{}", front_end.address())).await.unwrap();
    client.drop_table("default").await.unwrap();
    let moved = migrate(&folder, &cluster);
    assert!(String::from_utf8_lossy(&moved.stdout).contains("default\t2 records"), "{moved:?}");
    assert!(client.exists("later").await.unwrap() && client.exists("then").await.unwrap());
}

#[tokio::test]
async fn a_table_that_is_there_is_left_alone() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let front_end = FrontEnd::start(&cluster).await;
    let client = Client::connect(&format!("kvsd://{}", front_end.address())).await.unwrap();
    client.set("k", "theirs").await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("before");
    let server = Embedded::open(&folder).await.unwrap();
    server.client().await.unwrap().set("k", "ours").await.unwrap();
    server.close().await.unwrap();
    let refused = migrate(&folder, &cluster);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("a table default in etcd that this migration has not made"), "{said}");
    assert_eq!(client.get::<String>("k").await.unwrap().as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_value_that_etcd_does_not_take_is_named_with_its_key() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("before");
    let server = Embedded::open(&folder).await.unwrap();
    let client = server.client().await.unwrap();
    client.set("a", "fits").await.unwrap();
    client.set("much/too\n", vec![0_u8; 1024 * 1024 + 1]).await.unwrap();
    drop(client);
    server.close().await.unwrap();
    let refused = migrate(&folder, &cluster);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains(r"at key much/too\n has 1048577 bytes"), "{said}");
    // Made smaller, it goes on.
    let server = Embedded::open(&folder).await.unwrap();
    server.client().await.unwrap().set("much/too\n", "less").await.unwrap();
    server.close().await.unwrap();
    let moved = migrate(&folder, &cluster);
    assert!(moved.status.success(), "{moved:?}");
    assert!(String::from_utf8_lossy(&moved.stdout).contains("default\t2 records"));
}
