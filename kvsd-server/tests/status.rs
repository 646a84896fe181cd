//! The status page and `/metrics` of a server that serves, over real sockets, and in a browser.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the right answer to a surprise")]

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use kvsd::Client;
use kvsd_server::{Config, ServeError, Server};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Running {
    status: SocketAddr,
    url: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), ServeError>>,
    _folder: TempDir,
}

impl Running {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.dev = true;
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.status_listen = Some("127.0.0.1:0".parse().unwrap());
        config.data_dir = folder.path().join("data");
        change(&mut config);
        let server = Server::bind(config.check().unwrap()).await.unwrap();
        let status = server.status_addr().unwrap();
        let url = format!("kvsd://{}", server.local_addr());
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        Self { status, url, stop, serving, _folder: folder }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.url).await.unwrap()
    }

    /// The body of the answer to a GET; the head must be this.
    async fn get(&self, path: &str, head: &str) -> String {
        let (address, path) = (self.status, path.to_owned());
        let answer = tokio::task::spawn_blocking(move || exchange(address, &request(&path)));
        let answer = String::from_utf8(answer.await.unwrap().unwrap()).unwrap();
        let (got, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(got.starts_with(head), "{got}");
        body.to_owned()
    }

    async fn metrics(&self) -> Samples {
        Samples::parse(&self.get("/metrics", "HTTP/1.1 200 OK\r\n").await)
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap().unwrap();
    }
}

fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").into_bytes()
}

/// Sends bytes, and reads to the end.
fn exchange(address: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Every sample of an exposition, by its name with labels, after a check of its form.
struct Samples(BTreeMap<String, f64>);

impl Samples {
    /// Reads the text format strictly: a HELP and a TYPE before the samples of a metric, all of them
    /// together and none twice, histograms whole and ascending.
    fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends");
        let mut samples = BTreeMap::new();
        let mut types: HashMap<String, String> = HashMap::new();
        let (mut helped, mut family) = (String::new(), String::new());
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(!help.is_empty() && is_name(name), "{line}");
                helped = name.to_owned();
                continue;
            }
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(name, helped, "HELP before TYPE");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                let before = types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "{name} comes in one piece");
                family = name.to_owned();
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let rest = name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line}"));
            let allowed: &[&str] = match types[&family].as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            assert!(allowed.contains(&rest), "{line}");
            check_labels(labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}")), line);
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert_eq!(samples.insert(series.to_owned(), value), None, "{series} comes once");
        }
        let samples = Self(samples);
        for (name, _) in types.iter().filter(|(_, kind)| *kind == "histogram") {
            samples.check_histogram(name, text);
        }
        samples
    }

    fn check_histogram(&self, name: &str, text: &str) {
        let prefix = format!("{name}_bucket{{");
        let mut last: HashMap<String, (f64, f64)> = HashMap::new();
        for line in text.lines().filter(|line| line.starts_with(&prefix)) {
            let (series, count) = line.rsplit_once(' ').unwrap();
            let (labels, bound) = series[prefix.len()..].rsplit_once("le=\"").unwrap();
            let bound = bound.trim_end_matches("\"}");
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
            let count: f64 = count.parse().unwrap();
            let before = last.insert(labels.to_owned(), (bound, count));
            assert!(before.is_none_or(|(b, c)| b < bound && c <= count), "ascending: {line}");
        }
        assert!(!last.is_empty(), "{name} has buckets");
        for (labels, (bound, count)) in last {
            let labels = labels.trim_end_matches(',');
            let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            assert_eq!(bound, f64::INFINITY, "{name}{labels} ends with all");
            assert_eq!(self.0[&format!("{name}_count{labels}")], count);
            assert!(self.0.contains_key(&format!("{name}_sum{labels}")));
        }
    }

    fn of(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("there is no {series}"))
    }

    fn requests(&self, operation: &str, outcome: &str) -> f64 {
        let labels = format!("{{operation=\"{operation}\",outcome=\"{outcome}\"}}");
        self.of(&format!("kvsd_requests_total{labels}"))
    }
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_allowed) && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// Pairs of a name and a quoted value whose odd characters are escaped.
fn check_labels(mut labels: &str, line: &str) {
    while !labels.is_empty() {
        let (name, rest) = labels.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        assert!(is_name(name), "{line}");
        let mut escaped = false;
        let end = rest.find(|letter| {
            let ends = letter == '"' && !escaped;
            escaped = letter == '\\' && !escaped;
            ends
        });
        let rest = &rest[end.unwrap_or_else(|| panic!("{line}")) + 1..];
        labels = rest.strip_prefix(',').unwrap_or(rest);
        assert!(rest.is_empty() || rest.starts_with(','), "{line}");
    }
}

