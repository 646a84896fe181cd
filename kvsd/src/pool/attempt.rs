//! One attempt to connect, at whichever address is the first to welcome it.
//!
//! An address is asked when its back-off is over. Of several each has its turn, the next one as soon
//! as one has failed or has been silent for a while, those that failed lately last; who is first
//! wins, and the others are let go. Next file to read: `balance`, then `opener`.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::Core;
use super::servers::{FailedOnce, Place, Server, Tried};
use crate::connection::{self, Connection};
use crate::error::{Error, ErrorKind, Outcome};
use crate::observe;

/// How long the next address waits for one that says nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// One address being asked.
struct Running<'c> {
    place: Place,
    asked: Pin<Box<dyn Future<Output = Result<Connection, Error>> + Send + 'c>>,
}

impl Core {
    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// What is wrong with each address.
    pub(super) async fn attempt(&self) -> Result<(Connection, Place), Error> {
        // The last address has its turn, and all of the time for it, within twice that time.
        let count = u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        let patience = PATIENCE.min(self.config.connect_timeout / count);
        let mut tried = Tried::default();
        let mut failed = FailedOnce::default();
        let mut running: Vec<Running<'_>> = Vec::new();
        loop {
            match self.servers.next(&mut tried) {
                Some((place, wait)) => {
                    let asked = Box::pin(self.ask(self.servers.at(&place), wait));
                    running.push(Running { place, asked });
                }
                None if running.is_empty() => return Err(self.servers.unreachable()),
                None => {}
            }
            let due = self.servers.due(&tried);
            let then = due.map_or_else(Instant::now, |due| due.max(Instant::now() + patience));
            let (at, result) = tokio::select! {
                biased;
                ended = first(&mut running) => ended,
                () = tokio::time::sleep_until(then), if due.is_some() => continue,
            };
            let Running { place, .. } = running.remove(at);
            match result {
                Ok(connection) => {
                    // They had more time than this one.
                    running.iter().take(at).for_each(|slow| slow.place.lag());
                    return Ok((connection, place));
                }
                Err(error) => {
                    place.fail(error.clone());
                    if !self.servers.are_several() || self.concerns_all(&error) {
                        return Err(error);
                    }
                    if failed.count(&place) == self.servers.len() {
                        return Err(self.servers.unreachable());
                    }
                    // It may be back before one that is silent is given up.
                    tried.again(&place);
                }
            }
        }
    }

    /// Whether the other addresses need not be asked: somebody who was never let in has most likely
    /// mistyped the password.
    fn concerns_all(&self, error: &Error) -> bool {
        let was_let_in = self.info.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        error.kind() == ErrorKind::Unauthenticated && !was_let_in
    }

    /// Opens a connection at one address, when its wait is over.
    pub(super) async fn ask(
        &self,
        server: &Server,
        wait: Option<Instant>,
    ) -> Result<Connection, Error> {
        let Server { transport, address } = server;
        if let Some(time) = wait {
            observe::backing_off(address, time.saturating_duration_since(Instant::now()));
            tokio::time::sleep_until(time).await;
        }
        let _opening = observe::opening(address);
        let limit = self.config.connect_timeout;
        let credentials = self.config.credentials.as_ref();
        let opening = connection::open(&**transport, address, credentials, self.config.keep_alive);
        let result = tokio::time::timeout(limit, opening).await.unwrap_or_else(|_| {
            let detail = format!("no connection and welcome within {limit:?}");
            Err(Error::new(ErrorKind::Connect, Outcome::NotSent, detail).at(address))
        });
        result.inspect_err(|error| observe::cannot_connect(address, error))
    }
}

/// The first of them that ends, and where it stands.
async fn first(running: &mut [Running<'_>]) -> (usize, Result<Connection, Error>) {
    poll_fn(|context| {
        for (at, one) in running.iter_mut().enumerate() {
            if let Poll::Ready(result) = one.asked.as_mut().poll(context) {
                return Poll::Ready((at, result));
            }
        }
        Poll::Pending
    })
    .await
}
