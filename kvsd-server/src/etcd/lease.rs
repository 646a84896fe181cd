//! A lease: what is put under it goes when whoever holds it does.
//!
//! Whoever holds one knows until when it lives for certain, counted from before it was last asked
//! for. Next file to read: `caretaker`.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::Error;
use tokio::time::Instant;

use super::link::{Ask, Door, Failed, Link};

/// A lease that was granted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    id: i64,
    time: Duration,
    lives_until: Instant,
}

impl Lease {
    /// A lease that lives so many seconds each time that it is kept.
    pub(crate) async fn grant(link: &Link, seconds: u32) -> Result<Self, Failed> {
        let begun = Instant::now();
        let grant = |door: Arc<Door>| async move {
            door.client().lease_grant(i64::from(seconds), None).await
        };
        // If the answer is lost, then so is a lease, which ends by itself.
        let granted = link.call(link.deadline(), Ask::Led, grant).await?;
        let time = Duration::from_secs(seconds.into());
        Ok(Self { id: granted.id(), time, lives_until: begun + time })
    }

    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    /// Whether it lives for certain, with time left for a step.
    pub(crate) fn lives(&self) -> bool {
        Instant::now() + self.time / 10 < self.lives_until
    }

    /// Whether it should be kept now.
    pub(crate) fn is_due(&self) -> bool {
        Instant::now() + self.time * 2 / 3 > self.lives_until
    }

    /// Makes it live on; `false` if it has ended.
    pub(crate) async fn keep(&mut self, link: &Link) -> Result<bool, Failed> {
        let (begun, id) = (Instant::now(), self.id);
        let keep = |door: Arc<Door>| async move {
            match door.client().lease_keep_alive(id).await {
                Ok(_) => Ok(true),
                Err(Error::LeaseKeepAliveError(_)) => Ok(false),
                Err(error) => Err(error),
            }
        };
        let lives = link.call(begun + self.time / 3, Ask::Led, keep).await?;
        if lives {
            self.lives_until = begun + self.time;
        }
        Ok(lives)
    }

    /// Ends it, and all that is under it.
    pub(crate) async fn revoke(self, link: &Link) {
        let revoke = |door: Arc<Door>| async move { door.client().lease_revoke(self.id).await };
        // Without an answer it ends by itself, later.
        let _ = link.call(Instant::now() + REVOKE_TIME, Ask::Led, revoke).await;
    }
}

const REVOKE_TIME: Duration = Duration::from_secs(2);
