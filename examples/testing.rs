//! A program that keeps its users in kvsd, and its tests: each has a server of its own, without a
//! port, and some have a network that fails.
//!
//! ```text
//! cargo test --example testing        the tests, which are what this page is about
//! cargo run --example testing         the program
//! ```
//!
//! Version 0.2 is not published yet: a package of yours depends on a clone, here one beside it, and
//! has in its `Cargo.toml`:
//!
//! ```toml
//! [dev-dependencies]
//! kvsd = { path = "../kvsd/kvsd", features = ["testing"] }
//! kvsd-server = { path = "../kvsd/kvsd-server", default-features = false }
//! ```

use std::error::Error;

use kvsd::{Client, Keyed, Outcome};
use kvsd_server::Embedded;
use serde::{Deserialize, Serialize};

/// Who has a name.
#[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
#[kvsd(table = "owners", key = "owner/{name}")]
struct Owner {
    name: String,
    id: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum SignUp {
    Welcome,
    Taken,
}

/// Gives `name` to `id` if nobody has it.
///
/// A write whose fate is unknown is written again: were it carried out, the second meets the first,
/// and the record says whose it is.
async fn sign_up(client: &Client, name: &str, id: u64) -> Result<SignUp, kvsd::Error> {
    let owner = Owner { name: name.to_owned(), id };
    let mut attempts = 1..=3;
    loop {
        match client.put(&owner).if_absent().await {
            Ok(_) => return Ok(SignUp::Welcome),
            Err(error) if error.is_conflict() => break,
            Err(error) if error.outcome() == Outcome::Unknown && attempts.next().is_some() => {}
            Err(error) => return Err(error),
        }
    }
    let found = client.fetch(Owner::key_of(name)).await?;
    Ok(if found == Some(owner) { SignUp::Welcome } else { SignUp::Taken })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Embedded::temporary().await?;
    let client = server.client().await?;
    println!("1 signs up as ada: {:?}", sign_up(&client, "ada", 1).await?);
    println!("2 signs up as ada: {:?}", sign_up(&client, "ada", 2).await?);
    server.close().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kvsd::testing::{Connects, Faults};

    use super::*;

    #[tokio::test]
    async fn a_name_is_given_once() -> Result<(), Box<dyn Error>> {
        let server = Embedded::temporary().await?;
        let client = server.client().await?;
        assert_eq!(sign_up(&client, "ada", 1).await?, SignUp::Welcome);
        assert_eq!(sign_up(&client, "ada", 2).await?, SignUp::Taken);
        assert_eq!(sign_up(&client, "bob", 2).await?, SignUp::Welcome);
        Ok(())
    }

    #[tokio::test]
    async fn a_name_stays_taken_when_the_server_is_restarted() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let server = Embedded::open(folder.path()).await?;
        sign_up(&server.client().await?, "ada", 1).await?;
        server.close().await?;

        let server = Embedded::open(folder.path()).await?;
        assert_eq!(sign_up(&server.client().await?, "ada", 2).await?, SignUp::Taken);
        Ok(())
    }

    #[tokio::test]
    async fn without_a_server_a_visitor_is_told_to_come_again() -> Result<(), Box<dyn Error>> {
        let server = Embedded::temporary().await?;
        let faults = Faults::seeded(1);
        let client =
            Client::builder().transport(server.transport()).faults(&faults).connect().await?;
        faults.connects(Connects::Refuse);
        faults.cut_all();
        let error = sign_up(&client, "ada", 1).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");

        faults.calm();
        assert_eq!(sign_up(&client, "ada", 1).await?, SignUp::Welcome);
        Ok(())
    }

    #[tokio::test]
    async fn whatever_the_network_does_a_name_has_one_owner() -> Result<(), Box<dyn Error>> {
        let server = Embedded::temporary().await?;
        let faults = Faults::seeded(2);
        let client =
            Client::builder().transport(server.transport()).faults(&faults).connect().await?;
        // Each connection ends soon, anywhere: before a request, within it, before its answer.
        faults.cut_after(300..=1500);
        faults.delay(4, Duration::from_millis(1));
        faults.cut_all();
        let mut told = Vec::new();
        for number in 0..200 {
            let name = format!("user-{number}");
            let two = tokio::join!(sign_up(&client, &name, 1), sign_up(&client, &name, 2));
            told.push((name, two));
        }
        assert!(faults.counts().cuts > 0, "{:?}", faults.counts());

        faults.calm();
        for (name, (one, two)) in told {
            let owner = client.fetch(Owner::key_of(&name)).await?.map(|owner| owner.id);
            for (id, told) in [(1, one), (2, two)] {
                match told {
                    Ok(SignUp::Welcome) => assert_eq!(owner, Some(id), "{name}"),
                    Ok(SignUp::Taken) => assert_eq!(owner, Some(3 - id), "{name}"),
                    // Who was told of a failure may have the name or not.
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }
}
