//! Records that know their keys, their table and how long they live.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use kvsd::{Change, ErrorKind, Key, Keyed, Outcome, Ttl};
use serde::{Deserialize, Serialize};

use super::start;

#[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
#[kvsd(table = "sessions", key = "session/{user}/{device}", ttl = "1h")]
struct Session {
    user: u64,
    device: String,
    token: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "note/{id}")]
struct Note {
    id: u32,
    text: String,
}

fn session() -> Session {
    Session { user: 7, device: "phone".into(), token: "t".into() }
}

#[tokio::test]
async fn a_record_goes_to_the_table_of_its_type_whatever_the_handle() {
    let (server, client) = start().await;
    let elsewhere = client.table("elsewhere").unwrap();
    let version = elsewhere.put(&session()).await.unwrap();
    let key = || Session::key_of((7, "phone"));
    assert_eq!(client.fetch(key()).await.unwrap(), Some(session()));
    let read = client.fetch(key()).versioned().await.unwrap().unwrap();
    assert_eq!(read.version, version);
    let sessions = client.table("sessions").unwrap();
    assert_eq!(sessions.get::<Session>(key()).await.unwrap(), Some(session()));
    assert!(!elsewhere.exists(key()).await.unwrap());
    assert!(elsewhere.remove(key()).await.unwrap());
    assert_eq!(client.fetch(key()).await.unwrap(), None);
    assert!(!client.remove(key()).await.unwrap());
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_type_without_a_table_goes_to_that_of_the_handle() {
    let (server, client) = start().await;
    let notes = client.table("notes").unwrap();
    let note = Note { id: 1, text: "milk".into() };
    notes.put(&note).await.unwrap();
    assert_eq!(notes.fetch(note.key()).await.unwrap(), Some(note));
    assert_eq!(client.fetch(Note::key_of(1)).await.unwrap(), None);
    assert_eq!(notes.ttl(Note::key_of(1)).await.unwrap(), Ttl::Endless);
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_record_lives_as_long_as_its_type_says_unless_the_operation_says_otherwise() {
    let (server, client) = start().await;
    let sessions = client.table("sessions").unwrap();
    let left = async || sessions.ttl(Session::key_of((7, "phone"))).await.unwrap();
    let hour = Duration::from_secs(3600);
    client.put(&session()).await.unwrap();
    assert!(matches!(left().await, Ttl::Left(left) if left <= hour && left > hour / 2));
    client.put(&session()).ttl(2 * hour).await.unwrap();
    assert!(matches!(left().await, Ttl::Left(left) if left > hour));
    client.put(&session()).endless().await.unwrap();
    assert_eq!(left().await, Ttl::Endless);
    server.close().await.unwrap();
}

#[tokio::test]
async fn conditions_and_pipelines_work_on_them() {
    let (server, client) = start().await;
    let version = client.put(&session()).if_absent().await.unwrap();
    let error = client.put(&session()).if_absent().await.unwrap_err();
    assert!(error.is_conflict());
    assert_eq!((error.operation(), error.table()), (Some("put"), Some("sessions")));
    let version = client.put(&session()).if_version(version).await.unwrap();
    let mut pipeline = client.pipeline();
    let read = pipeline.add(client.fetch(Session::key_of((7, "phone"))));
    let removed = pipeline.add(client.remove(Session::key_of((7, "phone"))).if_version(version));
    let mut answers = pipeline.await.unwrap();
    assert_eq!(answers.take(read).unwrap(), Some(session()));
    assert!(answers.take(removed).unwrap());
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_handle_of_a_type_acts_on_its_table_and_on_its_own_if_the_type_names_none() {
    let (server, client) = start().await;
    let elsewhere = client.table("elsewhere").unwrap();
    client.put(&session()).await.unwrap();
    let key = || Session::key_of((7, "phone"));
    let sessions = elsewhere.of::<Session>();
    assert!(sessions.exists(key()).await.unwrap());
    assert!(matches!(sessions.ttl(key()).await.unwrap(), Ttl::Left(_)));
    assert!(sessions.persist(key()).await.unwrap());
    let renamed = |found: Option<Session>| match found {
        Some(session) => Change::Set(Session { token: "u".into(), ..session }),
        None => Change::Keep,
    };
    let updated = sessions.update(key(), renamed).await.unwrap().unwrap();
    assert_eq!(updated.token, "u");
    let mut pipeline = sessions.pipeline();
    let read = pipeline.get::<Session>(key());
    assert!(pipeline.await.unwrap().take(read).unwrap().is_some());
    let read = sessions.get_many::<Session>([key(), Session::key_of((8, "tv"))]).await.unwrap();
    assert_eq!(read, [Some(Session { token: "u".into(), ..session() }), None]);
    assert!(sessions.take::<Session>(key()).await.unwrap().is_some());
    assert_eq!(client.fetch(key()).await.unwrap(), None);

    elsewhere.of::<Note>().put(&Note { id: 1, text: "milk".into() }).await.unwrap();
    assert!(elsewhere.exists(Note::key_of(1)).await.unwrap());
    assert!(!client.of::<Note>().exists(Note::key_of(1)).await.unwrap());
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_record_that_is_renewed_lives_as_long_as_one_that_was_just_put() {
    let (server, client) = start().await;
    let key = || Session::key_of((7, "phone"));
    assert_eq!(client.renew(key()).await.unwrap(), None);
    assert_eq!(client.fetch(key()).await.unwrap(), None, "nothing comes into being by it");
    let minute = Duration::from_secs(60);
    let version = client.put(&session()).ttl(minute).await.unwrap();
    assert_eq!(client.renew(key()).await.unwrap(), Some(session()));
    let now = client.fetch(key()).versioned().await.unwrap().unwrap();
    assert!(now.version > version);
    let left = client.of::<Session>().ttl(key()).await.unwrap();
    assert!(matches!(left, Ttl::Left(left) if left > minute), "{left:?}");
    let renewing = tokio::spawn(client.renew(key()).timeout(minute).owned());
    assert_eq!(renewing.await.unwrap().unwrap(), Some(session()));
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_record_that_cannot_be_renewed_or_read_is_said_to_be_so() {
    let (server, client) = start().await;
    let sessions = client.of::<Session>();
    let key = || Session::key_of((7, "phone"));
    sessions.set(key(), "no session").await.unwrap();
    let error = client.renew(key()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Decode, Outcome::Done));
    assert_eq!((error.operation(), error.table()), (Some("renew"), Some("sessions")));
    assert!(matches!(sessions.ttl(key()).await.unwrap(), Ttl::Left(_)), "it was renewed");

    let error = client.renew(Key::<Session>::new("")).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidArgument, Outcome::NotSent));
    assert_eq!(error.table(), Some("sessions"));
    server.close().await.unwrap();
}

#[derive(Debug, PartialEq, Serialize, Deserialize, kvsd::Value)]
#[kvsd(key = "event/{day}/{at}/{name}")]
struct Event {
    day: NaiveDate,
    at: DateTime<Utc>,
    name: String,
}

#[tokio::test]
async fn dates_and_times_in_keys_order_as_time_does_in_any_year() {
    let (server, client) = start().await;
    let event = |year, second, name: &str| {
        let day = NaiveDate::from_ymd_opt(year, 12, 31).unwrap();
        let at = day.and_hms_opt(10, 20, second).unwrap().and_utc();
        Event { day, at, name: name.into() }
    };
    // In the order of time.
    let events = [
        event(-44, 0, "long ago"),
        event(-1, 0, "later"),
        event(0, 0, "a year that was none"),
        event(2025, 9, "b"),
        event(2025, 10, "a"),
        event(9999, 0, "far ahead"),
        event(12_000, 0, "farther"),
    ];
    for stored in events.iter().rev() {
        client.put(stored).await.unwrap();
    }
    let mut scan = client.scan_all(Event::prefix());
    for expected in &events {
        assert_eq!(scan.next().await.unwrap().unwrap().value, *expected);
    }
    assert!(scan.next().await.is_none());

    let mut of_a_day = client.scan_all(Event::prefix_of(events[3].day)).reverse();
    assert_eq!(of_a_day.next().await.unwrap().unwrap().value, events[4]);
    assert_eq!(of_a_day.next().await.unwrap().unwrap().value, events[3]);
    assert!(of_a_day.next().await.is_none());
    server.close().await.unwrap();
}
