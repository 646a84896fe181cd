//! Operations: values that are futures, refined before they are awaited.
//!
//! Nothing happens before the first poll; what is refined after it, with an operation that was
//! polled by reference, comes too late and changes nothing. A result is fetched once: polling again
//! panics, as with any `async fn`.
//!
//! ```
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = kvsd_server::Embedded::temporary().await?;
//! # let client = server.client().await?;
//! let write = client.set("session/9", "ada"); // nothing has happened yet
//! let write = write.if_absent().ttl(Duration::from_secs(900)).timeout(Duration::from_secs(2));
//! let version = write.await?;
//! assert!(client.delete("session/9").if_version(version).await?);
//! # server.close().await?;
//! # Ok(()) }
//! ```
//!
//! `draft` is what an operation asks; `call` is one request on its way: deadline, connection,
//! retry; `convoy` is many of them in a row, in as few messages as hold them. The public modules
//! give each operation its name, its settings and its result. Reading order: `draft`, `call`,
//! [`mod@read`], [`mod@write`], [`lifetime`], `convoy`, [`many`], [`pipeline`], [`batch`],
//! [`update`], [`tables`].

pub(crate) mod argument;
pub mod batch;
mod call;
mod convoy;
mod draft;
pub mod lifetime;
pub mod many;
pub mod pipeline;
pub mod read;
pub mod tables;
pub mod update;
pub mod write;

pub(crate) use self::call::{Call, refused};
pub(crate) use self::convoy::Convoy;
pub(crate) use self::draft::{Draft, Item, ScanDraft, Selection, WatchDraft};

/// Gives an operation its future, its deadline and its independence from the client's borrow. Its
/// field `call` is a [`Call`], or something else that answers and can be asked the same.
macro_rules! operation {
    ($name:ident $(<$value:ident: $bound:path>)?, $output:ty, $finish:expr) => {
        $crate::operation::operation!(
            $name $(<$value: $bound>)?, $crate::connection::answer::Answer => $output, $finish
        );
    };
    ($name:ident $(<$value:ident: $bound:path>)?, $answer:ty => $output:ty, $finish:expr) => {
        impl<'c $(, $value: $bound)?> $name<'c $(, $value)?> {
            /// Allows this operation `timeout` in all, at most a year, instead of the client's
            /// setting. It begins with the first poll; if it is zero, nothing is sent.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// use std::time::Duration;
            /// use kvsd::{ErrorKind, Outcome};
            ///
            /// let quick = client.get::<String>("k").timeout(Duration::from_millis(800));
            /// assert_eq!(quick.await?, None);
            /// let late = client.get::<String>("k").timeout(Duration::ZERO).await.unwrap_err();
            /// assert_eq!((late.kind(), late.outcome()), (ErrorKind::Timeout, Outcome::NotSent));
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
                self.call.set_timeout(timeout);
                self
            }

            /// The same operation without the borrow of the client, to be spawned or kept.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// client.set("a", 1_u8).await?;
            /// client.set("b", 2_u8).await?;
            /// let reads = ["a", "b"].map(|key| tokio::spawn(client.get::<u8>(key).owned()));
            /// let mut sum = 0;
            /// for read in reads {
            ///     sum += read.await??.unwrap_or(0);
            /// }
            /// assert_eq!(sum, 3);
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn owned(self) -> $name<'static $(, $value)?> {
                $name {
                    call: self.call.into_owned(),
                    $(value: std::marker::PhantomData::<fn() -> $value>,)?
                }
            }

            fn finish(answer: $answer) -> Result<$output, $crate::Error> {
                let finish: fn($answer) -> Result<$output, $crate::Error> = $finish;
                finish(answer)
            }
        }

        impl$(<$value: $bound>)? std::future::Future for $name<'_ $(, $value)?> {
            type Output = Result<$output, $crate::Error>;

            fn poll(
                mut self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Self::Output> {
                let answer = std::task::ready!(self.call.poll(context));
                std::task::Poll::Ready(self.call.finish(answer.and_then(Self::finish)))
            }
        }

        impl$(<$value: $bound>)? std::fmt::Debug for $name<'_ $(, $value)?> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.call).finish()
            }
        }
    };
}
pub(crate) use operation;

/// Lets a read be content with what stood some time ago.
macro_rules! stale {
    ($name:ident $(<$value:ident: $bound:path>)?) => {
        impl$(<$value: $bound>)? $name<'_ $(, $value)?> {
            /// What stood some time ago will do: the answer need not be the latest.
            ///
            /// Without this, a read sees every write that was answered before it. With it, a server
            /// on a cluster may answer from whichever member is at hand, which is cheaper, and goes
            /// on while the cluster cannot agree on anything new. **How old the answer is, is not
            /// bounded**, and a later read may show what is older. A server that keeps its data
            /// itself has nothing older, and answers with the latest.
            ///
            /// A write on condition of a version that was read so is safe: it is refused if the
            /// record has changed since.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let server = kvsd_server::Embedded::temporary().await?;
            /// # let client = server.client().await?;
            /// client.set("price", 7).await?;
            /// // On a page that is some moments old when it is looked at anyway.
            /// assert_eq!(client.get::<u32>("price").stale().await?, Some(7));
            /// assert!(client.exists("price").stale().await?);
            /// assert_eq!(client.get_many::<u32>(["price"]).stale().await?, [Some(7)]);
            /// # server.close().await?;
            /// # Ok(()) }
            /// ```
            pub fn stale(mut self) -> Self {
                self.call.set_stale();
                self
            }
        }
    };
}
pub(crate) use stale;

/// Lets an operation on one record take part in a pipeline.
macro_rules! in_pipeline {
    ($name:ident $(<$value:ident: $bound:path>)?, $output:ty) => {
        impl$(<$value: $bound>)? $crate::operation::pipeline::Single<$output>
            for $name<'_ $(, $value)?>
        {
        }

        impl$(<$value: $bound>)? $crate::operation::pipeline::Part<$output>
            for $name<'_ $(, $value)?>
        {
            fn into_ticket(
                self,
                client: &$crate::Client,
            ) -> $crate::operation::pipeline::Ticket<$output> {
                $crate::operation::pipeline::Ticket::new(self.call.into_item(client), Self::finish)
            }
        }
    };
}
pub(crate) use in_pipeline;
