//! Changes that are made once, however often they are sent.
//!
//! What was sent is sent again when its answer was lost, and what it is bound to may have become true
//! again by then: a table was made, dropped by somebody else, and could be made once more. So each
//! change leaves a receipt, at a key that it alone has, and the first attempt that arrives decides for
//! all of them. Next file to read: `directory`.

use etcd_client::{Compare, CompareOp, Txn, TxnOp, TxnOpResponse};
use tokio::time::Instant;

use super::error::Fault;
use super::layout::Layout;
use super::link::{Ask, Failed, Link};
use super::reply;

/// What a change does with the room in etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// It takes some: a full store refuses it.
    Takes,
    /// It frees some, now or later, and is made in a full store too.
    Frees,
}

/// Makes a change if its conditions hold; the answer is whether they did. A failure that is not in
/// doubt means that it was not made, and never will be.
///
/// # Cancel safety
///
/// The change may be made even if the future is dropped.
pub(crate) async fn once(
    link: &Link,
    layout: &Layout,
    deadline: Instant,
    room: Room,
    when: Vec<Compare>,
    then: Vec<TxnOp>,
) -> Result<bool, Failed> {
    let number = getrandom::u64().map_err(|error| Failed {
        fault: Fault::Other { endpoint: "this machine".to_owned(), cause: error.to_string() },
        in_doubt: false,
    })?;
    // Receipts stand in the order of their age, apart from the slots, which watches look through.
    let now = reply::read(link, deadline, Ask::Led, vec![TxnOp::get(layout.election(), None)]);
    let now = now.await.map_err(|failed| Failed { in_doubt: false, ..failed })?;
    let receipt = layout.receipt(now.revision, number);
    let leave = |what: &[u8]| TxnOp::put(receipt.as_slice(), what, None);
    let first = || Compare::create_revision(receipt.as_slice(), CompareOp::Equal, 0);
    let otherwise = Txn::new()
        .when([first()])
        .and_then([leave(NOT_MADE)])
        .or_else([TxnOp::get(receipt.as_slice(), None)]);
    let change = Txn::new()
        .when(std::iter::once(first()).chain(when).collect::<Vec<_>>())
        .and_then(std::iter::once(leave(MADE)).chain(then).collect::<Vec<_>>())
        .or_else([TxnOp::txn(otherwise)]);
    let answer = match room {
        Room::Takes => link.txn(deadline, &change).await,
        Room::Frees => link.txn_into_full(deadline, change).await,
    };
    match answer {
        Ok(answer) if answer.succeeded() => Ok(true),
        Ok(answer) => match answer.op_responses().pop() {
            Some(TxnOpResponse::Txn(otherwise)) if otherwise.succeeded() => Ok(false),
            Some(TxnOpResponse::Txn(otherwise)) => match otherwise.op_responses().pop() {
                Some(TxnOpResponse::Get(found)) => {
                    Ok(found.kvs().iter().any(|kv| kv.value() == MADE))
                }
                _ => Err(Failed { fault: reply::in_part(), in_doubt: true }),
            },
            _ => Err(Failed { fault: reply::in_part(), in_doubt: true }),
        },
        // etcd may carry a transaction out and then say that there was no room for it.
        Err(Failed { fault: Fault::SpaceAlarm, in_doubt: false }) => {
            let look = vec![TxnOp::get(receipt, None)];
            let in_doubt = |_| Failed { fault: Fault::SpaceAlarm, in_doubt: true };
            let found = reply::read(link, deadline, Ask::Led, look).await.map_err(in_doubt)?;
            match found.ranges.iter().find_map(|range| range.kvs.first()) {
                Some(kv) => Ok(kv.value == MADE),
                None => Err(Failed { fault: Fault::SpaceAlarm, in_doubt: false }),
            }
        }
        Err(failed) => Err(failed),
    }
}

