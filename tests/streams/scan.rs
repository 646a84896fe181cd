//! Records in the order of their keys.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use bytes::Bytes;
use futures_util::TryStreamExt;
use kvsd::stream::Scan;
use kvsd::{Client, Entry, ErrorKind, KeyRange, ScanToken};

use super::{Host, start};

type Keys = Vec<Bytes>;

/// The keys of a scan, each of whose values is its key.
async fn keys(scan: Scan<Vec<u8>>) -> Keys {
    let entries: Vec<Entry<Vec<u8>>> = scan.try_collect().await.unwrap();
    entries
        .into_iter()
        .map(|entry| {
            assert_eq!(entry.key, entry.value);
            entry.key
        })
        .collect()
}

/// Keys that are in each other's way: one is the beginning of another, bytes at both ends.
async fn odd_keys(client: &Client) -> Keys {
    let parts = [&b"\0"[..], b"a", b"b", b"\xFE", b"\xFF"];
    let mut keys: Keys = Vec::new();
    for first in parts {
        keys.push(Bytes::from_static(first));
        for second in parts {
            keys.push([first, second].concat().into());
            keys.push([first, second, b"\xFF"].concat().into());
        }
    }
    keys.sort();
    client.set_many(keys.iter().map(|key| (key, &key[..]))).await.unwrap();
    keys
}

