//! Tables as a whole.

use super::*;

#[tokio::test]
async fn tables_are_made_and_dropped_once() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let (create, drop) =
        (Request::CreateTable { table: "users" }, Request::DropTable { table: "users" });
    for (request, answer) in [
        (&drop, "Flag(false)"),
        (&create, "Flag(true)"),
        (&create, "Flag(false)"),
        (&drop, "Flag(true)"),
        (&drop, "Flag(false)"),
    ] {
        assert_eq!(peer.ask(request).await, answer, "to {request:?}");
    }
}

#[tokio::test]
async fn tables_are_named_in_order_a_page_at_a_time() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    for number in 0..1005 {
        bench.engine.put(&format!("t{number:04}"), b"k", Vec::new());
    }
    let mut names = async |after: Option<&str>| {
        peer.request(1, &Request::Tables { after }).await;
        peer.answer(1, |reply| match reply {
            Reply::Tables(page) => {
                (page.more, page.names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
            }
            other => panic!("{other:?}"),
        })
        .await
    };
    let (more, first) = names(None).await;
    assert!(more && first.len() == 1000 && first[0] == "t0000");
    let (more, second) = names(Some(&first[999])).await;
    assert!(!more && second == ["t1000", "t1001", "t1002", "t1003", "t1004"], "{second:?}");
    // What it goes on behind need not be a table.
    assert_eq!(names(Some("t1003x")).await.1, ["t1004"]);
    assert_eq!(names(Some("z")).await, (false, Vec::new()));
}

#[tokio::test]
async fn a_table_tells_how_much_it_holds() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    let statistics = Request::Statistics { table: "users" };
    assert_eq!(peer.ask(&statistics).await, "Statistics(None)");
    bench.engine.put("users", b"key", b"value".to_vec());
    let reply = peer.ask(&statistics).await;
    for part in ["keys: 1", "live_bytes: 8", "last_version: Some(Version(1))", "stopped: None"] {
        assert!(reply.contains(part), "{reply}");
    }
}

#[tokio::test]
async fn a_bad_name_and_a_failing_engine_are_told_apart() {
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    fn of(table: &str) -> [Request<'_>; 3] {
        [
            Request::CreateTable { table },
            Request::DropTable { table },
            Request::Statistics { table },
        ]
    }
    for table in ["", "a/b", "..", "a\u{0}"] {
        for request in of(table) {
            let reply = peer.ask(&request).await;
            assert!(reply.contains("Invalid") && reply.contains("a table name"), "{reply}");
        }
    }
    bench.engine.fail(crate::engine::EngineError::TooManyTables { limit: 3 });
    for request in of("users").into_iter().chain([Request::Tables { after: None }]) {
        let reply = peer.ask(&request).await;
        assert!(reply.contains("TooManyTables") && reply.contains("drop one"), "{reply}");
    }
}

#[tokio::test]
async fn a_few_tables_at_a_time_are_made_or_dropped_and_none_is_refused() {
    const TABLES: u64 = 100;
    let bench = Bench::new();
    let mut peer = bench.connect_v2().await;
    bench.engine.hold();
    for id in 0..TABLES {
        let (new, old) = (format!("new{id}"), format!("old{id}"));
        bench.engine.put(&old, b"k", Vec::new());
        peer.request(2 * id, &Request::CreateTable { table: &new }).await;
        peer.request(2 * id + 1, &Request::DropTable { table: &old }).await;
    }
    // What changes no table passes them.
    assert_eq!(peer.ask(&Request::Statistics { table: "t1" }).await, "Statistics(None)");
    assert!(peer.ask(&Request::Tables { after: None }).await.starts_with("Tables"));
    assert_eq!(bench.engine.waiting(), 4, "changes of tables are under way");
    bench.engine.release();
    let mut done = Vec::new();
    for _ in 0..2 * TABLES {
        let (id, reply) = peer.reply().await;
        assert_eq!(reply, "Flag(true)", "each was made or dropped");
        done.extend(id);
    }
    done.sort_unstable();
    assert_eq!(done, (0..2 * TABLES).collect::<Vec<_>>());
}
