//! Reads, pages and tables against a real member of etcd, with records that are put around us.

use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;
use etcd_client::Client;
use futures_util::future::join_all;
use kvsd::{TableName, UnixMillis};

use super::cluster::{Cluster, within};
use super::layout::{Layout, StoredRecord, TableEntry};
use super::{EtcdConfig, EtcdEngine};
use crate::engine::{
    Engine, EngineError, Freshness, Order, PageLimits, Scan, ScanDetail, ScanPage,
};

/// A front end, and a way around it.
struct Store {
    engine: EtcdEngine,
    layout: Layout,
    client: Client,
}

impl Store {
    async fn on(cluster: &Cluster) -> Self {
        let endpoint = cluster.endpoint(0);
        let engine = front_end(&endpoint).await;
        let client = Client::connect([endpoint], None).await.unwrap();
        Self { engine, layout: Layout::new("kvsd"), client }
    }

    async fn make(&self) -> u64 {
        assert!(self.engine.create_table(&table()).await.unwrap());
        let found = self.client.kv_client().get(self.layout.table("t"), None).await.unwrap();
        TableEntry::parse(found.kvs()[0].value()).unwrap().id
    }

    async fn put(&self, id: u64, key: &str, value: &[u8], end: Option<u64>) {
        let end = end.map(|end| UnixMillis::new(end).unwrap());
        let value = StoredRecord::encode(end, value);
        self.client
            .kv_client()
            .put(self.layout.record(id, key.as_bytes()), value, None)
            .await
            .unwrap();
    }

    async fn value(&self, key: &str) -> Option<Bytes> {
        let record = self.engine.read("t", key.as_bytes(), Freshness::Latest).await.unwrap();
        record.map(|record| record.value)
    }
}

async fn front_end(endpoint: &str) -> EtcdEngine {
    let mut config = EtcdConfig::new(vec![format!("http://{endpoint}")]);
    config.timeout = Duration::from_secs(3);
    EtcdEngine::open(config).await.unwrap()
}

fn table() -> TableName {
    TableName::parse("t").unwrap()
}

fn whole(order: Order, records: usize) -> Scan {
    Scan {
        from: Bound::Unbounded,
        to: Bound::Unbounded,
        order,
        detail: ScanDetail::Records,
        limits: PageLimits { records, bytes: 1 << 20 },
        freshness: Freshness::Latest,
        at: None,
    }
}

fn keys(page: &ScanPage) -> Vec<String> {
    page.iter().map(|record| String::from_utf8(record.key.to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn each_of_many_reads_gets_its_own_value_and_ended_records_are_absent() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let store = Store::on(&cluster).await;
    let id = store.make().await;
    join_all((0..1000).map(async |at| {
        store.put(id, &format!("k{at}"), format!("v{at}").as_bytes(), None).await;
    }))
    .await;
    store.put(id, "ended", b"v", Some(1)).await;
    store.put(id, "large", &vec![7; 1 << 20], None).await;
    let found = join_all((0..1000).map(async |at| store.value(&format!("k{at}")).await)).await;
    for (at, value) in found.into_iter().enumerate() {
        assert_eq!(value.unwrap(), format!("v{at}"));
    }
    assert_eq!(store.value("ended").await, None);
    assert_eq!(store.value("large").await.unwrap().len(), 1 << 20);
}

#[tokio::test]
async fn a_table_that_another_front_end_made_anew_is_never_read_as_the_old_one() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let store = Store::on(&cluster).await;
    let id = store.make().await;
    store.put(id, "k", b"old", None).await;
    assert_eq!(store.value("k").await.unwrap(), "old");
    let other = front_end(&cluster.endpoint(0)).await;
    assert!(other.drop_table(&table()).await.unwrap());
    assert!(!other.drop_table(&table()).await.unwrap());
    assert_eq!(store.value("k").await, None);
    assert!(other.create_table(&table()).await.unwrap());
    assert!(!other.create_table(&table()).await.unwrap());
    assert_eq!(store.value("k").await, None);
    assert!(store.engine.scan("t", &whole(Order::Ascending, 9)).await.unwrap().is_empty());
}

#[tokio::test]
async fn pages_stand_still_in_both_orders_until_what_stood_is_compacted() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let store = Store::on(&cluster).await;
    let id = store.make().await;
    for at in 0..40 {
        store.put(id, &format!("k{at:02}"), b"v", (at % 3 == 0).then_some(1)).await;
    }
    let live = || (0..40).filter(|at| at % 3 != 0).map(|at| format!("k{at:02}"));
    for order in [Order::Ascending, Order::Descending] {
        let (mut scan, mut seen) = (whole(order, 7), Vec::new());
        loop {
            let page = store.engine.scan("t", &scan).await.unwrap();
            assert!(page.len() <= 7);
            seen.extend(keys(&page));
            // What comes while the scan is under way is not in it.
            store.put(id, "k00x", b"late", None).await;
            store.put(id, "k38x", b"late", None).await;
            let Some(next) = page.next() else { break };
            match order {
                Order::Ascending => scan.from = Bound::Excluded(next.clone()),
                Order::Descending => scan.to = Bound::Excluded(next.clone()),
            }
            scan.at = page.at();
        }
        if order == Order::Descending {
            seen.reverse();
        }
        seen.retain(|key| order == Order::Ascending || !key.ends_with('x'));
        assert_eq!(seen, live().collect::<Vec<_>>());
    }
    let mut scan = whole(Order::Ascending, 7);
    scan.at = store.engine.scan("t", &scan).await.unwrap().at();
    store.put(id, "k", b"v", None).await;
    let now = store.engine.scan("t", &whole(Order::Ascending, 1)).await.unwrap().at().unwrap();
    store.client.kv_client().compact(now.get().cast_signed(), None).await.unwrap();
    assert_eq!(store.engine.scan("t", &scan).await.unwrap_err(), EngineError::ScanExpired);
}

#[tokio::test]
async fn reads_are_refused_while_etcd_is_dead_and_served_again_after() {
    let Some(mut cluster) = Cluster::start(1).await else { return };
    let store = Store::on(&cluster).await;
    let id = store.make().await;
    store.put(id, "k", b"v", None).await;
    assert_eq!(store.value("k").await.unwrap(), "v");
    cluster.kill(0);
    let refused = store.engine.read("t", b"k", Freshness::Latest).await;
    assert!(matches!(refused, Err(EngineError::Unavailable { .. })));
    cluster.restart(0).await;
    cluster.ready().await;
    let served = async || store.engine.read("t", b"k", Freshness::Latest).await.is_ok();
    assert!(within(Duration::from_secs(30), served).await);
    assert_eq!(store.value("k").await.unwrap(), "v");
}
