//! Version 1 of kvsd: the published crate's server, in a process of its own, and its client, with a
//! connection for each task, since one connection has one operation under way.
//!
//! Nothing of its settings is changed, its port and its user apart. It never syncs its log.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use kvsd_v1::Value;
use kvsd_v1::client::Api;
use kvsd_v1::client::tcp::{self, UnauthenticatedClient};
use kvsd_v1::config::{Config, Initializer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

use super::library::{Library, Served};
use super::process::Process;
use super::setting::Setting;
use crate::Error;
use crate::load::Client;
use crate::record::{Key, Profile};

/// The name under which this program is version 1's server.
pub(crate) const SERVER_NAME: &str = "kvsd-version-1";

/// The server: serves the folder that is its argument, until it is killed.
pub(crate) fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// On a runtime as its own binary has it.
fn serve() -> Result<(), Error> {
    let folder = std::env::args_os().nth(1).ok_or("no folder")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut config = Config::default();
        let (username, password) = (USER.to_owned(), PASSWORD.to_owned());
        config.kvsd.users = vec![kvsd_v1::core::UserEntry { username, password }];
        config.server.set_disable_tls(&mut Some(true));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}{}", Process::LISTENING, listener.local_addr()?);
        let mut initializer = Initializer::from_config(config);
        initializer.set_root_dir(folder);
        initializer.set_listener(listener);
        initializer.init_dir().await?;
        Ok(initializer.run_kvsd(std::future::pending::<()>()).await?)
    })
}

/// The client of version 1, as often connected as there are tasks.
#[derive(Debug)]
pub(crate) struct Version1 {
    connections: Vec<Connection>,
}

/// A task's client. In the filling several tasks share one.
#[derive(Clone)]
pub(crate) struct Connection {
    client: Arc<Mutex<tcp::Client<TcpStream>>>,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// Starts a server on a new folder and connects to it once for each task.
pub(crate) fn start(
    runtime: &Runtime,
    folder: &Path,
    _: &Setting,
    tasks: usize,
) -> Result<Served<Version1>, Error> {
    std::fs::create_dir_all(folder)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0(SERVER_NAME).arg(folder.join("data"));
    let (server, address) = Process::start_listening(&mut command, &folder.join("log"))?;
    let connections = runtime.block_on(async {
        let (host, mut connections) = (address.ip().to_string(), Vec::new());
        while connections.len() < tasks {
            let client = UnauthenticatedClient::insecure_from_addr(&host, address.port()).await?;
            let client = Arc::new(Mutex::new(client.authenticate(USER, PASSWORD).await?));
            connections.push(Connection { client, bytes: Vec::new() });
        }
        Ok::<_, Error>(connections)
    })?;
    Ok(Served::new(server, Version1 { connections }))
}

impl Library for Version1 {
    type Client = Connection;

    fn choices(&self, _: usize) -> Vec<usize> {
        vec![self.connections.len()]
    }

    fn client(&self, connections: usize, task: usize) -> Connection {
        self.connections[task % connections].clone()
    }
}

impl Client for Connection {
    async fn get(&mut self, key: Key) -> Result<Option<Profile>, Error> {
        let found = self.client.lock().await.get(kvsd_v1::Key::new(key.text())?).await?;
        found.map(|bytes| Profile::decode(&bytes)).transpose()
    }

    async fn set(&mut self, key: Key, profile: &Profile) -> Result<(), Error> {
        profile.encode(&mut self.bytes)?;
        let (key, value) = (kvsd_v1::Key::new(key.text())?, Value::new(self.bytes.as_slice())?);
        Ok(self.client.lock().await.set(key, value).await?)
    }
}

const USER: &str = "bench";
const PASSWORD: &str = "bench";
