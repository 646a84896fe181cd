//! The cases on etcd: two front ends on a member that nobody else has.

use std::sync::Arc;

use async_trait::async_trait;
use kvsd::TableName;

use super::{
    Bytes, Creation, Differences, Ending, Fixture, Pages, Setup, TestClock, Versions, conformance,
};
use crate::engine::Engine;
use crate::etcd::cluster::Cluster;
use crate::etcd::{EtcdConfig, EtcdEngine};

conformance!();

/// A member starts in less than half a second; one for all cases would not end with the last test.
async fn open() -> Option<Box<dyn Fixture>> {
    let cluster = Cluster::start(1).await?;
    let mut opened = Opened { front_ends: Vec::new(), cluster, clock: TestClock::default() };
    opened.open(Setup::default()).await;
    Some(Box::new(opened))
}

/// Front ends, which are dropped before what they stand on.
struct Opened {
    front_ends: Vec<Arc<EtcdEngine>>,
    cluster: Cluster,
    clock: TestClock,
}

impl Opened {
    async fn open(&mut self, setup: Setup) {
        for _ in 0..2 {
            let config = EtcdConfig {
                max_tables: setup.max_tables,
                // The cases compact when they want it.
                history: None,
                clock: Arc::new(self.clock.clone()),
                ..EtcdConfig::new(vec![format!("http://{}", self.cluster.endpoint(0))])
            };
            self.front_ends.push(Arc::new(EtcdEngine::open(config).await.unwrap()));
        }
    }

    /// What etcd answers to a question of this path, in JSON.
    async fn ask(&self, path: &str, question: serde_json::Value) -> serde_json::Value {
        let answer = self.cluster.call(0, path, &question.to_string()).await.unwrap();
        serde_json::from_str(&answer).unwrap()
    }
}

#[async_trait]
impl Fixture for Opened {
    fn engines(&self) -> Vec<Arc<dyn Engine>> {
        self.front_ends.iter().map(|engine| Arc::clone(engine) as Arc<dyn Engine>).collect()
    }

    fn clock(&self) -> &TestClock {
        &self.clock
    }

    fn differences(&self) -> Differences {
        Differences {
            versions: Versions::Shared,
            pages: Pages::Pinned,
            bytes: Bytes::Unknown,
            creation: Creation::Fixed,
        }
    }

    async fn reopen(&mut self, ending: Ending, setup: Setup) {
        for engine in std::mem::take(&mut self.front_ends) {
            match ending {
                Ending::Closed => engine.close().await.unwrap(),
                Ending::Lost => drop(engine),
            }
        }
        if ending == Ending::Lost {
            self.cluster.kill(0);
            self.cluster.restart(0).await;
            self.cluster.ready().await;
        }
        self.open(setup).await;
    }

    /// What front ends have at hand of the past goes with them.
    async fn forget(&mut self, _: &TableName) {
        let now = self.ask("/v3/kv/range", serde_json::json!({ "key": "AA==" })).await;
        let revision = &now["header"]["revision"];
        let compaction = serde_json::json!({ "revision": revision, "physical": true });
        self.ask("/v3/kv/compaction", compaction).await;
        self.reopen(Ending::Closed, Setup::default()).await;
    }
}
