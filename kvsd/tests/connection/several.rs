//! Operations of more than one request or key: what is sent again, what is not, and what their
//! errors say of the writes that did happen.

use std::time::Duration;

use kvsd::protocol::v2::{Before, Changed, FailCode, Names, Record, Reply};
use kvsd::{Change, Error, ErrorKind, Outcome, Version};
use tokio::time::Instant;

use crate::support::{Session, connected, poll_once, record, written};

/// Takes a pipeline and answers as many of its requests as `replies` has.
async fn answer_pipeline(session: &mut Session, requests: usize, replies: Vec<Reply<'_>>) {
    let asked = session.request().await.unwrap();
    assert_eq!((asked.what.as_str(), asked.requests), ("pipeline", requests));
    session.reply(asked.id, Reply::Pipeline(replies)).await;
}

/// The next request is of this kind, and is left without an answer.
async fn take(session: &mut Session, what: &str) {
    assert_eq!(session.request().await.unwrap().what, what);
}

fn refused() -> Reply<'static> {
    Reply::Fail { code: FailCode::DiskFull, message: "no room" }
}

fn conflict() -> Reply<'static> {
    Reply::Conflict { current: Version::new(3), change: 0 }
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_has_no_room_for_is_asked_again_in_order_and_once() {
    let (client, _server, mut session) = connected().await;
    let play = async {
        answer_pipeline(&mut session, 5, vec![record(b"0"), record(b"1")]).await;
        answer_pipeline(&mut session, 3, vec![Reply::Value(None)]).await;
        answer_pipeline(&mut session, 2, vec![record(b"3"), record(b"4")]).await;
    };
    let keys = ["a", "b", "c", "d", "e"];
    let (values, ()) = tokio::join!(client.get_many::<u8>(keys), play);
    assert_eq!(values.unwrap(), [Some(0), Some(1), None, Some(3), Some(4)]);
}

#[tokio::test(start_paused = true)]
async fn reads_of_many_keys_go_on_behind_the_last_answer_when_their_connection_is_lost() {
    let (client, mut server, mut session) = connected().await;
    let play = async {
        answer_pipeline(&mut session, 3, vec![record(b"0")]).await;
        take(&mut session, "pipeline").await;
        drop(session);
        let mut session = server.welcome().await;
        answer_pipeline(&mut session, 2, vec![record(b"1"), record(b"2")]).await;
        session
    };
    let (values, _session) = tokio::join!(client.get_many::<u8>(["a", "b", "c"]), play);
    assert_eq!(values.unwrap(), [Some(0), Some(1), Some(2)]);
}

#[tokio::test(start_paused = true)]
async fn writes_of_many_keys_are_never_repeated_when_their_connection_is_lost() {
    let (client, mut server, mut session) = connected().await;
    let play = async {
        take(&mut session, "pipeline").await;
        drop(session);
        server.welcome().await
    };
    let (set, session) = tokio::join!(client.set_many([("a", 1), ("b", 2)]), play);
    let error = set.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Unknown));
    assert_eq!(error.place(), Some(0));
    assert_nothing_more(client, session).await;
}

#[tokio::test(start_paused = true)]
async fn when_some_of_the_writes_happened_the_error_says_so_and_from_where_on() {
    let (client, mut server, mut session) = connected().await;
    let play = async {
        answer_pipeline(&mut session, 1024, (0..1024).map(|_| written()).collect()).await;
        take(&mut session, "pipeline").await;
        drop(session);
        server.welcome().await
    };
    let pairs = (0..1100).map(|i| (format!("k{i}"), i));
    let (set, session) = tokio::join!(client.set_many(pairs), play);
    let error = set.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Partly));
    assert_eq!(error.place(), Some(1024));
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("part of it was carried out"), "{error}");
    assert_nothing_more(client, session).await;
}

fn unavailable() -> Reply<'static> {
    Reply::Fail { code: FailCode::Unavailable, message: "no member answers" }
}

