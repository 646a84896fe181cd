//! How a server tells its sessions that it stops.
//!
//! Passes one word on, from one to many; never waits for a session and never closes a stream.

use tokio::sync::watch;

/// The side that stops. Sessions take its disappearance for [`Stopper::cut`].
#[derive(Debug)]
pub(crate) struct Stopper(watch::Sender<Stage>);

/// The side that is told.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<Stage>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    /// Finish what was received.
    Draining,
    /// Let go of everything, now.
    Cut,
}

impl Stopper {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Stage::Serving))
    }

    pub(crate) fn subscribe(&self) -> Stop {
        Stop(self.0.subscribe())
    }

    /// Asks every session to finish what it has received.
    pub(crate) fn drain(&self) {
        self.0.send_replace(Stage::Draining);
    }

    /// Ends every session where it stands.
    pub(crate) fn cut(&self) {
        self.0.send_replace(Stage::Cut);
    }
}

impl Stop {
    /// Waits until sessions have to finish what they received.
    pub(crate) async fn draining(&mut self) {
        self.reach(Stage::Draining).await;
    }

    /// Waits until sessions have to end where they stand.
    pub(crate) async fn cut(&mut self) {
        self.reach(Stage::Cut).await;
    }

    async fn reach(&mut self, stage: Stage) {
        // An error says that the server is gone, which ends everything.
        let _ = self.0.wait_for(|reached| *reached >= stage).await;
    }
}
