//! The client's operations on several records.
//!
//! Next file to read: `streams`.

use std::marker::PhantomData;

use super::Client;
use super::records::delete;
use crate::error::Error;
#[cfg(doc)]
use crate::error::{ErrorKind, Outcome};
use crate::operation::argument::Keys;
use crate::operation::batch::Batch;
use crate::operation::many::{DeleteMany, GetMany, SetMany};
use crate::operation::pipeline::Pipeline;
use crate::operation::{Convoy, Draft, Item};
use crate::protocol::v2::{MAX_BATCH, Previous};
use crate::value::{Encode, Value};

/// # Several records
///
/// The first three and [`Client::pipeline`] take any number of keys: what does not go in one
/// message, 1,024 of them and some 1 MiB, goes in several, one after the other, and an answer that
/// the server ends early is asked for the rest. [`Error::place`] names the one that failed.
impl Client {
    /// Reads the values at `keys`, in their order, each as [`Client::get`] does: `None` where there
    /// is none. Each is a read of its own; others' writes may come in between.
    ///
    /// # Errors
    ///
    /// What [`Client::get`] fails with, for the first key that fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the operation changes nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.set_many([("a", 1), ("c", 3)]).await?;
    /// assert_eq!(client.get_many::<i32>(["a", "b", "c"]).await?, [Some(1), None, Some(3)]);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn get_many<T: Value>(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> GetMany<'_, T> {
        let mut room = Keys::default();
        let drafts = keys.into_iter().map(|key| room.key(key.as_ref()).map(Draft::get));
        GetMany { call: Convoy::new(self, "get_many", items("get", drafts)), value: PhantomData }
    }

    /// Stores each value at its key, in their order; resolves with the versions. **Each is a write
    /// of its own**: some may happen and others not. For all or nothing there is [`Client::batch`].
    ///
    /// # Errors
    ///
    /// What [`Client::set`] fails with, for the first key that fails; [`Outcome::Partly`] if others
    /// were stored. An argument that is not valid keeps all of them from being sent.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll the operation may still happen, even after a later write.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// let versions = client.set_many([("a", "one"), ("b", "two")]).await?;
    /// assert!(versions[0] < versions[1]);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn set_many(
        &self,
        pairs: impl IntoIterator<Item = (impl AsRef<[u8]>, impl Encode)>,
    ) -> SetMany<'_> {
        let mut room = Keys::default();
        let drafts = pairs
            .into_iter()
            .map(|(key, value)| self.set_draft(room.key(key.as_ref()), &value, Previous::Omit));
        SetMany { call: Convoy::new(self, "set_many", items("set", drafts)) }
    }

    /// Removes the records at `keys`; resolves with whether there was one, in the order of the
    /// keys. **Each is a write of its own**, as those of [`Client::set_many`].
    ///
    /// # Errors
    ///
    /// What [`Client::delete`] fails with, for the first key that fails; [`Outcome::Partly`] if
    /// others were removed.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll the operation may still happen, even after a later write.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.set("a", 1).await?;
    /// assert_eq!(client.delete_many(["a", "b"]).await?, [true, false]);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn delete_many(&self, keys: impl IntoIterator<Item = impl AsRef<[u8]>>) -> DeleteMany<'_> {
        let mut room = Keys::default();
        let drafts = keys.into_iter().map(|key| room.key(key.as_ref()).map(delete));
        DeleteMany { call: Convoy::new(self, "delete_many", items("delete", drafts)) }
    }

    /// Operations to be sent together and carried out one after the other; see [`Pipeline`].
    /// **Each stands for itself**: one that fails does not stop the others, and its error is told
    /// when its result is taken.
    ///
    /// # Errors
    ///
    /// What any operation can fail with, if no answer at all has come. If it breaks off later, what
    /// was answered can be [taken](crate::operation::pipeline::Answers::take), and each other
    /// operation has the error and its own [`Outcome`].
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll the operation may still happen, even after a later write.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.set("user/7", "ada").await?;
    ///
    /// let mut pipeline = client.pipeline();
    /// let user = pipeline.get::<String>("user/7");
    /// let visits = pipeline.increment("visits", 1);
    /// let mut answers = pipeline.await?;
    /// assert_eq!(answers.take(user)?.as_deref(), Some("ada"));
    /// assert_eq!(answers.take(visits)?, 1);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn pipeline(&self) -> Pipeline<'_> {
        Pipeline::new(self)
    }

    /// Changes of this handle's table that happen together or not at all; see [`Batch`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if a condition does not hold, [`ErrorKind::NotAnInteger`] and
    /// [`ErrorKind::Overflow`]: nothing of the batch happens, and for a conflict [`Error::place`]
    /// says which change it was. [`ErrorKind::InvalidArgument`], [`ErrorKind::Encode`] and
    /// [`ErrorKind::ValueTooLarge`] for what cannot be asked; and what any operation can fail with.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll the batch may still happen, as a whole, even after a later
    /// write.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// client.batch().set("account/ada", 100).set("account/bob", 0).await?;
    ///
    /// let ada = client.get::<i64>("account/ada").versioned().await?.ok_or("no account")?;
    /// let transfer = client
    ///     .batch()
    ///     .set("account/ada", ada.value - 30)
    ///     .if_version(ada.version)
    ///     .increment("account/bob", 30)
    ///     .set("transfer/1", "ada to bob")
    ///     .if_absent()
    ///     .await?;
    /// assert_eq!(transfer.changes[1].counter, Some(30));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(self)
    }
}

/// The requests, or the first that is not valid.
fn items(
    name: &'static str,
    drafts: impl Iterator<Item = Result<Draft, Error>>,
) -> Result<Vec<Item>, Error> {
    // To collect results is to begin with room for none.
    let mut items = Vec::with_capacity(drafts.size_hint().0.min(MAX_BATCH));
    for (place, draft) in drafts.enumerate() {
        let draft = draft.map_err(|error| error.at_place(place))?;
        items.push(Item { name, table: None, draft });
    }
    Ok(items)
}
