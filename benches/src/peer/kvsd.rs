//! kvsd: the shipped server and the SDK, both with their default settings.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::runtime::Runtime;

use super::library::{Library, Served};
use super::process::Process;
use super::setting::{Certificate, Link, Setting, Watch};
use crate::Error;
use crate::cell::Sync;
use crate::load::Client;
use crate::record::{Key, Profile};

/// The name under which this program is the server.
pub(crate) const SERVER_NAME: &str = "kvsd-server";

/// A kvsd server and a client of it.
pub(crate) type Kvsd = Served<Sdk>;

/// The SDK, connected.
#[derive(Debug)]
pub(crate) struct Sdk {
    place: Place,
    tables: Tables,
}

/// Where a server is, and how to trust it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    url: String,
    authority: Option<PathBuf>,
}

/// The tables that the keys are spread over.
#[derive(Debug, Clone)]
struct Tables {
    first: kvsd::Client,
    others: Vec<kvsd::Client>,
}

/// Starts a server on a folder, which may hold one's data already, and connects to it.
pub(crate) fn start(runtime: &Runtime, folder: &Path, setting: &Setting) -> Result<Kvsd, Error> {
    let (server, place) = serve(folder, setting)?;
    let first = runtime.block_on(place.connect())?;
    let others = (1..setting.tables).map(|number| first.table(&format!("table{number}")));
    let tables = Tables { others: others.collect::<Result<_, _>>()?, first };
    Ok(Served::new(server, Sdk { place, tables }))
}

/// The value of `--sync` that a cell asks for. The default is named for the table's sake.
pub(crate) fn sync_mode(sync: Sync) -> &'static str {
    match sync {
        Sync::Unlogged | Sync::Always => "always",
        Sync::Never => "never",
        Sync::Interval => "interval",
    }
}

/// The flags of the server for this.
pub(crate) fn watch_flags(watch: Watch) -> &'static [&'static str] {
    match watch {
        Watch::Usual => &[],
        Watch::Off => &["--metrics", "off", "--slow-request", "0s", "--log", "off"],
        Watch::On => &[
            "--metrics",
            "on",
            "--slow-request",
            "100ms",
            "--log",
            "info",
            "--status-listen",
            "127.0.0.1:0",
        ],
    }
}

/// Starts a front end of the etcd cluster with these members, and connects to it.
#[cfg(feature = "etcd")]
pub(crate) fn front_end(
    runtime: &Runtime,
    folder: &Path,
    members: &[String],
) -> Result<Kvsd, Error> {
    let mut command = command(folder)?;
    command.args(["--engine", "etcd", "--etcd-endpoints", &members.join(",")]);
    let (server, address) = Process::start_listening(&mut command, &folder.join("log"))?;
    let place = Place { url: format!("kvsd://{address}"), authority: None };
    let first = runtime.block_on(place.connect())?;
    Ok(Served::new(server, Sdk { place, tables: Tables { first, others: Vec::new() } }))
}

/// The shipped server on a free port, with the settings that it comes with.
fn command(folder: &Path) -> Result<Command, Error> {
    std::fs::create_dir_all(folder)?;
    let mut command = Command::new(std::env::current_exe()?);
    for (name, _) in std::env::vars_os() {
        // Settings that the user's own server has.
        if name.to_string_lossy().starts_with("KVSD_") {
            command.env_remove(name);
        }
    }
    command.arg0(SERVER_NAME).args(["--dev", "--listen", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(folder.join("data"));
    Ok(command)
}

/// Starts the server and waits until it serves; returns where.
fn serve(folder: &Path, setting: &Setting) -> Result<(Process, Place), Error> {
    let mut command = command(folder)?;
    command.args(["--sync", sync_mode(setting.sync)]);
    if let Some(most) = setting.most_connections {
        // All of them are this machine's, and may come at once.
        for flag in ["--max-connections", "--max-connections-per-address", "--max-unauthenticated"]
        {
            command.args([flag, &most.to_string()]);
        }
    }
    command.args(watch_flags(setting.watch));
    let certificate = match setting.link {
        Link::Plain => None,
        Link::Tls => {
            let made = Certificate::make(folder)?;
            command.arg("--tls-cert").arg(&made.cert).arg("--tls-key").arg(&made.key);
            Some(made)
        }
    };
    let (server, address) = Process::start_listening(&mut command, &folder.join("log"))?;
    let url = match setting.link {
        Link::Plain => format!("kvsd://{address}"),
        Link::Tls => format!("kvsds://{address}"),
    };
    Ok((server, Place { url, authority: certificate.map(|made| made.cert) }))
}

impl Kvsd {
    /// Where the server is.
    pub(crate) fn place(&self) -> &Place {
        &self.library.place
    }
}

impl Place {
    /// A client with its default settings.
    pub(crate) async fn connect(&self) -> Result<kvsd::Client, Error> {
        Ok(self.builder()?.connect().await?)
    }

    pub(crate) fn builder(&self) -> Result<kvsd::ClientBuilder, Error> {
        let builder = kvsd::Client::builder().url(&self.url)?;
        Ok(match &self.authority {
            Some(file) => builder.ca_file(file),
            None => builder,
        })
    }
}

impl Library for Sdk {
    type Client = SdkClient;

    /// There is nothing to choose: kvsd runs as it comes.
    fn choices(&self, _: usize) -> Vec<usize> {
        vec![kvsd::DEFAULT_POOL_SIZE as usize]
    }

    fn client(&self, _: usize, _: usize) -> SdkClient {
        SdkClient { tables: self.tables.clone(), place: self.place.clone() }
    }
}

/// A task's handle.
pub(crate) struct SdkClient {
    tables: Tables,
    place: Place,
}

impl Tables {
    /// The table of a key.
    fn of(&self, key: Key) -> &kvsd::Client {
        match key.at % (self.others.len() + 1) {
            0 => &self.first,
            number => &self.others[number - 1],
        }
    }
}

impl Client for SdkClient {
    async fn get(&mut self, key: Key) -> Result<Option<Profile>, Error> {
        Ok(self.tables.of(key).get::<Profile>(key.text()).await?)
    }

    async fn set(&mut self, key: Key, profile: &Profile) -> Result<(), Error> {
        self.tables.of(key).set(key.text(), profile).await?;
        Ok(())
    }

    async fn get_many(&mut self, keys: &[&str]) -> Result<Vec<Option<Profile>>, Error> {
        Ok(self.tables.first.get_many::<Profile>(keys).await?)
    }

    async fn scan(&mut self, prefix: &str) -> Result<Vec<Profile>, Error> {
        let (mut scan, mut found) = (self.tables.first.scan::<Profile>(prefix), Vec::new());
        while let Some(entry) = scan.next().await {
            found.push(entry?.value);
        }
        Ok(found)
    }

    async fn announce(&mut self, key: Key, profile: &Profile) -> Result<(), Error> {
        self.set(key, profile).await
    }

    async fn watch(
        self,
        begun: impl FnOnce() + Send,
        mut told: impl FnMut(&Profile) -> Result<(), Error> + Send,
    ) -> Result<(), Error> {
        let client = self.place.connect().await?;
        let mut events = client.watch::<Profile>("");
        events.begin().await?;
        begun();
        while let Some(event) = events.next().await {
            match event? {
                kvsd::Event::Set(entry) => told(&entry.value)?,
                other => return Err(format!("watched for sets, and told {other:.200?}").into()),
            }
        }
        Ok(())
    }
}
