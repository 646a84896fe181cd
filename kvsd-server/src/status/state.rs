//! How a server stands, for whoever asks: its phase, and where its numbers come from.
//!
//! Next file to read: `answer`.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::history::{History, Sample};
use crate::clock;
use crate::engine::{Engine, Figures, Health};
use crate::log::OpenProgress;
use crate::metrics::Metrics;
use crate::server::roster::Roster;

/// How a server stands.
#[derive(Debug)]
pub(crate) struct Status {
    pub(super) metrics: Arc<Metrics>,
    pub(super) most_connections: u64,
    pub(super) started: Instant,
    /// Since 1970, in milliseconds.
    pub(super) started_at: u64,
    phase: Mutex<Phase>,
    progress: Arc<OpenProgress>,
    /// What it serves with, once it does.
    engine: OnceLock<Arc<dyn Engine>>,
    roster: OnceLock<Arc<Roster>>,
    /// What the engine told, and when. Its lock is held while the engine is asked.
    told: tokio::sync::Mutex<Option<(Instant, Arc<Figures>)>>,
    pub(super) history: Mutex<History>,
}

/// What a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It opens its tables, and serves nobody yet.
    Opening,
    Serving,
    /// It lets its sessions finish, and closes its tables.
    Stopping,
}

impl Status {
    /// Of a server that opens its tables.
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        most_connections: usize,
        progress: Arc<OpenProgress>,
    ) -> Self {
        Self {
            metrics,
            most_connections: most_connections as u64,
            started: Instant::now(),
            started_at: clock::now().get(),
            phase: Mutex::new(Phase::Opening),
            progress,
            engine: OnceLock::new(),
            roster: OnceLock::new(),
            told: tokio::sync::Mutex::default(),
            history: Mutex::default(),
        }
    }

    /// The server serves clients with this engine, and they are in this roster.
    pub(crate) fn serve(&self, engine: &Arc<dyn Engine>, roster: &Arc<Roster>) {
        // There is one of each in a server's life.
        let _ = self.engine.set(Arc::clone(engine));
        let _ = self.roster.set(Arc::clone(roster));
        self.enter(Phase::Serving);
    }

    /// The server stops.
    pub(crate) fn stop(&self) {
        self.enter(Phase::Stopping);
    }

    fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many tables are open, and how many there are, as far as that is known.
    pub(super) fn progress(&self) -> (usize, usize) {
        self.progress.get()
    }

    pub(super) fn engine(&self) -> Option<&Arc<dyn Engine>> {
        self.engine.get()
    }

    /// Whether the engine can serve, and what is wrong with it; before there is one, nothing is.
    pub(super) fn health(&self) -> Health {
        self.engine().map_or(Health::Ready, |engine| engine.health())
    }

    /// Who is connected; nobody before the server serves.
    pub(super) fn roster(&self) -> Option<&Roster> {
        self.roster.get().map(AsRef::as_ref)
    }

    /// What the engine tells of itself, at most a second old: it looks through all tables for that.
    pub(super) async fn figures(&self) -> Arc<Figures> {
        let Some(engine) = self.engine() else {
            return Arc::default();
        };
        let mut told = self.told.lock().await;
        if let Some((at, figures)) = &*told
            && at.elapsed() < MAX_AGE
        {
            return Arc::clone(figures);
        }
        let engine = Arc::clone(engine);
        let asked = tokio::task::spawn_blocking(move || engine.figures()).await;
        // It panicked, which is told over there.
        let figures = Arc::new(asked.unwrap_or_default());
        *told = Some((Instant::now(), Arc::clone(&figures)));
        figures
    }

    /// Writes the history, for as long as it is polled.
    pub(super) async fn sample(&self) {
        let mut ticks = interval(Sample::PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(operations) = self.metrics.operations() {
                let now = Instant::now();
                let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
                history.push(now, clock::now().get(), &operations);
            }
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opening => "opening",
            Self::Serving => "serving",
            Self::Stopping => "stopping",
        })
    }
}

/// How old the engine's figures may be that are shown.
const MAX_AGE: Duration = Duration::from_secs(1);
