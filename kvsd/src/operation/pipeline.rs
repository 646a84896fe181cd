//! A pipeline: several operations sent together, carried out one after the other.
//!
//! Up to 1,024 of them and some 1 MiB go in one message; more of them in several, in order. Each
//! stands for itself: **one that fails does not stop the others**, others' writes may come between,
//! and what must happen together goes into a [batch](super::batch).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::convoy::{Arrived, Convoy, Failure};
use super::{Item, argument};
use crate::client::Client;
use crate::connection::answer::Answer;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::types::Version;
use crate::value::{Encode, Value};

/// Operations to be sent together: [`Client::pipeline`](crate::Client::pipeline).
///
/// Each method adds one and answers with its [`Place`], by which its result is
/// [taken](Answers::take) once the pipeline was awaited.
///
/// An argument that is not valid makes the pipeline as a whole fail, at its first poll and before
/// anything is sent; [`Error::place`] says which it was. Later it fails as a whole only if no
/// answer at all has come; otherwise each place has its result or its error.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// let mut pipeline = client.pipeline();
/// let name = pipeline.set("name", "Ada");
/// let visits = pipeline.increment("visits", 1);
/// let mut answers = pipeline.await?;
/// assert!(answers.take(name).is_ok());
/// assert_eq!(answers.take(visits)?, 1);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "a pipeline does nothing until it is awaited"]
pub struct Pipeline<'c> {
    number: u64,
    items: Vec<Item>,
    call: Convoy<'c>,
}

impl<'c> Pipeline<'c> {
    pub(crate) fn new(client: &'c Client) -> Self {
        // Only to be unlike that of any other pipeline of this process.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let call = Convoy::new(client, "pipeline", Ok(Vec::new()));
        Self { number, items: Vec::new(), call }
    }

    /// Adds an operation of the same client, with its conditions and on its own table. A time-out
    /// that was set for it alone does not count.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), kvsd::Error> {
    /// # let server = kvsd_server::Embedded::temporary().await.unwrap();
    /// # let client = server.client().await?;
    /// let logins = client.table("logins")?;
    /// let mut pipeline = client.pipeline();
    /// let first = pipeline.add(logins.set("ada", "monday").if_absent());
    /// let second = pipeline.add(logins.set("ada", "tuesday").if_absent());
    /// let mut answers = pipeline.await?;
    /// assert!(answers.take(first).is_ok());
    /// assert!(answers.take(second).is_err_and(|error| error.is_conflict()));
    /// # server.close().await.unwrap();
    /// # Ok(()) }
    /// ```
    pub fn add<T, O: Single<T>>(&mut self, operation: O) -> Place<T> {
        let ticket = operation.into_ticket(self.call.client());
        self.push(ticket)
    }

