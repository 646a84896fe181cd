//! What the client tells of itself: spans, events and figures come as documented, and none holds a
//! key, a value or a password.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use kvsd::testing::{Connects, Faults};
use kvsd::{Change, Client, ErrorKind};
use kvsd_server::Embedded;
use metrics::{CounterFn, GaugeFn, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};
use tracing::field::{Field, Visit};
use tracing::span;

const KEY: &str = "canary-key";
const VALUE: &str = "canary-value";
const PASSWORD: &str = "canary-password";

/// Every operation there is, each ending well and badly, over connections that are lost and
/// refused. In the end the client and the server are closed.
async fn everything(table: &str) {
    let server = Embedded::options().max_value_bytes(2048).temporary().await.unwrap();
    let faults = Faults::seeded(1);
    let client = Client::builder().transport(server.transport()).faults(&faults).pool_size(1);
    let client = client.credentials("app", PASSWORD).connect().await.unwrap();
    let client = client.table(table).unwrap();
    let (patient, soon) = (Duration::from_secs(60), Duration::from_millis(50));

    client.ping().await.unwrap();
    let version = client.set(KEY, VALUE).await.unwrap();
    client.set(KEY, VALUE).if_absent().await.unwrap_err();
    client.set(KEY, VALUE).if_version(version).await.unwrap();
    client.set(KEY, VALUE.repeat(1000)).await.unwrap_err();
    client.set(KEY.repeat(1000), VALUE).await.unwrap_err();
    assert_eq!(client.get::<String>(KEY).await.unwrap().as_deref(), Some(VALUE));
    assert_eq!(client.get::<u64>(KEY).await.unwrap_err().kind(), ErrorKind::Decode);
    client.get::<String>(KEY).versioned().await.unwrap();
    client.exists(KEY).await.unwrap();
    client.delete("other").await.unwrap();
    client.increment("canary-counter", 1).await.unwrap();
    client.increment(KEY, 1).await.unwrap_err();
    client
        .update("canary-counter", |count: Option<i64>| Change::Set(count.unwrap() + 1))
        .await
        .unwrap();
    client.update(KEY, |_: Option<u64>| Change::Keep).await.unwrap_err();
    client.swap::<String>(KEY, VALUE).await.unwrap();
    client.expire(KEY, patient).await.unwrap();
    client.persist(KEY).await.unwrap();
    client.ttl(KEY).await.unwrap();
    client.set_many([(KEY, VALUE)]).await.unwrap();
    client.set_many([(KEY, VALUE), ("", VALUE)]).await.unwrap_err();
    client.get_many::<String>([KEY]).await.unwrap();
    client.delete_many(["canary-gone"]).await.unwrap();
    client.batch().set(KEY, VALUE).delete("canary-gone").await.unwrap();
    client.batch().set(KEY, VALUE).if_absent().await.unwrap_err();
    let mut pipeline = client.pipeline();
    let number = pipeline.increment(KEY, 1);
    pipeline.await.unwrap().take(number).unwrap_err();
    client.statistics().await.unwrap();
    client.tables().await.unwrap();
    client.take::<u64>(KEY).await.unwrap_err();
    assert!(client.table(&format!("{KEY}/")).is_err());

    faults.half_open_all();
    client.set(KEY, VALUE).timeout(soon).await.unwrap_err();
    assert!(tokio::time::timeout(soon, client.get::<String>(KEY)).await.is_err(), "dropped");
    faults.connects(Connects::Refuse);
    faults.cut_all();
    // By the end of this one the client knows that its connection is gone.
    client.exists(KEY).timeout(soon).await.unwrap_err();
    client.set(KEY, VALUE).timeout(soon).await.unwrap_err();
    faults.calm();
    client.get::<String>(KEY).timeout(patient).await.unwrap();

    let url = format!("kvsd://app:{PASSWORD}@host:port");
    assert!(Client::connect(&url).await.is_err());
    client.close().await;
    server.close().await.unwrap();
}

static CAPTURE: LazyLock<Capture> = LazyLock::new(|| {
    let capture = Capture::default();
    tracing::subscriber::set_global_default(capture.clone()).unwrap();
    capture
});

