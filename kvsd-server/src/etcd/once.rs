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
    when: Vec<Compare>,
    then: Vec<TxnOp>,
) -> Result<bool, Failed> {
    let number = getrandom::u64().map_err(|error| Failed {
        fault: Fault::Other { endpoint: "this machine".to_owned(), cause: error.to_string() },
        in_doubt: false,
    })?;
    let receipt = layout.slot(number);
    let leave = |what: &[u8]| TxnOp::put(receipt.as_slice(), what, None);
    let first = Compare::create_revision(receipt.as_slice(), CompareOp::Equal, 0);
    let made = std::iter::once(leave(MADE)).chain(then).collect::<Vec<_>>();
    let change = Txn::new().when(when).and_then(made).or_else([leave(NOT_MADE)]);
    let txn = Txn::new()
        .when([first])
        .and_then([TxnOp::txn(change)])
        .or_else([TxnOp::get(receipt.as_slice(), None)]);
    match link.txn(deadline, &txn).await {
        Ok(answer) => match answer.op_responses().pop() {
            Some(TxnOpResponse::Txn(change)) => Ok(change.succeeded()),
            Some(TxnOpResponse::Get(found)) => Ok(found.kvs().iter().any(|kv| kv.value() == MADE)),
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
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use kvsd::TableName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;

    use super::super::cluster::Cluster;
    use super::super::{EtcdConfig, EtcdEngine};
    use crate::engine::Engine;
    use crate::users::{Grants, StoredHash, UserName, UserStore, Users};

    /// A way to a member that loses the answer to a request.
    struct Lossy {
        endpoint: String,
        /// Whether it loses the answer to the next request that names the key twice: a change of it.
        is_armed: Arc<AtomicBool>,
        /// Breaks the connections, after which the request is sent again.
        cut: watch::Sender<()>,
    }

    impl Lossy {
        async fn to(member: String, key: &'static [u8]) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = listener.local_addr().unwrap().to_string();
            let is_armed = Arc::new(AtomicBool::new(true));
            let (cut, cuts) = watch::channel(());
            let armed = Arc::clone(&is_armed);
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    let server = TcpStream::connect(&member).await.unwrap();
                    let (armed, mut cuts) = (Arc::clone(&armed), cuts.clone());
                    cuts.mark_unchanged();
                    tokio::spawn(async move {
                        tokio::select! {
                            () = pass(client, server, key, &armed) => {}
                            _ = cuts.changed() => {}
                        }
                    });
                }
            });
            Self { endpoint, is_armed, cut }
        }

        async fn engine(&self) -> Arc<EtcdEngine> {
            open(&self.endpoint).await
        }

        /// Has the request sent again whose answer was lost.
        fn cut(&self) {
            assert!(!self.is_armed.load(Ordering::SeqCst), "no answer was lost");
            self.cut.send_replace(());
        }
    }

    async fn pass(mut client: TcpStream, mut server: TcpStream, key: &[u8], armed: &AtomicBool) {
        let is_silent = AtomicBool::new(false);
        let ((mut requests, mut answers), (mut told, mut asked)) = (client.split(), server.split());
        let there = async {
            let mut buffer = vec![0; 1 << 20];
            while let Ok(read @ 1..) = requests.read(&mut buffer).await {
                let named = buffer[..read].windows(key.len()).filter(|part| *part == key).count();
                if named >= 2 && armed.swap(false, Ordering::SeqCst) {
                    is_silent.store(true, Ordering::SeqCst);
                }
                if asked.write_all(&buffer[..read]).await.is_err() {
                    break;
                }
            }
        };
        let back = async {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(read @ 1..) = told.read(&mut buffer).await {
                if !is_silent.load(Ordering::SeqCst)
                    && answers.write_all(&buffer[..read]).await.is_err()
                {
                    break;
                }
            }
        };
        tokio::select! { () = there => {} () = back => {} }
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
        let lossy = Lossy::to(cluster.endpoint(0), b"t/once").await;
        let (other, maker) = (open(&cluster.endpoint(0)).await, lossy.engine().await);
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
        let lossy = Lossy::to(cluster.endpoint(0), b"t/once").await;
        let (other, dropper) = (open(&cluster.endpoint(0)).await, lossy.engine().await);
        assert_eq!(other.create_table(&table()).await, Ok(true));
        let dropped = tokio::spawn(async move { dropper.drop_table(&table()).await });
        wait_for_table(&other, false).await;
        assert_eq!(other.create_table(&table()).await, Ok(true));
        lossy.cut();
        assert_eq!(dropped.await.unwrap(), Ok(true));
        assert_eq!(other.tables().await.unwrap(), [table()], "the later one was dropped");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_user_that_was_removed_does_not_come_back() {
        const HASH: &str = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$\
                            Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8";
        let eve = || UserName::parse("eve").unwrap();
        let Some(cluster) = Cluster::start(1).await else { return };
        let lossy = Lossy::to(cluster.endpoint(0), b"u/eve").await;
        let other = open(&cluster.endpoint(0)).await.users();
        let adder = lossy.engine().await.users();
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
