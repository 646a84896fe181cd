//! What bb8 calls to open a connection, and what becomes of it: opened, followed to its end,
//! failed.
//!
//! Decides when the pool is healed; the healing is [`Core::heal`]'s. Next file to read: `backoff`.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bb8::{ErrorSink, ManageConnection};
use tokio::time::Instant;

use super::Core;
use super::backoff::jitter;
use super::balance::LOOK;
use super::servers::Place;
use crate::connection::{Connection, Life, Served};
use crate::error::{Error, ErrorKind, Outcome};

/// A connection that ends sooner than this, and has served nobody, counts as a failed attempt.
const PROVEN: Duration = Duration::from_secs(2);
/// What waiting hardly mends, such as a wrong password, is tried again this rarely unless somebody
/// asks.
pub(super) const RARE_RETRY: Duration = Duration::from_secs(30);

/// Opens connections for bb8.
pub(super) struct Opener {
    pub(super) core: Weak<Core>,
}

impl ManageConnection for Opener {
    type Connection = Connection;
    type Error = Error;

    async fn connect(&self) -> Result<Connection, Error> {
        let Some(core) = self.core.upgrade() else {
            return Err(Error::new(ErrorKind::Closed, Outcome::NotSent, ""));
        };
        let mut slot = Slot::of(&core);
        let result = core.open().await;
        slot.is_settled = true;
        let (connection, place) = result?;
        tokio::spawn(follow(Weak::clone(&self.core), connection.life(), place));
        Ok(connection)
    }

    /// Never asked: the check on check-out is off, because it would cost a round trip per call.
    async fn is_valid(&self, _: &mut Connection) -> Result<(), Error> {
        Ok(())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        !connection.is_open()
    }
}

/// The place in bb8's pool that an attempt to connect holds.
struct Slot<'a> {
    core: &'a Core,
    is_settled: bool,
}

impl<'a> Slot<'a> {
    fn of(core: &'a Core) -> Self {
        core.opening.fetch_add(1, Ordering::Relaxed);
        Self { core, is_settled: false }
    }
}

/// bb8 gives a place back only when its attempt ends; one whose runtime stops never does.
impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.core.opening.fetch_sub(1, Ordering::Release);
        if !self.is_settled {
            self.core.lost_slot.store(true, Ordering::Relaxed);
            self.core.news.send_replace(None);
        }
    }
}

/// Where bb8 reports an attempt that failed. It has taken the attempt off its books by then, so a
/// caller that comes too late to be told of this failure begins an attempt of its own.
#[derive(Debug)]
pub(super) struct Failures {
    pub(super) core: Weak<Core>,
}

impl ErrorSink<Error> for Failures {
    fn sink(&self, error: Error) {
        let Some(core) = self.core.upgrade().filter(|core| core.check_closed().is_ok()) else {
            // Everybody knows the reason.
            return;
        };
        let rarely = Instant::now() + RARE_RETRY;
        let soon = core.servers.soonest().unwrap_or(rarely);
        core.heal_at(if passes(&error) { soon } else { rarely });
        core.news.send_replace(Some(error));
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<Error>> {
        Box::new(Self { core: Weak::clone(&self.core) })
    }
}

/// Whether waiting may mend it.
pub(super) fn passes(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Connect | ErrorKind::Server(_))
}

/// Follows a connection from its welcome to its end, and then has the pool replace it.
async fn follow(core: Weak<Core>, life: Life, place: Place) {
    if let Some(core) = core.upgrade() {
        // bb8 opens what it still lacks when a connection is taken: this one, once it is in there.
        let limit = core.config.connect_timeout;
        let _ = tokio::time::timeout(limit, core.bb8().get()).await;
    }
    let mut ended = std::pin::pin!(life.ended());
    let died_young = tokio::time::timeout(PROVEN, &mut ended).await;
    match died_young {
        Ok(Served::Nothing) => place.disappoint(),
        // One that works and is lost says nothing against the next.
        Ok(Served::Some) | Err(_) => place.succeed(),
    }
    if died_young.is_err() {
        tokio::select! {
            biased;
            _ = &mut ended => {}
            () = relieved(&core, &place) => {
                life.retire();
                if let Some(core) = core.upgrade() {
                    core.heal().await;
                }
                ended.await;
            }
        }
    }
    drop(place);
    if let Some(core) = core.upgrade() {
        core.heal().await;
    }
}

/// Resolves when the connection of `place` has a successor at another address.
async fn relieved(core: &Weak<Core>, place: &Place) {
    loop {
        tokio::time::sleep(jitter(LOOK)).await;
        match core.upgrade() {
            Some(core) if !core.servers.are_several() => break,
            Some(core) if core.relieve(place).await => return,
            Some(_) => {}
            None => break,
        }
    }
    std::future::pending().await
}