#[tokio::test(start_paused = true)]
async fn what_a_store_that_was_away_has_left_undone_is_asked_again_in_order() {
    let (client, _server, mut session) = connected().await;
    let play = async {
        let replies = vec![record(b"0"), unavailable(), record(b"2"), unavailable()];
        answer_pipeline(&mut session, 4, replies).await;
        answer_pipeline(&mut session, 3, vec![unavailable(), unavailable(), unavailable()]).await;
        answer_pipeline(&mut session, 3, vec![record(b"1"), record(b"2"), record(b"3")]).await;
    };
    let (values, ()) = tokio::join!(client.get_many::<u8>(["a", "b", "c", "d"]), play);
    assert_eq!(values.unwrap(), [Some(0), Some(1), Some(2), Some(3)]);

    let play = async {
        answer_pipeline(&mut session, 3, vec![written(), unavailable(), unavailable()]).await;
        answer_pipeline(&mut session, 2, vec![written(), written()]).await;
    };
    let (set, ()) = tokio::join!(client.set_many([("a", 1), ("b", 2), ("c", 3)]), play);
    assert_eq!(set.unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_write_behind_one_that_was_left_undone_is_never_overtaken_by_it() {
    let (client, _server, mut session) = connected().await;
    let play = async {
        answer_pipeline(&mut session, 3, vec![unavailable(), written(), unavailable()]).await;
        session
    };
    let (set, session) = tokio::join!(client.set_many([("a", 1), ("b", 2), ("c", 3)]), play);
    let error = set.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Partly));
    assert_eq!(error.place(), Some(0));
    assert_nothing_more(client, session).await;
}

#[tokio::test(start_paused = true)]
async fn many_keys_of_a_store_that_stays_away_end_at_their_deadline_and_say_why() {
    let (client, _server, mut session) = connected().await;
    let play = async {
        while let Some(asked) = session.request().await {
            session.reply(asked.id, Reply::Pipeline(vec![unavailable(); asked.requests])).await;
        }
    };
    let timeout = Duration::from_secs(3);
    let start = Instant::now();
    let error = tokio::select! {
        result = client.get_many::<u8>(["a", "b"]).timeout(timeout) => result.unwrap_err(),
        () = play => unreachable!("the client goes on"),
    };
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Refused));
    assert!(error.is_retryable() && start.elapsed() <= timeout, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_refused_write_among_many_is_named_and_the_others_are_not_denied() {
    let (client, _server, mut session) = connected().await;
    let keys = ["a", "b", "c"];
    let play = answer_pipeline(&mut session, 3, vec![written(), refused(), written()]);
    let (deleted, ()) = tokio::join!(client.delete_many(keys), play);
    let error = deleted.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(FailCode::DiskFull));
    assert_eq!((error.outcome(), error.place()), (Outcome::Partly, Some(1)));

    // If none of them happened, the error may be retried as any other.
    let play = answer_pipeline(&mut session, 3, vec![refused(), refused(), refused()]);
    let (deleted, ()) = tokio::join!(client.delete_many(keys), play);
    let error = deleted.unwrap_err();
    assert_eq!((error.outcome(), error.place()), (Outcome::Refused, Some(0)));
    assert!(error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_breaks_off_hands_out_the_answers_that_it_has() {
    let (client, mut server, mut session) = connected().await;
    let mut pipeline = client.pipeline();
    let mut taken: Vec<_> =
        (0..1024).map(|i| pipeline.add(client.take::<u8>(format!("k{i}")))).collect();
    let (counted, read) = (pipeline.increment("n", 1), pipeline.get::<u8>("k"));
    let mut later: Vec<_> = (0..1024).map(|_| pipeline.increment("n", 1)).collect();
    let old = || Record { version: Version::new(1).unwrap(), expires_at: None, value: b"7" };
    let deleted = || Reply::Written { version: Version::new(9), before: Before::Record(old()) };
    let play = async {
        answer_pipeline(&mut session, 1024, (0..1024).map(|_| deleted()).collect()).await;
        take(&mut session, "pipeline").await;
        drop(session);
        server.welcome().await
    };
    let (answers, session) = tokio::join!(pipeline, play);
    let mut answers = answers.unwrap();
    assert_eq!(answers.len(), 2050);
    for place in taken.drain(..) {
        assert_eq!(answers.take(place).unwrap(), Some(7));
    }
    let error = answers.take(counted).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Unknown));
    assert_eq!((error.operation(), error.place()), (Some("increment"), Some(1024)));
    let error = answers.take(read).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Refused));
    let error = answers.take(later.pop().unwrap()).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::NotSent));
    assert!(error.is_retryable());
    assert_nothing_more(client, session).await;
}

