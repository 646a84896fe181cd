//! What is answered to a request: by its method, its Host and its path.
//!
//! Next file to read: `host`, then `exposition`.

use std::fmt::Write;
use std::net::SocketAddr;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::host::is_ours;
use super::state::{Phase, Status};
use super::{exposition, json};
use crate::config::StatusHost;
use crate::engine::Health;

/// Answers a request that came in on that address.
pub(super) async fn answer<B>(
    request: &Request<B>,
    local: Option<SocketAddr>,
    hosts: &[StatusHost],
    status: &Status,
) -> Response<Full<Bytes>> {
    let mut answer = if !is_for_us(request, local, hosts) {
        text(StatusCode::MISDIRECTED_REQUEST, FOREIGN)
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "there is only GET and HEAD here\n");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        refused
    } else {
        match request.uri().path() {
            "/" => page(),
            "/status.json" => match json::page(status).await {
                Ok(json) => respond(StatusCode::OK, "application/json", json),
                Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the server has failed\n"),
            },
            "/metrics" => {
                respond(StatusCode::OK, EXPOSITION, exposition::page(status).await.into_bytes())
            }
            "/healthz" => healthy(status),
            "/readyz" => ready(status),
            _ => text(StatusCode::NOT_FOUND, "there is /, /metrics, /healthz and /readyz\n"),
        }
    };
    for (name, value) in ALWAYS {
        answer.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    answer
}

/// Whether the request was sent to a name of ours, once.
fn is_for_us<B>(request: &Request<B>, local: Option<SocketAddr>, hosts: &[StatusHost]) -> bool {
    let mut named = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (named.next(), named.next()) else {
        return false;
    };
    // Where the request line names one as well, that is the one that counts.
    let target = request.uri().authority().map(|authority| authority.as_str());
    let is_ours = |name: &str| is_ours(name, local, hosts);
    host.to_str().is_ok_and(is_ours) && target.is_none_or(is_ours)
}

/// That the server lives, whatever its engine can do: starting it again would mend nothing.
fn healthy(status: &Status) -> Response<Full<Bytes>> {
    match status.health() {
        Health::Ready => text(StatusCode::OK, "ok\n"),
        Health::Degraded { reason } => text(StatusCode::OK, &format!("ok, degraded: {reason}\n")),
        Health::NotReady { reason } => text(StatusCode::OK, &format!("ok, not ready: {reason}\n")),
    }
}

/// Whether clients are served, and if not, how far the server is.
fn ready(status: &Status) -> Response<Full<Bytes>> {
    match status.phase() {
        Phase::Serving => match status.health() {
            Health::Ready => text(StatusCode::OK, "ready\n"),
            Health::Degraded { reason } => {
                text(StatusCode::OK, &format!("ready, degraded: {reason}\n"))
            }
            Health::NotReady { reason } => {
                text(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready: {reason}\n"))
            }
        },
        Phase::Opening => {
            let (opened, all) = status.progress();
            let how_far = format!("opening: {opened} of {all} tables are open\n");
            text(StatusCode::SERVICE_UNAVAILABLE, &how_far)
        }
        Phase::Stopping => text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}

/// The status page. Its own script and style have a word that no other page can know.
fn page() -> Response<Full<Bytes>> {
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "the system gives no random numbers\n");
    }
    let mut nonce = String::with_capacity(2 * random.len());
    for byte in random {
        // Writing to a string cannot fail.
        let _ = write!(nonce, "{byte:02x}");
    }
    let html = PAGE.replace("{nonce}", &nonce);
    let mut answer = respond(StatusCode::OK, "text/html; charset=utf-8", html.into_bytes());
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", text.as_bytes().to_vec())
}

fn respond(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// What every answer says to browsers: show nothing else, keep nothing, tell nobody.
const ALWAYS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
const FOREIGN: &str = "the status page is not served under this name: ask for an address of this \
                       machine, or list the name in status_hosts\n";
const PAGE: &str = include_str!("page.html");
