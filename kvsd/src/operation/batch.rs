//! A batch: changes of one table that happen together or not at all.
//!
//! As of any write, **a batch whose future is dropped may still be carried out**, then as a whole.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::call::refused;
use super::draft::{ActionDraft, ChangeDraft};
use super::{Call, Draft, argument};
use crate::client::Client;
use crate::connection::answer::Answer;
use crate::error::{Error, ErrorKind, Outcome};
use crate::key::{Key, Keyed};
use crate::protocol::v2::{Changed, Condition, Expiry, MAX_BATCH};
use crate::types::Version;
use crate::value::Encode;

/// Changes to be made together: [`Client::batch`](crate::Client::batch).
///
/// What refines a change acts on the one that was added last. Nothing but the number of changes
/// and their size is bounded: 1,024, and values that together take no more than one value may. A
/// server may take less, and says so in its [limits](crate::ServerInfo::limits), `max-batch` and
/// `max-write-bytes`: beyond them is an error of kind [`ErrorKind::BatchTooLarge`] before anything
/// is sent. No batch is ever split.
///
/// What cannot be asked fails at the first poll, and nothing is sent: a batch that is empty, too
/// many changes, a key that is none or stands in it twice, a check without a condition, an end for
/// what is not set. [`Error::place`] says which change it was.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// use kvsd::ErrorKind;
///
/// client.set_many([("ada", 50), ("bob", 0)]).await?;
/// let transfer = client.batch().increment("ada", -20).increment("bob", 20);
/// transfer.await?;
/// assert_eq!(client.get_many::<i64>(["ada", "bob"]).await?, [Some(30), Some(20)]);
///
/// let error = client.batch().delete("ada").delete("ada").await.unwrap_err();
/// assert_eq!((error.kind(), error.place()), (ErrorKind::InvalidArgument, Some(1)));
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "a batch does nothing until it is awaited"]
pub struct Batch<'c> {
    call: Call<'c>,
    max_value_bytes: usize,
    changes: Vec<ChangeDraft>,
    keys: HashSet<Bytes>,
    value_bytes: usize,
    fault: Option<Error>,
    /// How many changes were sent.
    sent: usize,
}

/// What came of a batch that happened.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// let batched = client.batch().set("a", 1).delete("b").increment("n", 5).await?;
/// let a = client.get::<u8>("a").versioned().await?.ok_or("no record")?;
/// assert_eq!(batched.version, Some(a.version));
/// assert!(!batched.changes[1].existed, "there was no b");
/// assert_eq!(batched.changes[2].counter, Some(5));
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batched {
    /// The version that all of its writes got; `None` if nothing had to be written.
    pub version: Option<Version>,
    /// What came of each change, in their order.
    pub changes: Vec<Changed>,
}

impl<'c> Batch<'c> {
    pub(crate) fn new(client: &'c Client) -> Self {
        Self {
            // What the call asks is said at the first poll.
            call: Call::new(client, "batch", Ok(Draft::Batch(Vec::new()))),
            max_value_bytes: client.max_value_bytes(),
            changes: Vec::new(),
            keys: HashSet::new(),
            value_bytes: 0,
            fault: None,
            sent: 0,
        }
    }

