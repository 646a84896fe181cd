//! Every operation of the client, and every way in which one fails that a client can bring about.

use std::time::{Duration, SystemTime};

use kvsd::{Change, Client};

use crate::told::{KEY, STRANGER, Told, VALUE, WRONG};

/// Shows an operation, runs it, and keeps what its failure says.
macro_rules! run {
    ($told:expr, $operation:expr) => {{
        let operation = $operation;
        $told.shown(&operation);
        match operation.await {
            Ok(done) => Some(done),
            Err(error) => {
                $told.error(stringify!($operation), &error);
                None
            }
        }
    }};
}

/// As `run`, for what has to fail.
macro_rules! refused {
    ($told:expr, $operation:expr) => {{
        let done = run!($told, $operation);
        assert!(done.is_none(), "{} succeeds", stringify!($operation));
    }};
}

/// As `run`, for what has to succeed.
macro_rules! done {
    ($told:expr, $operation:expr) => {{
        let done = run!($told, $operation);
        assert!(done.is_some(), "{} fails", stringify!($operation));
    }};
}

/// The key that is damaged later on.
pub(crate) const DAMAGED: &str = "key-Zeisigschwarm-damaged";

pub(crate) fn key(name: &str) -> String {
    format!("{KEY}/{name}")
}

/// What succeeds.
pub(crate) async fn operations(client: &Client, told: &Told) {
    let hour = Duration::from_secs(3600);
    told.shown(client);
    told.shown(&client.server_info());
    done!(told, client.ping());
    done!(told, client.set(key("a"), VALUE));
    done!(told, client.set(key("b"), VALUE).if_absent().ttl(hour));
    done!(told, client.set(DAMAGED, VALUE));
    done!(told, client.set(key("large"), format!("{VALUE}{}", "x".repeat(200 << 10))));
    done!(told, client.get::<String>(key("large")));
    done!(told, client.get::<String>(key("a")));
    done!(told, client.get::<String>(key("a")).versioned());
    let stored = run!(told, client.get_bytes(key("a"))).unwrap();
    told.shown(&stored);
    done!(told, client.exists(key("a")));
    done!(told, client.ttl(key("b")));
    done!(told, client.swap::<String>(key("a"), VALUE));
    done!(told, client.set(key("n"), 1_i64));
    done!(told, client.increment(key("n"), 5));
    done!(told, client.expire(key("a"), hour));
    done!(told, client.expire_at(key("a"), SystemTime::now() + hour));
    done!(told, client.persist(key("a")));
    done!(
        told,
        client.update(key("a"), |old: Option<String>| Change::Set(old.unwrap_or_default()))
    );
    done!(told, client.try_update(key("a"), |_: Option<String>| Err::<Change<String>, _>("no")));
    done!(told, client.get_many::<String>([key("a"), key("b")]));
    done!(told, client.set_many([(key("c"), VALUE), (key("d"), VALUE)]));
    done!(told, client.delete_many([key("c"), key("d")]));
    done!(told, client.batch().set(key("e"), VALUE).if_absent().delete(key("d")));
    let mut pipeline = client.pipeline();
    let place = pipeline.get::<String>(key("a"));
    let _ = pipeline.set(key("f"), VALUE);
    told.shown(&place);
    let answers = run!(told, pipeline).unwrap();
    told.shown(&answers);
    let mut scan = client.scan::<String>(KEY);
    told.shown(&scan);
    assert!(scan.next().await.unwrap().is_ok());
    told.shown(&scan);
    told.shown(&scan.token());
    let mut watch = client.watch_key::<String>(key("w"));
    watch.begin().await.unwrap();
    done!(told, client.set(key("w"), VALUE));
    assert!(watch.next().await.unwrap().is_ok());
    told.shown(&watch);
    done!(told, client.take::<String>(key("w")));
    done!(told, client.delete(key("b")));
    done!(told, client.create_table("other"));
    done!(told, client.tables());
    done!(told, client.statistics());
    done!(told, client.drop_table("other"));
}

