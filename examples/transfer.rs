//! Money goes from one account to another, whole or not at all, and once.
//!
//! `cargo run --example transfer` makes one transfer twice and many at once between four accounts,
//! and prints what is on them.

use std::error::Error;

use kvsd::Client;
use kvsd_server::Embedded;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

#[derive(Debug, Serialize, Deserialize, kvsd::Value)]
struct Account {
    cents: u64,
}

/// What is to be done, and then the record that it was done.
#[derive(Debug, Clone, Serialize, Deserialize, kvsd::Value)]
struct Transfer {
    from: String,
    to: String,
    cents: u64,
}

/// What came of a transfer, and how often others got in between.
enum Ending {
    Made { conflicts: u32 },
    TooLittle,
}

type Failed = Box<dyn Error + Send + Sync>;

/// Makes the transfer with this id, which is the caller's choice. A batch happens as a whole, and
/// only if both accounts are as they were read; else it is worked out anew.
///
/// If the connection fails so that nobody knows whether it was made (`Outcome::Unknown`), this can
/// be called again with the same id: the record tells, since it is written with the rest.
async fn make(bank: &Client, id: &str, transfer: &Transfer) -> Result<Ending, Failed> {
    let Transfer { from, to, cents } = transfer;
    let record = format!("transfer/{id}");
    for conflicts in 0..1000 {
        if bank.exists(&record).await? {
            return Ok(Ending::Made { conflicts });
        }
        let mut accounts = bank.get_many::<Account>([from, to]).versioned().await?.into_iter();
        let (Some(Some(giver)), Some(Some(taker))) = (accounts.next(), accounts.next()) else {
            return Err("there is no such account".into());
        };
        let Some(left) = giver.value.cents.checked_sub(*cents) else {
            return Ok(Ending::TooLittle);
        };
        let more = taker.value.cents.checked_add(*cents).ok_or("more than an account holds")?;
        let batch = bank.batch();
        let batch = batch.set(&record, transfer).if_absent();
        let batch = batch.set(from, Account { cents: left }).if_version(giver.version);
        let batch = batch.set(to, Account { cents: more }).if_version(taker.version);
        match batch.await {
            Ok(_) => return Ok(Ending::Made { conflicts }),
            // Somebody was faster. Nothing of the batch was written: look again.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err("an account is too busy".into())
}

/// Prints what is on each account.
async fn show(bank: &Client) -> Result<(), Failed> {
    let mut sum = 0;
    for (name, account) in ACCOUNTS.iter().zip(bank.get_many::<Account>(ACCOUNTS).await?) {
        let cents = account.ok_or("an account is gone")?.cents;
        println!("  {name}: {}.{:02}", cents / 100, cents % 100);
        sum += cents;
    }
    println!("  together: {}.{:02}", sum / 100, sum % 100);
    Ok(())
}

const ACCOUNTS: [&str; 4] = ["account/ada", "account/bob", "account/cai", "account/dan"];

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let server = Embedded::temporary().await?;
    let bank = server.client().await?.table("bank")?;
    bank.set_many(ACCOUNTS.map(|name| (name, Account { cents: 10_000 }))).await?;

    println!("Ada pays Bob 30.00. She gets no answer, say, and does it again under the same id:");
    let [from, to] = ["account/ada", "account/bob"].map(str::to_owned);
    let rent = Transfer { from, to, cents: 3_000 };
    make(&bank, "rent", &rent).await?;
    make(&bank, "rent", &rent).await?;
    show(&bank).await?;

    println!("\nThen 200 transfers at once:");
    let mut transfers = JoinSet::new();
    for n in 0..200 {
        let bank = bank.clone();
        let [from, to] = [n, n + 1 + n / 4 % 3].map(|n| ACCOUNTS[n % 4].to_owned());
        let transfer = Transfer { from, to, cents: 500 + n as u64 * 37 % 4_000 };
        transfers.spawn(async move { make(&bank, &n.to_string(), &transfer).await });
    }
    let (mut made, mut faster, mut too_little) = (0, 0, 0);
    while let Some(ended) = transfers.join_next().await {
        match ended?? {
            Ending::Made { conflicts } => (made, faster) = (made + 1, faster + conflicts),
            Ending::TooLittle => too_little += 1,
        }
    }
    println!("  {made} were made; for {too_little} there was too little on the account");
    println!("  {faster} times another one was faster, and a transfer was worked out anew");
    show(&bank).await?;
    server.close().await?;
    Ok(())
}
