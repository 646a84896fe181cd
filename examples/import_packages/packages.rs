//! The records, and the job: store all of them, read all of them back.
//!
//! Knows a client and a file of records; never where the server is. The tests run this file too.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use kvsd::Client;
use serde::{Deserialize, Serialize};

/// One package of Debian, as it stands in the file and in the store; its key is its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, kvsd::Value)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) section: String,
    pub(crate) installed_kib: u64,
    pub(crate) download_bytes: u64,
    pub(crate) homepage: Option<String>,
    pub(crate) depends: Vec<String>,
    pub(crate) summary: String,
    pub(crate) sha256: String,
}

/// How many requests are under way at a time. Enough that one sync of the disk serves many of
/// them, few enough that memory stays small.
const IN_FLIGHT: usize = 256;

/// Reads a file with one record a line, in JSON.
pub(crate) fn read(file: &Path) -> Result<Vec<Package>, Box<dyn Error>> {
    let name = file.display();
    let opened = File::open(file).map_err(|error| format!("cannot read {name}: {error}"))?;
    let mut packages = Vec::new();
    for (line, text) in BufReader::new(opened).lines().enumerate() {
        let package = serde_json::from_str(&text?);
        packages.push(package.map_err(|error| format!("{name}, line {}: {error}", line + 1))?);
    }
    Ok(packages)
}

/// Stores every record; `done` is called for each that is stored.
pub(crate) async fn store(
    client: &Client,
    packages: &[Package],
    done: impl Fn(),
) -> Result<(), Box<dyn Error>> {
    let writes = packages.iter().map(|package| client.set(&package.name, package));
    let mut answers = stream::iter(writes).buffer_unordered(IN_FLIGHT);
    while answers.try_next().await?.is_some() {
        done();
    }
    Ok(())
}

/// Reads every record and compares it, field by field; `done` is called for each that is right.
pub(crate) async fn verify(
    client: &Client,
    packages: &[Package],
    done: impl Fn(),
) -> Result<(), Box<dyn Error>> {
    let reads = packages
        .iter()
        .map(|package| async move { (package, client.get::<Package>(&package.name).await) });
    let mut answers = stream::iter(reads).buffer_unordered(IN_FLIGHT);
    while let Some((package, read)) = answers.next().await {
        match read? {
            Some(stored) if stored == *package => done(),
            Some(_) => return Err(format!("{}: another record is stored", package.name).into()),
            None => return Err(format!("{}: not found", package.name).into()),
        }
    }
    Ok(())
}
