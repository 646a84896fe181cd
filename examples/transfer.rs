//! Money goes from one account to another, whole or not at all, and once.
//!
//! `cargo run --example transfer` has sixteen tasks move money between four accounts, and counts it
//! afterwards.

use std::error::Error;

use kvsd::{Client, Versioned};
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
async fn make(bank: &Client, id: u32, transfer: &Transfer) -> Result<Ending, Failed> {
    let Transfer { from, to, cents } = transfer;
    let record = format!("transfer/{id}");
    for conflicts in 0..1000 {
        if bank.exists(&record).await? {
            return Ok(Ending::Made { conflicts });
        }
        let (giver, taker) = tokio::try_join!(account(bank, from), account(bank, to))?;
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

async fn account(bank: &Client, name: &str) -> Result<Versioned<Account>, Failed> {
    let account = bank.get(name).versioned().await?;
    account.ok_or_else(|| format!("there is no account {name}").into())
}

const ACCOUNTS: [&str; 4] = ["account/ada", "account/bob", "account/cai", "account/dan"];

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let server = Embedded::temporary().await?;
    let bank = server.client().await?.table("bank")?;
    bank.set_many(ACCOUNTS.map(|name| (name, Account { cents: 10_000 }))).await?;
    println!("Four accounts with 100.00 each. Sixteen tasks make 20 transfers each at once:");

    let mut tasks = JoinSet::new();
    for task in 0..16_u32 {
        let bank = bank.clone();
        tasks.spawn(async move {
            let (mut made, mut conflicts, mut too_little) = (0, 0, 0);
            for id in task * 20..(task + 1) * 20 {
                let [from, to] = [id % 4, (id + 1 + id / 4 % 3) % 4];
                let [from, to] = [from, to].map(|n| ACCOUNTS[n as usize].to_owned());
                let transfer = Transfer { from, to, cents: 500 + u64::from(id) * 37 % 4_000 };
                match make(&bank, id, &transfer).await? {
                    Ending::Made { conflicts: more } => {
                        (made, conflicts) = (made + 1, conflicts + more)
                    }
                    Ending::TooLittle => too_little += 1,
                }
            }
            Ok::<_, Failed>((made, conflicts, too_little))
        });
    }
    let (mut made, mut conflicts, mut too_little) = (0, 0, 0);
    while let Some(ended) = tasks.join_next().await {
        let task = ended??;
        (made, conflicts, too_little) = (made + task.0, conflicts + task.1, too_little + task.2);
    }
    println!(
        "  {made} were made, after {conflicts} conflicts; {too_little} accounts had too little"
    );

    let mut sum = 0;
    for (name, account) in ACCOUNTS.iter().zip(bank.get_many::<Account>(ACCOUNTS).await?) {
        let cents = account.ok_or("an account is gone")?.cents;
        println!("  {name}: {}.{:02}", cents / 100, cents % 100);
        sum += cents;
    }
    println!("Together: {}.{:02}, as before", sum / 100, sum % 100);
    if sum != 40_000 {
        return Err("money came or went".into());
    }
    server.close().await?;
    Ok(())
}
