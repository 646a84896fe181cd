//! Redis and the crate `fred`: a pool of multiplexed connections, as large as serves it best.

use std::path::Path;

use bytes::Bytes;
use fred::clients::Pool;
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::Builder;
use fred::types::config::{Config, ServerConfig};
use tokio::runtime::Runtime;

use super::library::{self, Library, Served};
use super::redis::server::{self, Place};
use super::setting::{HOST, Setting};
use crate::Error;
use crate::load::Client;
use crate::record::{Key, Profile};

/// A pool of each size that is tried.
pub(crate) struct Fred {
    pools: Vec<Pool>,
}

/// Starts a server on a new folder and connects to it.
pub(crate) fn start(
    runtime: &Runtime,
    folder: &Path,
    setting: &Setting,
) -> Result<Served<Fred>, Error> {
    let (server, place) = server::serve(folder, setting)?;
    let pools = runtime.block_on(async {
        let mut pools = Vec::new();
        for size in library::numbers(library::MOST_CONNECTIONS) {
            pools.push(server::connect(&server, async || connect(&place, size).await).await?);
        }
        Ok::<_, Error>(pools)
    })?;
    Ok(Served::new(server, Fred { pools }))
}

async fn connect(place: &Place, size: usize) -> Result<Pool, fred::error::Error> {
    let server = ServerConfig::new_centralized(HOST, place.port);
    let mut builder = Builder::from_config(Config { server, ..Config::default() });
    builder.with_connection_config(|config| config.tcp.nodelay = Some(true));
    builder.with_performance_config(|config| {
        config.default_command_timeout = kvsd::DEFAULT_TIMEOUT;
    });
    let pool = builder.build_pool(size)?;
    pool.init().await?;
    Ok(pool)
}

impl Library for Fred {
    type Client = FredClient;

    fn choices(&self, tasks: usize) -> Vec<usize> {
        library::numbers(tasks)
    }

    fn client(&self, connections: usize, _: usize) -> FredClient {
        let sized = self.pools.iter().find(|pool| pool.size() == connections);
        let pool = sized.unwrap_or(&self.pools[0]).clone();
        FredClient { pool, bytes: Vec::new() }
    }
}

/// A task's handle. The pool takes its connections in turn.
pub(crate) struct FredClient {
    pool: Pool,
    bytes: Vec<u8>,
}

impl Client for FredClient {
    async fn get(&mut self, key: Key) -> Result<Option<Profile>, Error> {
        let found: Option<Bytes> = self.pool.get(key.text()).await?;
        found.map(|bytes| Profile::decode(&bytes)).transpose()
    }

    async fn set(&mut self, key: Key, profile: &Profile) -> Result<(), Error> {
        profile.encode(&mut self.bytes)?;
        let value = self.bytes.as_slice();
        let _: () = self.pool.set(key.text(), value, None, None, false).await?;
        Ok(())
    }
}
