//! Requests, answers, deadlines and bounds on an open connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use kvsd::protocol::v2::{Changed, FailCode, Lifetime, Reply};
use kvsd::{ErrorKind, Outcome, Version};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{self, MAX_VALUE_BYTES, connected, poll_once, record, written};

#[tokio::test(start_paused = true)]
async fn answers_find_their_callers_in_any_order() {
    let (client, _server, mut session) = connected().await;
    let reads = async { tokio::join!(client.get::<String>("a"), client.get::<String>("b")) };
    let play = async {
        let (first, second) = (session.request().await.unwrap(), session.request().await.unwrap());
        session.reply(second.id, record(&second.key)).await;
        session.reply(first.id, record(&first.key)).await;
    };
    let ((a, b), ()) = tokio::join!(reads, play);
    assert_eq!((a.unwrap().unwrap(), b.unwrap().unwrap()), ("a".into(), "b".into()));
}

/// This runtime has one thread, so that the reader's own turn is what keeps callers from running.
#[tokio::test(start_paused = true)]
async fn the_first_of_many_callers_sends_again_before_the_last_has_its_answer() {
    const CALLERS: usize = 64;
    let (client, _server, mut session) = connected().await;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (client, answered) = (client.clone(), Arc::clone(&answered));
        callers.spawn(async move {
            assert!(client.exists("first").await.unwrap());
            answered.fetch_add(1, Ordering::Relaxed);
            assert!(client.exists("again").await.unwrap());
        });
    }
    let mut answers = BytesMut::new();
    for _ in 0..CALLERS {
        let asked = session.request().await.unwrap();
        Reply::Flag(true).encode(asked.id, &mut answers);
    }
    session.send(&answers).await;
    let mut asked = session.request().await.unwrap();
    let answered = answered.load(Ordering::Relaxed);
    assert!((1..CALLERS).contains(&answered), "{answered} had their answers");
    for _ in 1..CALLERS {
        session.reply(asked.id, Reply::Flag(true)).await;
        asked = session.request().await.unwrap();
    }
    session.reply(asked.id, Reply::Flag(true)).await;
    callers.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_dropped_read_goes_to_nobody() {
    let (client, _server, mut session) = connected().await;
    let mut dropped = Box::pin(client.get::<String>("dropped").owned());
    assert!(poll_once(&mut dropped).await.is_none());
    let asked = session.request().await.unwrap();
    drop(dropped);
    let read = client.get::<String>("kept");
    let play = async {
        let kept = session.request().await.unwrap();
        assert_ne!(kept.id, asked.id, "an id in flight must not be used again");
        session.reply(asked.id, record(b"dropped")).await;
        session.reply(kept.id, record(b"kept")).await;
    };
    let (read, ()) = tokio::join!(read, play);
    assert_eq!(read.unwrap().unwrap(), "kept");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_costs_the_deadline_and_no_more() {
    let (client, _server, mut session) = connected().await;
    let start = Instant::now();
    let error = client.get::<String>("k").timeout(Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(start.elapsed().as_secs(), 3);
    let error = client.set("k", "v").timeout(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Unknown));
    assert!(!error.is_retryable(), "a write that may have happened must not be repeated blindly");
    assert_eq!(start.elapsed().as_secs(), 5);
    // The late answers harm nobody.
    for _ in 0..2 {
        let late = session.request().await.unwrap();
        let answer = if late.what == "get" { record(b"late") } else { written() };
        session.reply(late.id, answer).await;
    }
    let (exists, ()) = tokio::join!(client.exists("k"), async {
        let asked = session.request().await.unwrap();
        session.reply(asked.id, Reply::Flag(true)).await;
    });
    assert!(exists.unwrap());
}

#[tokio::test(start_paused = true)]
async fn more_requests_than_one_connection_holds_are_refused_not_queued() {
    let (client, _server, _session) = connected().await;
    let mut waiting = Vec::new();
    let overloaded = loop {
        let mut read = Box::pin(client.exists("k").owned());
        match poll_once(&mut read).await {
            None => waiting.push(read),
            Some(result) => break result.unwrap_err(),
        }
        assert!(waiting.len() <= 100_000, "the queue has no bound");
    };
    assert_eq!(
        (overloaded.kind(), overloaded.outcome()),
        (ErrorKind::Overloaded, Outcome::NotSent)
    );
    assert!(overloaded.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn bad_arguments_never_reach_the_server() {
    let (client, _server, mut session) = connected().await;
    let too_large = vec![0; MAX_VALUE_BYTES + 1];
    let cases = [
        (client.set("", "v").await.unwrap_err(), ErrorKind::InvalidArgument),
        (client.set([0; 1025], "v").await.unwrap_err(), ErrorKind::InvalidArgument),
        (client.set("k", too_large).await.unwrap_err(), ErrorKind::ValueTooLarge),
        (client.get::<String>("").await.unwrap_err(), ErrorKind::InvalidArgument),
        (client.take::<String>("").await.unwrap_err(), ErrorKind::InvalidArgument),
        (client.delete("").await.unwrap_err(), ErrorKind::InvalidArgument),
        (client.exists("").await.unwrap_err(), ErrorKind::InvalidArgument),
        (client.table("..").unwrap_err(), ErrorKind::InvalidArgument),
        (client.table("a/b").unwrap_err(), ErrorKind::InvalidArgument),
        (client.table("a\0").unwrap_err(), ErrorKind::InvalidArgument),
    ];
    for (error, kind) in cases {
        assert_eq!((error.kind(), error.outcome()), (kind, Outcome::NotSent), "{error}");
    }
    // The largest of each is fine, and the first request that the server sees.
    let largest = vec![0; MAX_VALUE_BYTES];
    let (set, ()) = tokio::join!(client.set([7; 1024], largest), async {
        let asked = session.request().await.unwrap();
        assert_eq!(asked.key, [7; 1024]);
        session.reply(asked.id, written()).await;
    });
    set.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_time_out_of_any_length_does() {
    let (builder, mut server) = support::builder();
    let builder = builder.timeout(Duration::MAX);
    let (client, mut session) = tokio::join!(builder.connect(), server.welcome());
    let client = client.unwrap();
    let longest = Duration::from_secs(u64::MAX);
    let (reads, ()) = tokio::join!(
        async { (client.exists("k").await, client.exists("k").timeout(longest).await) },
        async {
            for _ in 0..2 {
                let asked = session.request().await.unwrap();
                session.reply(asked.id, Reply::Flag(true)).await;
            }
        }
    );
    assert!(reads.0.unwrap() && reads.1.unwrap());
}

#[tokio::test(start_paused = true)]
async fn without_any_time_nothing_is_sent() {
    let (client, _server, mut session) = connected().await;
    let error = client.set("k", "v").timeout(Duration::ZERO).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent));
    drop(client);
    assert!(session.request().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn bytes_that_a_stuck_server_does_not_take_are_bounded() {
    const MIB: usize = 1024 * 1024;
    let (client, _server, _session) = connected().await;
    let value = vec![0; MIB];
    let mut waiting = Vec::new();
    let overloaded = loop {
        let mut set = Box::pin(client.set("k", &value).owned());
        match poll_once(&mut set).await {
            None => waiting.push(set),
            Some(result) => break result.unwrap_err(),
        }
        if waiting.len() == 20 {
            // The writer takes them all, and is stuck with them.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(waiting.len() <= 1000, "the queue has no bound");
    };
    assert_eq!(
        (overloaded.kind(), overloaded.outcome()),
        (ErrorKind::Overloaded, Outcome::NotSent)
    );
    assert!((32..=33).contains(&waiting.len()), "{} MiB", waiting.len());
}

#[tokio::test(start_paused = true)]
async fn a_value_that_a_restarted_server_no_longer_takes_harms_nobody_else() {
    let (client, mut server, session) = connected().await;
    let set = client.set("k", vec![0; 1000]);
    drop(session);
    let play = async {
        let mut session = server.arrival().await;
        session.welcome(100).await;
        let asked = session.request().await.unwrap();
        assert_eq!(asked.what, "exists");
        session.reply(asked.id, Reply::Flag(true)).await;
        session
    };
    let calls = async { (set.await, client.exists("k").await) };
    let ((set, exists), _session) = tokio::join!(calls, play);
    let error = set.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ValueTooLarge, Outcome::NotSent));
    assert!(exists.unwrap());
}

#[tokio::test]
async fn what_the_user_may_not_do_is_an_error_of_its_own_and_is_sent_once() {
    let (client, _server, mut session) = connected().await;
    let message = "this user may not do that";
    let play = async {
        let asked = session.request().await.unwrap();
        session.reply(asked.id, Reply::Fail { code: FailCode::Denied, message }).await;
        // The connection goes on, and what comes next is no second attempt.
        let asked = session.request().await.unwrap();
        session.reply(asked.id, Reply::Flag(true)).await;
    };
    let calls = async { (client.set("k", "v").await, client.exists("k").await) };
    let ((set, exists), ()) = tokio::join!(calls, play);
    let error = set.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::PermissionDenied, Outcome::Refused));
    assert!(!error.is_retryable());
    assert!(error.to_string().starts_with(&format!("set: not allowed: {message}")), "{error}");
    assert!(exists.unwrap());
}

const BUSY: Reply<'static> = Reply::Fail { code: FailCode::Busy, message: "no room" };

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_asked_again_after_pauses_and_a_write_goes_through() {
    let (client, _server, mut session) = connected().await;
    let start = Instant::now();
    let play = async {
        for _ in 0..5 {
            let asked = session.request().await.unwrap();
            session.reply(asked.id, BUSY).await;
        }
        let asked = session.request().await.unwrap();
        session.reply(asked.id, written()).await;
    };
    let (set, ()) = tokio::join!(client.set("k", "v"), play);
    set.unwrap();
    // 20, 40, 80, 160, 320 ms, each at least by half.
    let waited = start.elapsed();
    assert!((310..=630).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_busy_costs_the_deadline_at_most_and_is_named() {
    let (client, _server, mut session) = connected().await;
    let mut asked = 0;
    let play = async {
        while let Some(request) = session.request().await {
            session.reply(request.id, BUSY).await;
            asked += 1;
        }
    };
    let start = Instant::now();
    let error = tokio::select! {
        result = client.set("k", "v").timeout(Duration::from_secs(5)) => result.unwrap_err(),
        () = play => unreachable!("the client goes on"),
    };
    assert_eq!(error.kind(), ErrorKind::Server(FailCode::Busy));
    assert_eq!(error.outcome(), Outcome::Refused);
    assert!(start.elapsed() <= Duration::from_secs(5), "{:?}", start.elapsed());
    assert!((5..=20).contains(&asked), "asked {asked} times");
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_gets_a_tenth_more_work_and_not_many_times_as_much() {
    let (client, _server, mut session) = connected().await;
    let mut asked = 0;
    let play = async {
        while let Some(request) = session.request().await {
            session.reply(request.id, BUSY).await;
            asked += 1;
        }
    };
    let work = async {
        for _ in 0..1000 {
            client.exists("k").timeout(Duration::from_millis(500)).await.unwrap_err();
        }
    };
    tokio::select! {
        () = work => {}
        () = play => unreachable!("the client goes on"),
    }
    assert!((1100..=1201).contains(&asked), "1000 operations were {asked} requests");
}

const UNAVAILABLE: Reply<'static> =
    Reply::Fail { code: FailCode::Unavailable, message: "no member answers" };

#[tokio::test(start_paused = true)]
async fn a_server_whose_store_is_away_is_asked_again_within_the_deadline_and_then_named() {
    let (client, _server, mut session) = connected().await;
    let play = async {
        for _ in 0..4 {
            let asked = session.request().await.unwrap();
            session.reply(asked.id, UNAVAILABLE).await;
        }
        let asked = session.request().await.unwrap();
        session.reply(asked.id, written()).await;
        session
    };
    let (set, mut session) = tokio::join!(client.set("k", "v"), play);
    set.unwrap();
    let play = async {
        while let Some(request) = session.request().await {
            session.reply(request.id, UNAVAILABLE).await;
        }
    };
    let error = tokio::select! {
        result = client.set("k", "v").timeout(Duration::from_secs(2)) => result.unwrap_err(),
        () = play => unreachable!("the client goes on"),
    };
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Refused));
    assert!(error.is_retryable());
    assert!(error.to_string().contains("no member answers"), "{error}");
}

#[tokio::test]
async fn a_read_is_stale_if_it_says_so_and_the_latest_otherwise() {
    let (client, _server, mut session) = connected().await;
    let play = async {
        let mut told = Vec::new();
        for _ in 0..12 {
            let asked = session.request().await.unwrap();
            let record = || Reply::Value(None);
            let reply = match &*asked.what {
                "get" => record(),
                "exists" => Reply::Flag(false),
                "lifetime" => Reply::Lifetime(Lifetime::Absent),
                "pipeline" => Reply::Pipeline(vec![record(); asked.requests]),
                other => panic!("{other}"),
            };
            session.reply(asked.id, reply).await;
            told.push(asked.shown);
        }
        told
    };
    let calls = async {
        client.get::<u8>("k").stale().await.unwrap();
        client.get::<u8>("k").stale().versioned().await.unwrap();
        client.get::<u8>("k").versioned().stale().await.unwrap();
        client.get_bytes("k").stale().await.unwrap();
        client.exists("k").stale().await.unwrap();
        client.ttl("k").stale().await.unwrap();
        client.get_many::<u8>(["k"]).stale().await.unwrap();
        client.get_many::<u8>(["k"]).stale().versioned().await.unwrap();
        client.get::<u8>("k").await.unwrap();
        client.exists("k").await.unwrap();
        client.ttl("k").await.unwrap();
        client.get_many::<u8>(["k"]).await.unwrap();
    };
    let ((), told) = tokio::join!(calls, play);
    for (place, shown) in told.iter().enumerate() {
        let (is_stale, is_latest) = (shown.contains("Stale"), shown.contains("Latest"));
        assert_eq!((is_stale, is_latest), (place < 8, place >= 8), "{place}: {shown}");
    }
    let mut pipeline = client.pipeline();
    let _ = pipeline.add(client.get::<u8>("k").stale());
    let _ = pipeline.get::<u8>("k");
    let play = async {
        let asked = session.request().await.unwrap();
        session
            .reply(asked.id, Reply::Pipeline(vec![Reply::Value(None), Reply::Value(None)]))
            .await;
        asked.shown
    };
    let (answers, shown) = tokio::join!(pipeline, play);
    answers.unwrap();
    assert_eq!(shown.matches("Stale").count(), 1, "{shown}");
    assert_eq!(shown.matches("Latest").count(), 1, "{shown}");
}

#[tokio::test]
async fn a_batch_beyond_what_the_server_announced_is_refused_here_and_never_sent() {
    let (builder, mut server) = support::builder();
    let play = async {
        let mut session = server.arrival().await;
        session.welcome_within(1024, &[("max-batch", 3), ("max-write-bytes", 1000)]).await;
        session
    };
    let (client, mut session) = tokio::join!(builder.connect(), play);
    let client = client.unwrap();
    let batch = |keys: &[&str], bytes| {
        keys.iter().fold(client.batch(), |batch, key| batch.set(key, vec![0; bytes]))
    };
    for (large, told) in [
        (batch(&["a", "b", "c", "d"], 1), "4 changes, and this server takes at most 3 in one"),
        (batch(&["a", "b"], 500), "1002 bytes, and this server takes at most 1000 in one"),
    ] {
        let error = large.await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::BatchTooLarge, Outcome::NotSent));
        assert!(!error.is_retryable());
        let shown = error.to_string();
        assert!(shown.contains(told) && shown.contains("send several"), "{shown}");
    }
    let play = async {
        let asked = session.request().await.unwrap();
        assert_eq!(asked.what, "batch", "the first that was sent");
        let changed = vec![Changed { existed: false, counter: None }; 3];
        session.reply(asked.id, Reply::Batch { version: Version::new(1), changed }).await;
    };
    let (fits, ()) = tokio::join!(batch(&["a", "b", "c"], 300), play);
    fits.unwrap();
}
