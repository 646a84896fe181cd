//! What ends a session from outside: the server stops, the user is not what it was, or the connection
//! is to go.
//!
//! Waits; what is said then, and what is still carried out, is for `v1` and `v2`.

use std::sync::Arc;

use crate::auth::Login;
use crate::server::roster::Entry;
use crate::server::stop::Stop;

use super::Ended;

/// What a session that serves listens to.
pub(super) struct Leave<'s> {
    pub(super) stop: &'s mut Stop,
    pub(super) login: Login,
    pub(super) entry: Arc<Entry>,
}

impl Leave<'_> {
    /// Waits until the session has to end; why.
    pub(super) async fn asked(&mut self) -> Ended {
        tokio::select! {
            biased;
            () = self.login.revoked() => Ended::Revoked,
            why = self.entry.evicted() => Ended::Evicted(why),
            () = self.stop.draining() => Ended::Stopped,
        }
    }
}
