//! The caretaker against a real member.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use etcd_client::{AlarmAction, AlarmType, GetOptions, TxnOp};
use kvsd::UnixMillis;
use tokio::time::timeout;

use super::super::changes::tests::fixture::{PATIENCE, Store};
use super::super::cluster::{Cluster, Options};
use super::super::layout::Hint;
use super::term::{Halt, Left, Term};
use super::{Caretaker, Counts, Parts};

async fn parts(store: &Store, front_end: u64) -> Parts {
    Parts {
        link: store.link().await,
        layout: store.layout.clone(),
        clock: store.clock.clone(),
        front_end,
        history: Some(Duration::from_secs(600)),
    }
}

async fn term(store: &Store, front_end: u64) -> Option<Term> {
    let parts = Arc::new(parts(store, front_end).await);
    Term::begin(&parts, &Arc::new(Counts::default())).await.unwrap()
}

impl Store {
    /// Sets records that end, with a hint as a write files it.
    async fn set_until(&mut self, id: u64, keys: &[&str], end: u64) {
        let records: Vec<_> = keys.iter().map(|key| (*key, end)).collect();
        self.set_until_each(id, &records).await;
    }

    async fn set_until_each(&mut self, id: u64, records: &[(&str, u64)]) {
        let entry = |(key, end): &(&str, u64)| {
            (UnixMillis::new(*end).unwrap(), Bytes::copy_from_slice(key.as_bytes()))
        };
        let hint = Hint { id, keys: records.iter().map(entry).collect() };
        let key = self.layout.hint(hint.first_bucket().unwrap(), records[0].1);
        let hint = TxnOp::put(key, hint.encode(), None);
        let puts = records.iter().map(|(key, end)| self.put(id, key, b"v", Some(*end)));
        let ops: Vec<_> = puts.chain([hint]).collect();
        self.write(ops).await;
    }

    async fn count(&mut self, range: std::ops::Range<Vec<u8>>) -> i64 {
        let options = GetOptions::new().with_range(range.end).with_count_only();
        self.client.get(range.start, Some(options)).await.unwrap().count()
    }

    async fn has(&mut self, id: u64, key: &str) -> bool {
        let key = self.layout.record(id, key.as_bytes());
        self.client.get(key, None).await.unwrap().count() == 1
    }

    async fn hints(&mut self) -> i64 {
        let range = self.layout.hints_until(UnixMillis::new(1 << 50).unwrap());
        self.count(range).await
    }
}

async fn sweep_all(term: &mut Term) {
    while term.sweep().await.unwrap() == Left::Some {}
}

#[tokio::test]
async fn ended_records_go_and_later_ones_stay_also_when_they_were_replaced() {
    let Some(mut store) = Store::start().await else { return };
    let mut term = term(&store, 1).await.unwrap();
    store.set_until(7, &["ended", "replaced", "prolonged"], 1_005_000).await;
    store.set_until(7, &["later"], 9_000_000).await;
    store.set(7, "replaced", b"without end").await;
    store.set_until(7, &["prolonged"], 8_000_000).await;
    sweep_all(&mut term).await;
    assert!(store.has(7, "ended").await, "it was not over");
    store.clock.set(1_010_000);
    sweep_all(&mut term).await;
    assert!(!store.has(7, "ended").await);
    for key in ["replaced", "prolonged", "later"] {
        assert!(store.has(7, key).await, "{key}");
    }
    assert_eq!(term.counts.swept.load(Ordering::Relaxed), 1);
    assert_eq!(store.hints().await, 2);
    store.clock.set(10_000_000);
    sweep_all(&mut term).await;
    assert!(!store.has(7, "prolonged").await && !store.has(7, "later").await);
    assert!(store.has(7, "replaced").await);
    assert_eq!(store.hints().await, 0);
}