#[tokio::test]
async fn every_operation_is_a_span_with_its_table_its_server_and_its_outcome() {
    let capture = CAPTURE.clone();
    everything("spans").await;
    let spans = capture.spans_of("spans");
    let of = |operation: &str, outcome: &str| {
        let wanted = format!("operation={operation} table=spans address=embedded");
        let outcome = format!("outcome={outcome}");
        spans.iter().filter(|span| span.contains(&wanted) && span.contains(&outcome)).count()
    };
    assert_eq!(of("ping", "ok"), 1, "{spans:#?}");
    assert_eq!(of("set", "ok"), 2);
    // A condition, and an answer that cannot be read.
    assert_eq!((of("set", "refused"), of("get", "refused")), (1, 1));
    // A value and a key that are too long, and a server that refuses connections.
    assert_eq!(of("set", "not_sent"), 3);
    assert_eq!(of("set", "unknown"), 1);
    assert_eq!((of("take", "done"), of("get", "dropped"), of("delete", "ok")), (1, 1, 1));
    for operation in [
        "increment",
        "update",
        "swap",
        "expire",
        "persist",
        "ttl",
        "set_many",
        "get_many",
        "delete_many",
        "batch",
        "pipeline",
        "statistics",
    ] {
        assert_eq!(of(operation, "ok"), 1, "{operation}: {spans:#?}");
    }
    assert_eq!((of("increment", "refused"), of("update", "refused")), (1, 1));
    assert_eq!((of("batch", "refused"), of("set_many", "not_sent")), (1, 1));
    assert!(spans.iter().any(|span| span.contains("error=the deadline passed")));

    let events = capture.lines();
    for event in ["connected", "connection lost", "closed", "cannot connect", "backing off"] {
        let is_there = |line: &String| line.starts_with("kvsd: ") && line.contains(event);
        assert!(events.iter().any(is_there), "no event says: {event}");
    }
}

#[tokio::test]
async fn no_span_and_no_event_of_client_or_server_holds_a_key_a_value_or_a_password() {
    let capture = CAPTURE.clone();
    everything("canaries").await;
    let lines = capture.lines();
    assert!(lines.len() > 30, "too little was captured: {lines:#?}");
    assert_no_canary(&lines);
}

#[tokio::test(flavor = "current_thread")]
async fn figures_come_as_documented_and_hold_no_key() {
    let book = Book::default();
    // The client's tasks run on this thread, the server on its own.
    let _recording = metrics::set_default_local_recorder(&book);
    everything("figures").await;

    let figures = book.figures();
    let of = |name: &str| figures.get(name).copied().unwrap_or_else(|| panic!("no {name}"));
    let operations = |operation: &str, outcome: &str| {
        of(&format!(
            "kvsd_operations_total server=embedded operation={operation} outcome={outcome}"
        ))
    };
    assert_eq!((operations("set", "ok"), operations("set", "not_sent")), (2.0, 3.0));
    assert_eq!((operations("get", "dropped"), operations("take", "done")), (1.0, 1.0));
    assert_eq!(of("kvsd_operation_seconds server=embedded operation=set"), 7.0);
    for gauge in ["kvsd_operations_in_flight", "kvsd_connections_open", "kvsd_connections_opening"]
    {
        assert_eq!(of(&format!("{gauge} server=embedded")), 0.0, "{gauge}");
    }
    let opened = of("kvsd_connections_opened_total server=embedded");
    let lost = of("kvsd_connections_lost_total server=embedded");
    assert!(opened >= 2.0 && lost >= 1.0, "{figures:#?}");
    assert!(of("kvsd_connections_failed_total server=embedded") >= 1.0);
    assert!(of("kvsd_sent_bytes_total server=embedded") > 500.0);
    assert!(of("kvsd_received_bytes_total server=embedded") > 200.0);

    let names: Vec<String> = figures.keys().cloned().collect();
    assert_no_canary(&names);
    let documented = include_str!("../kvsd/src/observe/mod.rs");
    for name in names.iter().filter_map(|name| name.split(' ').next()) {
        assert!(documented.contains(&format!("//! | `{name}` |")), "{name} is not documented");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn an_operation_that_is_sent_again_is_counted_and_told() {
    let book = Book::default();
    let _recording = metrics::set_default_local_recorder(&book);
    let capture = CAPTURE.clone();
    let server = Embedded::temporary().await.unwrap();
    let faults = Faults::seeded(1);
    let client = Client::builder().transport(server.transport()).faults(&faults).pool_size(1);
    let client = client.connect().await.unwrap();
    // On its way when its connection is cut.
    faults.delay(1, Duration::from_secs(3600));
    let mut get = client.get::<String>("k").timeout(Duration::from_secs(60));
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut get).await.is_err());
    faults.calm();
    faults.cut_all();
    assert_eq!(get.await.unwrap(), None);
    assert_eq!(book.figures().get("kvsd_resends_total server=embedded operation=get"), Some(&1.0));
    assert!(capture.lines().iter().any(|line| line.contains("sent again")));
    client.close().await;
    server.close().await.unwrap();
}