/// What fails on a server that is well.
pub(crate) async fn failures(client: &Client, told: &Told) {
    let now = Duration::from_secs(0);
    refused!(told, client.set(key("a"), VALUE).if_absent());
    refused!(told, client.batch().set(key("g"), VALUE).set(key("a"), VALUE).if_absent());
    refused!(told, client.batch().set(key("g"), VALUE).set(key("g"), VALUE));
    refused!(told, client.increment(key("a"), 1));
    refused!(told, client.get::<u32>(key("a")));
    refused!(told, client.get::<bool>(key("a")));
    refused!(told, client.set(KEY.repeat(100), VALUE));
    refused!(told, client.get::<String>(KEY.repeat(100)));
    refused!(told, client.set(key("a"), VALUE.repeat(100_000)));
    refused!(told, client.set(key("a"), VALUE).ttl(now));
    refused!(told, client.set(key("a"), VALUE).timeout(now));
    done!(told, client.set(key("most"), i64::MAX));
    refused!(told, client.increment(key("most"), 1));
    for number in 0..8 {
        run!(told, client.create_table(&format!("table-{number}")));
    }
    refused!(told, client.create_table("one-too-many"));
    for name in [KEY.repeat(20), format!("{VALUE}/..")] {
        told.error("a table's name", &client.table(&name).unwrap_err());
    }
}

/// What a user without a grant for the table may not do.
pub(crate) async fn denied(client: &Client, told: &Told) {
    refused!(told, client.get::<String>(key("a")));
    refused!(told, client.set(key("a"), VALUE));
    refused!(told, client.delete(key("a")));
    refused!(told, client.increment(key("a"), 1));
    refused!(told, client.batch().set(key("a"), VALUE));
    refused!(told, client.get_many::<String>([key("a"), key("b")]));
    refused!(told, client.statistics());
    refused!(told, client.drop_table("default"));
    let mut scan = client.scan::<String>(KEY);
    told.error("a scan", &scan.next().await.unwrap().unwrap_err());
    let mut watch = client.watch_key::<String>(key("w"));
    told.error("a watch", &watch.begin().await.unwrap_err());
}

/// What a full disk refuses.
pub(crate) async fn on_a_full_disk(client: &Client, told: &Told) {
    refused!(told, client.set(key("a"), VALUE));
    refused!(told, client.increment(key("n"), 1));
    refused!(told, client.batch().set(key("a"), VALUE));
    refused!(told, client.set_many([(key("a"), VALUE), (key("b"), VALUE)]));
}

/// What a client that is not let in is told, and tells.
pub(crate) async fn strangers(address: &str, told: &Told) {
    for (user, password) in [("eve", WRONG), (STRANGER, WRONG), ("eve", ""), (STRANGER, "")] {
        let url = format!("kvsd://{user}:{password}@{address}/default");
        told.error("a login", &Client::connect(&url).await.unwrap_err());
        let builder = Client::builder().url(&format!("kvsd://{address}")).unwrap();
        let builder = builder.credentials(user, password);
        // Its own user is no secret to whoever made it.
        if user != STRANGER {
            told.shown(&builder);
        }
        told.error("a login", &builder.connect().await.unwrap_err());
    }
    for url in [
        format!("kvsd//eve:{WRONG}@{address}"),
        format!("kvsd://eve:{WRONG}@"),
        format!("kvsd://eve:{WRONG}@{address}/default?pool=many"),
        // A password in which something was not escaped.
        format!("kvsd://eve:x?{WRONG}@{address}"),
        format!("kvsd://eve:x?{WRONG}=x@{address}"),
        format!("kvsd://eve:x?pool={WRONG}@{address}"),
        format!("kvsd://eve:x&{WRONG}@{address}"),
        format!("kvsd://eve:x/{WRONG}@{address}"),
        format!("kvsd://eve:x#{WRONG}@{address}"),
        format!("kvsd://eve:x@{WRONG}@{address}"),
        format!("kvsd://eve:x:{WRONG}@{address}"),
        format!("kvsd://eve:{WRONG}@{address}:x/default"),
        format!("kvsd://eve:{WRONG}%zz@{address}"),
        format!("kvsds://eve:{WRONG}@{address}?timeout=1s"),
    ] {
        told.error("a URL", &Client::connect(&url).await.unwrap_err());
    }
}
