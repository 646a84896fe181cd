//! Redis and the crate `bb8-redis`, as users have it by default: ten connections, each lent to one
//! task at a time and tested when it is lent.

use std::path::Path;

use bb8_redis::RedisConnectionManager;
use bb8_redis::bb8::Pool;
use redis::AsyncCommands;
use tokio::runtime::Runtime;

use super::library::{Library, Served};
use super::redis::{self as multiplexed, server};
use super::setting::Setting;
use crate::Error;
use crate::load::Client;
use crate::record::{Key, Profile};

/// The pool.
#[derive(Debug)]
pub(crate) struct Bb8 {
    pool: Pool<RedisConnectionManager>,
}

/// Starts a server on a new folder and connects to it.
pub(crate) fn start(
    runtime: &Runtime,
    folder: &Path,
    setting: &Setting,
) -> Result<Served<Bb8>, Error> {
    let (server, place) = server::serve(folder, setting)?;
    let pool = runtime.block_on(async {
        let pool = Pool::builder().build(RedisConnectionManager::new(multiplexed::info(&place)?)?);
        let pool = pool.await?;
        server::connect(&server, async || pool.get().await.map(drop)).await?;
        Ok::<_, Error>(pool)
    })?;
    Ok(Served::new(server, Bb8 { pool }))
}

impl Library for Bb8 {
    type Client = Bb8Client;

    fn choices(&self, _: usize) -> Vec<usize> {
        vec![DEFAULT_SIZE]
    }

    fn client(&self, _: usize, _: usize) -> Bb8Client {
        Bb8Client { pool: self.pool.clone(), bytes: Vec::new() }
    }
}

/// A task's handle.
pub(crate) struct Bb8Client {
    pool: Pool<RedisConnectionManager>,
    bytes: Vec<u8>,
}

impl Client for Bb8Client {
    async fn get(&mut self, key: Key) -> Result<Option<Profile>, Error> {
        let found: Option<Vec<u8>> = self.pool.get().await?.get(key.text()).await?;
        found.map(|bytes| Profile::decode(&bytes)).transpose()
    }

    async fn set(&mut self, key: Key, profile: &Profile) -> Result<(), Error> {
        profile.encode(&mut self.bytes)?;
        let _: () = self.pool.get().await?.set(key.text(), self.bytes.as_slice()).await?;
        Ok(())
    }
}

/// How many connections a pool has that is not told.
const DEFAULT_SIZE: usize = 10;
