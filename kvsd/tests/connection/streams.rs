//! Scans and watches, request by request.

use std::time::Duration;

use kvsd::protocol::v2::{FailCode, News, NewsChange, Page, PageRecord, Position, Reply};
use kvsd::{Client, Entry, Error, ErrorKind, Event, Outcome, Version};
use tokio::time::Instant;

use crate::support::{self, Session, connected, poll_once, record};

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

/// A page of records whose values are their keys.
fn page<'a>(keys: &[&'a str], next: Option<&'a str>) -> Reply<'a> {
    let records = keys.iter().map(|key| PageRecord {
        key: key.as_bytes(),
        version: version(1),
        value: Some(key.as_bytes()),
        expires_at: None,
    });
    Reply::Page(Page { at: None, next: next.map(str::as_bytes), records: records.collect() })
}

/// The same, of a server that says at which moment it stands.
fn standing<'a>(at: u64, keys: &[&'a str], next: Option<&'a str>) -> Reply<'a> {
    match page(keys, next) {
        Reply::Page(page) => Reply::Page(Page { at: Some(version(at)), ..page }),
        other => other,
    }
}

fn position(version: u64) -> Position {
    Position { incarnation: Some(7), version }
}

/// News of changes of keys with versions.
fn news<'a>(changes: &[(&'a str, u64)], until: u64) -> Reply<'a> {
    let changes = changes.iter().map(|(key, number)| NewsChange {
        key: key.as_bytes(),
        version: version(*number),
        value: Some(b"v"),
        expires_at: None,
    });
    Reply::News(News { until: position(until), changes: changes.collect() })
}

fn fail(code: FailCode) -> Reply<'static> {
    Reply::Fail { code, message: "planted" }
}

/// The next request, which is a watch; what it asks is its key.
async fn watched(session: &mut Session) -> support::Asked {
    let asked = session.request().await.unwrap();
    assert_eq!(asked.what, "watch");
    asked
}

fn since(version: u64) -> Vec<u8> {
    format!("Some({:?}), 30000 ms", position(version)).into_bytes()
}

fn key_of(item: Option<Result<Entry<String>, Error>>) -> String {
    String::from_utf8(item.unwrap().unwrap().key.to_vec()).unwrap()
}