    /// Adds a [`Client::get`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.set("a", 1_u8).await?;
    /// let mut pipeline = client.pipeline();
    /// let (a, b) = (pipeline.get::<u8>("a"), pipeline.get::<u8>("b"));
    /// let mut answers = pipeline.await?;
    /// assert_eq!((answers.take(a)?, answers.take(b)?), (Some(1), None));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn get<T: Value>(&mut self, key: impl AsRef<[u8]>) -> Place<Option<T>> {
        let client = self.call.client();
        let ticket = client.get::<T>(key).into_ticket(client);
        self.push(ticket)
    }

    /// Adds a [`Client::set`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let mut pipeline = client.pipeline();
    /// let (first, second) = (pipeline.set("a", 1), pipeline.set("a", 2));
    /// let mut answers = pipeline.await?;
    /// assert!(answers.take(first)? < answers.take(second)?, "in order");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn set(&mut self, key: impl AsRef<[u8]>, value: impl Encode) -> Place<Version> {
        let client = self.call.client();
        let ticket = client.set(key, value).into_ticket(client);
        self.push(ticket)
    }

    /// Adds a [`Client::delete`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let mut pipeline = client.pipeline();
    /// let write = pipeline.set("a", 1);
    /// let removal = pipeline.delete("a");
    /// let mut answers = pipeline.await?;
    /// assert!(answers.take(write).is_ok());
    /// assert!(answers.take(removal)?, "there was one");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> Place<bool> {
        let client = self.call.client();
        let ticket = client.delete(key).into_ticket(client);
        self.push(ticket)
    }

    /// Adds a [`Client::increment`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let mut pipeline = client.pipeline();
    /// let counts = ["a", "b", "a"].map(|page| pipeline.increment(page, 1));
    /// let mut answers = pipeline.await?;
    /// for (count, is) in counts.into_iter().zip([1, 1, 2]) {
    ///     assert_eq!(answers.take(count)?, is);
    /// }
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn increment(&mut self, key: impl AsRef<[u8]>, by: i64) -> Place<i64> {
        let client = self.call.client();
        let ticket = client.increment(key, by).into_ticket(client);
        self.push(ticket)
    }

    /// Allows the pipeline `timeout` in all, at most a year, instead of the client's setting. It
    /// begins with the first poll; if it is zero, nothing is sent.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::Duration;
    ///
    /// let mut pipeline = client.pipeline().timeout(Duration::from_secs(2));
    /// let visits = pipeline.increment("visits", 1);
    /// assert_eq!(pipeline.await?.take(visits)?, 1);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.call.set_timeout(timeout);
        self
    }

    /// The same pipeline without the borrow of the client, to be spawned or kept.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let mut pipeline = client.pipeline();
    /// let visits = pipeline.increment("visits", 1);
    /// let mut answers = tokio::spawn(pipeline.owned()).await??;
    /// assert_eq!(answers.take(visits)?, 1);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn owned(self) -> Pipeline<'static> {
        Pipeline { number: self.number, items: self.items, call: self.call.into_owned() }
    }

    fn push<T>(&mut self, ticket: Ticket<T>) -> Place<T> {
        // What is added after the first poll is never sent, and its place is nobody else's.
        let index = self.call.items().len() + self.items.len();
        match ticket.item {
            Ok(item) => self.items.push(item),
            Err(error) => self.call.spoil(error.at_place(index)),
        }
        Place { pipeline: self.number, index, read: ticket.read }
    }
}

impl Future for Pipeline<'_> {
    type Output = Result<Answers, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.items.is_empty() {
            let items = std::mem::take(&mut self.items);
            self.call.load(items);
        }
        let Arrived { answers, failure } = match ready!(self.call.poll_arrived(context)) {
            Ok(arrived) => arrived,
            Err(error) => return Poll::Ready(self.call.finish(Err(error))),
        };
        let whole = failure.as_ref().map_or(Ok(()), |failure| Err(failure.of_all(&answers)));
        Poll::Ready(match self.call.finish(whole) {
            Err(error) if answers.is_empty() => Err(error),
            // What has come is handed out, however it ended.
            Ok(()) | Err(_) => Ok(Answers::new(self.number, answers, failure, &self.call)),
        })
    }
}

/// Where in a pipeline an operation stands that resolves with a `T`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::operation::pipeline::Place;
///
/// let mut pipeline = client.pipeline();
/// let place: Place<i64> = pipeline.increment("visits", 1);
/// // It knows its type, so that no result is taken for another.
/// let visits: i64 = pipeline.await?.take(place)?;
/// assert_eq!(visits, 1);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "the result of the operation is taken by it"]
pub struct Place<T> {
    pipeline: u64,
    index: usize,
    read: fn(Answer) -> Result<T, Error>,
}

/// What came of the operations of a pipeline, each still to be taken.
///
/// Values that are taken as [`Bytes`](bytes::Bytes) share memory with the others that came in the
/// same message, some 1 MiB at most: copy a small one that is to live long.
///
/// Of a pipeline that failed half-way, such as by a lost connection, those that were answered have
/// their results, and the others the error, with an [outcome](crate::Outcome) of their own:
/// `Unknown` for a write that had left, `NotSent` for what was to go in a later message.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// client.set("name", "Ada").await?;
/// let mut pipeline = client.pipeline();
/// let bad = pipeline.increment("name", 1);
/// let good = pipeline.increment("visits", 1);
/// let mut answers = pipeline.await?;
/// // One that fails does not stop the others.
/// assert!(answers.take(bad).is_err());
/// assert_eq!(answers.take(good)?, 1);
/// # server.close().await?;
/// # Ok(()) }
/// ```
pub struct Answers {
    pipeline: u64,
    slots: Vec<Slot>,
    address: Arc<str>,
}

struct Slot {
    name: &'static str,
    table: Box<str>,
    /// Or why there is none; `None` once it was taken.
    answer: Option<Result<Answer, Error>>,
}

