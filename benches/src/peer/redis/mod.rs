//! Redis: `redis-server` and the crate `redis`, multiplexed, over as many connections as serve it
//! best.
//!
//! Where the library's defaults would slow it down it is helped: no Nagle's algorithm, and a
//! response timeout as long as kvsd's. Next file to read: [`server`].

pub(crate) mod server;

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncCommands, AsyncConnectionConfig, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    RedisError, ServerErrorKind, TlsCertificates,
};
use tokio::runtime::Runtime;

use super::library::{self, Library, MOST_CONNECTIONS, Served};
use super::process::Process;
use super::setting::{HOST, Setting};
use crate::Error;
use crate::load::Client;
use crate::record::{Key, Profile};
use server::{PROGRAM, Place, START_STEP};

/// A Redis server and multiplexed connections to it.
pub(crate) type Redis = Served<Multiplexed>;

/// The crate `redis`, connected as often as is tried at most.
#[derive(Debug)]
pub(crate) struct Multiplexed {
    client: redis::Client,
    connections: Vec<MultiplexedConnection>,
}

/// Starts a server on a folder, which may hold one's data already, and connects to it.
pub(crate) fn start(runtime: &Runtime, folder: &Path, setting: &Setting) -> Result<Redis, Error> {
    let (server, place) = server::serve(folder, setting)?;
    let library = runtime.block_on(connect(&server, &place))?;
    Ok(Served::new(server, library))
}

/// Opens all connections, as soon as the server takes them.
async fn connect(server: &Process, place: &Place) -> Result<Multiplexed, Error> {
    let client = match &place.authority {
        None => redis::Client::open(info(place)?)?,
        Some(pem) => {
            let root_cert = Some(pem.clone().into_bytes());
            let trusted = TlsCertificates { client_tls: None, root_cert };
            redis::Client::build_with_tls(info(place)?, trusted)?
        }
    };
    let settings = AsyncConnectionConfig::new().set_response_timeout(Some(kvsd::DEFAULT_TIMEOUT));
    let mut connections = Vec::new();
    while connections.len() < MOST_CONNECTIONS {
        let connect = async || client.get_multiplexed_async_connection_with_config(&settings).await;
        connections.push(server::connect(server, connect).await?);
    }
    Ok(Multiplexed { client, connections })
}

/// Where the server is, as the crate `redis` wants to be told.
pub(super) fn info(place: &Place) -> Result<ConnectionInfo, Error> {
    let scheme = if place.authority.is_some() { "rediss" } else { "redis" };
    let url = format!("{scheme}://{HOST}:{}", place.port);
    let tcp = TcpSettings::default().set_nodelay(true);
    Ok(url.into_connection_info()?.set_tcp_settings(tcp))
}

impl Redis {
    /// Has the server write its log anew, without what has been replaced, and waits until it has.
    pub(crate) fn rewrite_log(&self, runtime: &Runtime) -> Result<(), Error> {
        runtime.block_on(async {
            let mut connection = self.library.connections[0].clone();
            redis::cmd("BGREWRITEAOF").query_async::<()>(&mut connection).await?;
            loop {
                let info = redis::cmd("INFO").arg("persistence").to_owned();
                let info: String = info.query_async(&mut connection).await?;
                let says = |line| info.lines().any(|other| other == line);
                if says("aof_rewrite_in_progress:0") && says("aof_rewrite_scheduled:0") {
                    return match says("aof_last_bgrewrite_status:ok") {
                        true => Ok(()),
                        false => Err(format!("{PROGRAM} could not rewrite its log").into()),
                    };
                }
                tokio::time::sleep(REWRITE_STEP).await;
            }
        })
    }
}

fn is_loading(error: RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::BusyLoading)
}

impl Library for Multiplexed {
    type Client = RedisClient;

    fn choices(&self, tasks: usize) -> Vec<usize> {
        library::numbers(tasks)
    }

    fn client(&self, connections: usize, task: usize) -> RedisClient {
        RedisClient {
            client: self.client.clone(),
            connection: self.connections[task % connections].clone(),
            bytes: Vec::new(),
        }
    }

    /// While it loads, it refuses everything.
    async fn ready(&self) -> Result<(), Error> {
        let mut connection = self.connections[0].clone();
        while redis::cmd("PING").query_async::<()>(&mut connection).await.is_err_and(is_loading) {
            tokio::time::sleep(START_STEP).await;
        }
        Ok(())
    }
}

/// A task's handle.
pub(crate) struct RedisClient {
    client: redis::Client,
    connection: MultiplexedConnection,
    /// Where values are encoded, kept from one to the next.
    bytes: Vec<u8>,
}

/// With the encoding that kvsd uses by default.
impl Client for RedisClient {
    async fn get(&mut self, key: Key) -> Result<Option<Profile>, Error> {
        let found: Option<Vec<u8>> = self.connection.get(key.text()).await?;
        found.map(|bytes| Profile::decode(&bytes)).transpose()
    }

    async fn set(&mut self, key: Key, profile: &Profile) -> Result<(), Error> {
        profile.encode(&mut self.bytes)?;
        let _: () = self.connection.set(key.text(), self.bytes.as_slice()).await?;
        Ok(())
    }

    async fn get_many(&mut self, keys: &[&str]) -> Result<Vec<Option<Profile>>, Error> {
        let found: Vec<Option<Vec<u8>>> = self.connection.mget(keys).await?;
        let decode = |bytes: Vec<u8>| Profile::decode(&bytes);
        found.into_iter().map(|found| found.map(decode).transpose()).collect()
    }

    /// Looks through all keys for those with the prefix, and reads them at once.
    async fn scan(&mut self, prefix: &str) -> Result<Vec<Profile>, Error> {
        let (mut keys, mut cursor) = (Vec::<String>::new(), 0_u64);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(SCAN_COUNT);
            let found: Vec<String>;
            (cursor, found) = scan.query_async(&mut self.connection).await?;
            keys.extend(found);
            if cursor == 0 {
                break;
            }
        }
        // A key may be told more than once.
        keys.sort_unstable();
        keys.dedup();
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        Ok(self.get_many(&keys).await?.into_iter().flatten().collect())
    }

    /// Sets the record and publishes it, in one request.
    async fn announce(&mut self, key: Key, profile: &Profile) -> Result<(), Error> {
        profile.encode(&mut self.bytes)?;
        let mut both = redis::pipe();
        both.set(key.text(), self.bytes.as_slice()).ignore();
        both.publish(CHANNEL, self.bytes.as_slice()).ignore();
        Ok(both.query_async::<()>(&mut self.connection).await?)
    }

    async fn watch(
        self,
        begun: impl FnOnce() + Send,
        mut told: impl FnMut(&Profile) -> Result<(), Error> + Send,
    ) -> Result<(), Error> {
        let mut subscribed = self.client.get_async_pubsub().await?;
        subscribed.subscribe(CHANNEL).await?;
        begun();
        let mut messages = subscribed.on_message();
        while let Some(message) = messages.next().await {
            told(&Profile::decode(message.get_payload_bytes())?)?;
        }
        Ok(())
    }
}

/// How many keys one step of a `SCAN` looks at: with the default, 10, it takes ten times as long.
const SCAN_COUNT: usize = 1000;
const CHANNEL: &str = "profiles";
const REWRITE_STEP: Duration = Duration::from_millis(50);
