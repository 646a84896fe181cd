//! The client in programs without `async`.

use std::sync::mpsc;
use std::time::Duration;

use kvsd::blocking::{Wait, WaitEach};
use kvsd::{Client, Error, ErrorKind};
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

/// What comes in the end, though perhaps late on a machine with much to do.
fn in_the_end<T: Send + 'static>(wait: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || sender.send(wait()));
    receiver.recv_timeout(Duration::from_secs(60)).expect("the wait ends")
}

#[test]
fn a_wait_ends_with_the_deadline_though_the_clients_runtime_stands_still() {
    let server = Embedded::temporary().wait().unwrap();
    // It runs only while somebody blocks on it.
    let idle = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = idle.block_on(server.client()).unwrap();
    let soon = Duration::from_millis(10);

    let write = client.set("key", "value").timeout(soon).owned();
    let kind = |error: Error| error.kind();
    assert_eq!(in_the_end(|| write.wait()).map_err(kind), Err(ErrorKind::Timeout));
    let several = client.set_many([("key", "value")]).timeout(soon).owned();
    assert_eq!(in_the_end(|| several.wait()).map_err(kind), Err(ErrorKind::Timeout));
    let scan = client.scan::<String>("").timeout(soon);
    let read = in_the_end(|| scan.each().next()).unwrap();
    assert_eq!(read.map_err(kind), Err(ErrorKind::Timeout));

    drop((idle, client));
    server.close().wait().unwrap();
}
