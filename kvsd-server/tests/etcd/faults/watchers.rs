//! The watches: one from the table's beginning, one of a part of the keys, and one that is dropped
//! and taken up again all the time. Next file: [`super::schedule`].

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kvsd::stream::Watch;
use kvsd::{Client, Event};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::clients::{self, COUNTERS, GROUP_KEYS, GROUPS, LAST, REGISTERS};
use crate::history::register::Seen;
use crate::history::{snapshot, watch};

/// What a watch has told so far.
#[derive(Debug)]
pub(super) struct Told {
    name: &'static str,
    prefix: &'static str,
    events: Vec<watch::Event>,
}

/// Starts all watches; each ends once it has told the last write.
pub(super) async fn start(url: &str) -> (Vec<JoinHandle<()>>, Vec<Arc<Mutex<Told>>>) {
    let kinds = [
        ("watch of everything", "", Manner::Steadily),
        ("watch of the registers", "r/", Manner::Steadily),
        ("watch that begins again and again", "", Manner::InPieces),
    ];
    let (mut watching, mut all) = (Vec::new(), Vec::new());
    for (name, prefix, manner) in kinds {
        let client = super::connect(url).await;
        let told = Arc::new(Mutex::new(Told { name, prefix, events: Vec::new() }));
        all.push(told.clone());
        watching.push(tokio::spawn(follow(client, told, manner)));
    }
    (watching, all)
}

#[derive(Clone, Copy, Debug)]
enum Manner {
    Steadily,
    InPieces,
}

async fn follow(client: Client, told: Arc<Mutex<Told>>, manner: Manner) {
    let prefix = told.lock().unwrap().prefix;
    let mut events = client.watch::<u64>(prefix).with_history();
    while !next(&mut events, &told).await {
        if let (Manner::InPieces, Some(token)) = (manner, events.token())
            && told.lock().unwrap().events.len().is_multiple_of(PIECE)
        {
            events = client.watch::<u64>(prefix).after(token);
        }
    }
}

/// Notes the next event; whether it was the last one.
async fn next(events: &mut Watch<u64>, told: &Mutex<Told>) -> bool {
    let item = timeout(SILENCE, events.next()).await.expect("a watch has fallen silent");
    let event = match item.expect("a watch has ended") {
        Ok(Event::Set(entry)) => watch::Event::Set {
            key: String::from_utf8(entry.key.to_vec()).unwrap(),
            value: entry.value,
            version: entry.version.get(),
        },
        Ok(Event::Deleted { key, version }) => watch::Event::Deleted {
            key: String::from_utf8(key.to_vec()).unwrap(),
            version: version.get(),
        },
        Ok(Event::Gap { .. }) => watch::Event::Gap,
        Err(error) => {
            assert!(error.is_retryable(), "a watch has failed: {error:#}");
            return false;
        }
    };
    let is_last = matches!(&event, watch::Event::Set { key, .. } if key == LAST);
    told.lock().unwrap().events.push(event);
    is_last
}

impl Told {
    /// As the checker wants it: the keys of a batch as one register.
    pub(super) fn watched(&self) -> watch::Watched {
        let registers = (0..REGISTERS).map(clients::register).chain([LAST.to_owned()]);
        let groups = (0..GROUPS).map(clients::group);
        let counters = (0..COUNTERS).map(clients::counter);
        let with_prefix = |key: &String| key.starts_with(self.prefix);
        let registers: BTreeSet<_> = registers.chain(groups).filter(with_prefix).collect();

        let mut events = Vec::new();
        let mut batch: Vec<(&str, Seen)> = Vec::new();
        for event in &self.events {
            match event {
                watch::Event::Set { key, value, version } if key.starts_with("g/") => {
                    let group = key.rsplit_once('/').expect("a key of a group has a number").0;
                    batch.push((group, Seen { value: *value, version: *version }));
                    if batch.len() == GROUP_KEYS {
                        events.push(whole(&batch));
                        batch.clear();
                    }
                }
                _ => {
                    assert!(batch.is_empty(), "{}: a batch is not whole: {batch:?}", self.name);
                    events.push(event.clone());
                }
            }
        }
        assert!(batch.is_empty(), "{}: a batch is not whole: {batch:?}", self.name);
        let counters = counters.filter(with_prefix).collect();
        watch::Watched { name: self.name.into(), since: 0, registers, counters, events }
    }
}

/// The event of a batch.
fn whole(batch: &[(&str, Seen)]) -> watch::Event {
    let group = batch[0].0;
    assert!(batch.iter().all(|(of, _)| *of == group), "batches are mixed: {batch:?}");
    let seen: Vec<_> = batch.iter().map(|(_, seen)| *seen).collect();
    match snapshot::of(GROUP_KEYS, &seen) {
        Ok(Some(Seen { value, version })) => {
            watch::Event::Set { key: group.into(), value, version }
        }
        Ok(None) => panic!("a batch has keys"),
        Err(violation) => panic!("a watch told of {group}: {violation}"),
    }
}

/// After how many events the third watch begins again.
const PIECE: usize = 50;

/// How long a watch may say nothing at all while clients write.
const SILENCE: Duration = Duration::from_secs(90);
