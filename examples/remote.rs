//! A client of a running server, shared by many tasks.
//!
//! ```text
//! cargo run --bin kvsd-server -- --dev                  in one terminal
//! cargo run --example remote [URL]                      in another
//! ```
//!
//! The URL is the argument, else `KVSD_URL`, else `kvsd://localhost`. For TLS it says `kvsds://`,
//! and where the server's CA is: `?ca=FILE`, or `KVSD_TLS_CA`.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use kvsd::{Client, ErrorKind};
use tokio::task::JoinSet;

const TASKS: u64 = 100;

#[tokio::main]
async fn main() -> ExitCode {
    let given = std::env::args().nth(1).or_else(|| std::env::var("KVSD_URL").ok());
    let url = given.unwrap_or_else(|| "kvsd://localhost".to_owned());
    match run(&url).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            let kind = error.downcast_ref().map(kvsd::Error::kind);
            if kind == Some(ErrorKind::Connect) {
                eprintln!("Is a server running? This starts one, for this machine alone:");
                eprintln!("  cargo run --bin kvsd-server -- --dev");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(url: &str) -> Result<(), Box<dyn Error>> {
    let mut builder = Client::builder().url(url)?.timeout(Duration::from_secs(5));
    if let Some(file) = std::env::var_os("KVSD_TLS_CA") {
        builder = builder.ca_file(file);
    }
    // Fails at once if there is no server, or it does not let us in.
    let client = builder.connect().await?.table("remote-example")?;
    client.ping().await?;
    println!("connected: the server answers");

    // A client is cheap to clone, and its few connections carry the requests of all tasks at once.
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..TASKS {
        let client = client.clone();
        tasks.spawn(async move {
            let key = format!("number/{number}");
            client.set(&key, number).await?;
            client.get::<u64>(&key).await.map(|read| read == Some(number))
        });
    }
    while let Some(done) = tasks.join_next().await {
        if !done?? {
            return Err("a task read another value than it wrote".into());
        }
    }
    println!("{TASKS} tasks wrote and read their own numbers in {:?}", started.elapsed());

    // All of them count on one key. None gets lost: each writes only on the version that it read.
    client.delete("counter").await?;
    for _ in 0..TASKS {
        let client = client.clone();
        tasks.spawn(async move { add_one(&client, "counter").await.map(|()| true) });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let counter = client.get::<u64>("counter").await?;
    println!("{TASKS} tasks added one to the same counter: it says {}", counter.unwrap_or(0));

    for number in 0..TASKS {
        client.delete(format!("number/{number}")).await?;
    }
    // Of the tasks that clean up here, one gets the counter.
    let taken = client.take::<u64>("counter").await?;
    println!("cleaned up; the counter was {taken:?} when it was taken");
    client.close().await;
    Ok(())
}

/// Adds one to the number at `key`, however many others do the same.
async fn add_one(client: &Client, key: &str) -> Result<(), kvsd::Error> {
    loop {
        let written = match client.get::<u64>(key).versioned().await? {
            None => client.set(key, 1_u64).if_absent().await,
            Some(read) => client.set(key, read.value + 1).if_version(read.version).await,
        };
        match written {
            Ok(_) => return Ok(()),
            // Another task was faster: read again. The error says that nothing was written.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error),
        }
    }
}
