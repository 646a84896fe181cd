//! A cache whose entries expire, and which computes each of them once: of all who miss the same
//! entry one goes and makes it, and the others are woken up when it is there.
//!
//! `cargo run --example cache` prints what happens to eight readers who come at once.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kvsd::{Client, Ttl};
use kvsd_server::Embedded;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

/// What takes long to make and is good for a while.
#[derive(Debug, Clone, Serialize, Deserialize, kvsd::Value)]
struct Forecast {
    city: String,
    degrees: i8,
}

/// How long an entry is good.
const FRESH: Duration = Duration::from_secs(60);
/// How long others wait for who makes an entry. Is the maker not done by then, perhaps because its
/// process died, another one makes it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The forecast, out of the cache if it is there.
async fn forecast(cache: &Client, city: &str, made: &AtomicU32) -> Result<Forecast, kvsd::Error> {
    let key = format!("forecast/{city}");
    if let Some(found) = cache.get(&key).await? {
        return Ok(found);
    }
    let claim = format!("claim/{key}");
    loop {
        // From here on no change of the entry is missed.
        let mut changes = cache.watch_key::<Forecast>(&key);
        changes.begin().await?;
        // Of all who come here one gets the claim. It ends by itself, so it cannot outlive a crash.
        let claimed = match cache.set(&claim, true).if_absent().ttl(PATIENCE).await {
            Ok(version) => Some(version),
            Err(error) if error.is_conflict() => None,
            Err(error) => return Err(error),
        };
        // Who held the claim before us stored the entry before giving it up: look again.
        let entry = match cache.get(&key).await? {
            Some(found) => found,
            None if claimed.is_some() => {
                let new = ask_the_weather_service(city, made).await;
                cache.set(&key, &new).ttl(FRESH).await?;
                new
            }
            None => {
                // Somebody is at it. The entry is read above, whatever the change says.
                let _ = tokio::time::timeout(PATIENCE, changes.next()).await;
                continue;
            }
        };
        if let Some(version) = claimed {
            // Only ours: if we were too slow, it is somebody else's by now, or nobody's.
            match cache.delete(&claim).if_version(version).await {
                Err(error) if !error.is_conflict() => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        return Ok(entry);
    }
}

/// Stands for what is slow, or costs money.
async fn ask_the_weather_service(city: &str, made: &AtomicU32) -> Forecast {
    tokio::time::sleep(Duration::from_millis(100)).await;
    made.fetch_add(1, Ordering::Relaxed);
    Forecast { city: city.to_owned(), degrees: 21 }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Embedded::temporary().await?;
    let cache = server.client().await?.table("cache")?;
    let made = Arc::new(AtomicU32::new(0));

    println!("Eight readers ask for the forecast of Kyoto at once; the cache is empty:");
    let mut readers = JoinSet::new();
    for _ in 0..8 {
        let (cache, made) = (cache.clone(), Arc::clone(&made));
        readers.spawn(async move { forecast(&cache, "Kyoto", &made).await });
    }
    while let Some(read) = readers.join_next().await {
        println!("  {:?}", read??);
    }
    println!("The weather service was asked {} time.", made.load(Ordering::Relaxed));

    println!("\nThe next reader finds the entry:");
    println!("  {:?}", forecast(&cache, "Kyoto", &made).await?);
    println!("The weather service was asked {} time.", made.load(Ordering::Relaxed));
    if let Ttl::Left(left) = cache.ttl("forecast/Kyoto").await? {
        println!("It is good for another {:.0} seconds.", left.as_secs_f64());
    }

    println!("\nThat takes long, so we let it end in a moment, and wait for that:");
    cache.expire("forecast/Kyoto", Duration::from_millis(1)).await?;
    while cache.exists("forecast/Kyoto").await? {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("  {:?}", forecast(&cache, "Kyoto", &made).await?);
    println!("The weather service was asked {} times.", made.load(Ordering::Relaxed));
    server.close().await?;
    Ok(())
}
