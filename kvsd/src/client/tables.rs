//! The client's operations on tables as a whole.
//!
//! Next file to read: [`crate::operation`].

use super::Client;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::operation::tables::{CreateTable, DropTable, GetStatistics, ListTables};
use crate::operation::{Call, Draft, argument};
use crate::types::TableName;

/// # Tables
impl Client {
    /// Makes the table `name`; resolves with whether there was none. A table comes into being with
    /// its first write as well, unless the server is told otherwise.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if `name` is no table name; [`ErrorKind::Server`] if the
    /// server takes no more tables; and what any operation can fail with.
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
    /// assert!(client.create_table("users").await?);
    /// assert!(!client.create_table("users").await?);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn create_table(&self, name: &str) -> CreateTable<'_> {
        CreateTable { call: self.table_call("create_table", name, Draft::CreateTable) }
    }

    /// Removes the table `name` and **all that is in it**; resolves with whether there was one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if `name` is no table name; and what any operation can fail
    /// with.
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
    /// client.table("old")?.set("k", "v").await?;
    /// assert!(client.drop_table("old").await?);
    /// assert!(!client.table("old")?.exists("k").await?);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn drop_table(&self, name: &str) -> DropTable<'_> {
        DropTable { call: self.table_call("drop_table", name, Draft::DropTable) }
    }

    /// Names all tables of the server, in order.
    ///
    /// # Errors
    ///
    /// What any operation can fail with.
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
    /// client.create_table("users").await?;
    /// let tables = client.tables().await?;
    /// assert!(tables.iter().any(|table| table.as_str() == "users"));
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn tables(&self) -> ListTables<'_> {
        let call = Call::new(self, "tables", Ok(Draft::Tables { after: None })).on_no_table();
        ListTables { call, names: Vec::new() }
    }

    /// How much this handle's table holds: `None` if there is no such table.
    ///
    /// # Errors
    ///
    /// What any operation can fail with.
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
    /// client.set("k", "v").await?;
    /// let statistics = client.statistics().await?.ok_or("no table")?;
    /// assert_eq!(statistics.keys, 1);
    /// # server.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn statistics(&self) -> GetStatistics<'_> {
        GetStatistics { call: Call::new(self, "statistics", Ok(Draft::Statistics)) }
    }

    fn table_call(&self, operation: &'static str, name: &str, draft: Draft) -> Call<'_> {
        match TableName::parse(name) {
            Ok(table) => Call::new(self, operation, Ok(draft)).on_table(table.as_str().to_owned()),
            Err(cause) => {
                let fault: Error = argument::invalid_by(cause);
                Call::new(self, operation, Err(fault)).on_no_table()
            }
        }
    }
}