#[tokio::test]
async fn a_scan_tells_the_keys_of_any_range_in_either_order_in_pages_of_any_size() {
    let (server, client) = start().await;
    let all = odd_keys(&client).await;
    let bounds = ["", "\0", "a", "aa", "a\u{7f}", "b", "zz"].map(|key| key.as_bytes().to_vec());
    let bounds =
        bounds.into_iter().chain([b"\xFE".to_vec(), b"\xFF".to_vec(), b"\xFF\xFF".to_vec()]);
    let bounds: Vec<_> = bounds
        .flat_map(|key| [Bound::Included(key.clone()), Bound::Excluded(key)])
        .chain([Bound::Unbounded])
        .collect();
    let mut ranges = 0;
    for from in &bounds {
        for to in &bounds {
            let is_in = |key: &&Bytes| {
                (match from {
                    Bound::Included(from) => ***key >= **from,
                    Bound::Excluded(from) => ***key > **from,
                    Bound::Unbounded => true,
                }) && match to {
                    Bound::Included(to) => ***key <= **to,
                    Bound::Excluded(to) => ***key < **to,
                    Bound::Unbounded => true,
                }
            };
            let mut expected: Keys = all.iter().filter(is_in).cloned().collect();
            let scan = || client.scan(KeyRange::between(from.clone(), to.clone()));
            let size = 1 + ranges % 7;
            assert_eq!(keys(scan().page_size(size)).await, expected, "{from:?} {to:?}");
            expected.reverse();
            assert_eq!(keys(scan().reverse().page_size(size)).await, expected, "{from:?} {to:?}");
            ranges += 1;
        }
    }
    assert_eq!(ranges, 441);
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_prefix_finds_what_begins_so_and_nothing_else() {
    let (server, client) = start().await;
    let all = odd_keys(&client).await;
    for prefix in [&b""[..], b"\0", b"a", b"a\xFF", b"\xFF", b"\xFF\xFF", b"\xFF\xFF\xFF", b"c"] {
        let expected: Keys = all.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
        assert_eq!(keys(client.scan(prefix).page_size(2)).await, expected, "{prefix:?}");
    }
    // A table that is not there has no records.
    let nothing = client.table("nothing").unwrap();
    assert_eq!(keys(nothing.scan(..)).await, Keys::new());
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_scan_of_keys_alone_tells_versions_and_ends_and_stops_at_its_limit() {
    let (server, client) = start().await;
    let mut versions = Vec::new();
    for key in ["a", "b", "c", "d"] {
        let ttl = std::time::Duration::from_secs(3600);
        versions.push(client.set(key, "value").ttl(ttl).await.unwrap());
    }
    for page_size in [1, 2, 3, 10] {
        let mut scan = client.scan::<String>(..).keys_only().limit(3).page_size(page_size);
        for (key, version) in ["a", "b", "c"].iter().zip(&versions) {
            let entry = scan.next().await.unwrap().unwrap();
            assert_eq!((&entry.key[..], entry.version), (key.as_bytes(), *version));
            assert!(entry.expires_at.is_some());
        }
        assert!(scan.next().await.is_none());
        // The limit is the scan's; behind it there is more.
        let mut rest = client.scan::<String>(..).after(scan.token());
        assert_eq!(rest.next().await.unwrap().unwrap().key, "d");
        assert!(rest.next().await.is_none());
        assert!(client.scan::<String>(..).after(rest.token()).next().await.is_none());
    }
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_scan_goes_on_by_its_token_after_a_restart() {
    let (mut host, client) = Host::start().await;
    let all: Vec<String> = (0..500).map(|number| format!("key/{number:04}")).collect();
    client.set_many(all.iter().map(|key| (key, key.as_str()))).await.unwrap();
    let mut seen = Vec::new();
    let mut token = ScanToken::default().to_string();
    for part in [1, 99, 250, 150] {
        let mut scan = client.scan::<String>("key/").page_size(70);
        scan = scan.after(token.parse().unwrap());
        for _ in 0..part {
            seen.push(scan.next().await.unwrap().unwrap().value);
        }
        token = scan.token().to_string();
        drop(scan);
        host.stop().await;
        host.run().await;
    }
    assert_eq!(seen, all);
    let mut scan = client.scan::<String>("key/").after(token.parse().unwrap());
    assert!(scan.next().await.is_none());
    assert_eq!(scan.token().to_string(), "end");
    // In the other direction a token leads the other way.
    let mut back = client.scan::<String>("key/").reverse();
    assert_eq!(back.next().await.unwrap().unwrap().value, all[499]);
    let mut back = client.scan::<String>("key/").reverse().after(back.token());
    assert_eq!(back.next().await.unwrap().unwrap().value, all[498]);
}

#[tokio::test]
async fn a_value_of_another_type_is_an_error_that_knows_its_key_and_the_scan_goes_on() {
    let (server, client) = start().await;
    client.set_many([("a", "1"), ("canary", "canary-value"), ("z", "3")]).await.unwrap();
    let mut scan = client.scan::<u64>(..);
    assert_eq!(scan.next().await.unwrap().unwrap().value, 1);
    let error = scan.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Decode, Some(&b"canary"[..])));
    assert_eq!((error.operation(), error.table()), (Some("scan"), Some("default")));
    assert!(!format!("{error} {error:#} {error:?} {scan:?}").contains("canary"));
    assert_eq!(scan.next().await.unwrap().unwrap().value, 3);
    assert!(scan.next().await.is_none());
    server.close().await.unwrap();
}

#[tokio::test]
async fn large_values_come_in_pages_that_end_early() {
    let (server, client) = start().await;
    let value = |number: u8| vec![number; 300_000];
    for number in 0..20 {
        client.set([number], value(number)).await.unwrap();
    }
    let mut scan = client.scan::<Vec<u8>>(..);
    for number in 0..20 {
        let entry = scan.next().await.unwrap().unwrap();
        assert!(entry.key[..] == [number] && entry.value == value(number));
    }
    assert!(scan.next().await.is_none());
    server.close().await.unwrap();
}

#[tokio::test]
async fn futures_of_next_that_are_dropped_lose_no_record() {
    let (server, client) = start().await;
    let all: Keys = (0..200).map(|number| format!("{number:03}").into()).collect();
    client.set_many(all.iter().map(|key| (key, &key[..]))).await.unwrap();
    let mut scan = client.scan::<Vec<u8>>(..).page_size(3);
    let (mut seen, mut dropped) = (Keys::new(), 0);
    loop {
        let polled = {
            let mut next = pin!(scan.next());
            std::future::poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await
        };
        match polled {
            Poll::Ready(Some(entry)) => seen.push(entry.unwrap().key),
            Poll::Ready(None) => break,
            Poll::Pending => {
                dropped += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    assert_eq!(seen, all);
    assert!(dropped > 0);
    server.close().await.unwrap();
}

#[tokio::test]
async fn what_does_not_change_comes_exactly_once_beside_busy_writers() {
    let (server, client) = start().await;
    let still: BTreeMap<String, String> =
        (0..600).map(|number| (format!("{number:04}-still"), number.to_string())).collect();
    client.set_many(&still).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let write = {
        let (client, over) = (client.clone(), Arc::clone(&over));
        async move {
            let mut writes = 0_u64;
            while !over.load(Ordering::Relaxed) {
                let keys =
                    (0..50).map(|step| format!("{:04}-busy", (writes * 37 + step * 13) % 600));
                let keys: Vec<String> = keys.collect();
                client.set_many(keys.iter().map(|key| (key, "busy"))).await.unwrap();
                client.delete_many(&keys[..25]).await.unwrap();
                writes += 1;
            }
            writes
        }
    };
    let writer = tokio::spawn(write);
    for (round, page_size) in [9, 20, 50, 51, 200, 1_000].into_iter().enumerate() {
        let scan = client.scan::<String>(..).page_size(page_size);
        let scan = if round % 2 == 0 { scan } else { scan.reverse() };
        let entries: Vec<Entry<String>> = scan.try_collect().await.unwrap();
        let mut order: Vec<_> = entries.iter().map(|entry| &entry.key).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        assert!(order.windows(2).all(|pair| pair[0] < pair[1]), "in order, each key once");
        let seen: BTreeMap<String, String> = entries
            .iter()
            .filter(|entry| entry.key.ends_with(b"-still"))
            .map(|entry| (String::from_utf8(entry.key.to_vec()).unwrap(), entry.value.clone()))
            .collect();
        assert_eq!(seen, still);
    }
    over.store(true, Ordering::Relaxed);
    let writes = writer.await.unwrap();
    assert!(writes > 0);
    println!("6 scans of 600 keys beside {writes} rounds of writes");
    server.close().await.unwrap();
}