#[tokio::test]
async fn what_clients_do_is_counted_with_its_outcome_its_time_and_its_table() {
    let server = Running::start(|_| {}).await;
    let client = server.client().await;
    let orders = client.table("orders").unwrap();
    for number in 0..10 {
        orders.set(format!("key-{number}"), "a value of some length").await.unwrap();
    }
    for number in 0..20 {
        let found = orders.get::<String>(&format!("key-{number}")).await.unwrap();
        assert_eq!(found.is_some(), number < 10);
    }
    let kept = orders.set("key-1", "another").if_absent().await.unwrap_err();
    assert!(kept.is_conflict(), "{kept}");
    client.ping().await.unwrap();

    let samples = server.metrics().await;
    assert_eq!(samples.requests("set", "ok"), 10.0);
    assert_eq!(samples.requests("set", "not_applied"), 1.0);
    assert_eq!(samples.requests("get", "ok"), 20.0);
    assert!(samples.requests("ping", "ok") >= 1.0);
    assert_eq!(samples.of("kvsd_request_seconds_count{operation=\"set\"}"), 11.0);
    assert_eq!(samples.of("kvsd_request_seconds_count{operation=\"get\"}"), 20.0);
    assert!(samples.of("kvsd_request_seconds_sum{operation=\"set\"}") > 0.0);
    assert_eq!(samples.of("kvsd_table_keys{table=\"orders\"}"), 10.0);
    assert_eq!(samples.of("kvsd_keys"), 10.0);
    assert!(samples.of("kvsd_live_bytes") > 200.0);
    assert!(samples.of("kvsd_index_bytes") > 0.0);
    assert!(samples.of("kvsd_commit_group_writes_sum") >= 10.0);
    assert!(samples.of("kvsd_sync_seconds_count") >= 1.0);
    assert!(samples.of("kvsd_received_bytes_total") > 500.0);
    assert!(samples.of("kvsd_sent_bytes_total") > 500.0);
    assert!(samples.of("kvsd_connections") >= 1.0);
    assert!(samples.of("kvsd_logins_total") >= 1.0);
    assert_eq!(samples.of("kvsd_requests_in_flight"), 0.0);
    assert_eq!(samples.of("kvsd_ready"), 1.0);
    assert!(samples.of("process_resident_memory_bytes") > 1e6);
    drop((client, orders));
    server.stop().await;
}

#[tokio::test]
async fn whoever_is_refused_is_counted_by_reason() {
    let server = Running::start(|_| {}).await;
    let address = server.url.strip_prefix("kvsd://").unwrap().parse().unwrap();
    tokio::task::spawn_blocking(move || exchange(address, b"GET / HTTP/1.1\r\n\r\n"))
        .await
        .unwrap()
        .unwrap();
    let garbage = "kvsd_refusals_total{reason=\"garbage\"}";
    // It is counted when its connection has ended on the server's side.
    while server.metrics().await.of(garbage) < 1.0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.metrics().await.of(garbage), 1.0);
    server.stop().await;
}

