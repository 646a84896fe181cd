//! The crate `etcd-client`, as an application uses it: one client, cloned by every task.

use etcd_client::{Client as Etcd, KvClient};
use tokio::runtime::Runtime;

use super::cluster::Cluster;
use crate::Error;
use crate::load::Client;
use crate::peer::{Library, Served};
use crate::record::{Key, Profile};

/// Clients of the same cluster.
pub(super) struct Direct {
    /// Of the leader.
    one: Etcd,
    /// Of all members, in turn.
    all: Etcd,
    members: usize,
    /// Ends with the last who uses it.
    _cluster: Vec<crate::peer::Process>,
}

/// Connects to a cluster, which lives as long as the answer.
pub(super) fn start(runtime: &Runtime, mut cluster: Cluster) -> Result<Served<Direct>, Error> {
    let (one, all) = runtime.block_on(async {
        let one = Etcd::connect([cluster.leader().await?], None).await?;
        Ok::<_, Error>((one, Etcd::connect(cluster.urls(), None).await?))
    })?;
    let members = cluster.members.len();
    let first = cluster.members.remove(0);
    Ok(Served::new(first, Direct { one, all, members, _cluster: cluster.members }))
}

impl Library for Direct {
    type Client = Task;

    fn choices(&self, _: usize) -> Vec<usize> {
        vec![1, self.members]
    }

    fn client(&self, connections: usize, _: usize) -> Task {
        let client = if connections == 1 { &self.one } else { &self.all };
        Task { kv: client.kv_client(), bytes: Vec::new() }
    }
}

/// A task's handle.
pub(super) struct Task {
    kv: KvClient,
    bytes: Vec<u8>,
}

impl Client for Task {
    async fn get(&mut self, key: Key) -> Result<Option<Profile>, Error> {
        let found = self.kv.get(place(key), None).await?;
        found.kvs().first().map(|kv| Profile::decode(kv.value())).transpose()
    }

    async fn set(&mut self, key: Key, profile: &Profile) -> Result<(), Error> {
        profile.encode(&mut self.bytes)?;
        self.kv.put(place(key), self.bytes.as_slice(), None).await?;
        Ok(())
    }
}

/// Beside kvsd's own keys, and as long as they are.
fn place(key: Key) -> String {
    format!("direct/12345678/{}", key.text())
}
