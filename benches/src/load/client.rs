//! What the load asks of a client library.

use crate::Error;
use crate::record::{Key, Profile};

/// One task's client of a store of typed records.
///
/// What is beyond a get and a set is asked only of the libraries that a cell for it names.
pub(crate) trait Client: Send + 'static {
    /// Reads the record at a key.
    fn get(&mut self, key: Key) -> impl Future<Output = Result<Option<Profile>, Error>> + Send;

    /// Writes the record at a key.
    fn set(
        &mut self,
        key: Key,
        profile: &Profile,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Reads the records at several keys in one request.
    fn get_many(
        &mut self,
        _: &[&str],
    ) -> impl Future<Output = Result<Vec<Option<Profile>>, Error>> + Send {
        async { Err(unused()) }
    }

    /// Reads the records whose keys have a prefix, in any order.
    fn scan(&mut self, _: &str) -> impl Future<Output = Result<Vec<Profile>, Error>> + Send {
        async { Err(unused()) }
    }

    /// Writes the record at a key such that those who watch are told.
    fn announce(&mut self, _: Key, _: &Profile) -> impl Future<Output = Result<(), Error>> + Send {
        async { Err(unused()) }
    }

    /// Hands on what is announced, over a connection of its own: calls `begun` as soon as nothing
    /// more is missed, and then `told` each time. Ends only by failing.
    fn watch(
        self,
        _: impl FnOnce() + Send,
        _: impl FnMut(&Profile) -> Result<(), Error> + Send,
    ) -> impl Future<Output = Result<(), Error>> + Send
    where
        Self: Sized,
    {
        async { Err(unused()) }
    }
}

fn unused() -> Error {
    "no cell asks this library for that".into()
}
