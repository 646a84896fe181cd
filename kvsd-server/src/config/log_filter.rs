//! What a running program logs, for whoever may change it. Next file to read: `settings`.

use std::fmt;

/// Sees and changes what a running program logs.
///
/// The binary's is that of its log on standard error. A program that runs a
/// [`Server`](crate::Server) gives its own with
/// [`Settings::with_log_filter`](super::Settings::with_log_filter), or none: the library itself
/// sends everything to `tracing` and filters nothing.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use kvsd_server::config::{Config, LogFilter};
///
/// #[derive(Debug)]
/// struct Level(Mutex<String>);
///
/// impl LogFilter for Level {
///     fn get(&self) -> String {
///         self.0.lock().expect("nobody panics with it").clone()
///     }
///     fn set(&self, filter: &str) -> Result<(), String> {
///         // The subscriber of this program would be told here.
///         *self.0.lock().expect("nobody panics with it") = filter.to_owned();
///         Ok(())
///     }
/// }
///
/// let mut config = Config::default();
/// config.dev = true;
/// let level = Arc::new(Level(Mutex::new("info".to_owned())));
/// let settings = config.check()?.with_log_filter(level);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait LogFilter: fmt::Debug + Send + Sync {
    /// The filter in force.
    fn get(&self) -> String;

    /// Puts another filter in force, for everything that is logged from now on.
    ///
    /// # Errors
    ///
    /// What to write instead, for a text that is no filter; the old one stays in force.
    fn set(&self, filter: &str) -> Result<(), String>;
}
