//! A cluster, records put into it as the engine's writer does, and a way to it that can break.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etcd_client::{Client, DeleteOptions, Txn, TxnOp};
use kvsd::UnixMillis;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::engine::{ChangePage, Changes, PageLimits, Position};
use crate::etcd::EtcdConfig;
use crate::etcd::cluster::Cluster;
use crate::etcd::layout::{Layout, StoredRecord, TableEntry};
use crate::etcd::link::Link;
use crate::log::Clock;

/// A clock that stands still until it is told otherwise.
#[derive(Debug)]
pub(in crate::etcd) struct TestClock(AtomicU64);

impl TestClock {
    pub(in crate::etcd) fn at(millis: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(millis)))
    }

    pub(in crate::etcd) fn set(&self, millis: u64) {
        self.0.store(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// A lone member, and what a front end needs of it.
pub(in crate::etcd) struct Store {
    pub(in crate::etcd) cluster: Cluster,
    pub(in crate::etcd) client: Client,
    pub(in crate::etcd) layout: Layout,
    pub(in crate::etcd) clock: Arc<TestClock>,
    proxy: Proxy,
}

impl Store {
    /// `None` where there is no etcd.
    pub(in crate::etcd) async fn start() -> Option<Self> {
        Self::of(Cluster::start(1).await?).await
    }

    pub(in crate::etcd) async fn of(cluster: Cluster) -> Option<Self> {
        let endpoint = cluster.endpoint(0);
        let client = Client::connect([format!("http://{endpoint}")], None).await.unwrap();
        let proxy = Proxy::start(endpoint.parse().unwrap()).await;
        let (layout, clock) = (Layout::new("kvsd"), TestClock::at(1_000_000));
        Some(Self { cluster, client, layout, clock, proxy })
    }

    /// A configuration that goes through the proxy.
    pub(in crate::etcd) fn config(&self) -> EtcdConfig {
        let endpoint = format!("http://{}", self.proxy.address);
        EtcdConfig { clock: self.clock.clone(), ..EtcdConfig::new(vec![endpoint]) }
    }

    pub(in crate::etcd) async fn link(&self) -> Arc<Link> {
        Arc::new(Link::open(&self.config()).await.unwrap())
    }

    /// Breaks all connections that there are.
    pub(in crate::etcd) fn break_connections(&self) {
        self.proxy.broken.send_modify(|count| *count += 1);
    }

    pub(in crate::etcd) async fn make_table(&mut self, name: &str, id: u64) -> u64 {
        let key = self.layout.table(name);
        self.txn([TxnOp::put(key, TableEntry { id }.encode(), None)]).await
    }

    pub(in crate::etcd) async fn drop_table(&mut self, name: &str) -> u64 {
        let key = self.layout.table(name);
        self.txn([TxnOp::delete(key, None)]).await
    }

    /// Sets a record, as a write does: with the slot of a front end.
    pub(in crate::etcd) async fn set(&mut self, id: u64, key: &str, value: &[u8]) -> u64 {
        let put = self.put(id, key, value, None);
        self.write([put]).await
    }

    pub(in crate::etcd) fn put(
        &self,
        id: u64,
        key: &str,
        value: &[u8],
        expires_at: Option<u64>,
    ) -> TxnOp {
        let expires_at = expires_at.map(|end| UnixMillis::new(end).unwrap());
        let key = self.layout.record(id, key.as_bytes());
        TxnOp::put(key, StoredRecord::encode(expires_at, value), None)
    }

    pub(in crate::etcd) fn remove(&self, id: u64, key: &str) -> TxnOp {
        TxnOp::delete(self.layout.record(id, key.as_bytes()), None)
    }

    pub(in crate::etcd) async fn write(&mut self, ops: impl IntoIterator<Item = TxnOp>) -> u64 {
        let slot = TxnOp::put(self.layout.slot(1), "group", None);
        self.txn(ops.into_iter().chain([slot])).await
    }

    pub(in crate::etcd) async fn txn(&mut self, ops: impl IntoIterator<Item = TxnOp>) -> u64 {
        let txn = Txn::new().and_then(ops.into_iter().collect::<Vec<_>>());
        let answer = self.client.txn(txn).await.unwrap();
        u64::try_from(answer.header().unwrap().revision()).unwrap()
    }

    pub(in crate::etcd) async fn compact(&mut self, revision: u64) {
        self.client.compact(i64::try_from(revision).unwrap(), None).await.unwrap();
    }

    /// Removes all records of a table, as no sweep does.
    pub(in crate::etcd) async fn clear(&mut self, id: u64) {
        let range = self.layout.data(id);
        let options = DeleteOptions::new().with_range(range.end);
        self.client.delete(range.start, Some(options)).await.unwrap();
    }
}

/// A way to a member.
struct Proxy {
    address: SocketAddr,
    broken: watch::Sender<u32>,
}

impl Proxy {
    async fn start(member: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, broken) = (listener.local_addr().unwrap(), watch::Sender::new(0));
        let ends = broken.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut broken = ends.subscribe();
                tokio::spawn(async move {
                    let Ok(mut member) = TcpStream::connect(member).await else { return };
                    tokio::select! {
                        _ = broken.changed() => {}
                        _ = tokio::io::copy_bidirectional(&mut client, &mut member) => {}
                    }
                });
            }
        });
        Self { address, broken }
    }
}

/// A change as tests compare it: version, key, value.
pub(in crate::etcd) type Told = (u64, String, Option<Vec<u8>>);

pub(in crate::etcd) fn told(page: &ChangePage) -> Vec<Told> {
    let change = |change: crate::engine::Changed<'_>| {
        let key = String::from_utf8(change.key.to_vec()).unwrap();
        (change.version.get(), key, change.value.map(<[u8]>::to_vec))
    };
    page.iter().map(change).collect()
}

pub(in crate::etcd) fn page(changes: Changes) -> ChangePage {
    match changes {
        Changes::Page(page) => page,
        Changes::Gap { now } => panic!("a gap: {now:?}"),
    }
}

pub(in crate::etcd) fn gap(changes: Changes) -> Position {
    match changes {
        Changes::Gap { now } => now,
        Changes::Page(page) => panic!("no gap: {page:?}"),
    }
}

pub(in crate::etcd) const NO_LIMITS: PageLimits =
    PageLimits { records: usize::MAX, bytes: usize::MAX };

pub(in crate::etcd) fn at(id: u64, version: u64) -> Position {
    Position { incarnation: Some(id), version }
}

/// Long enough for anything that is to happen.
pub(in crate::etcd) const PATIENCE: Duration = Duration::from_secs(60);