#[tokio::test(start_paused = true)]
async fn operations_of_many_keys_send_nothing_again_when_they_are_polled_once_too_often() {
    let (client, _server, mut session) = connected().await;
    let play = answer_pipeline(&mut session, 1, vec![written()]);
    let mut many = Box::pin(client.set_many([("a", 1)]).owned());
    let (set, ()) = tokio::join!(&mut many, play);
    set.unwrap();
    let again = tokio::spawn(async move { poll_once(&mut many).await.is_none() });
    let told = again.await.unwrap_err().into_panic();
    assert_eq!(told.downcast_ref(), Some(&"an operation was polled after it was ready"));

    let mut pipeline = client.pipeline().owned();
    let _place = pipeline.increment("n", 1);
    let mut pipeline = Box::pin(pipeline);
    let play = answer_pipeline(
        &mut session,
        1,
        vec![Reply::Counter { version: Version::new(1).unwrap(), value: 1 }],
    );
    let (answers, ()) = tokio::join!(&mut pipeline, play);
    answers.unwrap();
    let again = tokio::spawn(async move { poll_once(&mut pipeline).await.is_none() });
    assert!(again.await.unwrap_err().is_panic());
    assert_nothing_more(client, session).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_added_to_a_pipeline_after_its_first_poll_is_not_sent_and_gets_nobodys_answer() {
    let (client, _server, mut session) = connected().await;
    let mut pipeline = client.pipeline();
    let first = pipeline.get::<u8>("a");
    assert!(poll_once(&mut pipeline).await.is_none());
    let late = pipeline.get::<u8>("b");
    let play = answer_pipeline(&mut session, 1, vec![record(b"7")]);
    let (answers, ()) = tokio::join!(&mut pipeline, play);
    let mut answers = answers.unwrap();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers.take(late).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(answers.take(first).unwrap(), Some(7));
    drop(pipeline);
    assert_nothing_more(client, session).await;
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_only_reads_is_asked_again_and_one_that_writes_is_not() {
    let (client, mut server, mut session) = connected().await;
    let mut pipeline = client.pipeline();
    let place = pipeline.get::<u8>("k");
    let play = async {
        take(&mut session, "pipeline").await;
        drop(session);
        let mut session = server.welcome().await;
        answer_pipeline(&mut session, 1, vec![record(b"7")]).await;
        session
    };
    let (answers, mut session) = tokio::join!(pipeline, play);
    assert_eq!(answers.unwrap().take(place).unwrap(), Some(7));

    let mut pipeline = client.pipeline();
    let _read = pipeline.get::<u8>("k");
    let _count = pipeline.increment("n", 1);
    let play = async {
        take(&mut session, "pipeline").await;
        drop(session);
        server.welcome().await
    };
    let (answers, session) = tokio::join!(pipeline, play);
    let error = answers.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Unknown));
    assert_nothing_more(client, session).await;
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_not_those_to_a_pipelines_requests_are_not_handed_out() {
    let counter = || Reply::Counter { version: Version::new(1).unwrap(), value: 1 };
    for replies in [
        vec![counter(), record(b"1")],
        vec![record(b"1"), written()],
        vec![record(b"1"), counter(), record(b"1")],
    ] {
        let (client, _server, mut session) = connected().await;
        let mut pipeline = client.pipeline();
        let _read = pipeline.get::<u8>("k");
        let _count = pipeline.increment("n", 1);
        let play = answer_pipeline(&mut session, 2, replies);
        let (answers, ()) = tokio::join!(pipeline, play);
        let error = answers.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Protocol, Outcome::Unknown));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_connection_is_lost_is_reported_and_never_repeated() {
    let (client, mut server, mut session) = connected().await;
    let play = async {
        take(&mut session, "batch").await;
        drop(session);
        server.welcome().await
    };
    let (batch, session) = tokio::join!(client.batch().set("a", 1).increment("n", 1), play);
    let error = batch.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Unknown));
    assert_nothing_more(client, session).await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_with_another_number_of_results_than_changes_is_a_broken_answer() {
    let (client, _server, mut session) = connected().await;
    let play = async {
        let asked = session.request().await.unwrap();
        let changed = vec![Changed { existed: false, counter: None }];
        session.reply(asked.id, Reply::Batch { version: Version::new(2), changed }).await;
    };
    let (batch, ()) = tokio::join!(client.batch().set("a", 1).increment("n", 1), play);
    let error = batch.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Protocol, Outcome::Done));
}

#[tokio::test(start_paused = true)]
async fn an_update_whose_write_is_lost_is_reported_and_never_repeated() {
    let (client, mut server, mut session) = connected().await;
    let mut calls = 0;
    let update = client.update("n", |n: Option<u8>| {
        calls += 1;
        Change::Set(n.unwrap_or(0) + 1)
    });
    let play = async {
        // The read is lost, and asked again; the write is lost, and is not.
        take(&mut session, "get").await;
        drop(session);
        let mut session = server.welcome().await;
        let asked = session.request().await.unwrap();
        session.reply(asked.id, record(b"1")).await;
        take(&mut session, "set").await;
        drop(session);
        server.welcome().await
    };
    let (updated, session) = tokio::join!(update, play);
    let error = updated.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Unknown));
    assert_eq!((error.operation(), calls), (Some("update"), 1));
    assert_nothing_more(client, session).await;
}

