//! What the client calls back may use the client: wakers and subscribers run without its locks.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use kvsd::Client;
use tracing::span;

use crate::support::connected;

/// Runs a test in a thread of its own: one that waits for itself would hang all of them.
fn on_a_thread(test: impl Future<Output = ()> + Send + 'static) {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(test);
        sender.send(()).unwrap();
    });
    receiver.recv_timeout(Duration::from_secs(60)).expect("the test ends, and well");
}

/// Sends a request and leaves it.
fn use_client(client: &Client) {
    let mut exists = client.exists("used again");
    let polled = std::pin::Pin::new(&mut exists).poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
}

/// Uses the client when it is dropped.
struct LastWish(Client);

impl Wake for LastWish {
    fn wake(self: Arc<Self>) {}
}

impl Drop for LastWish {
    fn drop(&mut self) {
        use_client(&self.0);
    }
}

fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(waker))
}

#[test]
fn a_waker_may_use_the_client_when_another_one_takes_its_place() {
    on_a_thread(async {
        let (client, _server, mut session) = connected().await;
        let mut exists = client.exists("k");
        let waker = Waker::from(Arc::new(LastWish(client.clone())));
        assert!(poll_with(&mut exists, &waker).is_pending());
        drop(waker);
        assert!(poll_with(&mut exists, Waker::noop()).is_pending());
        assert_eq!(session.request().await.unwrap().key, b"k");
        assert_eq!(session.request().await.unwrap().key, b"used again");
    });
}

#[test]
fn a_waker_may_use_the_client_when_its_operation_is_dropped() {
    on_a_thread(async {
        let (client, _server, mut session) = connected().await;
        let mut exists = client.exists("k");
        let waker = Waker::from(Arc::new(LastWish(client.clone())));
        assert!(poll_with(&mut exists, &waker).is_pending());
        drop(waker);
        drop(exists);
        assert_eq!(session.request().await.unwrap().key, b"k");
        assert_eq!(session.request().await.unwrap().key, b"used again");
    });
}

/// Uses the client at each event, once there is one, and counts these events.
#[derive(Default)]
struct Listener {
    client: Arc<OnceLock<Client>>,
    told: Arc<AtomicUsize>,
}

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        if let Some(client) = self.client.get() {
            self.told.fetch_add(1, Ordering::Relaxed);
            use_client(client);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn a_subscriber_may_use_the_client_when_it_is_told_that_a_connection_is_lost() {
    on_a_thread(async {
        let listener = Listener::default();
        let (known, told) = (Arc::clone(&listener.client), Arc::clone(&listener.told));
        // A single subscriber is asked for its interest in an event only by its own thread, and
        // another test's may be the first to come upon this one.
        let _second = tracing::Dispatch::new(Listener::default());
        let _listening = tracing::subscriber::set_default(listener);
        let (client, mut server, session) = connected().await;
        known.set(client.clone()).unwrap();
        drop(session);
        let _successor = server.welcome().await;
        assert!(told.load(Ordering::Relaxed) > 0, "nothing was told");
    });
}
