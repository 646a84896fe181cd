//! A live view: a copy of some records in this program's memory that follows every change.
//!
//! ```text
//! cargo run --example live_view
//! ```
//!
//! The server runs inside the program. With `Client::connect(url)` in its place the view follows
//! what other programs write, through lost connections and restarts of the server.

use std::collections::BTreeMap;

use bytes::Bytes;
use kvsd::stream::Watch;
use kvsd::{Client, Entry, Error, ErrorKind, Event, Keyed, Value, Version};
use kvsd_server::Embedded;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize, Value)]
#[kvsd(table = "orders", key = "order/{id}")]
struct Order {
    id: u32,
    item: String,
    pieces: u32,
}

/// The orders as they are, and what will happen to them.
struct View {
    client: Client,
    events: Watch<Order>,
    orders: BTreeMap<Bytes, Entry<Order>>,
    /// The latest change that is known of.
    seen: Option<Version>,
}

impl View {
    async fn open(client: &Client) -> Result<Self, Error> {
        let mut events = client.watch_all(Order::prefix());
        // First the place, then the records: so nothing happens unseen in between.
        events.begin().await?;
        let client = client.clone();
        let mut view = Self { client, events, orders: BTreeMap::new(), seen: None };
        view.read_anew().await?;
        Ok(view)
    }

    async fn read_anew(&mut self) -> Result<(), Error> {
        self.orders.clear();
        let mut records = self.client.scan_all(Order::prefix());
        while let Some(record) = records.next().await {
            let record = record?;
            // A gap may lead behind changes that only the records tell.
            self.seen = self.seen.max(Some(record.version));
            self.orders.insert(record.key.clone(), record);
        }
        Ok(())
    }

    /// Waits for a change and takes it in.
    async fn follow(&mut self) -> Result<(), Error> {
        let known = |key: &Bytes| self.orders.get(key).map(|order| order.version);
        match self.events.next().await {
            Some(Ok(Event::Set(entry))) => {
                self.seen = self.seen.max(Some(entry.version));
                // What was read anew may be ahead of what the watch still tells.
                if known(&entry.key) < Some(entry.version) {
                    self.orders.insert(entry.key.clone(), entry);
                }
            }
            Some(Ok(Event::Deleted { key, version })) => {
                self.seen = self.seen.max(Some(version));
                if known(&key) < Some(version) {
                    self.orders.remove(&key);
                }
            }
            // Too long asleep, or the table was dropped: what is missing is in the records.
            Some(Ok(Event::Gap { .. })) => {
                println!("    (a gap: reading everything anew)");
                self.read_anew().await?;
            }
            // The watch tries again by itself, after a pause; and it goes on behind a value that it
            // cannot read.
            Some(Err(error)) if error.is_retryable() || error.kind() == ErrorKind::Decode => {
                eprintln!("watching goes on after: {error}");
            }
            Some(Err(error)) => return Err(error),
            // Its last item was an error that does not pass.
            None => unreachable!("a view is given up with that error"),
        }
        Ok(())
    }

    /// Follows until a write of this version is known of, and shows what there is then.
    async fn show_at(&mut self, version: Version, what: &str) -> Result<(), Error> {
        while self.seen < Some(version) {
            self.follow().await?;
        }
        self.show(what);
        Ok(())
    }

    fn show(&self, what: &str) {
        println!("{what}:");
        for Entry { value: Order { id, item, pieces }, version, .. } in self.orders.values() {
            println!("    order {id}: {pieces} x {item} (version {})", version.get());
        }
    }
}

fn order(id: u32, item: &str, pieces: u32) -> Order {
    Order { id, item: item.to_owned(), pieces }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Embedded::temporary().await?;
    let client = server.client().await?;
    client.put(&order(1, "paper", 500)).await?;
    client.put(&order(2, "ink", 3)).await?;

    let mut view = View::open(&client).await?;
    view.show("as the view opens");

    client.put(&order(2, "ink", 5)).await?;
    client.remove::<Order>(Order::key_of(1)).await?;
    let version = client.put(&order(3, "envelopes", 100)).await?;
    view.show_at(version, "after a change, a removal and a new order").await?;

    client.drop_table("orders").await?;
    let version = client.put(&order(4, "stamps", 50)).await?;
    view.show_at(version, "after the table was dropped and begun again").await?;

    client.close().await;
    server.close().await?;
    Ok(())
}