#[tokio::test]
async fn what_of_a_write_ends_earlier_goes_earlier() {
    let Some(mut store) = Store::start().await else { return };
    let mut term = term(&store, 1).await.unwrap();
    let records = [("late", 9_000_000), ("early", 1_005_000), ("middle", 2_000_000)];
    store.set_until_each(7, &records).await;
    for (now, gone, left) in
        [(1_010_000, "early", 2), (2_000_000, "middle", 1), (9_000_000, "late", 0)]
    {
        assert!(store.has(7, gone).await);
        store.clock.set(now);
        sweep_all(&mut term).await;
        let stand =
            [store.has(7, "early").await, store.has(7, "middle").await, store.has(7, "late").await];
        assert_eq!(stand.iter().filter(|stands| **stands).count(), left, "at {now}");
        assert!(!store.has(7, gone).await);
        assert_eq!(store.hints().await, i64::from(left > 0));
    }
}

#[tokio::test]
async fn in_a_full_store_what_frees_room_is_done() {
    let Some(mut store) = Store::start().await else { return };
    let mut term = term(&store, 1).await.unwrap();
    let old = store.set(7, "key", b"old").await;
    store.set(7, "key", b"young").await;
    term.step(Some(())).await.unwrap();
    store.set_until(7, &["ended"], 1_000_001).await;
    store.set_until_each(7, &[("also", 1_000_002), ("later", 9_000_000)]).await;
    store.set(8, "dropped", b"v").await;
    let garbage = store.layout.garbage(8);
    store.txn([TxnOp::put(garbage, "", None)]).await;
    store.client.alarm(AlarmAction::Activate, AlarmType::Nospace, None).await.unwrap();
    store.clock.set(1_000_000 + 600_001);
    term.step(Some(())).await.unwrap();
    while term.step(None).await.unwrap() == Left::Some {}
    let stand = async |store: &mut Store, names: [&str; 3]| {
        let mut stand = Vec::new();
        for name in names {
            stand.push(store.has(7, name).await);
        }
        stand
    };
    assert_eq!(stand(&mut store, ["ended", "also", "later"]).await, [false, false, true]);
    assert!(!store.has(8, "dropped").await);
    let at = GetOptions::new().with_revision(old.try_into().unwrap());
    assert!(store.client.get("key", Some(at)).await.is_err(), "nothing was compacted");
    store.client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, None).await.unwrap();
    term.step(Some(())).await.unwrap();
    while term.step(None).await.unwrap() == Left::Some {}
    assert_eq!(store.hints().await, 1, "of the one that ends later");
    store.clock.set(9_000_000);
    sweep_all(&mut term).await;
    assert!(!store.has(7, "later").await);
}

#[tokio::test]
async fn in_a_full_store_hints_that_must_stay_do_not_hold_up_the_others() {
    let Some(mut store) = Store::start().await else { return };
    let mut term = term(&store, 1).await.unwrap();
    // More than are looked at together, all of them before the last one.
    for number in 0..60_u64 {
        let (ended, later) = (format!("ended{number}"), format!("later{number}"));
        store
            .set_until_each(7, &[(&ended, 1_000_001 + number), (&later, 9_000_000 + number)])
            .await;
    }
    store.set_until(7, &["last"], 1_020_000).await;
    store.client.alarm(AlarmAction::Activate, AlarmType::Nospace, None).await.unwrap();
    store.clock.set(2_000_000);
    sweep_all(&mut term).await;
    assert!(!store.has(7, "last").await && !store.has(7, "ended59").await);
    assert_eq!(term.counts.swept.load(Ordering::Relaxed), 61);
    assert_eq!(store.hints().await, 60);
    store.client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, None).await.unwrap();
    store.clock.set(10_000_000);
    term.step(Some(())).await.unwrap();
    sweep_all(&mut term).await;
    assert_eq!((store.hints().await, store.has(7, "later0").await), (0, false));
}

