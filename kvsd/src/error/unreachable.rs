//! Why none of several addresses could be reached.

use std::error::Error as StdError;
use std::fmt;

use super::Error;

/// Why none of a client's addresses could be reached: the source of the error where it has several.
///
/// Shows each address with its cause, and of each some 200 characters at most.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::error::Error;
/// use kvsd::{Client, ErrorKind, Unreachable};
///
/// # let free = || std::net::TcpListener::bind("127.0.0.1:0")?.local_addr();
/// # let (a, b) = (free()?, free()?);
/// // Nothing listens at either.
/// let error = Client::connect(&format!("kvsd://{a},{b}")).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Connect);
/// let causes = error.source().and_then(|source| source.downcast_ref::<Unreachable>());
/// let causes = causes.ok_or("it has a cause for each")?.causes();
/// assert_eq!(causes[1].address(), Some(b.to_string().as_str()));
/// assert!(format!("{error:#}").contains(&format!("{a}: cannot reach the server")));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Unreachable {
    causes: Vec<Error>,
}

/// How much is shown of one address, in bytes.
const SHOWN_BYTES: usize = 200;

impl Unreachable {
    pub(crate) fn new(causes: Vec<Error>) -> Self {
        Self { causes }
    }

    /// What is wrong with each address, in the order in which they were given.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::error::Error;
    /// use kvsd::{Client, Unreachable};
    ///
    /// # let free = || std::net::TcpListener::bind("127.0.0.1:0")?.local_addr();
    /// let url = format!("kvsd://{},{}", free()?, free()?);
    /// let error = Client::connect(&url).await.unwrap_err();
    /// let source = error.source().and_then(|source| source.downcast_ref::<Unreachable>());
    /// for cause in source.ok_or("there are several addresses")?.causes() {
    ///     assert!(cause.address().is_some() && cause.is_retryable());
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn causes(&self) -> &[Error] {
        &self.causes
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (cause, place) in self.causes.iter().zip(0..) {
            if place > 0 {
                f.write_str("; ")?;
            }
            let mut nameless = cause.clone();
            let address = nameless.inner.address.take().unwrap_or_default();
            let text = format!("{address}: {nameless:#}");
            match text.char_indices().find(|(at, _)| *at >= SHOWN_BYTES) {
                Some((end, _)) => write!(f, "{}...", text.get(..end).unwrap_or_default())?,
                None => f.write_str(&text)?,
            }
        }
        Ok(())
    }
}

impl StdError for Unreachable {}
