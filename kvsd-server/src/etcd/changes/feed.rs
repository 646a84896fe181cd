//! A watch of etcd: a table's records, its name, or both, in one stream.
//!
//! Knows messages; never what is made of them. What a member says about how far it is, if it is
//! asked on purpose, may overtake events in etcd before 3.4.25 and 3.5.8, and is never asked for.
//! Next file to read: [`super::follower`].

use std::time::Duration;

use etcd_client::{WatchOptions, WatchResponse, WatchStream};
use tokio::time::{Instant, timeout_at};

use super::super::error::Fault;
use super::super::layout::KeyRange;
use super::super::link::Link;
use super::step::Event;

/// A stream of events.
pub(super) struct Feed {
    stream: WatchStream,
    member: usize,
    endpoint: String,
}

/// What a feed is about.
pub(super) struct Subject {
    /// A table's records, from a revision on.
    pub(super) data: Option<(KeyRange, u64)>,
    /// A table's key, from a revision on.
    pub(super) name: Option<(Vec<u8>, u64)>,
}

/// What a stream tells.
pub(super) enum Message {
    /// Something has changed. More of the last revision comes with the next message, or does not.
    Events(Vec<Event>, Rest),
    /// There is nothing up to a revision but what came.
    Progress(u64),
    /// The table's key was written or deleted.
    Name,
    /// The revision to begin from is not kept any more.
    Compacted,
    /// Nothing that matters.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Comes,
    IsNone,
}

impl Feed {
    /// Opens a stream to the member that has served last. If that fails, another one is next.
    pub(super) async fn open(link: &Link, subject: Subject) -> Result<Self, Fault> {
        let deadline = Instant::now() + OPEN_TIME;
        let (member, door) = link.door(deadline).await?;
        let endpoint = link.endpoint(member).to_owned();
        let silent = || Fault::NoAnswer {
            endpoint: endpoint.clone(),
            cause: "no watch came about in time".to_owned(),
        };
        let Subject { data, name } = subject;
        let mut watches = Vec::new();
        if let Some((range, from)) = data {
            let options = options(DATA, from).with_range(range.end).with_prev_key();
            watches.push((range.start, options.with_fragment().with_progress_notify()));
        }
        watches.extend(name.map(|(key, from)| (key, options(NAME, from))));
        let open = async {
            let mut watches = watches.into_iter();
            let (key, options) = watches.next().unwrap_or_default();
            let mut stream = door.watch().watch(key, Some(options)).await?;
            for (key, options) in watches {
                stream.watch(key, Some(options)).await?;
            }
            Ok(stream)
        };
        let opened = match timeout_at(deadline, open).await {
            Ok(opened) => opened.map_err(|error| Fault::of(error, &endpoint)),
            Err(_) => Err(silent()),
        };
        match opened {
            Ok(stream) => Ok(Self { stream, member, endpoint }),
            Err(fault) => {
                link.leave(member);
                Err(fault)
            }
        }
    }

    /// What comes next.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn next(&mut self, link: &Link) -> Result<Message, Fault> {
        let fault = match self.stream.message().await {
            Ok(Some(response)) => match message(response, &self.endpoint) {
                Ok(message) => return Ok(message),
                Err(fault) => fault,
            },
            Ok(None) => Fault::NoAnswer {
                endpoint: self.endpoint.clone(),
                cause: "it has ended the watch".to_owned(),
            },
            Err(error) => Fault::of(error, &self.endpoint),
        };
        link.leave(self.member);
        Err(fault)
    }
}

fn options(id: i64, from: u64) -> WatchOptions {
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    WatchOptions::new().with_watch_id(id).with_start_revision(from)
}

fn message(response: WatchResponse, endpoint: &str) -> Result<Message, Fault> {
    let WatchResponse(response) = response;
    if response.compact_revision > 0 {
        return Ok(Message::Compacted);
    }
    if response.canceled {
        let (endpoint, cause) = (endpoint.to_owned(), response.cancel_reason);
        return Err(if cause.contains("permission") {
            Fault::Denied { cause }
        } else {
            Fault::NoAnswer { endpoint, cause }
        });
    }
    if response.watch_id == NAME {
        return Ok(if response.events.is_empty() { Message::Other } else { Message::Name });
    }
    if response.events.is_empty() {
        let is_progress = response.watch_id == DATA && !response.created;
        let header = response.header.filter(|_| is_progress);
        let revision = header.and_then(|header| u64::try_from(header.revision).ok());
        return Ok(revision.map_or(Message::Other, Message::Progress));
    }
    let rest = if response.fragment { Rest::Comes } else { Rest::IsNone };
    let events = response.events.into_iter().filter_map(|event| {
        let is_delete = event.r#type == DELETE;
        let kv = event.kv?;
        Some(Event {
            revision: u64::try_from(kv.mod_revision).ok()?,
            key: kv.key,
            value: (!is_delete).then_some(kv.value),
            previous: event.prev_kv.map(|kv| kv.value),
        })
    });
    Ok(Message::Events(events.collect(), rest))
}

/// The two watches of a stream.
const DATA: i64 = 1;
const NAME: i64 = 2;
/// What etcd calls the event.
const DELETE: i32 = 1;
const OPEN_TIME: Duration = Duration::from_secs(2);