fn assert_no_canary(lines: &[String]) {
    for line in lines {
        assert!(!line.contains("canary-"), "{line}");
        assert!(!line.contains("99, 97, 110, 97, 114, 121, 45"), "as bytes: {line}");
    }
}

/// A subscriber that keeps everything, as text.
#[derive(Debug, Clone, Default)]
struct Capture {
    spans: Arc<Mutex<BTreeMap<u64, String>>>,
    events: Arc<Mutex<Vec<String>>>,
    next: Arc<AtomicU64>,
}

impl Capture {
    /// All spans and events.
    fn lines(&self) -> Vec<String> {
        let mut lines = self.events.lock().unwrap().clone();
        lines.extend(self.spans.lock().unwrap().values().cloned());
        lines
    }

    fn spans_of(&self, table: &str) -> Vec<String> {
        let spans = self.spans.lock().unwrap();
        let table = format!(" table={table} ");
        spans.values().filter(|span| span.contains(&table)).cloned().collect()
    }
}

impl tracing::Subscriber for Capture {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let metadata = attributes.metadata();
        let mut text = Text(format!("{}: span {}", metadata.target(), metadata.name()));
        attributes.record(&mut text);
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.spans.lock().unwrap().insert(id, text.0);
        span::Id::from_u64(id)
    }

    fn record(&self, id: &span::Id, values: &span::Record<'_>) {
        let mut spans = self.spans.lock().unwrap();
        let mut text = Text(spans.remove(&id.into_u64()).unwrap());
        values.record(&mut text);
        spans.insert(id.into_u64(), text.0);
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(format!("{}: event", event.metadata().target()));
        event.record(&mut text);
        self.events.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

/// A recorder that keeps every figure by its name and labels: counters and gauges as they are, of a
/// histogram how many values it got.
#[derive(Debug, Clone, Default)]
struct Book(Arc<Mutex<BTreeMap<String, f64>>>);

impl Book {
    fn figures(&self) -> BTreeMap<String, f64> {
        self.0.lock().unwrap().clone()
    }

    fn entry(&self, key: &Key) -> Arc<Entry> {
        let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
        Arc::new(Entry {
            name: key.name().to_owned() + &labels.collect::<String>(),
            book: self.clone(),
        })
    }
}

struct Entry {
    name: String,
    book: Book,
}

impl Entry {
    fn add(&self, amount: f64) {
        *self.book.0.lock().unwrap().entry(self.name.clone()).or_default() += amount;
    }
}

impl CounterFn for Entry {
    fn increment(&self, amount: u64) {
        self.add(amount as f64);
    }

    fn absolute(&self, _: u64) {
        unreachable!("the client's counters only grow");
    }
}

impl GaugeFn for Entry {
    fn increment(&self, amount: f64) {
        self.add(amount);
    }

    fn decrement(&self, amount: f64) {
        self.add(-amount);
    }

    fn set(&self, _: f64) {
        unreachable!("several connections share a gauge");
    }
}

impl HistogramFn for Entry {
    fn record(&self, seconds: f64) {
        assert!((0.0..3600.0).contains(&seconds));
        self.add(1.0);
    }
}

impl metrics::Recorder for Book {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> metrics::Counter {
        metrics::Counter::from_arc(self.entry(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::from_arc(self.entry(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::from_arc(self.entry(key))
    }
}
