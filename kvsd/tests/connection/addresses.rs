//! A client with several addresses: where its connections go, and what one that fails costs.

use std::error::Error as _;
use std::time::Duration;

use kvsd::protocol::v2::{FailCode, Reply, RequestId};
use kvsd::{Client, ErrorKind, Outcome, Unreachable};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::support::{self, Server, Session, poll_once};

/// Answers every request of every connection with "it exists", until the task is aborted, which
/// ends the connections too. Counts what is open.
struct Serving {
    task: JoinHandle<()>,
    open: tokio::sync::watch::Receiver<usize>,
}

impl Serving {
    fn begin(mut server: Server) -> Self {
        let (count, open) = tokio::sync::watch::channel(0);
        let task = tokio::spawn(async move {
            let mut sessions = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    mut session = server.welcome() => {
                        count.send_modify(|open| *open += 1);
                        sessions.spawn(async move { answer_all(&mut session).await });
                    }
                    Some(_) = sessions.join_next() => count.send_modify(|open| *open -= 1),
                }
            }
        });
        Self { task, open }
    }

    fn open(&self) -> usize {
        *self.open.borrow()
    }

    async fn until(&mut self, open: usize) {
        let reached = self.open.wait_for(|count| *count == open);
        timeout(Duration::from_secs(600), reached).await.expect("in time").expect("it serves");
    }
}

async fn answer_all(session: &mut Session) {
    while let Some(asked) = session.request().await {
        session.reply(asked.id, Reply::Flag(true)).await;
    }
}

/// A server that refuses.
fn refusing(server: Server) -> Server {
    server.refuse(true);
    server
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.expect("it ends within a minute")
}

async fn answer_with(server: &mut Server, code: FailCode) -> Session {
    let mut session = server.arrival().await;
    session.hello().await;
    session.reply(RequestId::ZERO, Reply::Fail { code, message: "who?" }).await;
    session
}