#[tokio::test]
async fn a_slow_request_is_on_the_page_with_its_table_and_without_its_key() {
    let nothing_is_fast = Duration::from_nanos(1);
    let server = Running::start(|config| config.slow_request = nothing_is_fast).await;
    let orders = server.client().await.table("orders").unwrap();
    orders.set("secret-key", "secret-value").await.unwrap();
    orders.get::<String>("secret-key").await.unwrap();
    let json = server.get("/status.json", "HTTP/1.1 200 OK\r\n").await;
    let page: serde_json::Value = serde_json::from_str(&json).unwrap();
    let slow = page["slow"]["last"].as_array().unwrap();
    let of = |operation: &str| slow.iter().find(|row| row["operation"] == operation).unwrap();
    for operation in ["set", "get"] {
        let row = of(operation);
        assert_eq!(row["table"], "orders", "{row}");
        assert!(row["seconds"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["bytes"].as_u64().unwrap() > 20, "{row}");
        assert!(row["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{row}");
    }
    assert_eq!(page["tables"]["largest"][0]["name"], "orders");
    assert_eq!(page["connections"]["busiest"][0]["tls"], false);
    assert!(!json.contains("secret"), "{json}");
    drop(orders);
    server.stop().await;
}

#[tokio::test]
async fn heads_of_any_size_and_connections_that_say_nothing_do_not_keep_others_from_it() {
    let server = Running::start(|_| {}).await;
    let address = server.status;
    let flood = move || {
        // As many as are served at once: nobody else comes in before they are closed.
        let silent: Vec<_> = (0..32).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut large = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec();
        large.resize(1024 * 1024, b'x');
        // It is answered, or the server has had enough and resets it.
        let refused = exchange(address, &large).unwrap_or_default();
        assert!(refused.is_empty() || refused.starts_with(b"HTTP/1.1 4"), "{refused:?}");
        let many = "A: b\r\n".repeat(1000);
        let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
        let refused = exchange(address, many.as_bytes()).unwrap_or_default();
        assert!(refused.is_empty() || refused.starts_with(b"HTTP/1.1 4"), "{refused:?}");
        let answer = exchange(address, &request("/healthz")).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{answer:?}");
        drop(silent);
    };
    tokio::task::spawn_blocking(flood).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_before_the_data_is_touched() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.dev = true;
    config.listen = "127.0.0.1:0".parse().unwrap();
    config.status_listen = Some(taken.local_addr().unwrap());
    config.data_dir = folder.path().join("data");
    let error = Server::bind(config.check().unwrap()).await.unwrap_err();
    assert!(matches!(error, ServeError::StatusListen { .. }), "{error:#}");
    assert!(error.to_string().contains("status page"), "{error:#}");
    assert!(!folder.path().join("data").exists());
}

#[tokio::test]
async fn the_page_stays_until_the_server_has_stopped() {
    let server = Running::start(|_| {}).await;
    let status = server.status;
    server.get("/readyz", "HTTP/1.1 200 OK\r\n").await;
    server.stop().await;
    assert!(TcpStream::connect(status).is_err());
}

/// With `KVSD_TEST_BROWSER` naming a Chromium: what the page shows once its script has run, on a
/// screen and on a phone. With `KVSD_TEST_SCREENSHOTS` naming a folder, pictures of both are left
/// there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_in_a_browser_what_the_server_does() {
    let Some(browser) = std::env::var_os("KVSD_TEST_BROWSER") else {
        return;
    };
    let server = Running::start(|_| {}).await;
    let client = server.client().await;
    let hostile = client.table("a.table-with_odd.name").unwrap();
    hostile.set("user-key", "user-value").await.unwrap();
    let load = tokio::spawn(async move {
        for number in 0_u64.. {
            client.set(format!("key-{}", number % 500), "x".repeat(100)).await.unwrap();
            client.get::<String>(&format!("key-{}", number % 500)).await.unwrap();
        }
    });
    // Until the history has a few steps to draw.
    let steps = async |server: &Running| {
        let json = server.get("/status.json", "HTTP/1.1 200 OK\r\n").await;
        let page: serde_json::Value = serde_json::from_str(&json).unwrap();
        page["history"].as_array().unwrap().len()
    };
    while steps(&server).await < 4 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let pictures = std::env::var_os("KVSD_TEST_SCREENSHOTS")
        .map_or_else(|| folder.path().to_owned(), Into::into);
    let url = format!("http://{}/", server.status);
    for (name, size) in [("desktop", "1280,1500"), ("phone", "500,2600")] {
        let run = |action: String| {
            let mut command = tokio::process::Command::new(&browser);
            command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
            command.args(["--enable-logging=stderr", "--virtual-time-budget=4000"]);
            command.arg(format!("--window-size={size}"));
            command.arg(format!("--user-data-dir={}", folder.path().join(name).display()));
            command.args([action, url.clone()]).kill_on_drop(true).output()
        };
        let picture = pictures.join(format!("status-{name}.png"));
        run(format!("--screenshot={}", picture.display())).await.unwrap();
        assert!(std::fs::metadata(&picture).unwrap().len() > 10_000, "{name}: a picture");
        let shown = run("--dump-dom".to_owned()).await.unwrap();
        let (page, log) = (shown.stdout, shown.stderr);
        let (page, log) = (String::from_utf8_lossy(&page), String::from_utf8_lossy(&log));
        for wanted in
            ["data-shown=\"yes\"", ">serving<", "a.table-with_odd.name", "127.0.0.1:", "<path"]
        {
            assert!(page.contains(wanted), "{name}: no {wanted} in {page}");
        }
        assert!(!page.contains("user-key") && !page.contains("user-value"), "{name}: {page}");
        let complaints = log.lines().filter(|line| line.contains("CONSOLE"));
        assert_eq!(complaints.collect::<Vec<_>>(), Vec::<&str>::new(), "{name}");
    }
    load.abort();
    drop(hostile);
    server.stop().await;
}

const PATIENCE: Duration = Duration::from_secs(30);