fn told(item: Option<Result<Event<String>, Error>>) -> (String, u64) {
    match item.unwrap().unwrap() {
        Event::Set(entry) => (String::from_utf8(entry.key.to_vec()).unwrap(), entry.version.get()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_page_and_no_other_is_fetched_while_one_is_read() {
    let (client, _server, mut session) = connected().await;
    let mut scan = client.scan::<String>("k");
    let (first, ()) = tokio::join!(scan.next(), async {
        let asked = session.request().await.unwrap();
        assert_eq!((&*asked.what, &asked.key[..]), ("scan", &b"k"[..]));
        session.reply(asked.id, page(&["k1", "k2"], Some("k2"))).await;
    });
    assert_eq!(key_of(first), "k1");
    let asked = session.request().await.unwrap();
    assert_eq!((&*asked.what, &asked.key[..]), ("scan", &b"k2"[..]));
    session.reply(asked.id, page(&["k3", "k4"], Some("k4"))).await;
    assert_eq!(key_of(scan.next().await), "k2");
    // Nothing is asked while a page is there and another one has come.
    let (pinged, asked) = tokio::join!(client.ping().owned(), async {
        let asked = session.request().await.unwrap();
        session
            .reply(asked.id, Reply::Pong { server_time: kvsd::UnixMillis::new(1).unwrap() })
            .await;
        asked
    });
    pinged.unwrap();
    assert_eq!(asked.what, "ping");
    assert_eq!(key_of(scan.next().await), "k3");
    let asked = session.request().await.unwrap();
    assert_eq!((&*asked.what, &asked.key[..]), ("scan", &b"k4"[..]));
    session.reply(asked.id, page(&[], None)).await;
    assert_eq!(key_of(scan.next().await), "k4");
    assert!(scan.next().await.is_none());
    assert!(scan.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_page_that_came_to_nothing_ahead_of_its_time_is_asked_for_again_and_then_ends_the_scan() {
    let (client, _server, mut session) = connected().await;
    let mut scan = client.scan::<String>("k");
    let (first, ()) = tokio::join!(scan.next(), async {
        let asked = session.request().await.unwrap();
        session.reply(asked.id, page(&["k1"], Some("k1"))).await;
        let asked = session.request().await.unwrap();
        session.reply(asked.id, fail(FailCode::DiskFull)).await;
    });
    assert_eq!(key_of(first), "k1");
    let (failed, ()) = tokio::join!(scan.next(), async {
        let asked = session.request().await.unwrap();
        session.reply(asked.id, fail(FailCode::DiskFull)).await;
    });
    let error = failed.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(FailCode::DiskFull));
    assert_eq!((error.operation(), error.table()), (Some("scan"), Some("default")));
    assert!(scan.next().await.is_none(), "an error is the last item");
    let mut rest = client.scan::<String>("k").after(scan.token());
    let (next, ()) = tokio::join!(rest.next(), async {
        let asked = session.request().await.unwrap();
        assert_eq!(asked.key, b"k1");
        session.reply(asked.id, page(&["k2"], None)).await;
    });
    assert_eq!(key_of(next), "k2");
}

#[tokio::test(start_paused = true)]
async fn a_scan_and_what_goes_on_behind_its_token_stand_where_the_first_page_does() {
    let (client, _server, mut session) = connected().await;
    let mut scan = client.scan::<String>("k").stale();
    let (first, ()) = tokio::join!(scan.next(), async {
        let asked = session.request().await.unwrap();
        assert!(asked.shown.ends_with("Stale, None)"), "{}", asked.shown);
        session.reply(asked.id, standing(7, &["k1"], Some("k1"))).await;
    });
    assert_eq!(key_of(first), "k1");
    let token = scan.token();
    assert_eq!(token.to_string(), "behind-6b31-at-7");
    let asked = session.request().await.unwrap();
    assert!(asked.shown.ends_with("Stale, Some(Version(7)))"), "{}", asked.shown);
    session.reply(asked.id, standing(7, &["k2"], None)).await;
    assert_eq!(key_of(scan.next().await), "k2");
    assert!(scan.next().await.is_none());
    for (token, at) in [(token.clone(), Some(version(7))), (token.unpinned(), None)] {
        let mut rest = client.scan::<String>("k").after(token);
        let (next, ()) = tokio::join!(rest.next(), async {
            let asked = session.request().await.unwrap();
            assert_eq!(asked.key, b"k1");
            assert!(asked.shown.ends_with(&format!("Latest, {at:?})")), "{}", asked.shown);
            session.reply(asked.id, standing(at.map_or(9, Version::get), &["k2"], None)).await;
        });
        assert_eq!(key_of(next), "k2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_stands_elsewhere_than_the_scan_is_not_shown() {
    for elsewhere in [standing(8, &["k2"], None), page(&["k2"], None)] {
        let (client, _server, mut session) = connected().await;
        let mut scan = client.scan::<String>("k");
        let (first, ()) = tokio::join!(scan.next(), async {
            let asked = session.request().await.unwrap();
            session.reply(asked.id, standing(7, &["k1"], Some("k1"))).await;
            let asked = session.request().await.unwrap();
            session.reply(asked.id, elsewhere).await;
        });
        assert_eq!(key_of(first), "k1");
        let error = scan.next().await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Protocol, Outcome::Refused));
        assert!(scan.next().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_scan_whose_moment_is_not_kept_any_more_ends_with_a_kind_of_its_own() {
    let (client, _server, mut session) = connected().await;
    let mut scan = client.scan::<String>("k");
    let (first, ()) = tokio::join!(scan.next(), async {
        let asked = session.request().await.unwrap();
        session.reply(asked.id, standing(7, &["k1"], Some("k1"))).await;
        let asked = session.request().await.unwrap();
        let message = "not kept any more; begin the scan again";
        session.reply(asked.id, Reply::Fail { code: FailCode::ScanExpired, message }).await;
    });
    assert_eq!(key_of(first), "k1");
    let error = scan.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ScanExpired, Outcome::Refused));
    assert!(!error.is_retryable(), "the same page would fail in the same way");
    assert!(error.to_string().contains("begin the scan again"), "{error}");
    assert!(scan.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_page_that_leads_nowhere_ends_the_scan_and_is_not_asked_for_ever() {
    for (from, leads_to) in [("k", "a"), ("k1", "k1"), ("k1", "k0")] {
        let (client, _server, mut session) = connected().await;
        let mut scan = client.scan::<String>("k").page_size(2);
        let play = async {
            if from != "k" {
                let asked = session.request().await.unwrap();
                session.reply(asked.id, page(&[], Some(from))).await;
            }
            let asked = session.request().await.unwrap();
            assert_eq!(asked.key, from.as_bytes());
            session.reply(asked.id, page(&[], Some(leads_to))).await;
        };
        let (item, ()) = tokio::join!(scan.next(), play);
        let error = item.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Protocol, Outcome::Refused));
        assert_eq!(error.operation(), Some("scan"));
        assert!(scan.next().await.is_none());
        drop((scan, client));
        assert_eq!(session.request().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_dropped_is_cancelled_by_its_id() {
    let (client, _server, mut session) = connected().await;
    let mut watch = client.watch::<String>("").from(version(3));
    assert!(poll_once(&mut Box::pin(watch.next())).await.is_none());
    let asked = session.request().await.unwrap();
    let since = format!("{:?}, 30000 ms", Some(Position { incarnation: None, version: 3 }));
    assert_eq!((&*asked.what, asked.key), ("watch", since.into_bytes()));
    // The future is gone, the watch is not.
    assert!(poll_once(&mut Box::pin(watch.next())).await.is_none());
    drop(watch);
    let cancel = session.request().await.unwrap();
    assert_eq!((&*cancel.what, cancel.id), ("cancel", asked.id));
    // Its id is not used for another request until the answer has come.
    let mut read = Box::pin(client.get::<String>("k"));
    assert!(poll_once(&mut read).await.is_none());
    let get = session.request().await.unwrap();
    assert_ne!(get.id, asked.id);
    session.reply(asked.id, news(&[], 3)).await;
    session.reply(get.id, record(b"v")).await;
    assert_eq!(read.await.unwrap().unwrap(), "v");
}

#[tokio::test(start_paused = true)]
async fn closing_a_client_does_not_wait_for_a_change_and_its_watch_says_so() {
    let (client, _server, mut session) = connected().await;
    let mut watch = client.watch::<String>("").from(version(3));
    let start = Instant::now();
    assert!(poll_once(&mut Box::pin(watch.next())).await.is_none());
    let asked = watched(&mut session).await;
    let ((), item, ()) = tokio::join!(client.close(), watch.next(), async {
        let cancel = session.request().await.unwrap();
        assert_eq!((&*cancel.what, cancel.id), ("cancel", asked.id));
        session.reply(asked.id, news(&[], 3)).await;
        assert_eq!(session.request().await, None);
        drop(session);
    });
    assert_eq!(item.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert!(watch.next().await.is_none());
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

/// Lets a watch fail once, and says how long it took to ask.
async fn failed_with(
    client: &Client,
    session: &mut Session,
    watch: &mut kvsd::stream::Watch<String>,
    code: FailCode,
) -> (ErrorKind, Duration) {
    let start = Instant::now();
    let (item, took) = tokio::join!(watch.next(), async {
        let asked = watched(session).await;
        let took = start.elapsed();
        session.reply(asked.id, fail(code)).await;
        took
    });
    let error = item.unwrap().unwrap_err();
    assert_eq!(error.operation(), Some("watch"));
    assert_eq!(error.table(), Some("default"), "{client:?}");
    (error.kind(), took)
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_each_failure_pauses_and_goes_on_where_it_was() {
    let (client, _server, mut session) = connected().await;
    let mut watch = client.watch::<String>("");
    let (item, ()) = tokio::join!(watch.next(), async {
        let asked = watched(&mut session).await;
        assert_eq!(asked.key, b"None, 0 ms", "first of all, where the table is");
        session.reply(asked.id, news(&[], 4)).await;
        let asked = watched(&mut session).await;
        assert_eq!(asked.key, since(4));
        session.reply(asked.id, news(&[("a", 5)], 6)).await;
    });
    assert_eq!(told(item), ("a".into(), 5));
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let (kind, pause) =
            failed_with(&client, &mut session, &mut watch, FailCode::DiskFull).await;
        assert_eq!(kind, ErrorKind::Server(FailCode::DiskFull));
        pauses.push(pause);
    }
    let longest = [0, 50, 100, 200, 400, 800, 1_600, 2_000].map(Duration::from_millis);
    let a_moment = Duration::from_millis(10);
    for (pause, longest) in pauses.iter().zip(longest) {
        assert!((longest / 2..=longest + a_moment).contains(pause), "{pauses:?}");
    }
    let differ = pauses.iter().zip(longest).any(|(pause, longest)| *pause + a_moment < longest);
    assert!(differ, "all watches of a server would ask it in step: {pauses:?}");
    // No answer at all: the pause, the wait and the client's time-out, and then again.
    let start = Instant::now();
    let (item, asked) = tokio::join!(watch.next(), watched(&mut session));
    assert_eq!(item.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    assert!((41..=42).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    session.reply(asked.id, news(&[("thrown away", 7)], 7)).await;
    let (item, ()) = tokio::join!(watch.next(), async {
        let asked = watched(&mut session).await;
        assert_eq!(asked.key, since(6));
        session.reply(asked.id, news(&[("b", 7)], 7)).await;
    });
    assert_eq!(told(item), ("b".into(), 7));
    let (kind, _) = failed_with(&client, &mut session, &mut watch, FailCode::Corrupt).await;
    assert_eq!(kind, ErrorKind::Server(FailCode::Corrupt));
    assert!(watch.next().await.is_none(), "what does not pass is the last item");
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_no_event_and_no_change_is_lost_with_it() {
    let (client, mut server, mut session) = connected().await;
    let mut watch = client.watch::<String>("").from(version(1));
    let (item, mut session) = tokio::join!(watch.next(), async {
        watched(&mut session).await;
        drop(session);
        let mut session = server.welcome().await;
        let asked = watched(&mut session).await;
        session.reply(asked.id, news(&[("a", 2), ("b", 3)], 3)).await;
        session
    });
    assert_eq!(told(item), ("a".into(), 2));
    assert_eq!(told(watch.next().await), ("b".into(), 3));
    let (item, ()) = tokio::join!(watch.next(), async {
        let asked = watched(&mut session).await;
        assert_eq!(asked.key, since(3));
        session.reply(asked.id, Reply::Gap { now: position(9) }).await;
    });
    let Event::Gap { now } = item.unwrap().unwrap() else { panic!() };
    assert_eq!(Some(now), watch.token());
    assert!(poll_once(&mut Box::pin(watch.next())).await.is_none());
    assert_eq!(watched(&mut session).await.key, since(9));
}

#[tokio::test(start_paused = true)]
async fn a_watch_whose_server_goes_without_a_word_goes_on_elsewhere_within_15_s() {
    let (builder, mut server) = support::builder();
    let builder = builder.keep_alive(Duration::from_secs(10));
    let (client, mut session) = tokio::join!(builder.connect(), server.welcome());
    let client = client.unwrap();
    let mut watch = client.watch::<String>("").from(version(1));
    let start = Instant::now();
    let (item, ()) = tokio::join!(watch.next(), async {
        watched(&mut session).await;
        // This end stays open, and silent.
        let mut other = server.welcome().await;
        let asked = watched(&mut other).await;
        other.reply(asked.id, news(&[("a", 2)], 2)).await;
    });
    assert_eq!(told(item), ("a".into(), 2));
    assert_eq!(start.elapsed().as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_token_taken_in_the_middle_of_a_batch_tells_the_rest_of_it_and_nothing_twice() {
    let (client, _server, mut session) = connected().await;
    let changes = [("a", 2), ("b", 3), ("c", 3), ("d", 3), ("e", 5)];
    for taken in 1..=changes.len() {
        let mut watch = client.watch::<String>("").from(version(1));
        let (first, ()) = tokio::join!(watch.next(), async {
            let asked = watched(&mut session).await;
            session.reply(asked.id, news(&changes, 6)).await;
        });
        let mut seen = vec![told(first)];
        while seen.len() < taken {
            seen.push(told(watch.next().await));
        }
        let token = watch.token().unwrap().to_string();
        drop(watch);
        let mut watch = client.watch::<String>("").after(token.parse().unwrap());
        let all = async {
            while seen.last().unwrap().1 < 7 {
                seen.push(told(watch.next().await));
            }
        };
        tokio::join!(all, async {
            let asked = watched(&mut session).await;
            // Behind the last batch of which nothing is left.
            let expected = [0, 2, 2, 2, 3, 6][taken];
            assert_eq!(asked.key, since(expected), "after {taken}");
            let rest: Vec<_> =
                changes.iter().copied().filter(|(_, version)| *version > expected).collect();
            session.reply(asked.id, news(&rest, 6)).await;
            let asked = watched(&mut session).await;
            assert_eq!(asked.key, since(6));
            session.reply(asked.id, news(&[("f", 7)], 7)).await;
        });
        let keys: Vec<_> = seen.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["a", "b", "c", "d", "e", "f"], "after {taken}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_server_would_take_is_said_without_asking_one() {
    let (client, _server, mut session) = connected().await;
    let long = "x".repeat(1025);
    let scans = [
        client.scan::<String>("k").page_size(0),
        client.scan::<String>(&long),
        client.scan::<String>("a"..long.as_str()),
    ];
    for mut scan in scans {
        let error = scan.next().await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidArgument, Outcome::NotSent));
        assert!(scan.next().await.is_none());
    }
    let watches = [client.watch::<String>(&long), client.watch_key(&long), client.watch_key("")];
    for mut watch in watches {
        let error = watch.next().await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidArgument, Outcome::NotSent));
        assert!(watch.next().await.is_none());
        assert_eq!(watch.begin().await.unwrap_err().kind(), ErrorKind::Closed);
    }
    // Nothing lies there: nobody is asked.
    assert!(client.scan::<String>("b".."a").next().await.is_none());
    assert!(client.scan::<String>(..).limit(0).next().await.is_none());
    drop(client);
    assert_eq!(session.request().await, None);
}
