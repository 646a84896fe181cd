//! The cluster for tests does what its methods say: without that, the fault suite proves nothing.

use std::path::Path;
use std::process::Command;

use crate::cluster::{Cluster, Options};

/// `key` and `value` in base64.
const KEY: &str = "a2V5";
const VALUE: &str = "dmFsdWU=";

async fn put(cluster: &Cluster, member: usize, key: &str) -> std::io::Result<String> {
    let body = format!(r#"{{"key": "{key}", "value": "{VALUE}"}}"#);
    cluster.call(member, "/v3/kv/put", &body).await
}

async fn get(cluster: &Cluster, member: usize, key: &str) -> std::io::Result<String> {
    cluster.call(member, "/v3/kv/range", &format!(r#"{{"key": "{key}"}}"#)).await
}

#[tokio::test]
async fn what_was_written_survives_kill_9_of_all_members() {
    let Some(mut cluster) = Cluster::start(3).await else { return };
    put(&cluster, 0, KEY).await.unwrap();
    for member in 0..3 {
        cluster.kill(member);
    }
    assert!(get(&cluster, 0, KEY).await.is_err());
    for member in 0..3 {
        cluster.restart(member).await;
    }
    cluster.ready().await;
    for member in 0..3 {
        assert!(get(&cluster, member, KEY).await.unwrap().contains(VALUE));
    }
}

#[tokio::test]
async fn a_cut_leader_loses_leadership_and_the_others_go_on() {
    let Some(mut cluster) = Cluster::start(3).await else { return };
    let old = cluster.leader().await;
    cluster.cut(old).await;
    let new = cluster.leader().await;
    assert_ne!(new, old);
    put(&cluster, new, KEY).await.unwrap();
    assert!(get(&cluster, old, KEY).await.is_err(), "a cut member has answered");

    cluster.heal(old);
    cluster.ready().await;
    assert!(get(&cluster, old, KEY).await.unwrap().contains(VALUE));
}

#[tokio::test]
async fn a_paused_follower_stops_nobody_else() {
    let Some(mut cluster) = Cluster::start(3).await else { return };
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    cluster.pause(follower);
    put(&cluster, leader, KEY).await.unwrap();
    assert!(!cluster.has_leader(follower).await, "a paused member has answered");
    cluster.resume(follower);
    cluster.ready().await;
    assert!(get(&cluster, follower, KEY).await.unwrap().contains(VALUE));
}

#[tokio::test]
async fn a_member_that_was_cut_off_for_long_catches_up() {
    let Some(mut cluster) = Cluster::start(3).await else { return };
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    cluster.cut(follower).await;
    put(&cluster, leader, KEY).await.unwrap();
    cluster.kill(leader);
    assert!(put(&cluster, (leader + 2) % 3, KEY).await.is_err(), "one of three has written");
    cluster.heal(follower);
    cluster.ready().await;
    assert!(get(&cluster, follower, KEY).await.unwrap().contains(VALUE));
    cluster.restart(leader).await;
    cluster.ready().await;
}

#[tokio::test]
async fn a_small_quota_raises_the_space_alarm() {
    let Some(cluster) = Cluster::start_with(Options::members(1).quota(1 << 20)).await else {
        return;
    };
    let value = "QUFB".repeat(64 << 10);
    let body = format!(r#"{{"key": "{KEY}", "value": "{value}"}}"#);
    let mut refused = None;
    for _ in 0..100 {
        if let Err(error) = cluster.call(0, "/v3/kv/put", &body).await {
            refused = Some(error.to_string());
            break;
        }
    }
    let refused = refused.unwrap();
    assert!(refused.contains("database space exceeded"), "{refused}");
    assert!(!cluster.serves(0).await);
}

#[tokio::test]
async fn nothing_is_left_of_a_dropped_cluster() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let folder = cluster.folder().to_owned();
    assert!(runs_in(&folder));
    drop(cluster);
    assert!(!runs_in(&folder));
    assert!(!folder.exists());
}

/// Whether any process has this folder in its command line.
fn runs_in(folder: &Path) -> bool {
    let processes = Command::new("ps").args(["axww", "-o", "args"]).output().unwrap().stdout;
    String::from_utf8_lossy(&processes).contains(&*folder.to_string_lossy())
}