/// Plays a server on which somebody else has always written in between; the number of writes.
async fn spoil_all(session: &mut Session) -> usize {
    let mut writes = 0;
    while let Some(asked) = session.request().await {
        let reply = if asked.what == "get" { record(b"1") } else { conflict() };
        writes += usize::from(asked.what == "set");
        session.reply(asked.id, reply).await;
    }
    writes
}

async fn spoiled(timeout: Duration, attempts: u32) -> (Error, usize, Duration) {
    let (client, _server, mut session) = connected().await;
    // Between two ticks of the runtime's clock, so that every sleep takes time.
    tokio::time::advance(Duration::from_micros(300)).await;
    let start = Instant::now();
    let update = async {
        let update = client.update("n", |n: Option<u8>| Change::Set(n.unwrap_or(0) + 1));
        let error = update.attempts(attempts).timeout(timeout).await.unwrap_err();
        drop(client);
        (error, start.elapsed())
    };
    let ((error, time), writes) = tokio::join!(update, spoil_all(&mut session));
    (error, writes, time)
}

#[tokio::test(start_paused = true)]
async fn an_update_that_others_always_spoil_gives_up_after_its_attempts_or_its_deadline() {
    let (error, writes, _) = spoiled(Duration::from_secs(10), 5).await;
    assert_eq!(error.kind(), ErrorKind::Conflict { current: Version::new(3) });
    assert_eq!((error.outcome(), writes), (Outcome::Refused, 5));

    let (_, writes, time) = spoiled(Duration::from_secs(10), 2).await;
    assert_eq!((writes, time), (2, Duration::ZERO), "the second attempt does not wait");

    let (error, writes, time) = spoiled(Duration::from_secs(3), u32::MAX).await;
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent));
    assert_eq!(time.as_secs(), 3);
    assert!(writes > 10, "{writes} attempts");
}

#[tokio::test(start_paused = true)]
async fn tables_are_asked_for_until_all_are_named() {
    let (client, _server, mut session) = connected().await;
    let play = async {
        for (more, names) in [(true, vec!["a", "b"]), (true, vec!["c"]), (false, vec![])] {
            let asked = session.request().await.unwrap();
            session.reply(asked.id, Reply::Tables(Names { more, names })).await;
        }
    };
    let (tables, ()) = tokio::join!(client.tables(), play);
    let tables = tables.unwrap();
    assert!(tables.iter().map(kvsd::TableName::as_str).eq(["a", "b", "c"]));

    // One that names nothing new would be asked for ever.
    for (more, names) in [(true, vec![]), (true, vec!["a", "a"]), (false, vec!["../a"])] {
        let play = async {
            let asked = session.request().await.unwrap();
            session.reply(asked.id, Reply::Tables(Names { more, names })).await;
        };
        let (tables, ()) = tokio::join!(client.tables(), play);
        assert_eq!(tables.unwrap_err().kind(), ErrorKind::Protocol);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_half_way_sends_nothing_more_and_harms_nobody() {
    let (client, _server, mut session) = connected().await;
    let mut many = Box::pin(client.set_many((0..1100).map(|i| (format!("k{i}"), i))).owned());
    assert!(poll_once(&mut many).await.is_none());
    let plus_one = |n: Option<u8>| Change::Set(n.unwrap_or(0) + 1);
    let mut update = Box::pin(client.update("n", plus_one).owned());
    assert!(poll_once(&mut update).await.is_none());
    let (first, read) = (session.request().await.unwrap(), session.request().await.unwrap());
    drop((many, update));
    session.reply(first.id, Reply::Pipeline((0..1024).map(|_| written()).collect())).await;
    session.reply(read.id, record(b"1")).await;
    let (value, ()) = tokio::join!(client.get::<String>("k"), async {
        let asked = session.request().await.unwrap();
        assert_eq!(asked.what, "get");
        session.reply(asked.id, record(&asked.key)).await;
    });
    assert_eq!(value.unwrap().as_deref(), Some("k"));
    assert_nothing_more(client, session).await;
}

/// The client has sent nothing more when it goes.
async fn assert_nothing_more(client: kvsd::Client, mut session: Session) {
    drop(client);
    assert_eq!(session.request().await, None);
}
