//! `kvsd-server` without a command: gather the settings, serve, stop when told.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::args::ServerArgs;
use super::exit::Failure;
use super::supervisor::{Supervisor, Word};
use super::{descriptors, logging};
use crate::config::{Layers, Settings};
use crate::server::{Reloader, ServeError, Server};

/// Serves until a signal.
pub(super) fn run(args: ServerArgs) -> Result<(), Failure> {
    let mut layers = Layers::default();
    for (setting, text) in args.settings.0 {
        layers.flag(setting, text);
    }
    let warnings = layers.environment(std::env::vars_os())?;
    if let Some(path) = args.config.or_else(config_variable) {
        layers.file(&path)?;
    }
    let config = layers.resolve()?;
    let log_filter = logging::start(&config.log, config.log_format)?;
    for warning in warnings {
        warn!("{warning}");
    }
    let mut settings = config.check()?.with_log_filter(log_filter).with_layers(layers);
    descriptors::fit(&mut settings);
    if config.dev {
        warn!("development mode: any credentials are accepted");
    }

    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::other)?;
    let outcome = runtime.block_on(serve(settings));
    // What still runs on a thread of its own has had the server's deadline.
    runtime.shutdown_timeout(LINGER);
    outcome
}

/// The settings that a command beside the server looks into: those of the file it was given, or
/// else of the environment and the file that this names.
pub(super) fn layers_beside(config: Option<PathBuf>) -> Result<Layers, Failure> {
    let mut layers = Layers::default();
    match config {
        Some(path) => layers.file(&path)?,
        None => {
            layers.environment(std::env::vars_os())?;
            if let Some(path) = config_variable() {
                layers.file(&path)?;
            }
        }
    }
    Ok(layers)
}

/// The configuration file that the environment names.
pub(super) fn config_variable() -> Option<PathBuf> {
    std::env::var_os("KVSD_SERVER_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from)
}

async fn serve(settings: Settings) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(Failure::other)?;
    // From now on, and not only once the server serves: unheard, this signal ends a process.
    let hangup = signal(SignalKind::hangup()).map_err(Failure::other)?;
    let supervisor = Supervisor::from_environment();
    tokio::spawn(supervisor.clone().reassure());
    supervisor.tell(Word::Opening(settings.engine()));
    let longest_stop = settings.shutdown_timeout + STOP_MARGIN;
    let server = tokio::select! {
        server = Server::bind(settings) => server.map_err(not_started)?,
        name = signals.next() => {
            info!("{name} before serving");
            supervisor.tell(Word::Stopping(longest_stop));
            return Ok(());
        }
    };
    let mut stdout = io::stdout();
    let announced = writeln!(stdout, "listening on {}", server.local_addr());
    if let Err(error) = announced.and_then(|()| stdout.flush()) {
        warn!(%error, "nobody reads standard output");
    }
    supervisor.tell(Word::Serving(server.local_addr()));
    tokio::spawn(reload(hangup, server.reloader()));
    let stop = async move {
        let name = signals.next().await;
        info!("{name}; a second one ends the server at once");
        supervisor.tell(Word::Stopping(longest_stop));
        tokio::spawn(async move {
            // Not within the macro: where no warnings are logged, that waits for nothing.
            let name = signals.next().await;
            warn!("{name}: ending at once");
            std::process::exit(1);
        });
    };
    server.serve(stop).await.map_err(Failure::other)
}

fn not_started(error: ServeError) -> Failure {
    match error {
        // Also what shows only once the engine is open.
        ServeError::Config(error) => error.into(),
        error => Failure::other(error),
    }
}

/// Has configuration, certificate and users read again at each SIGHUP.
async fn reload(mut hangup: Signal, reloader: Reloader) {
    while hangup.recv().await.is_some() {
        info!("SIGHUP: reading configuration, certificate and users again");
        reloader.reload();
    }
}

/// The signals that stop the server.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal and tells its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// What a slow disk and the threads may take beyond the timeout of the settings.
const STOP_MARGIN: Duration = Duration::from_secs(10);
/// How long to wait for threads when everything else has ended.
const LINGER: Duration = Duration::from_secs(1);
