//! No answer in the wrong hands, however callers and connections come and go.

#[path = "support/proxy.rs"]
mod proxy;
mod support;

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use kvsd::{Client, ErrorKind, Outcome};
use proptest::prelude::RngCore;
use proptest::test_runner::{RngAlgorithm, TestRng};
use proxy::CuttingProxy;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_connections_that_are_cut_answers_are_right_and_nothing_outlives_its_deadline() {
    let server = DevServer::start().await;
    let direct = Client::connect(&server.url("")).await.unwrap();
    let proxy = CuttingProxy::start(&server.url("")).await;
    let client = Client::connect(&proxy.url("?pool=4&timeout=20s")).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..200_u32 {
        let client = client.clone();
        // Each task is the only one that writes its key. A write that nobody knows about may come
        // at any time after it was sent.
        tasks.spawn(async move {
            let key = task.to_string();
            let (mut last, mut perhaps) = (None, Vec::new());
            for round in 0..20_u32 {
                let value = format!("{key}/{round}/{}", "x".repeat(100));
                match client.set(&key, &value).await {
                    Ok(_) => last = Some(value),
                    Err(error) if error.outcome() == Outcome::Unknown => perhaps.push(value),
                    Err(error) => assert!(error.is_retryable(), "{error}"),
                }
                match client.get::<String>(&key).await {
                    Ok(read) => assert!(read == last || perhaps.contains(&read.unwrap())),
                    Err(error) => {
                        assert!(error.is_retryable(), "{error}");
                        assert_ne!(error.kind(), ErrorKind::Timeout, "{error}");
                    }
                }
            }
            (key, last, perhaps)
        });
    }
    while let Some(result) = tasks.join_next().await {
        let (key, last, perhaps) = result.unwrap();
        let read = direct.get::<String>(&key).await.unwrap();
        assert!(read == last || perhaps.contains(&read.unwrap()));
    }
    assert!(proxy.cuts() > 5, "only {} connections were cut", proxy.cuts());
    drop((client, proxy));
    direct.close().await;
    server.stop().await;
}