#[tokio::test]
async fn at_the_quota_what_has_ended_goes_and_dropped_tables_and_history_too() {
    let options = Options::members(1).quota(4 * 1024 * 1024);
    let Some(cluster) = Cluster::start_with(options).await else { return };
    let mut store = Store::of(cluster).await.unwrap();
    let mut term = term(&store, 1).await.unwrap();
    let old = store.set(7, "key", b"old").await;
    store.set(7, "key", b"young").await;
    term.step(Some(())).await.unwrap();
    store.set_until_each(7, &[("ended", 1_000_001), ("later", 9_000_000)]).await;
    store.set_until(7, &["also"], 1_000_002).await;
    for _ in 0..6 {
        let ops = (0..100).map(|key| store.put(8, &format!("{key}"), b"v", None));
        let ops: Vec<_> = ops.collect();
        store.write(ops).await;
    }
    let garbage = store.layout.garbage(8);
    store.txn([TxnOp::put(garbage, "", None)]).await;
    let fill = store.layout.record(9, b"fill");
    while store.client.put(fill.clone(), vec![1; 20_000], None).await.is_ok() {}
    store.clock.set(1_000_000 + 600_001);
    term.step(Some(())).await.unwrap();
    while term.step(None).await.unwrap() == Left::Some {}
    assert!(store.client.put(fill, "", None).await.is_err(), "the alarm stands no more");
    assert!(!store.has(7, "ended").await && !store.has(7, "also").await);
    assert!(store.has(7, "later").await);
    let (data, garbages) = (store.layout.data(8), store.layout.garbages());
    assert_eq!((store.count(data).await, store.count(garbages).await), (0, 0));
    let at = GetOptions::new().with_revision(old.try_into().unwrap());
    let key = store.layout.record(7, b"key");
    assert!(store.client.get(key, Some(at)).await.is_err(), "nothing was compacted");
}

#[tokio::test]
async fn a_foreign_key_among_the_dropped_tables_does_not_hold_up_the_others() {
    let Some(mut store) = Store::start().await else { return };
    let term = term(&store, 1).await.unwrap();
    store.set(7, "dropped", b"v").await;
    let (foreign, garbage) =
        ([&store.layout.garbages().start[..], b"!"].concat(), store.layout.garbage(7));
    store.txn([foreign, garbage].map(|key| TxnOp::put(key, "", None))).await;
    while term.clear().await.unwrap() == Left::Some {}
    let garbages = store.layout.garbages();
    assert_eq!(store.count(garbages).await, 0);
    assert!(!store.has(7, "dropped").await);
}