#[tokio::test(start_paused = true)]
async fn connections_are_spread_evenly() {
    for (size, expected) in [(6, vec![2, 2, 2]), (4, vec![1, 1, 2]), (2, vec![0, 1, 1])] {
        let (builder, servers) = support::builder_of(["a", "b", "c"]);
        let mut all = servers.map(Serving::begin);
        let client = builder.pool_size(size).connect().await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut open: Vec<_> = all.iter_mut().map(|one| one.open()).collect();
        open.sort_unstable();
        assert_eq!(open, expected);
        assert!(client.exists("k").await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn small_pools_do_not_all_choose_the_same_address() {
    let mut reached = [false; 3];
    for _ in 0..100 {
        let (builder, servers) = support::builder_of(["a", "b", "c"]);
        let all = servers.map(Serving::begin);
        let _client = builder.connect().await.unwrap();
        for (reached, one) in reached.iter_mut().zip(&all) {
            *reached |= one.open() > 0;
        }
    }
    assert_eq!(reached, [true; 3]);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_dead_at_the_start_costs_nothing() {
    for _ in 0..10 {
        let (builder, [a, b, c]) = support::builder_of(["a", "b", "c"]);
        let (a, c) = (refusing(a), refusing(c));
        let b = Serving::begin(b);
        let start = Instant::now();
        let client = builder.pool_size(3).connect().await.unwrap();
        assert!(client.exists("k").await.unwrap());
        assert_eq!(start.elapsed(), Duration::ZERO);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(b.open(), 3, "the pool keeps its size");
        for dead in [a, c] {
            assert!(dead.attempts() <= 60, "{} attempts in a minute", dead.attempts());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_swallows_holds_up_a_connect_for_a_second_at_most() {
    for _ in 0..10 {
        let (builder, [_a, _b, c]) = support::builder_of(["a", "b", "c"]);
        let c = Serving::begin(c);
        let start = Instant::now();
        let client = builder.pool_size(3).connect().await.unwrap();
        assert!(start.elapsed() <= Duration::from_millis(2_010), "{:?}", start.elapsed());
        assert!(client.exists("k").await.unwrap());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(c.open(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_comes_back_is_not_left_for_one_that_swallows() {
    for _ in 0..10 {
        let (builder, [a, _b]) = support::builder_of(["a", "b"]);
        let a = refusing(a);
        let start = Instant::now();
        let connecting = tokio::spawn(builder.pool_size(2).connect());
        tokio::time::sleep(Duration::from_millis(500)).await;
        a.refuse(false);
        let _a = Serving::begin(a);
        let client = soon(connecting).await.unwrap().unwrap();
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        assert!(client.exists("k").await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn when_all_addresses_are_dead_the_error_names_each_with_its_cause() {
    let (builder, [a, b, mut c]) = support::builder_of(["a", "b", "c"]);
    let (_a, _b) = (refusing(a), refusing(b));
    let start = Instant::now();
    let (result, _session) =
        tokio::join!(soon(builder.connect()), answer_with(&mut c, FailCode::Closing));
    let error = result.unwrap_err();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Connect, Outcome::NotSent));
    assert!(error.is_retryable());
    assert_eq!(error.address(), Some("a,b,c"));
    let causes = error.source().and_then(|source| source.downcast_ref::<Unreachable>()).unwrap();
    let of = |place: usize| (causes.causes()[place].address(), causes.causes()[place].kind());
    assert_eq!(of(0), (Some("a"), ErrorKind::Connect));
    assert_eq!(of(1), (Some("b"), ErrorKind::Connect));
    assert_eq!(of(2), (Some("c"), ErrorKind::Server(FailCode::Closing)));
    let shown = format!("{error:#}");
    for name in ["a", "b"] {
        let told = format!("{name}: cannot reach the server: cannot connect: connection refused");
        assert!(shown.contains(&told), "{shown}");
    }
    assert!(shown.contains("c: the server says"), "{shown}");
    assert!(shown.len() < 1000, "{shown}");
}

#[tokio::test(start_paused = true)]
async fn addresses_that_all_swallow_end_a_connect_within_twice_its_time() {
    let names = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f"];
    let (builder, _servers) = support::builder_of(names);
    let start = Instant::now();
    let error = soon(builder.connect()).await.unwrap_err();
    assert!(start.elapsed() <= 2 * kvsd::CONNECT_TIMEOUT, "{:?}", start.elapsed());
    let shown = format!("{error:#}");
    for name in names {
        let told = format!("{name}: cannot reach the server: no connection and welcome within 5s");
        assert!(shown.contains(&told), "{shown}");
    }
    assert!(shown.len() < 16 * 210, "{} bytes", shown.len());
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_told_at_once_and_tried_at_one_address_only() {
    let (builder, [mut a, mut b]) = support::builder_of(["a", "b"]);
    let builder = builder.credentials("app", "canary");
    let start = Instant::now();
    let play = async {
        tokio::select! {
            session = answer_with(&mut a, FailCode::Unauthenticated) => session,
            session = answer_with(&mut b, FailCode::Unauthenticated) => session,
        }
    };
    let (result, _session) = tokio::join!(soon(builder.connect()), play);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(["a", "b"].map(Some).contains(&error.address()), "{error}");
    assert_eq!((start.elapsed(), a.attempts() + b.attempts()), (Duration::ZERO, 1));
    assert!(!format!("{error:#} {error:?}").contains("canary"));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_does_not_know_the_user_leaves_the_others_to_a_client_that_works() {
    let (builder, [a, mut b]) = support::builder_of(["a", "b"]);
    let _a = Serving::begin(a);
    b.refuse(true);
    let client = builder.pool_size(2).connect().await.unwrap();
    b.refuse(false);
    let strangers = tokio::spawn(async move {
        let mut sessions = Vec::new();
        for _ in 0..100 {
            sessions.push(answer_with(&mut b, FailCode::Unauthenticated).await);
        }
    });
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(300) {
        assert!(client.exists("k").await.unwrap());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(!strangers.is_finished(), "a password is tried more often than every 3 s");
    strangers.abort();
}

#[tokio::test(start_paused = true)]
async fn an_address_that_dies_is_left_at_once_and_gets_its_share_again_when_it_is_back() {
    let (builder, [a, b, mut c]) = support::builder_of(["a", "b", "c"]);
    let (mut a, mut b) = (Serving::begin(a), Serving::begin(b));
    let (client, mut dying) = tokio::join!(builder.pool_size(6).connect(), async {
        [c.welcome().await, c.welcome().await]
    });
    let client = client.unwrap();
    a.until(2).await;
    b.until(2).await;
    assert!(poll_once(&mut Box::pin(dying[0].request())).await.is_none());
    c.refuse(true);
    drop(dying);
    let start = Instant::now();
    for _ in 0..100 {
        assert!(client.exists("k").await.unwrap());
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    a.until(3).await;
    b.until(3).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(c.attempts() < 600, "{} attempts in 10 minutes", c.attempts());

    c.refuse(false);
    let start = Instant::now();
    let mut c = Serving::begin(c);
    c.open.wait_for(|open| *open > 0).await.unwrap();
    assert!(start.elapsed() <= Duration::from_secs(10), "first after {:?}", start.elapsed());
    for one in [&mut a, &mut b, &mut c] {
        one.until(2).await;
    }
    assert!(start.elapsed() <= Duration::from_secs(30), "all after {:?}", start.elapsed());
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!([a.open(), b.open(), c.open()], [2, 2, 2], "and there it stays");
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_retired_only_once_what_is_in_flight_on_it_is_answered() {
    let (builder, [mut a, b]) = support::builder_of(["a", "b"]);
    let b = refusing(b);
    let builder = builder.pool_size(2).timeout(Duration::from_secs(600));
    let (client, mut sessions) =
        tokio::join!(builder.connect(), async { vec![a.welcome().await, a.welcome().await] });
    let client = client.unwrap();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let exists = client.exists("k").owned();
            tokio::spawn(exists)
        })
        .collect();
    let mut asked = Vec::new();
    for place in [0, 1] {
        let a_moment = Duration::from_millis(1);
        while let Ok(request) = timeout(a_moment, sessions[place].request()).await {
            asked.push((place, request.unwrap().id));
        }
    }
    assert_eq!(asked.len(), 2);
    // The other address is there again, and a connection goes over to it.
    b.refuse(false);
    let mut b = Serving::begin(b);
    b.until(1).await;
    for _ in 0..10 {
        assert!(waiting.iter().all(|task| !task.is_finished()), "nothing was lost");
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    for (place, id) in asked {
        sessions[place].reply(id, Reply::Flag(true)).await;
    }
    for task in waiting {
        assert!(task.await.unwrap().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_open_address_is_left_within_15_s() {
    let (builder, [mut a, b]) = support::builder_of(["a", "b"]);
    let builder = builder.pool_size(2).keep_alive(kvsd::DEFAULT_KEEP_ALIVE);
    let mut b = Serving::begin(b);
    let (client, silent) = tokio::join!(builder.connect(), a.welcome());
    let client = client.unwrap();
    b.until(1).await;
    // The address takes new connections and says nothing either.
    let start = Instant::now();
    b.until(2).await;
    assert!(start.elapsed() <= Duration::from_secs(16), "{:?}", start.elapsed());
    for _ in 0..100 {
        assert!(client.exists("k").await.unwrap());
    }
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn an_error_names_the_address_that_the_operation_went_to() {
    let (builder, [mut a, b]) = support::builder_of(["a", "b"]);
    let b = refusing(b);
    let (client, session) = tokio::join!(builder.connect(), a.welcome());
    let client: Client = client.unwrap();
    assert!(format!("{client:?}").contains("\"a,b\""), "{client:?}");
    assert_eq!(client.server_info().address, "a");
    let mut session = session;
    let (result, ()) = tokio::join!(client.get::<u64>("k"), async {
        let asked = session.request().await.unwrap();
        session.reply(asked.id, support::record(b"no number")).await;
    });
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.address()), (ErrorKind::Decode, Some("a")));
    // Over to the other one, the slow way.
    a.refuse(true);
    b.refuse(false);
    drop(session);
    let mut b = b;
    let (result, _session) = tokio::join!(client.get::<u64>("k"), async {
        let mut session = b.welcome().await;
        let asked = session.request().await.unwrap();
        session.reply(asked.id, support::record(b"no number")).await;
        session
    });
    assert_eq!(result.unwrap_err().address(), Some("b"));
    assert_eq!(client.server_info().address, "b");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_closed_waits_for_what_a_retired_connection_still_has_to_answer() {
    let (builder, [mut a, b]) = support::builder_of(["a", "b"]);
    let b = refusing(b);
    let builder = builder.pool_size(2).timeout(Duration::from_secs(600));
    let (client, (mut busy, other)) =
        tokio::join!(builder.connect(), async { (a.welcome().await, a.welcome().await) });
    let client = client.unwrap();
    let exists = client.exists("k").owned();
    let exists = tokio::spawn(exists);
    let other = tokio::spawn(async move {
        let mut other = other;
        other.request().await.map(|asked| (other, asked))
    });
    let asked = timeout(Duration::from_secs(1), busy.request()).await;
    b.refuse(false);
    let mut b = Serving::begin(b);
    b.until(1).await;
    let closing = client.close();
    let answer = async {
        match asked {
            Ok(asked) => busy.reply(asked.unwrap().id, Reply::Flag(true)).await,
            Err(_) => {
                let (mut other, asked) = other.await.unwrap().unwrap();
                other.reply(asked.id, Reply::Flag(true)).await;
                assert_eq!(other.request().await, None);
            }
        }
        assert_eq!(busy.request().await, None);
        drop(busy);
    };
    soon(async { tokio::join!(closing, answer) }).await;
    assert!(exists.await.unwrap().unwrap());
    b.task.abort();
}
