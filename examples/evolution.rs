//! A type that changes after its values were stored, and a program that reads them all.
//!
//! `cargo run --example evolution` prints each line of code below before what it did. The page
//! `kvsd::value::evolution` tells the same at length.

use std::error::Error;

use kvsd_server::Embedded;
use serde::{Deserialize, Serialize};

/// The program as it was last year. What it stored is still there.
mod last_year {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize, kvsd::Value)]
    pub struct Record {
        pub id: u64,
        pub title: String,
        /// Such as `3:20`.
        pub length: String,
    }
}

/// This year the length is a number. The type of last year stays, under the name that it is stored
/// with; it is only read, so it needs no `Serialize`.
#[derive(Deserialize, kvsd::Value)]
#[kvsd(name = "Record", version = 1)]
struct RecordV1 {
    id: u64,
    title: String,
    length: String,
}

/// And what it becomes.
#[derive(Debug, Serialize, Deserialize, kvsd::Value)]
#[kvsd(version = 2, try_from = RecordV1)]
struct Record {
    id: u64,
    title: String,
    seconds: u32,
    tags: Vec<String>,
}

impl TryFrom<RecordV1> for Record {
    type Error = String;

    fn try_from(old: RecordV1) -> Result<Self, String> {
        let parsed = old.length.split_once(':').and_then(|(minutes, seconds)| {
            Some((minutes.parse::<u32>().ok()?, seconds.parse::<u32>().ok()?))
        });
        let (minutes, seconds) = parsed.ok_or("a length is minutes:seconds")?;
        if seconds >= 60 {
            return Err(format!("no minute has {seconds} seconds"));
        }
        let seconds = minutes * 60 + seconds;
        Ok(Self { id: old.id, title: old.title, seconds, tags: Vec::new() })
    }
}

/// Something else altogether.
#[derive(Debug, Serialize, Deserialize, kvsd::Value)]
struct Note(String);

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
    let server = Embedded::temporary().await?;
    let records = server.client().await?.table("records")?;

    println!("Last year's program stores two records, one of them odd:");
    let fine = last_year::Record { id: 7, title: "Ada".into(), length: "3:20".into() };
    let odd = last_year::Record { id: 8, title: "Odd".into(), length: "3:75".into() };
    show!(records.set("record/7", &fine).await?);
    show!(records.set("record/8", &odd).await?);

    println!("\nThis year's reads the first as what it has become:");
    let ada = show!(records.get::<Record>("record/7").await?).ok_or("Ada is gone")?;
    println!("The second it refuses, and says why:");
    show_error!(records.get::<Record>("record/8").await);

    println!("\nReading upgrades what is read; the stored record changes when it is written:");
    let ada = Record { tags: vec!["first".into()], ..ada };
    show!(records.set("record/7", &ada).await?);
    show!(records.get::<Record>("record/7").await?);

    println!("\nA program that is still last year's meets it, and does not guess:");
    show_error!(records.get::<last_year::Record>("record/7").await);

    println!("\nNeither does this one when something else stands there:");
    show!(records.set("record/9", Note("not music".into())).await?);
    show_error!(records.get::<Record>("record/9").await);

    server.close().await?;
    Ok(())
}