const MADE: &[u8] = b"made";
const NOT_MADE: &[u8] = b"not made";

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use etcd_client::{AlarmAction, AlarmType, Client, GetOptions};
    use kvsd::TableName;

    use super::super::cluster::Cluster;
    use super::super::layout::Layout;
    use super::super::lossy::Lossy;
    use super::super::{EtcdConfig, EtcdEngine};
    use crate::engine::{Engine, EngineError};
    use crate::users::{Grants, StoredHash, UserName, UserStore, Users};

    /// A way that loses the answer to the first request that names the key twice: a change of it.
    async fn way(cluster: &Cluster, key: &'static [u8]) -> (Lossy, Arc<EtcdEngine>) {
        let lossy = Lossy::to(cluster.endpoint(0), key, 2).await;
        lossy.arm();
        let engine = open(&lossy.endpoint).await;
        (lossy, engine)
    }

    async fn open(endpoint: &str) -> Arc<EtcdEngine> {
        let mut config = EtcdConfig::new(vec![format!("http://{endpoint}")]);
        config.timeout = Duration::from_secs(30);
        Arc::new(EtcdEngine::open(config).await.unwrap())
    }

    fn table() -> TableName {
        TableName::parse("once").unwrap()
    }

    /// Waits until the table is there, or is not.
    async fn wait_for_table(engine: &EtcdEngine, is_there: bool) {
        while engine.tables().await.unwrap().contains(&table()) != is_there {}
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_table_that_was_made_and_dropped_is_not_made_again() {
        let Some(cluster) = Cluster::start(1).await else { return };
        let (other, (lossy, maker)) =
            (open(&cluster.endpoint(0)).await, way(&cluster, b"t/once").await);
        let made = tokio::spawn(async move { maker.create_table(&table()).await });
        wait_for_table(&other, true).await;
        assert_eq!(other.drop_table(&table()).await, Ok(true));
        lossy.cut();
        assert_eq!(made.await.unwrap(), Ok(true));
        assert_eq!(other.tables().await.unwrap(), [], "it is there again");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_has_dropped_a_table_is_told_so_although_another_was_made_since() {
        let Some(cluster) = Cluster::start(1).await else { return };
        let (other, (lossy, dropper)) =
            (open(&cluster.endpoint(0)).await, way(&cluster, b"t/once").await);
        assert_eq!(other.create_table(&table()).await, Ok(true));
        let dropped = tokio::spawn(async move { dropper.drop_table(&table()).await });
        wait_for_table(&other, false).await;
        assert_eq!(other.create_table(&table()).await, Ok(true));
        lossy.cut();
        assert_eq!(dropped.await.unwrap(), Ok(true));
        assert_eq!(other.tables().await.unwrap(), [table()], "the later one was dropped");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn in_a_full_store_no_table_is_made_but_dropped() {
        let Some(cluster) = Cluster::start(1).await else { return };
        let engine = open(&cluster.endpoint(0)).await;
        assert_eq!(engine.create_table(&table()).await, Ok(true));
        let mut client = Client::connect([cluster.endpoint(0)], None).await.unwrap();
        // A watch looks through all slots to find the last write: receipts are none of them.
        let layout = Layout::new("kvsd");
        for (range, expected) in [(layout.slots(), 0), (layout.receipts_until(i64::MAX), 1)] {
            let all = GetOptions::new().with_range(range.end).with_count_only();
            assert_eq!(client.get(range.start, Some(all)).await.unwrap().count(), expected);
        }
        client.alarm(AlarmAction::Activate, AlarmType::Nospace, None).await.unwrap();
        let made = engine.create_table(&TableName::parse("other").unwrap()).await;
        let dropped = engine.drop_table(&table()).await;
        assert!(matches!(made, Err(EngineError::StoreFull { .. })), "{made:?}");
        assert_eq!(dropped, Ok(true));
        assert_eq!(engine.tables().await.unwrap(), []);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_user_that_was_removed_does_not_come_back() {
        const HASH: &str = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$\
                            Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8";
        let eve = || UserName::parse("eve").unwrap();
        let Some(cluster) = Cluster::start(1).await else { return };
        let other = open(&cluster.endpoint(0)).await.users();
        let (lossy, adder) = way(&cluster, b"u/eve").await;
        let adder = adder.users();
        let added = tokio::spawn(async move {
            let hash = StoredHash::parse(HASH).unwrap();
            adder.edit(&|users: &mut Users| users.add(eve(), hash.clone(), Grants::default())).await
        });
        while other.load().await.unwrap().users.iter().next().is_none() {}
        other.edit(&|users: &mut Users| users.remove(&eve())).await.unwrap();
        lossy.cut();
        added.await.unwrap().unwrap();
        assert_eq!(other.load().await.unwrap().users.iter().count(), 0, "she is there again");
    }
}
