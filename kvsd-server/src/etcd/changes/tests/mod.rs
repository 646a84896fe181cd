//! Watches against a real member: nothing twice, nothing lost, whatever breaks.

pub(in crate::etcd) mod fixture;

use std::time::Duration;

use etcd_client::TxnOp;
use tokio::time::timeout;

use self::fixture::{NO_LIMITS, PATIENCE, Store, Told, at, gap, page, told};
use super::{FollowerLimits, Followers, NOTHING};
use crate::engine::{EngineError, PageLimits, Position};

async fn followers(store: &Store, limits: FollowerLimits) -> Followers {
    Followers::new(store.link().await, store.layout.clone(), limits)
}

/// Follows a table from a position on, until so many changes have come.
async fn follow(
    followers: &Followers,
    table: &str,
    mut since: Position,
    count: usize,
) -> (Vec<Told>, Position) {
    let limits = PageLimits { records: 100, bytes: 64 * 1024 };
    let mut all = Vec::new();
    let following = async {
        while all.len() < count {
            match followers.changes(table, since, limits).await {
                Ok(changes) => {
                    let page = page(changes);
                    all.extend(told(&page));
                    since = page.until();
                }
                Err(EngineError::Unavailable { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            if all.len() < count {
                followers.changed(table, since).await;
            }
        }
    };
    timeout(PATIENCE, following).await.unwrap_or_else(|_| panic!("no more comes"));
    (all, since)
}

#[tokio::test]
async fn ten_thousand_changes_come_once_and_in_order_through_broken_streams_and_a_restart() {
    const COUNT: usize = 10_000;
    let Some(mut store) = Store::start().await else { return };
    let followers = followers(&store, FollowerLimits::default()).await;
    let made = store.make_table("t", 7).await;
    let writing = async {
        let mut expected: Vec<Told> = Vec::new();
        while expected.len() < COUNT {
            let written = expected.len();
            let names: Vec<_> =
                (0..50).map(|at| format!("key{:03}", (written + at) % 333)).collect();
            let ops = names.iter().map(|name| store.put(7, name, name.as_bytes(), None));
            let ops: Vec<_> = ops.collect();
            let version = store.write(ops).await;
            let mut names = names;
            names.sort();
            expected.extend(names.into_iter().map(|key| {
                let value = key.clone().into_bytes();
                (version, key, Some(value))
            }));
            if written.is_multiple_of(1_500) {
                store.break_connections();
            }
            if written == COUNT / 2 {
                store.cluster.kill(0);
                store.cluster.restart(0).await;
                store.cluster.ready().await;
            }
        }
        expected
    };
    let following = follow(&followers, "t", at(7, made), COUNT);
    let (expected, (all, until)) = tokio::join!(writing, following);
    assert_eq!(all.len(), COUNT);
    assert!(all == expected, "other changes, or another order");
    // From the beginning again, from the past alone.
    let again = Followers::new(store.link().await, store.layout.clone(), FollowerLimits::default());
    let (all, _) = follow(&again, "t", at(7, 0), COUNT).await;
    assert!(all == expected, "the past is another");
    assert_eq!(until.incarnation, Some(7));
}

#[tokio::test]
async fn what_is_compacted_is_a_gap_to_go_on_from() {
    let Some(mut store) = Store::start().await else { return };
    let followers = followers(&store, FollowerLimits::default()).await;
    store.make_table("t", 7).await;
    let first = store.set(7, "a", b"1").await;
    for _ in 0..5 {
        store.set(7, "a", b"2").await;
    }
    let last = store.set(7, "a", b"3").await;
    store.compact(last).await;
    let now = gap(followers.changes("t", at(7, first), NO_LIMITS).await.unwrap());
    assert!(now.incarnation == Some(7) && now.version >= last);
    let next = store.set(7, "b", b"4").await;
    let (all, _) = follow(&followers, "t", now, 1).await;
    assert_eq!(all, [(next, "b".into(), Some(b"4".to_vec()))]);
}

#[tokio::test]
async fn a_table_that_is_dropped_is_a_gap_and_its_successor_begins_anew() {
    let Some(mut store) = Store::start().await else { return };
    let followers = followers(&store, FollowerLimits::default()).await;
    assert_eq!(page(followers.changes("t", NOTHING, NO_LIMITS).await.unwrap()).until(), NOTHING);
    store.make_table("t", 7).await;
    timeout(PATIENCE, followers.changed("t", NOTHING)).await.unwrap();
    let version = store.set(7, "a", b"1").await;
    let here = page(followers.changes("t", NOTHING, NO_LIMITS).await.unwrap()).until();
    assert!(here.incarnation == Some(7) && here.version >= version);
    let waiting = followers.changed("t", here);
    store.drop_table("t").await;
    timeout(PATIENCE, waiting).await.unwrap();
    assert_eq!(gap(followers.changes("t", here, NO_LIMITS).await.unwrap()), NOTHING);
    store.clear(7).await;
    store.make_table("t", 8).await;
    let now = gap(followers.changes("t", here, NO_LIMITS).await.unwrap());
    assert_eq!(now.incarnation, Some(8));
    let version = store.set(8, "b", b"2").await;
    for since in [NOTHING, now, at(8, 0)] {
        let page = page(followers.changes("t", since, NO_LIMITS).await.unwrap());
        assert_eq!(told(&page), [(version, "b".into(), Some(b"2".to_vec()))], "{since:?}");
    }
}

#[tokio::test]
async fn a_sweep_is_no_change_and_a_delete_is_one_whenever_it_is_looked_at() {
    let Some(mut store) = Store::start().await else { return };
    let live = followers(&store, FollowerLimits::default()).await;
    let made = store.make_table("t", 7).await;
    let mut since = at(7, made);
    assert_eq!(told(&page(live.changes("t", since, NO_LIMITS).await.unwrap())), []);
    let ends = ["deleted", "over", "swept", "replaced"];
    let ends = ends.map(|key| store.put(7, key, b"v", Some(2_000_000)));
    let endless = store.put(7, "endless", b"v", None);
    store.write(ends.into_iter().chain([endless]).collect::<Vec<_>>()).await;
    let (set, until) = follow(&live, "t", since, 5).await;
    since = until;
    let time = |millis: u64| TxnOp::put(store.layout.sweep(7), millis.to_be_bytes(), None);
    let (before, after) = (time(1_999_999), time(2_000_000));
    let ops = [before, store.remove(7, "deleted"), store.remove(7, "endless")];
    let deleted = store.write(ops).await;
    store.txn([after, store.remove(7, "over")]).await;
    let mark = TxnOp::put(store.layout.sweep(7), "", None);
    store.txn([store.remove(7, "swept"), mark]).await;
    let next = store.write([store.put(7, "replaced", b"n", None)]).await;
    // By now the record that was deleted in time would be over as well.
    store.clock.set(3_000_000);
    let gone = |key: &str| (deleted, key.to_owned(), None);
    let replaced = (next, "replaced".to_owned(), Some(b"n".to_vec()));
    let expected = [gone("deleted"), gone("endless"), replaced];
    let (all, _) = follow(&live, "t", since, 3).await;
    assert_eq!(all, expected);
    let past = followers(&store, FollowerLimits::default()).await;
    let (all, _) = follow(&past, "t", at(7, made), 8).await;
    assert_eq!(all, [&set[..], &expected].concat());
}

#[tokio::test]
async fn what_a_small_ring_has_lost_is_read_from_the_past() {
    let Some(mut store) = Store::start().await else { return };
    let limits = FollowerLimits { ring_bytes: 2_000, ..FollowerLimits::default() };
    let followers = followers(&store, limits).await;
    let made = store.make_table("t", 7).await;
    assert_eq!(told(&page(followers.changes("t", at(7, made), NO_LIMITS).await.unwrap())), []);
    let mut expected = Vec::new();
    for number in 0..60_u8 {
        let key = format!("key{number}");
        let version = store.set(7, &key, &[number; 100]).await;
        expected.push((version, key, Some(vec![number; 100])));
    }
    for from in [0, 13, 59] {
        let since = at(7, expected.get(from).map_or(made, |change| change.0 - 1));
        let (all, _) = follow(&followers, "t", since, 60 - from).await;
        assert_eq!(all, expected[from..], "from {from}");
    }
}

#[tokio::test]
async fn a_position_that_the_store_has_not_reached_is_a_gap() {
    let Some(mut store) = Store::start().await else { return };
    let followers = followers(&store, FollowerLimits::default()).await;
    store.make_table("t", 7).await;
    let version = store.set(7, "a", b"1").await;
    for never in [at(7, version + 1_000), at(8, version), at(8, 0)] {
        timeout(PATIENCE, followers.changed("t", never)).await.unwrap();
        let now = gap(followers.changes("t", never, NO_LIMITS).await.unwrap());
        assert!(now.incarnation == Some(7) && now.version >= version, "{now:?}");
    }
    // The store goes on with other tables: that is not this one's position, and still true.
    let other = store.set(99, "a", b"1").await;
    let until = page(followers.changes("t", at(7, other), NO_LIMITS).await.unwrap()).until();
    assert!(until.version >= other);
}

#[tokio::test]
async fn pages_keep_their_limits_and_never_split_a_revision() {
    let Some(mut store) = Store::start().await else { return };
    let followers = followers(&store, FollowerLimits::default()).await;
    let made = store.make_table("t", 7).await;
    for _ in 0..4 {
        let ops = (0..30).map(|key| store.put(7, &format!("{key:02}"), &[1; 1_000], None));
        let ops: Vec<_> = ops.collect();
        store.write(ops).await;
    }
    for (records, bytes, expected) in
        [(0, usize::MAX, 30), (29, usize::MAX, 30), (60, usize::MAX, 60), (usize::MAX, 1, 30)]
    {
        let limits = PageLimits { records, bytes };
        let page = page(followers.changes("t", at(7, made), limits).await.unwrap());
        assert_eq!(page.iter().count(), expected, "{limits:?}");
        assert_eq!(page.until().version, page.iter().last().unwrap().version.get());
    }
}

#[tokio::test]
async fn revisions_larger_than_a_message_come_whole() {
    let Some(mut store) = Store::start().await else { return };
    let live = followers(&store, FollowerLimits::default()).await;
    let made = store.make_table("t", 7).await;
    assert_eq!(told(&page(live.changes("t", at(7, made), NO_LIMITS).await.unwrap())), []);
    let mut versions = Vec::new();
    for round in 0..4_u8 {
        let ops = (0..60).map(|key| store.put(7, &format!("{key:02}"), &[round; 20_000], None));
        let ops: Vec<_> = ops.collect();
        versions.push(store.write(ops).await);
    }
    let past = followers(&store, FollowerLimits::default()).await;
    for followers in [live, past] {
        let mut since = at(7, made);
        for version in &versions {
            let limits = PageLimits { records: 1, bytes: 1 };
            timeout(PATIENCE, followers.changed("t", since)).await.unwrap();
            let page = page(followers.changes("t", since, limits).await.unwrap());
            assert_eq!(page.iter().count(), 60);
            assert!(page.iter().all(|change| change.version.get() == *version));
            since = page.until();
        }
    }
}

#[tokio::test]
async fn a_follower_that_nobody_asks_ends_and_comes_back() {
    let Some(mut store) = Store::start().await else { return };
    let limits = FollowerLimits { idle: Duration::from_millis(40), ..FollowerLimits::default() };
    let followers = followers(&store, limits).await;
    let made = store.make_table("t", 7).await;
    let here = page(followers.changes("t", at(7, made), NO_LIMITS).await.unwrap()).until();
    let ends = async {
        while !followers.shared.all().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, ends).await.unwrap();
    let version = store.set(7, "a", b"1").await;
    let (all, _) = follow(&followers, "t", here, 1).await;
    assert_eq!(all, [(version, "a".into(), Some(b"1".to_vec()))]);
}

#[tokio::test]
async fn closing_wakes_all_who_wait_and_refuses_who_comes() {
    let Some(mut store) = Store::start().await else { return };
    let followers = followers(&store, FollowerLimits::default()).await;
    let made = store.make_table("t", 7).await;
    let here = page(followers.changes("t", at(7, made), NO_LIMITS).await.unwrap()).until();
    let waiting =
        async { tokio::join!(followers.changed("t", here), followers.changed("u", NOTHING)) };
    let closing = async {
        tokio::task::yield_now().await;
        followers.close();
    };
    timeout(PATIENCE, async { tokio::join!(waiting, closing) }).await.unwrap();
    followers.changed("t", here).await;
    let refused = followers.changes("t", here, NO_LIMITS).await;
    assert_eq!(refused.unwrap_err(), EngineError::Closed);
}