#[tokio::test]
async fn a_thousand_ended_records_go_in_a_few_steps() {
    let Some(mut store) = Store::start().await else { return };
    let mut term = term(&store, 1).await.unwrap();
    for round in 0..16_u64 {
        let names: Vec<_> = (0..64).map(|at| format!("{round}/{at}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        store.set_until(7, &names, 1_000_001 + round).await;
    }
    store.clock.set(2_000_000);
    sweep_all(&mut term).await;
    assert_eq!(term.counts.swept.load(Ordering::Relaxed), 1024);
    let records = store.layout.data(7);
    assert_eq!(store.count(records).await, 1, "the mark alone");
}

#[tokio::test]
async fn whoever_lost_the_place_changes_nothing_and_another_takes_over() {
    let Some(mut store) = Store::start().await else { return };
    let mut first = term(&store, 1).await.unwrap();
    assert!(term(&store, 2).await.is_none(), "there is one");
    store.set_until(7, &["ended"], 1_000_001).await;
    store.clock.set(2_000_000);
    store.client.lease_revoke(first.lease()).await.unwrap();
    // It does not know yet: what it does is bound to its place.
    assert!(matches!(first.sweep().await, Err(Halt::Lost)));
    assert!(store.has(7, "ended").await);
    let mut second = term(&store, 2).await.unwrap();
    assert!(matches!(first.sweep().await, Err(Halt::Lost)));
    assert!(store.has(7, "ended").await);
    sweep_all(&mut second).await;
    assert!(!store.has(7, "ended").await);
}

#[tokio::test]
async fn a_closed_caretaker_gives_its_place_up_at_once() {
    let Some(store) = Store::start().await else { return };
    let first = Caretaker::start(parts(&store, 1).await);
    let elected = async |caretaker: &Caretaker| {
        while !caretaker.counts().is_caretaker.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, elected(&first)).await.unwrap();
    timeout(PATIENCE, first.close()).await.unwrap();
    let second = term(&store, 2).await;
    assert!(second.is_some(), "the place is still taken");
}

#[tokio::test]
async fn a_dropped_table_goes_with_all_that_it_had() {
    let Some(mut store) = Store::start().await else { return };
    let term = term(&store, 1).await.unwrap();
    for round in 0..12 {
        let ops = (0..100).map(|key| store.put(7, &format!("{round}/{key}"), b"v", None));
        let ops: Vec<_> = ops.collect();
        store.write(ops).await;
    }
    store.set(8, "other", b"v").await;
    let garbage = store.layout.garbage(7);
    store.txn([TxnOp::put(garbage, "", None)]).await;
    while term.clear().await.unwrap() == Left::Some {}
    let (data, garbages) = (store.layout.data(7), store.layout.garbages());
    assert_eq!((store.count(data).await, store.count(garbages).await), (0, 0));
    assert!(store.has(8, "other").await);
    assert_eq!(term.counts.cleared.load(Ordering::Relaxed), 1200);
}

#[tokio::test]
async fn history_beyond_the_limit_goes_and_what_is_younger_stays() {
    let Some(mut store) = Store::start().await else { return };
    let mut term = term(&store, 1).await.unwrap();
    let old = store.set(7, "key", b"old").await;
    term.note_moment().await.unwrap();
    store.clock.set(1_000_000 + 300_000);
    let young = store.set(7, "key", b"young").await;
    term.note_moment().await.unwrap();
    term.compact().await.unwrap();
    let key = store.layout.record(7, b"key");
    let mut client = store.client.clone();
    let mut reads = async |revision: u64| {
        let at = GetOptions::new().with_revision(revision.try_into().unwrap());
        client.get(key.clone(), Some(at)).await.is_ok()
    };
    assert!(reads(old).await, "it is not old enough");
    store.clock.set(1_000_000 + 600_001);
    term.compact().await.unwrap();
    assert!(!reads(old - 1).await && reads(young).await);
    assert_eq!(term.counts.compactions.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn slots_of_front_ends_that_are_gone_for_a_day_go() {
    let Some(mut store) = Store::start().await else { return };
    let mut term = term(&store, 1).await.unwrap();
    let (gone, here) = (store.layout.slot(5), store.layout.slot(6));
    let presence = store.layout.presence(6);
    let ops = [gone, here, presence].map(|key| TxnOp::put(key, "v", None));
    store.txn(ops).await;
    term.note_moment().await.unwrap();
    store.clock.set(1_000_000 + 23 * 3_600_000);
    term.step(Some(())).await.unwrap();
    let slots = store.layout.slots();
    assert_eq!(store.count(slots.clone()).await, 2, "not a day");
    store.clock.set(1_000_000 + 24 * 3_600_000 + 1);
    term.step(Some(())).await.unwrap();
    assert_eq!(store.count(slots).await, 1);
    let here = store.layout.slot(6);
    assert_eq!(store.client.get(here, None).await.unwrap().count(), 1, "it is still there");
}

#[tokio::test]
async fn receipts_go_after_a_day_however_many_there_are() {
    let Some(mut store) = Store::start().await else { return };
    let mut term = term(&store, 1).await.unwrap();
    let mut last = store.set(7, "k", b"v").await.cast_signed();
    for _ in 0..20 {
        let receipts = (0..100).map(|number| store.layout.receipt(last, number));
        let ops: Vec<_> = receipts.map(|key| TxnOp::put(key, "made", None)).collect();
        last = store.txn(ops).await.cast_signed();
    }
    term.step(Some(())).await.unwrap();
    let young = store.layout.receipt(last + 2, 0);
    store.txn([TxnOp::put(young, "made", None)]).await;
    let all = store.layout.receipts_until(i64::MAX);
    store.clock.set(1_000_000 + 23 * 3_600_000);
    term.step(Some(())).await.unwrap();
    while term.step(None).await.unwrap() == Left::Some {}
    assert_eq!(store.count(all.clone()).await, 2001, "not a day");
    store.clock.set(1_000_000 + 24 * 3_600_000 + 1);
    term.step(Some(())).await.unwrap();
    while term.step(None).await.unwrap() == Left::Some {}
    assert_eq!(store.count(all).await, 1, "the one that came later");
}
