//! What an operator sees of a server: numbers for Prometheus, health, and a page for people.
//!
//! HTTP/1 on an address of its own, never on the data port. Whoever asks changes nothing: there are
//! only GET and HEAD, no cookie and no form; a browser that was sent here by another site is turned
//! away by the name that it asked for ([`host`]). Everything that is kept for those who ask is
//! bounded, and what costs something is found out once a second however many ask. Never shows a key
//! or a value.
//!
//! ```text
//! listener -> connection (a few, each with deadlines) -> answer -> { exposition | json | page }
//!                                                          state (phase, engine, roster, history)
//! ```
//!
//! Next file to read: `state`.

mod answer;
mod exposition;
mod families;
mod history;
mod host;
mod json;
mod process;
mod state;
mod text;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

pub(crate) use self::state::Status;
use crate::config::StatusHost;

/// The listener and its tasks, which end when this is dropped.
#[derive(Debug)]
pub(crate) struct StatusListener {
    local_addr: SocketAddr,
    _tasks: JoinSet<()>,
}

impl StatusListener {
    /// Listens, and answers from now on in tasks of its own.
    pub(crate) async fn bind(
        address: SocketAddr,
        hosts: Vec<StatusHost>,
        status: Arc<Status>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let local_addr = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        let hosts: Arc<[StatusHost]> = hosts.into();
        let sampled = Arc::clone(&status);
        tasks.spawn(async move { sampled.sample().await });
        tasks.spawn(async move { match accept(&listener, &hosts, &status).await {} });
        Ok(Self { local_addr, _tasks: tasks })
    }

    /// The address, with its real port.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

async fn accept(
    listener: &TcpListener,
    hosts: &Arc<[StatusHost]>,
    status: &Arc<Status>,
) -> Infallible {
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    // Their tasks end with this one.
    let mut connections = JoinSet::new();
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await;
        let slot = slot.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (hosts, status) = (Arc::clone(hosts), Arc::clone(status));
                connections.spawn(async move {
                    if let Err(error) = serve(stream, &hosts, &status).await {
                        debug!(%peer, %error, "a connection to the status page has failed");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                warn!(%error, "cannot take a connection to the status page; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Answers what comes over one connection, for as long as one may last.
async fn serve(
    stream: TcpStream,
    hosts: &Arc<[StatusHost]>,
    status: &Arc<Status>,
) -> hyper::Result<()> {
    let local = stream.local_addr().ok();
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
        Ok::<_, Infallible>(answer::answer(&request, local, hosts, status).await)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_BUFFER_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    if let Ok(ended) = timeout(MAX_LIFE, connection.as_mut()).await {
        return ended;
    }
    connection.as_mut().graceful_shutdown();
    // Whoever does not take its answer in this time either is cut off.
    timeout(LAST_ANSWER, connection).await.unwrap_or(Ok(()))
}

/// How many connections are served at once; more of them wait.
const MOST_CONNECTIONS: usize = 32;
/// How long a client may take to ask, and to say nothing between two questions.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection lasts, whatever it is used for, and how long its last answer may take.
const MAX_LIFE: Duration = Duration::from_secs(60);
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// What a request may have before its body, which none has.
const MAX_BUFFER_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// How long to wait after an error of accept.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
