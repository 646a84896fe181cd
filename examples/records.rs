//! Records that know their keys: a uuid and a date in the key, a time in the value.
//!
//! `cargo run --example records` prints each line of code below before what it did. The page
//! `kvsd::key` tells how keys are written, and why those of one patient lie together in the order
//! of their days.

use std::error::Error;

use chrono::{DateTime, NaiveDate, Utc};
use kvsd::Keyed;
use kvsd_server::Embedded;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is stored, in which table, and under which key. `uuid` and `chrono` are features of `kvsd`.
#[derive(Debug, Serialize, Deserialize, kvsd::Value)]
#[kvsd(table = "visits", key = "visit/{patient}/{day}")]
struct Visit {
    patient: Uuid,
    day: NaiveDate,
    came_at: DateTime<Utc>,
    reason: String,
}

/// A visit at the time that is given as text. New ids come from `Uuid::now_v7()`, and now is
/// `Utc::now()`; here each run prints the same.
fn visit(patient: Uuid, came_at: &str, reason: &str) -> Result<Visit, chrono::ParseError> {
    let came_at: DateTime<Utc> = came_at.parse()?;
    Ok(Visit { patient, day: came_at.date_naive(), came_at, reason: reason.to_owned() })
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

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Embedded::temporary().await?;
    let client = server.client().await?;

    let ada = Uuid::from_u128(0x0190_5f00_0000_7000_8000_0000_0000_0007);
    let bob = Uuid::from_u128(0x0190_5f00_0000_7000_8000_0000_0000_0008);
    let first = visit(ada, "2025-12-30T08:15:00Z", "a cough")?;

    println!("A record is put by itself: its type says the table, its fields the key:");
    println!("  {}", String::from_utf8_lossy(first.key().as_ref()));
    show!(client.put(&first).await?);
    show!(client.put(&visit(ada, "2026-01-07T10:00:00Z", "still a cough")?).await?);
    show!(client.put(&visit(ada, "2026-03-02T09:30:00Z", "a check")?).await?);
    show!(client.put(&visit(bob, "2026-01-07T10:20:00Z", "a sprain")?).await?);

    println!("\nAnd found by what identifies it. The key knows what stands there:");
    let day = NaiveDate::from_ymd_opt(2026, 1, 7).ok_or("no such day")?;
    show!(client.fetch(Visit::key_of((ada, day))).await?);

    println!("\nOne visit a day: a second one is refused, since there is one.");
    let again = visit(ada, "2026-01-07T16:00:00Z", "lost an umbrella")?;
    match client.put(&again).if_absent().await {
        Ok(version) => return Err(format!("it was stored, as {version:?}").into()),
        Err(error) if error.is_conflict() => println!("    -> {error}"),
        Err(error) => return Err(error.into()),
    }

    println!("\nAda's last two, the latest first:");
    let mut visits = client.scan_all(Visit::prefix_of(ada)).reverse().limit(2);
    while let Some(entry) = visits.next().await {
        let visit = entry?.value;
        println!("    -> {}: {}", visit.came_at, visit.reason);
    }

    println!("\nAnd of all patients there are, in the order of their keys:");
    let mut visits = client.scan_all(Visit::prefix());
    while let Some(entry) = visits.next().await {
        let visit = entry?.value;
        println!("    -> {} {}: {}", visit.patient, visit.day, visit.reason);
    }

    println!("\nBob moves away:");
    show!(client.remove(Visit::key_of((bob, day))).await?);
    show!(client.fetch(Visit::key_of((bob, day))).await?);
    server.close().await?;
    Ok(())
}
