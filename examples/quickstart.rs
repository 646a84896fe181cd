//! The first five minutes: a typed store on disk, inside this program.
//!
//! `cargo run --example quickstart` prints each line of code below before what it did. The server
//! runs in this process, without a port; against one of its own only the way to a client changes
//! (see `remote.rs`).

use std::error::Error;

use kvsd::Keyed;
use kvsd_server::Embedded;
use serde::{Deserialize, Serialize};

/// What we keep. The derive makes it a value that the store takes, and that knows its own layout.
#[derive(Debug, Clone, Serialize, Deserialize, kvsd::Value)]
#[kvsd(table = "users", key = "user/{id}")]
struct User {
    id: u64,
    name: String,
    tags: Vec<String>,
}

/// Prints a line of code, runs it, and prints what came of it.
macro_rules! show {
    ($code:expr) => {{
        println!("  {}", stringify!($code));
        let result = $code;
        println!("    -> {result:?}");
        result
    }};
}

/// The same for a line that ends in an error.
macro_rules! show_error {
    ($code:expr) => {{
        println!("  {}", stringify!($code));
        match $code {
            Ok(_) => return Err("this should have been refused".into()),
            Err(error) => println!("    -> error: {error:#}"),
        }
    }};
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let server = Embedded::open(folder.path()).await?;
    println!("A kvsd server is open in this process, on {}.", folder.path().display());
    let client = server.client().await?;

    println!("\nPlain values. A set answers with the version that the write got:");
    show!(client.set("greeting", "hello").await?);
    show!(client.get::<String>("greeting").await?);
    show!(client.get::<String>("nobody").await?);

    println!("\nTyped values, which know their table and their key:");
    let ada = User { id: 7, name: "Ada".into(), tags: vec!["founder".into()] };
    show!(client.put(&ada).await?);
    show!(client.fetch(User::key_of(7)).await?);
    println!("A value knows its type. Read as another one it is an error, never nonsense:");
    let users = client.of::<User>();
    show_error!(users.get::<String>(User::key_of(7)).await);

    println!("\nAn update that loses nobody's change: read with the version, write on it:");
    let read = show!(client.fetch(User::key_of(7)).versioned().await?).ok_or("Ada is gone")?;
    let changed = User { name: "Ada Lovelace".into(), ..read.value };
    show!(client.put(&changed).if_version(read.version).await?);
    println!("Whoever read before that and writes now is told so, and nothing is written:");
    show_error!(client.put(&ada).if_version(read.version).await);

    println!("\nTake removes and returns; of any number of callers, one gets it:");
    show!(client.take::<String>("greeting").await?);
    show!(client.take::<String>("greeting").await?);

    println!("\nIn order, and as a stream, all users or those whose keys begin alike:");
    println!("  let mut all = client.scan_all(User::prefix());");
    let mut all = client.scan_all(User::prefix());
    show!(all.next().await.transpose()?);
    show!(all.next().await.transpose()?);

    println!("\nClosed, and opened again on the same folder. Every write was on disk before its");
    println!("answer came, so Ada is there:");
    client.close().await;
    server.close().await?;
    let server = Embedded::open(folder.path()).await?;
    let client = server.client().await?;
    show!(client.fetch(User::key_of(7)).await?);
    server.close().await?;

    println!("\nWhere to go from here:");
    println!("  examples/quickstart.rs                      what you just saw");
    println!("  cargo run --example import_packages         real records, each of them verified");
    println!("  cargo run --bin kvsd-server -- --dev        a server; then, beside it,");
    println!("  cargo run --example remote                  the same client, many tasks");
    println!(
        "  examples/                                   evolution, counters, caches, transfers,"
    );
    println!("                                              live views, tests: a page each");
    Ok(())
}
