//! The connections that are being served: how many at most, and how all of them end.
//!
//! Each is a task that owns its slot. Knows streams of every kind and sessions; never a listener.
//! Next file to read: [`crate::session`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kvsd::protocol::frame::FrameError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use super::ServeError;
use super::roster::{Guest, Peer, Roster};
use super::stop::{Stop, Stopper};
use crate::config::Settings;
use crate::engine::Engine;
use crate::session::{self, Ended, Newcomer, Service};
use crate::tls;

/// All connections of a server.
#[derive(Debug)]
pub(crate) struct Connections {
    service: Arc<Service>,
    roster: Arc<Roster>,
    slots: Arc<Semaphore>,
    max_connections: u32,
    handshake_timeout: Duration,
    stopper: Stopper,
    /// Whether a client has spoken TLS to a plain port: worth one warning, not one each.
    seen_tls: Arc<AtomicBool>,
}

/// The right to serve one connection. Its task keeps it until the connection is closed.
pub(crate) type Slot = OwnedSemaphorePermit;

impl Connections {
    pub(crate) fn new(engine: Arc<dyn Engine>, settings: &Settings) -> Self {
        let service = Service {
            engine,
            authenticator: settings.authenticator.clone(),
            max_value_bytes: settings.max_value_bytes,
        };
        let max_connections = u32::try_from(settings.max_connections).unwrap_or(u32::MAX);
        Self {
            service: Arc::new(service),
            roster: Arc::default(),
            slots: Arc::new(Semaphore::new(max_connections as usize)),
            max_connections,
            handshake_timeout: settings.handshake_timeout,
            stopper: Stopper::new(),
            seen_tls: Arc::default(),
        }
    }

    /// Waits until one more connection may be served.
    pub(crate) async fn slot(&self) -> Slot {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        slot.expect("the semaphore is never closed")
    }

    /// Serves a client that came over TCP, in a task of its own.
    pub(crate) fn spawn_tcp(
        &self,
        slot: Slot,
        mut socket: TcpStream,
        peer: SocketAddr,
        tls: Option<TlsAcceptor>,
    ) {
        let deadline = Instant::now() + self.handshake_timeout;
        let peer = if tls.is_some() { Peer::Tls(peer) } else { Peer::Plain(peer) };
        let guest = self.roster.enter(peer);
        let newcomer = Newcomer { entry: Arc::clone(guest.entry()), certified: None, deadline };
        let service = Arc::clone(&self.service);
        let mut stop = self.stopper.subscribe();
        self.spawn(slot, guest, async move {
            // Answers leave when they are written. A socket that refuses is served all the same.
            let _ = socket.set_nodelay(true);
            let Some(tls) = tls else {
                return session::run_and_close(&mut socket, &service, newcomer, &mut stop).await;
            };
            match encrypt(socket, tls, &newcomer, &mut stop).await {
                Ok(mut stream) => {
                    let shown = stream.get_ref().1.peer_certificates();
                    let certified = shown.and_then(|chain| tls::user_of(chain.first()?));
                    let newcomer = Newcomer { certified, ..newcomer };
                    session::run_and_close(&mut stream, &service, newcomer, &mut stop).await
                }
                Err(ended) => ended,
            }
        });
    }

    /// Serves a client at the other end of a pipe, in a task of its own.
    pub(crate) fn spawn_pipe<S>(&self, slot: Slot, mut pipe: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let guest = self.roster.enter(Peer::Embedded);
        let newcomer = Newcomer {
            entry: Arc::clone(guest.entry()),
            certified: None,
            deadline: Instant::now() + self.handshake_timeout,
        };
        let service = Arc::clone(&self.service);
        let mut stop = self.stopper.subscribe();
        self.spawn(slot, guest, async move {
            session::run(&mut pipe, &service, newcomer, &mut stop).await
        });
    }

    fn spawn(
        &self,
        slot: Slot,
        guest: Guest,
        session: impl Future<Output = Ended> + Send + 'static,
    ) {
        let mut stop = self.stopper.subscribe();
        let seen_tls = Arc::clone(&self.seen_tls);
        tokio::spawn(async move {
            let peer = guest.entry().peer();
            debug!(%peer, "connected");
            let ended = tokio::select! {
                ended = session => ended,
                () = stop.cut() => Ended::Stopped,
            };
            log(&peer, &ended, &seen_tls);
            drop((guest, slot));
        });
    }

    /// Who is connected.
    #[allow(dead_code, reason = "administration and the status page read it")]
    pub(crate) fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// Ends all connections and closes the engine: sessions get half of `patience` to finish what
    /// they received, and the engine what is left of it, but always [`MIN_CLOSE`].
    pub(crate) async fn stop(&self, patience: Duration) -> Result<(), ServeError> {
        let deadline = Instant::now() + patience;
        self.stopper.drain();
        if timeout(patience / 2, self.all_ended()).await.is_err() {
            warn!("connections are cut: they had not finished in time");
        }
        self.cut(deadline).await
    }

    /// As [`Connections::stop`], without patience for sessions.
    pub(crate) async fn cut(&self, deadline: Instant) -> Result<(), ServeError> {
        self.stopper.cut();
        let deadline = deadline.max(Instant::now() + MIN_CLOSE);
        let close = async {
            self.all_ended().await;
            self.service.engine.close().await
        };
        timeout_at(deadline, close).await.map_err(|_| ServeError::CloseTimedOut)??;
        Ok(())
    }

    async fn all_ended(&self) {
        let all = self.slots.acquire_many(self.max_connections).await;
        drop(all.expect("the semaphore is never closed"));
    }
}

async fn encrypt(
    socket: TcpStream,
    tls: TlsAcceptor,
    newcomer: &Newcomer,
    stop: &mut Stop,
) -> Result<tokio_rustls::server::TlsStream<TcpStream>, Ended> {
    let handshake = timeout_at(newcomer.deadline, tls.accept(socket).into_fallible());
    let shaken = tokio::select! {
        biased;
        () = stop.draining() => return Err(Ended::Dismissed),
        why = newcomer.entry.evicted() => return Err(Ended::Evicted(why)),
        shaken = handshake => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err((error, mut socket))) => {
            // The alert that says what is wrong must get across.
            session::linger(&mut socket).await;
            Err(Ended::Unencrypted(error))
        }
        Err(_) => Err(Ended::TimedOut),
    }
}

fn log(peer: &Peer, ended: &Ended, seen_tls: &AtomicBool) {
    let refused = match ended {
        Ended::Left
        | Ended::Stopped
        | Ended::Revoked
        | Ended::Evicted(_)
        | Ended::Dismissed
        | Ended::Broken(_) => false,
        Ended::Garbled(FrameError::Tls) => !seen_tls.swap(true, Ordering::Relaxed),
        // Whoever only knocks, as a balancer's health check does, is none to warn of.
        Ended::Unencrypted(error) => error.kind() == std::io::ErrorKind::InvalidData,
        Ended::TimedOut
        | Ended::Denied(_)
        | Ended::Garbled(_)
        | Ended::Parted(_)
        | Ended::Misplaced(_) => true,
    };
    if refused {
        warn!(%peer, reason = %ended, "refused");
    } else {
        debug!(%peer, reason = %ended, "closed");
    }
}

/// What the engine gets to close, at least: a slow disk costs less than a start after an unclean
/// end.
const MIN_CLOSE: Duration = Duration::from_secs(5);
