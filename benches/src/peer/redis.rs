//! Redis: `redis-server` and the crate `redis`, multiplexed, over as many connections as serve it
//! best.
//!
//! Where its defaults would slow it down it is helped: no snapshots and no rewriting of its log
//! behind the scenes, no Nagle's algorithm, and a response timeout as long as kvsd's.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bincode::Options;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncCommands, AsyncConnectionConfig, ErrorKind, IntoConnectionInfo, RedisError,
    ServerErrorKind,
};
use tokio::runtime::Runtime;

use super::Peer;
use super::process::{Ending, Process};
use crate::Error;
use crate::cell::Sync;
use crate::load::{self, Client, Outcome, Plan};
use crate::record::{Profile, Records};

/// What `redis-server` calls itself, or why there is none.
pub(crate) fn find() -> Result<String, String> {
    let output = Command::new(PROGRAM).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{PROGRAM} cannot be started: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split(' ').find_map(|word| word.strip_prefix("v="));
    version.map(ToOwned::to_owned).ok_or_else(|| format!("{PROGRAM} does not tell its version"))
}

/// How a cell configures the server's log.
pub(crate) fn log_settings(sync: Sync) -> &'static [&'static str] {
    match sync {
        Sync::Unlogged => &["--appendonly", "no"],
        Sync::Interval => &["--appendonly", "yes", "--appendfsync", "everysec"],
        Sync::Always => &["--appendonly", "yes", "--appendfsync", "always"],
    }
}

/// What is set in every cell.
pub(crate) const SETTINGS: [&str; 4] = ["--save", "", "--auto-aof-rewrite-percentage", "0"];

/// A Redis server and connections to it.
#[derive(Debug)]
pub(crate) struct Redis {
    server: Process,
    connections: Vec<MultiplexedConnection>,
    /// How many of them are used.
    used: usize,
}

impl Redis {
    /// Starts a server on a folder, which may hold one's data already, and connects to it.
    pub(crate) fn start(runtime: &Runtime, folder: &Path, sync: Sync) -> Result<Self, Error> {
        let (server, port) = serve(folder, sync)?;
        let connections = runtime.block_on(connect(&server, port))?;
        Ok(Self { server, connections, used: 1 })
    }

    /// Has the server write its log anew, without what has been replaced, and waits until it has.
    pub(crate) fn rewrite_log(&self, runtime: &Runtime) -> Result<(), Error> {
        runtime.block_on(async {
            let mut connection = self.connections[0].clone();
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

    fn client(&self) -> impl Fn(usize) -> RedisClient {
        |task| RedisClient {
            connection: self.connections[task % self.used].clone(),
            bytes: Vec::new(),
        }
    }
}

fn serve(folder: &Path, sync: Sync) -> Result<(Process, u16), Error> {
    std::fs::create_dir_all(folder)?;
    // Free a moment ago; should somebody else take it now, the server says so and ends.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let mut command = Command::new(PROGRAM);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--loglevel", "warning"]);
    command.arg("--dir").arg(folder).args(SETTINGS).args(log_settings(sync));
    let log = folder.join("log");
    command.arg("--logfile").arg(&log).stdout(Stdio::null());
    Ok((Process::start(&mut command, &log)?, port))
}

/// Opens all connections, as soon as the server takes them.
async fn connect(server: &Process, port: u16) -> Result<Vec<MultiplexedConnection>, Error> {
    let tcp = TcpSettings::default().set_nodelay(true);
    let info = (Ipv4Addr::LOCALHOST.to_string(), port).into_connection_info()?;
    let client = redis::Client::open(info.set_tcp_settings(tcp))?;
    let settings = AsyncConnectionConfig::new().set_response_timeout(Some(kvsd::DEFAULT_TIMEOUT));
    let give_up = Instant::now() + START_TIME;
    let mut connections = Vec::new();
    while connections.len() < MOST_CONNECTIONS {
        match client.get_multiplexed_async_connection_with_config(&settings).await {
            Ok(connection) => connections.push(connection),
            Err(_) if Instant::now() < give_up => tokio::time::sleep(START_STEP).await,
            Err(error) => {
                return Err(format!("{PROGRAM}: {error}; {}", server.last_words()).into());
            }
        }
    }
    Ok(connections)
}

fn is_loading(error: RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::BusyLoading)
}

impl Peer for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn server(&self) -> u32 {
        self.server.id()
    }

    fn fill(
        &self,
        runtime: &Runtime,
        records: &Arc<Records>,
        range: Range<usize>,
    ) -> Result<(), Error> {
        runtime.block_on(load::fill(records, range, self.client()))
    }

    /// Chooses the number of connections with which most gets done, by the sum of two passes.
    fn warm_up(&mut self, runtime: &Runtime, plan: &Plan) -> Result<usize, Error> {
        // A task uses one connection, so more of them than tasks are not tried.
        let useful = CONNECTIONS.into_iter().filter(|connections| *connections <= plan.tasks);
        let mut done: Vec<_> = useful.map(|connections| (0, connections)).collect();
        for _ in 0..WARM_UP_PASSES {
            for (operations, connections) in &mut done {
                self.used = *connections;
                *operations += self.run(runtime, plan)?.latency.count();
            }
        }
        (_, self.used) = done.into_iter().max().unwrap_or((0, 1));
        Ok(self.used)
    }

    fn run(&self, runtime: &Runtime, plan: &Plan) -> Result<Outcome, Error> {
        runtime.block_on(load::run(plan, self.client()))
    }

    fn get(&self, runtime: &Runtime, records: &Records, at: usize) -> Result<(), Error> {
        runtime.block_on(async {
            let mut connection = self.connections[0].clone();
            // While it loads, it refuses everything.
            while redis::cmd("PING").query_async::<()>(&mut connection).await.is_err_and(is_loading)
            {
                tokio::time::sleep(START_STEP).await;
            }
            load::get(&mut self.client()(0), records, at).await
        })
    }

    fn end(self: Box<Self>, ending: Ending) -> Result<(), Error> {
        self.server.end(ending)
    }
}

struct RedisClient {
    connection: MultiplexedConnection,
    /// Where values are encoded, kept from one to the next.
    bytes: Vec<u8>,
}

/// With the encoding that kvsd uses by default.
impl Client for RedisClient {
    async fn get(&mut self, key: &str) -> Result<Option<Profile>, Error> {
        let found: Option<Vec<u8>> = self.connection.get(key).await?;
        let decode = |bytes: Vec<u8>| bincode::DefaultOptions::new().deserialize(&bytes);
        Ok(found.map(decode).transpose()?)
    }

    async fn set(&mut self, key: &str, profile: &Profile) -> Result<(), Error> {
        self.bytes.clear();
        bincode::DefaultOptions::new().serialize_into(&mut self.bytes, profile)?;
        let _: () = self.connection.set(key, self.bytes.as_slice()).await?;
        Ok(())
    }
}

const PROGRAM: &str = "redis-server";
/// What is tried.
const CONNECTIONS: [usize; 4] = [1, 2, 4, 8];
const MOST_CONNECTIONS: usize = 8;
const WARM_UP_PASSES: usize = 2;
const START_TIME: Duration = Duration::from_secs(10);
const START_STEP: Duration = Duration::from_millis(1);
const REWRITE_STEP: Duration = Duration::from_millis(50);
