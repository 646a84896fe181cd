//! The service as a browser sees it, over an embedded server.

#![expect(clippy::unwrap_used, reason = "a test's helpers unwrap as its functions do")]

use std::time::Duration;

use kvsd::{Client, Keyed, Ttl};
use kvsd_example_sessions::{Session, service};
use kvsd_server::Embedded;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A running service, and a look into its table.
struct Site {
    address: String,
    sessions: Client,
    server: Embedded,
}

impl Site {
    async fn open() -> Self {
        let server = Embedded::temporary().await.unwrap();
        let client = Client::builder().transport(server.transport()).pool_size(4);
        let sessions = client.connect().await.unwrap().of::<Session>();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let service = service(sessions.clone());
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { address, sessions, server }
    }

    /// Sends a request on a connection of its own; gives the status and the whole answer.
    async fn send(&self, request: &str, cookie: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let length = body.len();
        let message = format!(
            "{request} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nCookie: {cookie}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n\
             {body}",
            self.address,
        );
        stream.write_all(message.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        (answer[9..12].parse().unwrap(), answer)
    }

    /// Logs in; gives the cookie.
    async fn log_in(&self, user: &str) -> String {
        let (status, answer) = self.send("POST /login", "", &format!("user={user}")).await;
        assert_eq!(status, 204, "{answer}");
        let (_, cookie) = answer.split_once("set-cookie: ").unwrap();
        assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
        cookie.split_once(';').unwrap().0.to_owned()
    }

    /// The key of the only session.
    async fn only_key(&self) -> Vec<u8> {
        let mut scan = self.sessions.scan::<Session>("session/");
        let key = scan.next().await.unwrap().unwrap().key;
        assert!(scan.next().await.is_none());
        key.to_vec()
    }
}

#[tokio::test]
async fn a_session_lasts_from_login_to_logout() {
    let site = Site::open().await;
    assert_eq!(site.send("GET /", "", "").await.0, 401);

    let (ada, bob) = (site.log_in("ada").await, site.log_in("bob").await);
    assert_ne!(ada, bob);
    for (cookie, user) in [(&ada, "ada"), (&bob, "bob")] {
        let (status, answer) = site.send("GET /", &format!("theme=dark; {cookie}"), "").await;
        assert_eq!(status, 200);
        assert!(answer.ends_with(&format!("hello, {user}\n")), "{answer}");
    }

    assert_eq!(site.send("POST /logout", &ada, "").await.0, 204);
    assert_eq!(site.send("GET /", &ada, "").await.0, 401);
    assert_eq!(site.send("POST /logout", &ada, "").await.0, 204);
    assert_eq!(site.send("GET /", &bob, "").await.0, 200);
}

#[tokio::test]
async fn using_a_session_renews_it_and_an_unused_one_ends() {
    let site = Site::open().await;
    let cookie = site.log_in("ada").await;
    let key = site.only_key().await;

    site.sessions.expire(&key, Duration::from_secs(60)).await.unwrap();
    assert_eq!(site.send("GET /", &cookie, "").await.0, 200);
    let Ttl::Left(left) = site.sessions.ttl(&key).await.unwrap() else { panic!("no end") };
    assert!(left > Duration::from_secs(60), "{left:?}");
    assert!(Some(left) <= Session::TTL, "{left:?}");

    site.sessions.expire(&key, Duration::from_millis(1)).await.unwrap();
    while site.sessions.exists(&key).await.unwrap() {
        tokio::task::yield_now().await;
    }
    assert_eq!(site.send("GET /", &cookie, "").await.0, 401);
    // And asking for it did not bring it back.
    assert!(!site.sessions.exists(&key).await.unwrap());
}

#[tokio::test]
async fn what_is_no_session_id_is_no_session() {
    let site = Site::open().await;
    site.log_in("ada").await;
    let long = format!("session={}", "f".repeat(5000));
    for cookie in ["session=", "session=xyz", "session=0", "other=1", "\u{e9}", &long] {
        assert_eq!(site.send("GET /", cookie, "").await.0, 401, "{cookie}");
    }
    assert_eq!(site.send("POST /login", "", "name=ada").await.0, 422);
}

#[tokio::test]
async fn without_its_store_the_service_says_that_it_is_unavailable() {
    let site = Site::open().await;
    let cookie = site.log_in("ada").await;
    let Site { address, sessions, server } = site;
    server.close().await.unwrap();
    let server = Embedded::temporary().await.unwrap();
    let site = Site { address, sessions, server };
    let (status, answer) = site.send("GET /", &cookie, "").await;
    assert_eq!(status, 503, "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "nothing of the cause is told: {answer}");
}
