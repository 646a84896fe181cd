//! What ends a session from outside: the server stops, or the user is not what it was.
//!
//! Waits; what is said then, and what is still carried out, is for `v1` and `v2`.

use crate::auth::Login;
use crate::server::stop::Stop;

use super::Ended;

/// What a session that serves listens to.
pub(super) struct Leave<'s> {
    pub(super) stop: &'s mut Stop,
    pub(super) login: Login,
}

impl Leave<'_> {
    /// Waits until the session has to end; why.
    pub(super) async fn asked(&mut self) -> Ended {
        tokio::select! {
            biased;
            () = self.login.revoked() => Ended::Revoked,
            () = self.stop.draining() => Ended::Stopped,
        }
    }
}
