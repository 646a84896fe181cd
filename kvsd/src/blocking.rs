//! The client for programs without `async` (feature `blocking`): the same operations, waited for.
//!
//! [`Wait::wait`] blocks the thread until an operation is done, [`WaitEach::each`] makes an
//! iterator of a stream. What they need of a runtime runs on one background thread of the process,
//! which starts with the first of them. Nothing else differs: deadlines, errors and limits are
//! those of the operation.
//!
//! ```
//! use kvsd::blocking::Wait;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Or, of a server elsewhere: kvsd::Client::connect("kvsd://localhost").wait()?
//! let server = kvsd_server::Embedded::temporary().wait()?;
//! let client = server.client().wait()?;
//!
//! client.set("greeting", "hello").if_absent().wait()?;
//! assert_eq!(client.get::<String>("greeting").wait()?.as_deref(), Some("hello"));
//! server.close().wait()?;
//! # Ok(()) }
//! ```
//!
//! A client belongs to the runtime that opened its connections; one that an `async` program made
//! can be waited on from another thread as well, while that runtime runs. If it stands still, as
//! one of the current thread does that nobody blocks on, the wait ends a second after the deadline
//! at the latest. Next file to read: [`crate::operation`].

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::time::Duration;

use futures_core::Stream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// How often a wait looks by itself whether the operation is over.
const LOOK: Duration = Duration::from_secs(1);

/// Waits for a future by blocking the thread: for every operation, for
/// [`Client::connect`](crate::Client::connect) and [`Client::close`](crate::Client::close).
///
/// ```
/// use kvsd::blocking::Wait;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().wait()?;
/// # let client = server.client().wait()?;
/// // Whatever is a future: settings as always, and then `wait` in the place of `await`.
/// client.batch().set("a", 1).increment("n", 1).wait()?;
/// assert_eq!(client.get_many::<u8>(["a", "b"]).wait()?, [Some(1), None]);
/// client.close().wait();
/// # server.close().wait()?;
/// # Ok(()) }
/// ```
pub trait Wait: Future + Sized {
    /// The future's output. An operation's deadline bounds the wait.
    ///
    /// # Panics
    ///
    /// In a thread that runs `async` code, which must not block: await the operation there, or wait
    /// in `tokio::task::spawn_blocking`. And if the system has no thread left for the runtime.
    ///
    /// ```
    /// use kvsd::blocking::Wait;
    ///
    /// let sum = async { 1 + 2 };
    /// assert_eq!(sum.wait(), 3);
    /// ```
    fn wait(self) -> Self::Output {
        block_on(self)
    }
}

impl<F: Future> Wait for F {}

/// Goes through a stream by blocking the thread: a scan, a watch.
///
/// ```
/// use kvsd::blocking::{Wait, WaitEach};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().wait()?;
/// # let client = server.client().wait()?;
/// let mut events = client.watch::<u8>("");
/// events.begin().wait()?;
/// client.set_many([("a", 1), ("b", 2)]).wait()?;
/// assert_eq!(events.each().take(2).filter_map(Result::ok).count(), 2);
/// # server.close().wait()?;
/// # Ok(()) }
/// ```
pub trait WaitEach: Stream + Sized {
    /// An iterator over the stream's items. Each step may block as long as the stream may take for
    /// an item: a watch, until something changes.
    ///
    /// # Panics
    ///
    /// As [`Wait::wait`], at each step.
    ///
    /// ```
    /// use kvsd::blocking::{Wait, WaitEach};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().wait()?;
    /// # let client = server.client().wait()?;
    /// client.set("user/1", "Ada").wait()?;
    /// client.set("user/2", "Grace").wait()?;
    /// for entry in client.scan::<String>("user/").each() {
    ///     let entry = entry?;
    ///     println!("{}", entry.value);
    /// }
    /// # server.close().wait()?;
    /// # Ok(()) }
    /// ```
    fn each(self) -> Each<Self> {
        Each { stream: Box::pin(self) }
    }
}

impl<S: Stream> WaitEach for S {}

/// The iterator of [`WaitEach::each`].
///
/// ```
/// use kvsd::blocking::{Wait, WaitEach};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().wait()?;
/// # let client = server.client().wait()?;
/// client.set_many([("a", 1), ("b", 2)]).wait()?;
/// let records: Result<Vec<_>, _> = client.scan::<u8>(..).each().collect();
/// assert_eq!(records?.len(), 2);
/// # server.close().wait()?;
/// # Ok(()) }
/// ```
pub struct Each<S> {
    stream: Pin<Box<S>>,
}

impl<S: Stream> Iterator for Each<S> {
    type Item = S::Item;

    fn next(&mut self) -> Option<S::Item> {
        block_on(std::future::poll_fn(|context| self.stream.as_mut().poll_next(context)))
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for Each<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Each").field(&self.stream).finish()
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    runtime().block_on(async {
        loop {
            // An operation looks at its deadline when it is polled, and so nobody else need run.
            if let Ok(output) = timeout(LOOK, future.as_mut()).await {
                return output;
            }
        }
    })
}

/// The runtime of all that is waited for in this process.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("kvsd-blocking")
            .enable_all()
            .build()
            .expect("the system has a thread, a timer and a poll for the runtime")
    })
}
