//! The connections that are being served: how many at most, and how all of them end.
//!
//! Each is a task that owns its slot. Knows streams of every kind and sessions; never a listener.
//! Next file to read: [`crate::session`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
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
use super::roster::{AddressFull, Entry, Eviction, Most, Peer, Roster};
use super::stop::{Stop, Stopper};
use super::watchman::Watchman;
use crate::audit::{Audit, Reason};
use crate::config::Settings;
use crate::engine::Engine;
use crate::limits::InForce;
use crate::metrics::{Metrics, Refusal};
use crate::session::{self, Ended, Newcomer, Service, most_of};
use crate::tls;

/// All connections of a server.
#[derive(Debug)]
pub(crate) struct Connections {
    service: Arc<Service>,
    roster: Arc<Roster>,
    slots: Arc<Semaphore>,
    max_connections: u32,
    limits: Arc<InForce>,
    watchman: Watchman,
    /// How many of those that are turned away are told so at a time.
    farewells: Arc<Semaphore>,
    stopper: Stopper,
    /// Whether a client has spoken TLS to a plain port: worth one warning, not one each.
    seen_tls: Arc<AtomicBool>,
}

/// A connection's life. In a box, for the task would have room for it twice: where it is moved from,
/// and where to.
type Session = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// The right to serve one connection. Its task keeps it until the connection is closed.
pub(crate) type Slot = OwnedSemaphorePermit;

impl Connections {
    pub(crate) fn new(
        engine: Arc<dyn Engine>,
        settings: &Settings,
        metrics: Arc<Metrics>,
        audit: Arc<Audit>,
    ) -> Self {
        let limits = Arc::new(InForce::new(settings.limits));
        let service = Service {
            most: most_of(&*engine, settings.max_value_bytes),
            audit,
            engine,
            authenticator: settings.authenticator.clone(),
            metrics,
            max_connections: settings.max_connections,
            max_tables: settings.max_tables,
            limits: Arc::clone(&limits),
            disk_is_low: Arc::default(),
        };
        let roster = Arc::<Roster>::default();
        let watchman = Watchman {
            roster: Arc::clone(&roster),
            limits: Arc::clone(&limits),
            data: settings.data_dir.clone(),
            disk_is_low: Arc::clone(&service.disk_is_low),
        };
        let max_connections = u32::try_from(settings.max_connections).unwrap_or(u32::MAX);
        Self {
            service: Arc::new(service),
            roster,
            slots: Arc::new(Semaphore::new(max_connections as usize)),
            max_connections,
            limits,
            watchman,
            farewells: Arc::new(Semaphore::new(MAX_FAREWELLS)),
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
        let peer = if tls.is_some() { Peer::Tls(peer) } else { Peer::Plain(peer) };
        let Ok(mut newcomer) = self.enter(peer) else {
            drop(slot);
            return self.turn_away(socket, peer);
        };
        let service = Arc::clone(&self.service);
        let mut stop = self.stopper.subscribe();
        // Answers leave when they are written. A socket that refuses is served all the same.
        let _ = socket.set_nodelay(true);
        let entry = Arc::clone(newcomer.guest.entry());
        let Some(tls) = tls else {
            let session = async move {
                session::run_and_close(&mut socket, &service, &newcomer, &mut stop).await
            };
            return self.spawn(slot, entry, Box::pin(session));
        };
        let session = async move {
            let mut stream = match encrypt(socket, tls, &newcomer, &mut stop).await {
                Ok(stream) => stream,
                Err(ended) => return ended,
            };
            let shown = stream.get_ref().1.peer_certificates();
            newcomer.certified = shown.and_then(|chain| tls::user_of(chain.first()?));
            session::run_and_close(&mut stream, &service, &newcomer, &mut stop).await
        };
        self.spawn(slot, entry, Box::pin(session));
    }

    /// Serves a client at the other end of a pipe, in a task of its own.
    pub(crate) fn spawn_pipe<S>(&self, slot: Slot, mut pipe: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Ok(newcomer) = self.enter(Peer::Embedded) else {
            return;
        };
        let service = Arc::clone(&self.service);
        let mut stop = self.stopper.subscribe();
        let entry = Arc::clone(newcomer.guest.entry());
        let session = async move { session::run(&mut pipe, &service, &newcomer, &mut stop).await };
        self.spawn(slot, entry, Box::pin(session));
    }

    fn enter(&self, peer: Peer) -> Result<Newcomer, AddressFull> {
        let limits = self.limits.get();
        let most = Most {
            of_address: limits.max_connections_per_address,
            unauthenticated: limits.max_unauthenticated,
        };
        let guest = self.roster.enter(peer, most)?;
        let deadline = Instant::now() + limits.handshake_timeout;
        Ok(Newcomer { guest, certified: None, deadline })
    }

    /// Closes the connection of an address that has too many, and says why where that can be read
    /// without a handshake.
    fn turn_away(&self, mut socket: TcpStream, peer: Peer) {
        self.service.metrics.refuse(Refusal::AddressFull);
        let reason = Reason { why: Refusal::AddressFull.label(), text: ADDRESS_FULL };
        self.service.audit.connection_refused(None, &peer, reason);
        if let (Peer::Plain(_), Ok(farewell)) =
            (peer, Arc::clone(&self.farewells).try_acquire_owned())
        {
            tokio::spawn(async move {
                session::turn_away(&mut socket, ADDRESS_FULL).await;
                drop(farewell);
            });
        }
    }

    fn spawn(&self, slot: Slot, entry: Arc<Entry>, session: Session) {
        let mut stop = self.stopper.subscribe();
        let (seen_tls, service) = (Arc::clone(&self.seen_tls), Arc::clone(&self.service));
        tokio::spawn(async move {
            let peer = entry.peer();
            let open = service.metrics.connect();
            debug!(%peer, "connected");
            let ended = tokio::select! {
                ended = session => ended,
                () = stop.cut() => Ended::Stopped,
            };
            let refusal = ended.refusal();
            if let Some(why) = refusal {
                service.metrics.refuse(why);
            }
            match refusal {
                Some(why) if is_news(&ended, &seen_tls) => {
                    let text = ended.to_string();
                    let reason = Reason { why: why.label(), text: &text };
                    service.audit.connection_refused(entry.user(), &peer, reason);
                }
                _ => debug!(%peer, reason = %ended, "closed"),
            }
            drop((open, slot));
        });
    }

    /// Looks after all connections together, for as long as it is polled.
    pub(crate) async fn watch(&self) -> Infallible {
        self.watchman.watch().await
    }

    /// The limits that connections go by, to be replaced by others.
    pub(crate) fn limits(&self) -> &Arc<InForce> {
        &self.limits
    }

    /// What the sessions of all connections use.
    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        &self.service.engine
    }

