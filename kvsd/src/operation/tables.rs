//! The operations on tables as a whole.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::call::refused;
use super::read::flag;
use super::{Call, Draft, operation};
use crate::connection::answer::Answer;
use crate::error::{Error, ErrorKind, Outcome};
use crate::types::TableName;

pub use crate::connection::TableStatistics;

/// Makes a table: [`Client::create_table`](crate::Client::create_table).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// assert!(client.create_table("users").await?);
/// assert!(!client.create_table("users").await?, "it is there already");
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct CreateTable<'c> {
    pub(crate) call: Call<'c>,
}

operation!(CreateTable, bool, flag);

/// Removes a table: [`Client::drop_table`](crate::Client::drop_table).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// client.table("old")?.set("k", "v").await?;
/// assert!(client.drop_table("old").await?);
/// assert!(!client.drop_table("old").await?, "it is gone already");
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct DropTable<'c> {
    pub(crate) call: Call<'c>,
}

operation!(DropTable, bool, flag);

/// Measures a table: [`Client::statistics`](crate::Client::statistics).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// let users = client.table("users")?;
/// assert_eq!(users.statistics().await?, None, "no such table yet");
/// users.set("7", "Ada").await?;
/// assert_eq!(users.statistics().await?.map(|users| users.keys), Some(1));
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct GetStatistics<'c> {
    pub(crate) call: Call<'c>,
}

operation!(GetStatistics, Option<TableStatistics>, |answer| match answer {
    Answer::Statistics(figures) => Ok(figures.map(|figures| *figures)),
    answer => Err(refused(answer)),
});

/// Names all tables: [`Client::tables`](crate::Client::tables).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = kvsd_server::Embedded::temporary().await?;
/// # let client = server.client().await?;
/// client.create_table("users").await?;
/// client.create_table("orders").await?;
/// let names = client.tables().await?;
/// assert_eq!(names.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["orders", "users"]);
/// # server.close().await?;
/// # Ok(()) }
/// ```
#[must_use = "an operation does nothing until it is awaited"]
pub struct ListTables<'c> {
    pub(crate) call: Call<'c>,
    /// Those that were named so far.
    pub(crate) names: Vec<TableName>,
}

impl ListTables<'_> {
    /// Allows this operation `timeout` in all, at most a year, instead of the client's setting. It
    /// begins with the first poll; if it is zero, nothing is sent.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = kvsd_server::Embedded::temporary().await?;
    /// # let client = server.client().await?;
    /// use std::time::Duration;
    ///
    /// let names = client.tables().timeout(Duration::from_secs(2)).await?;
    /// assert!(names.is_empty());
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
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
    /// client.create_table("users").await?;
    /// let names = tokio::spawn(client.tables().owned()).await??;
    /// assert_eq!(names[0].as_str(), "users");
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn owned(self) -> ListTables<'static> {
        ListTables { call: self.call.into_owned(), names: self.names }
    }

    /// Keeps the names of an answer; whether more are to come.
    fn take(&mut self, answer: Answer) -> Result<bool, Error> {
        let (more, names) = match answer {
            Answer::Tables { more, names } => (more, names),
            answer => return Err(refused(answer)),
        };
        let broken = |detail| Error::new(ErrorKind::Protocol, Outcome::Refused, detail);
        if more && names.is_empty() {
            return Err(broken("more tables were promised than named"));
        }
        for name in names {
            let name = TableName::parse(&name).map_err(|cause| broken("").with_source(cause))?;
            // So that a server that repeats itself is not asked for ever.
            if self.names.last().is_some_and(|last| *last >= name) {
                return Err(broken("the tables are not in order"));
            }
            self.names.push(name);
        }
        Ok(more)
    }
}

impl Future for ListTables<'_> {
    type Output = Result<Vec<TableName>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let answer = ready!(self.call.poll(context));
            let more = answer.and_then(|answer| self.take(answer));
            match more {
                Ok(true) => {
                    let after = self.names.last().map(|name| name.as_str().into());
                    self.call.again(Draft::Tables { after });
                }
                Ok(false) => {
                    let names = std::mem::take(&mut self.names);
                    return Poll::Ready(self.call.finish(Ok(names)));
                }
                Err(error) => return Poll::Ready(self.call.finish(Err(error))),
            }
        }
    }
}

impl fmt::Debug for ListTables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ListTables").field(&self.call).finish()
    }
}
