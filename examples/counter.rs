//! 64 tasks at one key: a number that is counted up in place, and a value that is read, changed and
//! written only if nobody else has written in between.
//!
//! `cargo run --example counter` prints what each way cost.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use kvsd::{Change, Client};
use kvsd_server::Embedded;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

const TASKS: u64 = 64;
/// How often each task adds one.
const TIMES: u64 = 10;
/// Seats in a hall that is smaller than the crowd.
const SEATS: u64 = 500;

/// More than a number: only a compare and swap can change it as a whole.
#[derive(Debug, Clone, Default, Serialize, Deserialize, kvsd::Value)]
struct Hall {
    taken: u64,
    turned_away: u64,
}

impl Hall {
    /// One more comes.
    fn enter(self) -> Self {
        match self.taken < SEATS {
            true => Self { taken: self.taken + 1, ..self },
            false => Self { turned_away: self.turned_away + 1, ..self },
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Embedded::temporary().await?;
    let client = server.client().await?;

    println!("{TASKS} tasks add one to the same number, {TIMES} times each, with increment():");
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let client = client.clone();
        tasks.spawn(async move { count(&client).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    println!("  the number is {}", client.get::<u64>("visitors").await?.unwrap_or(0));
    println!("  after {:?}: the server adds, so none of them waits for another", started.elapsed());

    println!("\nThe same crowd enters a hall with {SEATS} seats, with update():");
    let started = Instant::now();
    let attempts = Arc::new(AtomicU64::new(0));
    for _ in 0..TASKS {
        let (client, attempts) = (client.clone(), Arc::clone(&attempts));
        tasks.spawn(async move { enter(&client, &attempts).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let hall: Hall = client.get("hall").await?.unwrap_or_default();
    println!("  {} sit, {} were turned away, nobody is lost", hall.taken, hall.turned_away);
    println!("  after {:?}: contention has its price.", started.elapsed());
    println!(
        "  {} changes took {} attempts; in each",
        TASKS * TIMES,
        attempts.load(Ordering::Relaxed)
    );
    println!("  of the others somebody else had written first, and update() read again.");
    println!("\nCount with increment(); update() what only your program can work out; and spread");
    println!("what is written all the time over several keys.");
    server.close().await?;
    Ok(())
}

/// Adds one, in one round trip each.
async fn count(client: &Client) -> Result<(), kvsd::Error> {
    for _ in 0..TIMES {
        client.increment("visitors", 1).await?;
    }
    Ok(())
}

/// Reads, changes and writes, as often as it takes: the change is a function that can be called
/// again, so it does nothing but work out a value (and here count, which is what we are after).
async fn enter(client: &Client, attempts: &AtomicU64) -> Result<(), kvsd::Error> {
    let one_more = |hall: Option<Hall>| {
        attempts.fetch_add(1, Ordering::Relaxed);
        Change::Set(hall.unwrap_or_default().enter())
    };
    for _ in 0..TIMES {
        client.update("hall", one_more).await?;
    }
    Ok(())
}