impl Answers {
    fn new(
        pipeline: u64,
        answers: Vec<Answer>,
        failure: Option<Failure>,
        convoy: &Convoy<'_>,
    ) -> Self {
        let client = convoy.client();
        let mut answers = answers.into_iter();
        let slot = |(place, item): (usize, &Item)| Slot {
            name: item.name,
            table: item.table.clone().unwrap_or_else(|| client.table_name().into()),
            answer: match (answers.next(), &failure) {
                (Some(answer), _) => Some(Ok(answer)),
                (None, Some(failure)) => Some(Err(failure.of_one(place, item))),
                (None, None) => None,
            },
        };
        let slots = convoy.items().iter().enumerate().map(slot).collect();
        Self { pipeline, slots, address: Arc::clone(convoy.address()) }
    }

    /// The result of the operation at `place`.
    ///
    /// # Errors
    ///
    /// What that operation alone would have failed with; [`ErrorKind::InvalidArgument`] for a place
    /// in another pipeline, or of what was added to this one after its first poll.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use kvsd::ErrorKind;
    ///
    /// let (mut one, mut other) = (client.pipeline(), client.pipeline());
    /// let (mine, not_mine) = (one.increment("a", 1), other.increment("b", 1));
    /// let mut answers = one.await?;
    /// assert_eq!(answers.take(mine)?, 1);
    /// assert_eq!(answers.take(not_mine).unwrap_err().kind(), ErrorKind::InvalidArgument);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn take<T>(&mut self, place: Place<T>) -> Result<T, Error> {
        let slot = match self.slots.get_mut(place.index) {
            Some(slot) if place.pipeline == self.pipeline => slot,
            _ => {
                let detail = "the place is in another pipeline, or was given after the first poll";
                return Err(argument::invalid(detail));
            }
        };
        // A place is taken by value and never copied, so its answer is still here.
        let answer = slot.answer.take().ok_or_else(|| argument::invalid("it was taken already"))?;
        answer.and_then(place.read).map_err(|error| {
            error.during(slot.name).on(&slot.table).at(&self.address).at_place(place.index)
        })
    }

    /// How many operations the pipeline had.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let mut pipeline = client.pipeline();
    /// let places = ["a", "b", "c"].map(|key| pipeline.get::<String>(key));
    /// assert_eq!(pipeline.await?.len(), places.len());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the pipeline had none.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// // Without operations nothing is sent, and all is well.
    /// assert!(client.pipeline().await?.is_empty());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

/// An operation on one record that resolves with a `T` and may stand in a pipeline: those of
/// [`mod@super::read`], [`mod@super::write`] and [`super::lifetime`], but for a ping.
///
/// Implemented by them alone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::Client;
/// use kvsd::operation::pipeline::Single;
///
/// /// Any two operations in one message.
/// async fn both<A, B>(
///     client: &Client,
///     a: impl Single<A>,
///     b: impl Single<B>,
/// ) -> Result<(A, B), kvsd::Error> {
///     let mut pipeline = client.pipeline();
///     let (a, b) = (pipeline.add(a), pipeline.add(b));
///     let mut answers = pipeline.await?;
///     Ok((answers.take(a)?, answers.take(b)?))
/// }
///
/// let (visits, name) = both(&client, client.increment("n", 1), client.exists("name")).await?;
/// assert_eq!((visits, name), (1, false));
/// # server.close().await?;
/// # Ok(()) }
/// ```
pub trait Single<T>: Part<T> {}

pub(crate) use self::sealed::{Part, Ticket};

mod sealed {
    use super::{Answer, Client, Error, Item};

    pub trait Part<T> {
        fn into_ticket(self, client: &Client) -> Ticket<T>;
    }

    /// What is asked, and how the answer is read.
    pub struct Ticket<T> {
        pub(super) item: Result<Item, Error>,
        pub(super) read: fn(Answer) -> Result<T, Error>,
    }

    impl<T> Ticket<T> {
        pub(crate) fn new(item: Result<Item, Error>, read: fn(Answer) -> Result<T, Error>) -> Self {
            Self { item, read }
        }
    }
}

impl fmt::Debug for Pipeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipeline({} operations to come, {:?})", self.items.len(), self.call)
    }
}

impl<T> fmt::Debug for Place<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.index)
    }
}

impl<T> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

/// Counts the operations; shows nothing that they read.
impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answers({})", self.len())
    }
}
