//! What is answered to whom, and whether the numbers are what the document says.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode};
use kvsd::{TableName, UnixMillis};

use super::*;
use crate::engine::{
    Changes, Description, Engine, EngineError, Figures, Freshness, Head, Health, Limits,
    PageLimits, Position, ReadNow, Record, RemoteFigures, Scan, ScanPage, TableStatistics, Write,
    WriteResult,
};
use crate::log::{LogConfig, LogEngine, OpenProgress};
use crate::metrics::{Measure, Metrics, Operation, Outcome, Refusal};

fn status() -> Status {
    let metrics = Metrics::new(Measure::Operations, Duration::from_millis(100));
    Status::new(Arc::new(metrics), 1024, Arc::default())
}

async fn ask(status: &Status, method: Method, host: &str, target: &str) -> (StatusCode, String) {
    let request = Request::builder().method(method).uri(target).header("host", host);
    body(answer::answer(&request.body(()).unwrap(), None, &[], status).await).await
}

async fn get(status: &Status, path: &str) -> (StatusCode, String) {
    ask(status, Method::GET, "localhost:7380", path).await
}

async fn body(answer: Response<http_body_util::Full<hyper::body::Bytes>>) -> (StatusCode, String) {
    let status = answer.status();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn it_is_ready_while_it_serves_and_tells_before_that_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let config = LogConfig::new(folder.path());
    let engine = LogEngine::open(config).unwrap();
    for name in ["orders", "users"] {
        engine.create_table(&TableName::parse(name).unwrap()).await.unwrap();
    }
    engine.close().await.unwrap();
    drop(engine);

    let progress = Arc::new(OpenProgress::default());
    let status = Status::new(Arc::default(), 1024, Arc::clone(&progress));
    let ready = get(&status, "/readyz").await;
    assert_eq!(
        ready,
        (StatusCode::SERVICE_UNAVAILABLE, "opening: 0 of 0 tables are open\n".into())
    );
    let config = LogConfig { progress, ..LogConfig::new(folder.path()) };
    let engine: Arc<dyn Engine> = Arc::new(LogEngine::open(config).unwrap());
    let ready = get(&status, "/readyz").await;
    assert_eq!(
        ready,
        (StatusCode::SERVICE_UNAVAILABLE, "opening: 2 of 2 tables are open\n".into())
    );
    status.serve(&engine, &Arc::default());
    assert_eq!(get(&status, "/readyz").await, (StatusCode::OK, "ready\n".into()));
    assert!(get(&status, "/metrics").await.1.contains("\nkvsd_ready 1\n"));
    status.stop();
    let ready = get(&status, "/readyz").await;
    assert_eq!(ready, (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".into()));
    assert_eq!(get(&status, "/healthz").await, (StatusCode::OK, "ok\n".into()));
    engine.close().await.unwrap();
}

/// An engine of which nothing but its health is asked.
#[derive(Debug)]
struct Ailing(Health);

#[async_trait]
impl Engine for Ailing {
    fn description(&self) -> Description {
        Description {
            name: "etcd",
            durability: "replicated",
            limits: Limits::NONE,
            reads_at_once: 1,
        }
    }

    fn health(&self) -> Health {
        self.0.clone()
    }

    fn time(&self, _: &str) -> UnixMillis {
        unreachable!()
    }

    fn read_now<'b>(&self, _: &str, _: &[u8], _: &'b mut Vec<u8>) -> ReadNow<'b> {
        unreachable!()
    }

    async fn read(&self, _: &str, _: &[u8], _: Freshness) -> Result<Option<Record>, EngineError> {
        unreachable!()
    }

    fn find_now(
        &self,
        _: &str,
        _: &[u8],
        _: &mut Vec<u8>,
    ) -> Option<Result<Option<Head>, EngineError>> {
        unreachable!()
    }

    async fn find(&self, _: &str, _: &[u8], _: Freshness) -> Result<Option<Head>, EngineError> {
        unreachable!()
    }

    async fn scan(&self, _: &str, _: &Scan) -> Result<ScanPage, EngineError> {
        unreachable!()
    }

    async fn changes(&self, _: &str, _: Position, _: PageLimits) -> Result<Changes, EngineError> {
        unreachable!()
    }

    async fn changed(&self, _: &str, _: Position) {
        unreachable!()
    }

    async fn write(&self, _: &TableName, _: Vec<Write>) -> Vec<WriteResult> {
        unreachable!()
    }

    async fn create_table(&self, _: &TableName) -> Result<bool, EngineError> {
        unreachable!()
    }

    async fn drop_table(&self, _: &TableName) -> Result<bool, EngineError> {
        unreachable!()
    }

    async fn tables(&self) -> Result<Vec<TableName>, EngineError> {
        unreachable!()
    }

    async fn table_statistics(&self, _: &str) -> Result<Option<TableStatistics>, EngineError> {
        unreachable!()
    }

    async fn close(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

#[tokio::test]
async fn an_engine_that_cannot_serve_is_not_ready_and_whoever_asks_is_told_why() {
    let reason = || "the cluster has no quorum".to_owned();
    for (health, code, ready, healthy, metrics) in [
        (
            Health::NotReady { reason: reason() },
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: the cluster has no quorum\n",
            "ok, not ready: the cluster has no quorum\n",
            ["kvsd_ready 0\n", "kvsd_degraded 1\n"],
        ),
        (
            Health::Degraded { reason: reason() },
            StatusCode::OK,
            "ready, degraded: the cluster has no quorum\n",
            "ok, degraded: the cluster has no quorum\n",
            ["kvsd_ready 1\n", "kvsd_degraded 1\n"],
        ),
    ] {
        let status = status();
        let engine: Arc<dyn Engine> = Arc::new(Ailing(health));
        status.serve(&engine, &Arc::default());
        assert_eq!(get(&status, "/readyz").await, (code, ready.to_owned()));
        assert_eq!(get(&status, "/healthz").await, (StatusCode::OK, healthy.to_owned()));
        let (_, page) = get(&status, "/metrics").await;
        assert!(metrics.iter().all(|line| page.contains(&format!("\n{line}"))), "{page}");
        let (_, json) = get(&status, "/status.json").await;
        assert!(json.contains("the cluster has no quorum"), "{json}");
    }
}

#[tokio::test]
async fn a_foreign_name_is_answered_nothing_whatever_it_asks_for() {
    let status = status();
    for path in ["/", "/status.json", "/metrics", "/healthz", "/readyz", "/other"] {
        for host in ["evil.example", "evil.example:7380", ""] {
            let (code, said) = ask(&status, Method::GET, host, path).await;
            assert_eq!(code, StatusCode::MISDIRECTED_REQUEST, "{host} {path}");
            assert!(said.contains("status_hosts") && !said.contains("evil"), "{said}");
        }
    }
    let (code, _) = ask(&status, Method::GET, "localhost", "http://evil.example/metrics").await;
    assert_eq!(code, StatusCode::MISDIRECTED_REQUEST, "the request line counts, too");
    let twice = Request::builder().uri("/").header("host", "localhost").header("host", "evil");
    let answered = answer::answer(&twice.body(()).unwrap(), None, &[], &status).await;
    assert_eq!(answered.status(), StatusCode::MISDIRECTED_REQUEST);
    let nameless = Request::builder().uri("/").body(()).unwrap();
    let answered = answer::answer(&nameless, None, &[], &status).await;
    assert_eq!(answered.status(), StatusCode::MISDIRECTED_REQUEST);
    let named = [StatusHost::of("evil.example")];
    let request = Request::builder().uri("/").header("host", "evil.example").body(()).unwrap();
    let answered = answer::answer(&request, None, &named, &status).await;
    assert_eq!(answered.status(), StatusCode::OK, "a name that the operator has given");
}

#[tokio::test]
async fn nothing_can_be_asked_for_but_to_see() {
    let status = status();
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
        let (code, _) = ask(&status, method.clone(), "localhost", "/").await;
        assert_eq!(code, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    assert_eq!(get(&status, "/../etc/passwd").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_browser_is_told_to_load_nothing_else_and_to_show_it_in_no_frame() {
    let status = status();
    let mut policies = BTreeSet::new();
    for path in ["/", "/", "/metrics", "/other"] {
        let request = Request::builder().uri(path).header("host", "localhost").body(()).unwrap();
        let answer = answer::answer(&request, None, &[], &status).await;
        let headers = answer.headers();
        let policy = headers["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        policies.insert(policy.clone());
        if path == "/" {
            let page = body(answer).await.1;
            let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
            assert_eq!(page.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
            assert!(!page.contains("{nonce}"));
            for outside in ["http://", "https://", "//cdn", "@import", "url("] {
                let named = page.replace("http://www.w3.org/2000/svg", "");
                assert!(!named.contains(outside), "{outside}");
            }
        }
    }
    assert_eq!(policies.len(), 3, "each page has a word of its own");
}

/// Names, kinds and labels of what is exposed, line by line as the document has them.
fn documented() -> String {
    let row = |family: &text::Family| {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, help) = (family.name, family.kind.label(), family.help);
        format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", "))
    };
    families::ALL.iter().map(|family| row(family)).collect()
}

#[test]
fn the_document_names_every_metric_and_every_word_of_its_labels() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let document = std::fs::read_to_string(path).unwrap();
    let is_row = |line: &&str| line.starts_with("| `kvsd_") || line.starts_with("| `process_");
    let rows: Vec<_> = document.lines().filter(is_row).collect();
    assert_eq!(
        rows,
        documented().lines().collect::<Vec<_>>(),
        "docs/metrics.md:\n{}",
        documented()
    );
    let words = Operation::ALL
        .map(Operation::label)
        .into_iter()
        .chain(Outcome::ALL.map(Outcome::label))
        .chain(Refusal::ALL.map(Refusal::label));
    for word in words {
        assert!(document.contains(&format!("`{word}`")), "docs/metrics.md does not name {word}");
    }
}

#[tokio::test]
async fn every_metric_is_exposed_once_with_its_labels() {
    let folder = tempfile::tempdir().unwrap();
    let engine = LogEngine::open(LogConfig::new(folder.path())).unwrap();
    engine.create_table(&TableName::parse("orders").unwrap()).await.unwrap();
    let engine: Arc<dyn Engine> = Arc::new(engine);
    let status = status();
    status.serve(&engine, &Arc::default());
    let (_, mut page) = get(&status, "/metrics").await;
    // What an engine adds whose data others keep.
    let figures = Figures { remote: Some(RemoteFigures::default()), ..Figures::default() };
    let mut store = text::Text::default();
    exposition::about_store(&mut store, &figures);
    page.push_str(&store.finish());
    let exposed: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let declared = |family: &&text::Family| format!("{} {}", family.name, family.kind.label());
    let declared: BTreeSet<_> = families::ALL.iter().map(declared).collect();
    assert_eq!(exposed.len(), declared.len());
    assert_eq!(exposed.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), declared);
    for family in families::ALL {
        let sample = page.lines().find(|line| {
            line.strip_prefix(family.name).is_some_and(|rest| {
                rest.starts_with(['{', ' ', '_']) && !rest.starts_with("_total")
            })
        });
        let sample = sample.unwrap_or_else(|| panic!("{} has no number", family.name));
        for label in family.labels {
            assert!(sample.contains(&format!("{label}=\"")), "{sample}");
        }
    }
    engine.close().await.unwrap();
}

#[tokio::test]
async fn what_is_not_measured_is_not_shown_as_zero() {
    let metrics = Metrics::new(Measure::Least, Duration::ZERO);
    let status = Status::new(Arc::new(metrics), 1024, Arc::default());
    let (_, page) = get(&status, "/metrics").await;
    assert!(!page.contains("kvsd_requests_total") && !page.contains("kvsd_request_seconds"));
    assert!(page.contains("kvsd_refusals_total{reason=\"garbage\"} 0\n"));
}
