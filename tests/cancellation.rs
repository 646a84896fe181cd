//! No answer in the wrong hands, however callers come and go.

mod support;

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use kvsd::Client;
use proptest::prelude::RngCore;
use proptest::test_runner::{RngAlgorithm, TestRng};
use support::DevServer;

/// Polls `future` a random number of times and then drops it, or awaits it to its end.
async fn perhaps<F: Future>(future: F, polls: Option<u32>) -> Option<F::Output> {
    let mut future = pin!(future);
    let Some(mut polls) = polls else { return Some(future.await) };
    std::future::poll_fn(|context| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        let polled = future.as_mut().poll(context).map(Some);
        if polled.is_pending() && polls == 0 {
            return Poll::Ready(None);
        }
        polled
    })
    .await
}

/// What a key's value must be, whoever wrote it: the key, and a length of the key's own.
fn value_of(key: u32) -> String {
    format!("{key}:").repeat(1 + key as usize % 50)
}

async fn work(client: Client, task: u32) -> (u32, u32) {
    let seed = [task + 1; 4].map(u32::to_le_bytes).concat();
    let mut random = TestRng::from_seed(RngAlgorithm::XorShift, &seed);
    let (mut finished, mut dropped) = (0, 0);
    for _ in 0..30 {
        let key = random.next_u32() % 200;
        let name = key.to_string();
        let polls = random.next_u32().is_multiple_of(3).then(|| random.next_u32() % 2);
        let done = match random.next_u32() % 4 {
            0 => perhaps(client.set(&name, value_of(key)), polls).await.map(|result| {
                result.expect("a set");
            }),
            1 => perhaps(client.exists(&name), polls).await.map(|result| {
                result.expect("an exists");
            }),
            2 => perhaps(client.take::<String>(&name), polls).await.map(|result| {
                if let Some(value) = result.expect("a take") {
                    assert_eq!(value, value_of(key), "the answer to another request");
                }
            }),
            _ => perhaps(client.get::<String>(&name), polls).await.map(|result| {
                if let Some(value) = result.expect("a get") {
                    assert_eq!(value, value_of(key), "the answer to another request");
                }
            }),
        };
        match done {
            Some(()) => finished += 1,
            None => dropped += 1,
        }
    }
    (finished, dropped)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_tasks_on_two_connections_each_gets_its_own_answers() {
    let server = DevServer::start().await;
    let client = Client::connect(&server.url("?pool=2")).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..1_000 {
        tasks.spawn(work(client.clone(), task));
    }
    let (mut finished, mut dropped) = (0, 0);
    while let Some(result) = tasks.join_next().await {
        let counts = result.unwrap();
        finished += counts.0;
        dropped += counts.1;
    }
    assert_eq!(finished + dropped, 30_000);
    assert!(dropped > 9_000, "only {dropped} operations were dropped");
    // The client is as good as new, without being rebuilt.
    for key in 0..200 {
        client.set(key.to_string(), value_of(key)).await.unwrap();
        assert_eq!(client.get::<String>(key.to_string()).await.unwrap(), Some(value_of(key)));
    }
    server.stop().await;
}