    /// Stores `value` at `key`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.batch().set("name", "Ada").set("age", 36).await?;
    /// assert_eq!(client.get::<u8>("age").await?, Some(36));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn set(mut self, key: impl AsRef<[u8]>, value: impl Encode) -> Self {
        let left = self.max_value_bytes - self.value_bytes;
        match argument::value(&value, left) {
            Ok(value) => {
                self.value_bytes += value.len();
                self.push(key.as_ref(), ActionDraft::Set { value, expiry: None });
            }
            Err(error) if error.kind() == ErrorKind::ValueTooLarge => {
                let most = self.max_value_bytes;
                let detail = format!("the values of a batch have at most {most} bytes in all");
                let error = Error::new(ErrorKind::ValueTooLarge, Outcome::NotSent, detail);
                self.spoil(error.at_place(self.changes.len()));
            }
            Err(error) => self.spoil(error.at_place(self.changes.len())),
        }
        self
    }

    /// Removes the record at `key`; one that is not there is none to be removed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// // A record under another key, without a moment when both or neither are there.
    /// client.set("old", "v").await?;
    /// client.batch().set("new", "v").delete("old").await?;
    /// assert_eq!(client.get_many::<String>(["old", "new"]).await?, [None, Some("v".into())]);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn delete(mut self, key: impl AsRef<[u8]>) -> Self {
        self.push(key.as_ref(), ActionDraft::Delete);
        self
    }

    /// Stores `record` at its own key and for its type's time to live, as
    /// [`Client::put`](crate::Client::put) does.
    ///
    /// A batch is of one table, its handle's: the record of a type that names another one is an
    /// error of kind [`ErrorKind::InvalidArgument`] at the first poll.
    /// [`client.of::<T>().batch()`](crate::Client::of) begins one in the type's own table.
    ///
    /// ```
    /// use kvsd::{ErrorKind, Keyed};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, kvsd::Value)]
    /// #[kvsd(table = "accounts", key = "account/{id}")]
    /// struct Account {
    ///     id: u32,
    ///     cents: u64,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let [ada, bob] = [1, 2].map(|id| Account { id, cents: 100 });
    /// client.of::<Account>().batch().put(&ada).if_absent().put(&bob).if_absent().await?;
    ///
    /// let error = client.batch().put(&ada).await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidArgument, "the handle is on another table");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn put<T: Keyed + Encode>(self, record: &T) -> Self {
        let batch = self.in_table_of::<T>().set(record.key(), record);
        match T::TTL {
            Some(ttl) => batch.ttl(ttl),
            None => batch,
        }
    }

    /// Removes the record with this key, as [`Client::remove`](crate::Client::remove) does, of a
    /// type in the batch's table, as [`put`](Self::put) says.
    ///
    /// ```
    /// use kvsd::Keyed;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, kvsd::Value)]
    /// #[kvsd(table = "names", key = "name/{name}")]
    /// struct Name {
    ///     name: String,
    ///     user: u32,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// // Another name, without a moment when both or neither are taken.
    /// client.put(&Name { name: "ada".into(), user: 7 }).await?;
    /// let names = client.of::<Name>();
    /// let renaming = names.batch().put(&Name { name: "countess".into(), user: 7 }).if_absent();
    /// assert!(renaming.remove(Name::key_of("ada")).await?.changes[1].existed);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn remove<T: Keyed>(self, key: Key<T>) -> Self {
        self.in_table_of::<T>().delete(key)
    }

    /// Adds `by` to the integer at `key`; without a record, to 0.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let batched = client.batch().set("order/1", "tea").increment("orders", 1).await?;
    /// assert_eq!(batched.changes[1].counter, Some(1));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn increment(mut self, key: impl AsRef<[u8]>, by: i64) -> Self {
        self.push(key.as_ref(), ActionDraft::Increment { by });
        self
    }

    /// Lets the record at `key` end so long after the server has taken the batch up.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::Duration;
    ///
    /// client.set("cart", "tea").await?;
    /// client.batch().set("ordered", true).expire("cart", Duration::from_secs(60)).await?;
    /// assert!(matches!(client.ttl("cart").await?, kvsd::Ttl::Left(_)));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn expire(self, key: impl AsRef<[u8]>, ttl: Duration) -> Self {
        self.expire_by(key.as_ref(), argument::ttl(ttl).map(Some))
    }

    /// Lets the record at `key` end at `time`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::{Duration, SystemTime};
    ///
    /// client.set("cart", "tea").await?;
    /// let end = SystemTime::now() + Duration::from_secs(60);
    /// client.batch().set("ordered", true).expire_at("cart", end).await?;
    /// assert!(matches!(client.ttl("cart").await?, kvsd::Ttl::Left(_)));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn expire_at(self, key: impl AsRef<[u8]>, time: SystemTime) -> Self {
        self.expire_by(key.as_ref(), argument::expire_at(time).map(Some))
    }

    /// Lets the record at `key` never end.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::Duration;
    ///
    /// client.set("cart", "tea").ttl(Duration::from_secs(60)).await?;
    /// client.batch().set("paid", true).persist("cart").await?;
    /// assert_eq!(client.ttl("cart").await?, kvsd::Ttl::Endless);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn persist(self, key: impl AsRef<[u8]>) -> Self {
        self.expire_by(key.as_ref(), Ok(None))
    }

    /// Changes nothing at `key`: only the condition counts that follows.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// // Only while the shop is open.
    /// let sale = || client.batch().check("shop/open").if_present().increment("sold", 1);
    /// assert!(sale().await.unwrap_err().is_conflict());
    /// client.set("shop/open", true).await?;
    /// assert_eq!(sale().await?.changes[1].counter, Some(1));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn check(mut self, key: impl AsRef<[u8]>) -> Self {
        self.push(key.as_ref(), ActionDraft::Check);
        self
    }

    /// Only if there is no record at the last change's key; otherwise nothing of the batch happens.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let sign_up = || client.batch().set("name/ada", 7).if_absent().set("user/7", "Ada");
    /// sign_up().await?;
    /// let error = sign_up().await.unwrap_err();
    /// assert!(error.is_conflict());
    /// assert_eq!(error.place(), Some(0), "the change whose condition does not hold");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn if_absent(self) -> Self {
        self.on(Condition::Absent)
    }

    /// Only if there is a record at the last change's key; otherwise nothing of the batch happens.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let error = client.batch().set("user/7", "Ada").if_present().increment("n", 1).await;
    /// assert!(error.is_err_and(|error| error.is_conflict()));
    /// assert!(!client.exists("n").await?, "nothing of it happened");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn if_present(self) -> Self {
        self.on(Condition::Present)
    }

    /// Only if the record at the last change's key is the one that the write with this version
    /// made; otherwise nothing of the batch happens.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let seen = client.set("page", "draft").await?;
    /// let publish = client.batch().set("page", "text").if_version(seen).increment("pages", 1);
    /// assert!(publish.await?.changes[0].existed);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn if_version(self, version: Version) -> Self {
        self.on(Condition::Version(version))
    }

    /// Ends the record that the last change sets so long after the server has taken the batch up.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::Duration;
    ///
    /// let end = Duration::from_secs(60);
    /// client.batch().set("session/9", "ada").ttl(end).increment("sessions", 1).await?;
    /// assert!(matches!(client.ttl("session/9").await?, kvsd::Ttl::Left(_)));
    /// assert_eq!(client.ttl("sessions").await?, kvsd::Ttl::Endless);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn ttl(self, ttl: Duration) -> Self {
        self.ending(argument::ttl(ttl))
    }

    /// Ends the record that the last change sets at `time`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::{Duration, SystemTime};
    ///
    /// let midnight = SystemTime::now() + Duration::from_secs(3600);
    /// client.batch().set("offer", "tea").until(midnight).increment("offers", 1).await?;
    /// assert!(matches!(client.ttl("offer").await?, kvsd::Ttl::Left(_)));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn until(self, time: SystemTime) -> Self {
        self.ending(argument::expire_at(time))
    }

    /// How many changes there are.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let mut batch = client.batch();
    /// for number in 0..3_u8 {
    ///     batch = batch.set([number], "v");
    /// }
    /// assert_eq!(batch.len(), 3);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there are none yet.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let batch = client.batch();
    /// assert!(batch.is_empty());
    /// assert!(batch.await.is_err(), "an empty one is a mistake");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Allows the batch `timeout` in all, at most a year, instead of the client's setting. It
    /// begins with the first poll; if it is zero, nothing is sent.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::Duration;
    ///
    /// let batch = client.batch().set("a", 1).timeout(Duration::from_secs(2));
    /// assert_eq!(batch.await?.changes.len(), 1);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.call.set_timeout(timeout);
        self
    }

    /// The same batch without the borrow of the client, to be spawned or kept.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let batch = tokio::spawn(client.batch().set("a", 1).set("b", 2).owned());
    /// assert_eq!(batch.await??.changes.len(), 2);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn owned(self) -> Batch<'static> {
        let Self { call, max_value_bytes, changes, keys, value_bytes, fault, sent } = self;
        let call = call.into_owned();
        Batch { call, max_value_bytes, changes, keys, value_bytes, fault, sent }
    }

    /// Spoils the batch unless it is of the table that the type names, if it names one.
    fn in_table_of<T: Keyed>(mut self) -> Self {
        let own = self.call.client().table_name();
        if let Some(table) = T::TABLE.filter(|table| *table != own) {
            let detail = format!(
                "the record belongs into the table {table:?}, and a batch is of one table: begin it \
                 with `client.of::<T>().batch()`"
            );
            self.spoil(argument::invalid(detail).at_place(self.changes.len()));
        }
        self
    }

    fn push(&mut self, key: &[u8], action: ActionDraft) {
        let place = self.changes.len();
        let key = match argument::key(key) {
            Ok(key) => key,
            Err(error) => return self.spoil(error.at_place(place)),
        };
        if place == MAX_BATCH {
            let detail = format!("a batch has at most {MAX_BATCH} changes");
            return self.spoil(argument::invalid(detail).at_place(place));
        }
        if !self.keys.insert(key.clone()) {
            let detail = "a batch names a key at most once";
            return self.spoil(argument::invalid(detail).at_place(place));
        }
        self.changes.push(ChangeDraft { key, condition: Condition::Any, action });
    }

    fn expire_by(mut self, key: &[u8], expiry: Result<Option<Expiry>, Error>) -> Self {
        match expiry {
            Ok(expiry) => self.push(key, ActionDraft::Expire { expiry }),
            Err(error) => self.spoil(error.at_place(self.changes.len())),
        }
        self
    }

    fn on(mut self, condition: Condition) -> Self {
        match self.changes.last_mut() {
            Some(change) => change.condition = condition,
            None => self.spoil(argument::invalid("a condition stands behind a change")),
        }
        self
    }

    fn ending(mut self, end: Result<Expiry, Error>) -> Self {
        let place = self.changes.len().saturating_sub(1);
        let last = self.changes.last_mut().map(|change| &mut change.action);
        match (last, end) {
            (Some(ActionDraft::Set { expiry, .. }), Ok(end)) => *expiry = Some(end),
            (Some(_), Err(error)) => self.spoil(error.at_place(place)),
            (None, Err(error)) => self.spoil(error),
            (last, Ok(_)) => {
                let error = argument::invalid("an end stands behind what is set");
                let error = if last.is_some() { error.at_place(place) } else { error };
                self.spoil(error);
            }
        }
        self
    }

    /// The first fault counts: what follows may only be its consequence.
    fn spoil(&mut self, error: Error) {
        self.fault = self.fault.take().or(Some(error));
    }

    fn draft(&mut self) -> Result<Draft, Error> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        if self.changes.is_empty() {
            return Err(argument::invalid("a batch has at least one change"));
        }
        let is_idle = |change: &ChangeDraft| {
            matches!(change.action, ActionDraft::Check) && change.condition == Condition::Any
        };
        if let Some(place) = self.changes.iter().position(is_idle) {
            return Err(argument::invalid("a check has a condition").at_place(place));
        }
        self.sent = self.changes.len();
        Ok(Draft::Batch(std::mem::take(&mut self.changes)))
    }
}

impl Future for Batch<'_> {
    type Output = Result<Batched, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.call.is_new() {
            match self.draft() {
                Ok(draft) => self.call.again(draft),
                Err(error) => self.call.spoil(error),
            }
        }
        let answer = ready!(self.call.poll(context));
        let sent = self.sent;
        Poll::Ready(self.call.finish(answer.and_then(|answer| finish(answer, sent))))
    }
}

fn finish(answer: Answer, sent: usize) -> Result<Batched, Error> {
    match answer {
        Answer::Batch { version, changed } if changed.len() == sent => {
            Ok(Batched { version, changes: changed })
        }
        Answer::Batch { .. } => {
            let detail = "a batch was answered with another number of changes";
            Err(Error::new(ErrorKind::Protocol, Outcome::Done, detail))
        }
        Answer::Conflict { current, change } => {
            let place = usize::try_from(change).unwrap_or(usize::MAX);
            Err(Error::new(ErrorKind::Conflict { current }, Outcome::Refused, "").at_place(place))
        }
        answer => Err(refused(answer)),
    }
}

/// Counts the changes; never shows a key or a value.
impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} changes, {:?})", self.changes.len(), self.call)
    }
}