    /// Who is connected.
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
        why = newcomer.guest.entry().evicted() => return Err(Ended::Evicted(why)),
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

/// Whether the end of a refused connection is told to everybody.
fn is_news(ended: &Ended, seen_tls: &AtomicBool) -> bool {
    match ended {
        Ended::Garbled(FrameError::Tls) => !seen_tls.swap(true, Ordering::Relaxed),
        // Whoever only knocks, as a balancer's health check does, is none to warn of.
        Ended::Unencrypted(error) => error.kind() == std::io::ErrorKind::InvalidData,
        // The login was told; those that were shed have a line for all of them; silence is no harm.
        Ended::Denied(..) | Ended::Evicted(Eviction::Killed | Eviction::Idle | Eviction::Shed) => {
            false
        }
        Ended::Evicted(Eviction::Displaced)
        | Ended::Left
        | Ended::Stopped
        | Ended::Revoked
        | Ended::Deaf
        | Ended::Dismissed
        | Ended::Broken(_)
        | Ended::TimedOut
        | Ended::Garbled(_)
        | Ended::Parted(_)
        | Ended::Misplaced(_) => true,
    }
}

/// What the engine gets to close, at least: a slow disk costs less than a start after an unclean
/// end.
const MIN_CLOSE: Duration = Duration::from_secs(5);
/// Each holds a descriptor for a second at most, beside those of the connections that are served.
const MAX_FAREWELLS: usize = 16;
const ADDRESS_FULL: &str =
    "too many connections from this address: close some, or raise max_connections_per_address";

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::config::Config;
    use crate::server::open_engine;
    use crate::users::{Grants, Password, StoredHash, UserName, Users};

    #[tokio::test]
    async fn whoever_is_refused_is_counted_once_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let users = folder.path().join("users");
        let hash = StoredHash::of(&Password::new(b"secret".to_vec()).unwrap()).unwrap();
        Users::edit(&users, |users| {
            users.add(UserName::parse("app").unwrap(), hash, Grants::all())
        })
        .unwrap();
        let config = Config {
            insecure: true,
            users: Some(users),
            data_dir: folder.path().join("data"),
            handshake_timeout: Duration::from_millis(100),
            ..Config::default()
        };
        let settings = config.check().unwrap();
        let engine = open_engine(&settings, Arc::default()).await.unwrap().engine;
        let metrics = Arc::new(Metrics::default());
        let connections = Connections::new(engine, &settings, Arc::clone(&metrics), Arc::default());

        let right = &b"*3\r\n#\x02+app\r\n+secret\r\n"[..];
        let cases = [
            (right, None),
            (b"", None),
            (b"*6\r\n#H:0\r\n:2\r\n:2\r\n$3\r\nap", Some(Refusal::HandshakeLate)),
            (b"*6\r\n#H:0\r\n:2\r\n:2\r\n||", Some(Refusal::NoCredentials)),
            (b"*6\r\n#H:0\r\n:7\r\n:9\r\n||", Some(Refusal::Version)),
            (
                b"*6\r\n#H:0\r\n:2\r\n:2\r\n$3\r\napp\r\n$1\r\nx\r\n",
                Some(Refusal::WrongCredentials),
            ),
            (b"*3\r\n#\x02+app\r\n+wrong\r\n", Some(Refusal::WrongCredentials)),
            (b"*3\r\n#\x02+nobody\r\n+secret\r\n", Some(Refusal::WrongCredentials)),
            (b"GET / HTTP/1.1\r\n\r\n", Some(Refusal::Garbage)),
            (b"*1\r\n#\x01", Some(Refusal::Garbage)),
            (b"*999999999\r\n", Some(Refusal::OverLimit)),
            (b"\x16\x03\x01\x02\x00\x01", Some(Refusal::TlsOnPlain)),
        ];
        let mut expected = [0; Refusal::ALL.len()];
        for (said, why) in cases {
            let (mut client, server) = tokio::io::duplex(1024);
            connections.spawn_pipe(connections.slot().await, server);
            client.write_all(said).await.unwrap();
            // Who is late still has something to say.
            if why != Some(Refusal::HandshakeLate) {
                client.shutdown().await.unwrap();
            }
            client.read_to_end(&mut Vec::new()).await.unwrap();
            connections.all_ended().await;
            if let Some(why) = why {
                expected[why as usize] += 1;
            }
            assert_eq!(Refusal::ALL.map(|why| metrics.refused(why)), expected, "after {said:?}");
        }
        connections.cut(Instant::now()).await.unwrap();
    }
}
