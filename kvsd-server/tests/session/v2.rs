//! Version 2 on the log engine: what a pipe and a map cannot show.

use std::ops::Bound;

use bytes::{Buf, BytesMut};
use kvsd::protocol::frame::{Decoder, FrameLimits, Message};
use kvsd::protocol::v2::{
    Action, Change, Condition, Detail, Expiry, Freshness, Order, Position, Previous, Reply,
    Request, RequestId, Scan, Select, Watch,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::Running;

/// A client of version 2 that has been let in.
struct Peer {
    stream: TcpStream,
    buffer: BytesMut,
    decoder: Decoder,
}

impl Peer {
    async fn connect(server: &Running) -> Self {
        let mut stream = server.connect().await;
        stream.write_all(b"*6\r\n#H:0\r\n:2\r\n:2\r\n||").await.unwrap();
        let limits = FrameLimits { message_bytes: 1 << 24, frames: 1 << 14, line_bytes: 1024 };
        let mut peer = Self { stream, buffer: BytesMut::new(), decoder: Decoder::new(limits) };
        assert_eq!(peer.next(|message| message.kind()).await, b'h');
        peer
    }

    /// The next message.
    async fn next<T>(&mut self, take: impl Fn(&Message<'_>) -> T) -> T {
        loop {
            let message = self.decoder.decode(&self.buffer).unwrap();
            if let Some((length, taken)) = message.map(|it| (it.byte_len(), take(&it))) {
                self.buffer.advance(length);
                return taken;
            }
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert_ne!(read, 0, "closed where an answer was due");
        }
    }

    async fn send(&mut self, id: u64, request: &Request<'_>) {
        let mut bytes = BytesMut::new();
        request.encode(RequestId::new(id).unwrap(), &mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next answer.
    async fn answer<T>(&mut self, take: impl Fn(Option<u64>, Reply<'_>) -> T) -> T {
        self.next(|message| {
            let (id, reply) = Reply::parse(message).unwrap();
            take(id.map(RequestId::get), reply.unwrap())
        })
        .await
    }

    /// Asks, and has the answer as it shows itself.
    async fn ask(&mut self, request: &Request<'_>) -> String {
        self.send(7, request).await;
        self.answer(|id, reply| {
            assert_eq!(id, Some(7), "{reply:?}");
            format!("{reply:?}")
        })
        .await
    }

    async fn keys(&mut self, scan: Scan<'_>) -> String {
        self.send(7, &Request::Scan(scan)).await;
        let text = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
        self.answer(|_, reply| match reply {
            Reply::Page(page) => page.records.iter().map(|record| text(record.key)).collect(),
            other => panic!("{other:?}"),
        })
        .await
    }

    async fn news(&mut self) -> (Position, Vec<Vec<u8>>) {
        self.answer(|_, reply| match reply {
            Reply::News(news) => {
                (news.until, news.changes.iter().map(|change| change.key.to_vec()).collect())
            }
            other => panic!("{other:?}"),
        })
        .await
    }

    async fn position(&mut self) -> Position {
        self.send(7, &watch(None, Select::All)).await;
        self.news().await.0
    }
}

fn set<'a>(key: &'a [u8], value: &'a [u8]) -> Request<'a> {
    let (condition, previous) = (Condition::Any, Previous::Omit);
    Request::Set { table: "t", key, value, condition, expiry: None, previous }
}

fn watch<'a>(since: Option<Position>, select: Select<'a>) -> Request<'a> {
    Request::Watch(Watch { table: "t", since, wait_millis: 30_000, select })
}

const ALL: Scan<'_> = Scan {
    table: "t",
    from: Bound::Unbounded,
    to: Bound::Unbounded,
    order: Order::Ascending,
    detail: Detail::Keys,
    limit: None,
    freshness: Freshness::Latest,
    at: None,
};

#[tokio::test]
async fn a_table_is_made_filled_read_measured_and_dropped() {
    let server = Running::start(|_| {}).await;
    let mut peer = Peer::connect(&server).await;
    assert_eq!(peer.ask(&Request::CreateTable { table: "t" }).await, "Flag(true)");
    let change = |key, condition, action| Change { key, condition, action };
    let value = Action::Set { value: b"v", expiry: None };
    let batch = |changes| Request::Batch { table: "t", changes };
    let reply = peer
        .ask(&batch(vec![
            change(b"a", Condition::Absent, value),
            change(b"b", Condition::Any, value),
            change(b"n", Condition::Any, Action::Increment { by: 41 }),
        ]))
        .await;
    assert!(reply.starts_with("Batch { version: Some(") && reply.contains("Some(41)"), "{reply}");
    let reply = peer
        .ask(&batch(vec![
            change(b"c", Condition::Any, value),
            change(b"a", Condition::Absent, Action::Check),
        ]))
        .await;
    assert!(reply.starts_with("Conflict") && reply.ends_with("change: 1 }"), "{reply}");

    let hour = kvsd::UnixMillis::new(3_600_000).unwrap();
    let reply = peer
        .ask(&Request::Pipeline(vec![
            Request::Get { table: "t", key: b"c", freshness: Freshness::Latest },
            Request::Increment { table: "t", key: b"n", by: 1, condition: Condition::Any },
            Request::Get { table: "t", key: b"n", freshness: Freshness::Latest },
            Request::Expire {
                table: "t",
                key: b"a",
                expiry: Some(Expiry::After(hour)),
                condition: Condition::Present,
            },
            Request::Lifetime { table: "t", key: b"a", freshness: Freshness::Latest },
        ]))
        .await;
    for part in ["Value(None)", "value: 42 }", "2 byte value", "before: Present", "Left { millis: "]
    {
        assert!(reply.contains(part), "{part}: {reply}");
    }

    let b = &b"b"[..];
    for (scan, keys) in [
        (ALL, "abn"),
        (Scan { order: Order::Descending, ..ALL }, "nba"),
        (Scan { limit: Some(2), ..ALL }, "ab"),
        (Scan { from: Bound::Excluded(b), ..ALL }, "n"),
        (Scan { from: Bound::Excluded(b), to: Bound::Excluded(b), ..ALL }, ""),
        (Scan { from: Bound::Included(b), to: Bound::Included(b"a"), ..ALL }, ""),
    ] {
        assert_eq!(peer.keys(scan).await, keys, "{scan:?}");
    }
    let reply = peer.ask(&Request::Statistics { table: "t" }).await;
    assert!(reply.contains("keys: 3,"), "{reply}");
    let reply = peer.ask(&Request::Tables { after: None }).await;
    assert_eq!(reply, "Tables(Names { more: false, names: [\"t\"] })");
    assert_eq!(peer.ask(&Request::DropTable { table: "t" }).await, "Flag(true)");
    assert_eq!(peer.ask(&Request::Statistics { table: "t" }).await, "Statistics(None)");
    server.end().await;
}

#[tokio::test]
async fn a_watch_follows_a_table_through_its_drop() {
    let server = Running::start(|_| {}).await;
    let (mut peer, mut writer) = (Peer::connect(&server).await, Peer::connect(&server).await);
    // Before there is a table, and behind each of its changes.
    let mut since = peer.position().await;
    for key in [&b"k/1"[..], b"k/2", b"k/3"] {
        peer.send(1, &watch(Some(since), Select::Prefix(b"k/"))).await;
        writer.ask(&set(b"other", b"v")).await;
        writer.ask(&set(key, b"v")).await;
        let (until, changes) = peer.news().await;
        assert_eq!(changes, [key.to_vec()]);
        since = until;
    }
    assert_eq!(since, peer.position().await);
    peer.send(1, &watch(Some(since), Select::All)).await;
    assert_eq!(writer.ask(&Request::DropTable { table: "t" }).await, "Flag(true)");
    let gap = peer.answer(|_, reply| format!("{reply:?}")).await;
    assert_eq!(gap, "Gap { now: Position { incarnation: None, version: 0 } }");

    writer.ask(&set(b"anew", b"v")).await;
    since = peer.position().await;
    assert!(since.incarnation.is_some());
    peer.send(1, &watch(Some(since), Select::All)).await;
    peer.send(1, &Request::Cancel).await;
    assert_eq!(peer.news().await, (since, Vec::new()));
    server.end().await;
}

#[tokio::test]
async fn a_stop_ends_all_waits_and_tells_where_to_go_on() {
    let server = Running::start(|_| {}).await;
    let mut peer = Peer::connect(&server).await;
    peer.ask(&set(b"k", b"v")).await;
    let since = peer.position().await;
    for id in 100..200 {
        peer.send(id, &watch(Some(since), Select::All)).await;
    }
    assert!(peer.ask(&Request::Ping).await.starts_with("Pong"));
    let (_folder, ending) = server.stop();
    for _ in 0..100 {
        assert_eq!(peer.news().await, (since, Vec::new()));
    }
    let last = peer.answer(|id, reply| format!("{id:?} {reply:?}")).await;
    assert!(last.starts_with("None Fail { code: Closing"), "{last}");
    drop(peer);
    ending.await.unwrap().unwrap();
}
