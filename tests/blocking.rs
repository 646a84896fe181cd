//! The client in programs without `async`.

use std::time::Duration;

use kvsd::blocking::Wait;
use kvsd::{Client, ErrorKind};
use kvsd_server::Embedded;

#[test]
fn threads_without_a_runtime_share_a_client() {
    let server = Embedded::temporary().wait().unwrap();
    let client = server.client().wait().unwrap();
    std::thread::scope(|scope| {
        for number in 0..8_u64 {
            let client = &client;
            scope.spawn(move || {
                for round in 0..50_u64 {
                    client.set(format!("key/{number}"), number * round).wait().unwrap();
                    let read = client.get::<u64>(format!("key/{number}")).wait().unwrap();
                    assert_eq!(read, Some(number * round));
                }
            });
        }
    });
    client.close().wait();
    server.close().wait().unwrap();
}

#[test]
fn a_wait_ends_with_the_operations_deadline_and_errors_are_the_same() {
    let server = Embedded::temporary().wait().unwrap();
    let client = server.client().wait().unwrap();
    let late = client.get::<String>("key").timeout(Duration::ZERO).wait().unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    let empty = client.get::<String>("").wait().unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::InvalidArgument);
    let nobody = Client::connect("nowhere").wait().unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::Config);
    server.close().wait().unwrap();
}

#[test]
fn a_thread_that_runs_async_code_is_told_not_to_wait() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let told = runtime
        .block_on(async { tokio::spawn(async { std::future::ready(1).wait() }).await })
        .unwrap_err()
        .into_panic();
    let told = told.downcast_ref::<&str>().unwrap();
    assert!(told.contains("attempted to block the current thread"), "{told}");
}

#[tokio::test]
async fn a_thread_that_an_async_program_lets_block_can_wait() {
    let server = Embedded::temporary().await.unwrap();
    let client = server.client().await.unwrap();
    let waiting = tokio::task::spawn_blocking(move || client.set("key", "value").wait());
    waiting.await.unwrap().unwrap();
    server.close().await.unwrap();
}
