//! The writer against a real member of etcd.

use bytes::Bytes;
use etcd_client::{AlarmAction, AlarmType, Client};
use kvsd::{UnixMillis, Version};

use super::super::super::cluster::{Cluster, Options};
use super::super::super::layout::{StoredRecord, TableEntry};
use super::super::super::lossy::Lossy;
use super::super::*;
use crate::engine::{Action, Before, BeforeDetail, Condition, Record, Written};
use crate::log::SystemClock;

/// A writer, and a way around it.
struct Store {
    writer: Arc<Writer>,
    layout: Layout,
    client: Client,
}

impl Store {
    async fn open(endpoint: &str, direct: &str, timeout: Duration) -> Self {
        let mut config = EtcdConfig::new(vec![format!("http://{endpoint}")]);
        config.timeout = timeout;
        let link = Arc::new(Link::open(&config).await.unwrap());
        let layout = Layout::new(&config.prefix);
        let directory =
            Arc::new(Directory::new(Arc::clone(&link), layout.clone(), config.max_tables));
        let config = WriterConfig {
            front_end: getrandom::u64().unwrap(),
            timeout,
            max_value_bytes: config.max_value_bytes,
            max_tables: 3,
            clock: Arc::new(SystemClock),
        };
        let writer = Arc::new(Writer::start(link, layout.clone(), directory, config));
        let client = Client::connect([direct], None).await.unwrap();
        Self { writer, layout, client }
    }

    async fn on(cluster: &Cluster) -> Self {
        let endpoint = cluster.endpoint(0);
        Self::open(&endpoint, &endpoint, Duration::from_secs(5)).await
    }

    async fn write(&self, write: Write) -> WriteResult {
        self.writer.write(&table(), vec![write]).await.pop().unwrap()
    }

    async fn id(&self) -> Option<u64> {
        let found = self.client.kv_client().get(self.layout.table("t"), None).await.unwrap();
        Some(TableEntry::parse(found.kvs().first()?.value()).unwrap().id)
    }

    /// What stands at a key: its version and its value.
    async fn stored(&self, key: &str) -> Option<(u64, Bytes)> {
        let key = self.layout.record(self.id().await?, key.as_bytes());
        let found = self.client.kv_client().get(key, None).await.unwrap();
        let kv = found.kvs().first()?;
        let record = StoredRecord::parse(kv.value().to_vec()).unwrap();
        Some((kv.mod_revision().unsigned_abs(), record.value))
    }
}

fn table() -> TableName {
    TableName::parse("t").unwrap()
}

fn one(key: &str, condition: Condition, action: Action) -> Write {
    let change = Change { key: key.to_owned().into(), condition, action };
    Write { changes: [change].into(), before: BeforeDetail::Presence }
}

fn set(key: &str, value: &str) -> Write {
    let value = value.to_owned().into();
    one(key, Condition::Any, Action::Set { value, expires_at: None })
}

fn add(key: &str, by: i64) -> Write {
    one(key, Condition::Any, Action::Increment { by })
}

fn version(result: &WriteResult) -> u64 {
    match result {
        Ok(Written::Applied { version: Some(version), .. }) => version.get(),
        other => panic!("not written: {other:?}"),
    }
}

fn counter(result: &WriteResult) -> i64 {
    match result {
        Ok(Written::Applied { counters, .. }) => counters[0],
        other => panic!("not written: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_and_their_conditions_are_carried_out_in_order() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let store = Store::on(&cluster).await;
    let absent =
        |version| Written::Applied { version, before: [Before::Absent].into(), counters: vec![] };
    // What writes nothing makes no table.
    for write in [
        one("k", Condition::Any, Action::Delete),
        one("k", Condition::Absent, Action::Check),
        one("k", Condition::Any, Action::Expire { at: None }),
    ] {
        assert_eq!(store.write(write).await, Ok(absent(None)));
    }
    let conflict = Written::Conflict { change: 0, current: None };
    assert_eq!(store.write(one("k", Condition::Present, Action::Check)).await, Ok(conflict));
    assert_eq!(store.id().await, None);

    let writes = vec![
        add("n", 4),
        add("n", 5),
        set("k", "x"),
        one("k", Condition::Absent, Action::Delete),
        one("k", Condition::Present, Action::Expire { at: UnixMillis::new(1) }),
        one("k", Condition::Absent, Action::Check),
        add("k", 1),
    ];
    let results = store.writer.write(&table(), writes).await;
    assert_eq!((counter(&results[0]), counter(&results[1])), (4, 9));
    let current = Version::new(version(&results[2]));
    assert_eq!(results[3], Ok(Written::Conflict { change: 0, current }));
    assert!(version(&results[4]) > version(&results[2]));
    assert_eq!(results[5], Ok(absent(None)));
    assert_eq!(counter(&results[6]), 1);
    assert_eq!(store.stored("k").await, Some((version(&results[6]), "1".into())));

    let mut batch = set("k", "y");
    batch.before = BeforeDetail::Record;
    batch.changes.extend(add("n", 1).changes);
    batch.changes.extend(one("gone", Condition::Any, Action::Delete).changes);
    let result = store.write(batch.clone()).await;
    let Ok(Written::Applied { before, counters, .. }) = &result else { panic!("{result:?}") };
    let record = |version, value: &str| {
        let (version, value) = (Version::new(version).unwrap(), value.to_owned().into());
        Before::Record(Record { version, expires_at: None, value })
    };
    assert_eq!(counters, &[10]);
    let kept =
        [record(version(&results[6]), "1"), record(version(&results[1]), "9"), Before::Absent];
    assert_eq!(before[..], kept);
    batch.changes[2].condition = Condition::Present;
    let conflict = Written::Conflict { change: 2, current: None };
    assert_eq!(store.write(batch).await, Ok(conflict));
    assert_eq!(store.stored("n").await, Some((version(&result), "10".into())));
    let refused = store
        .writer
        .write(
            &table(),
            vec![add("y", 1), {
                let mut twice = set("a", "1");
                twice.changes.extend(set("a", "2").changes);
                twice
            }],
        )
        .await;
    assert_eq!(counter(&refused[0]), 1);
    assert!(matches!(refused[1], Err(EngineError::Refused { .. })), "{refused:?}");
    assert!(matches!(store.write(add("k", 1)).await, Err(EngineError::NotAnInteger { .. })));
    store.writer.close().await;
    assert_eq!(store.write(set("k", "z")).await, Err(EngineError::Closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn as_much_as_is_promised_fits_into_a_write() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let store = Store::on(&cluster).await;
    let long = "k".repeat(1000);
    let end = UnixMillis::new(1 << 42);
    let value = Bytes::from(vec![7; (EtcdConfig::MAX_WRITE_BYTES - 64 * 1003) / 64]);
    let change = |place: usize| Change {
        key: format!("{long}{place:03}").into(),
        condition: Condition::Absent,
        action: Action::Set { value: value.clone(), expires_at: end },
    };
    let batch =
        |size| Write { changes: (0..size).map(change).collect(), before: BeforeDetail::Record };
    let largest = EtcdConfig::MAX_BATCH;
    assert!(version(&store.write(batch(largest)).await) > 0);
    assert!(matches!(store.write(batch(largest)).await, Ok(Written::Conflict { change: 0, .. })));
    assert!(matches!(store.write(batch(largest + 1)).await, Err(EngineError::Refused { .. })));
    let whole = "v".repeat(EtcdConfig::LARGEST_MAX_VALUE_BYTES);
    let expire =
        |place: i32| one(&format!("large{place}"), Condition::Any, Action::Expire { at: end });
    for place in 0..5 {
        version(&store.write(set(&format!("large{place}"), &whole)).await);
    }
    // Each fits, and all together do not.
    let results = store.writer.write(&table(), (0..5).map(expire).collect()).await;
    results.iter().for_each(|result| assert!(version(result) > 0));
    let all = Write {
        changes: (0..5).flat_map(|place| expire(place).changes).collect(),
        before: BeforeDetail::Presence,
    };
    assert!(matches!(store.write(all).await, Err(EngineError::Refused { .. })));
    let many = (0..500).map(|place| set(&place.to_string(), "v")).collect();
    let results = store.writer.write(&table(), many).await;
    results.iter().for_each(|result| assert!(version(result) > 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_limited_and_a_dropped_one_is_made_again() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let store = Store::on(&cluster).await;
    version(&store.write(set("k", "x")).await);
    let old = store.id().await.unwrap();
    // As another front end drops it.
    store.client.kv_client().delete(store.layout.table("t"), None).await.unwrap();
    let results = store
        .writer
        .write(
            &table(),
            vec![one("k", Condition::Present, Action::Delete), add("n", 1), add("n", 1)],
        )
        .await;
    assert_eq!(results[0], Ok(Written::Conflict { change: 0, current: None }));
    assert_eq!((counter(&results[1]), counter(&results[2])), (1, 2));
    assert_ne!(store.id().await.unwrap(), old);
    assert_eq!(store.stored("k").await, None);
    for (number, name) in ["u", "v", "w"].into_iter().enumerate() {
        let table = TableName::parse(name).unwrap();
        let result = store.writer.write(&table, vec![set("k", "x")]).await.pop().unwrap();
        assert_eq!(result.is_ok(), number < 2, "{result:?}");
        let nothing = one("k", Condition::Any, Action::Delete);
        assert!(store.writer.write(&table, vec![nothing]).await[0].is_ok());
        if number == 2 {
            assert_eq!(result, Err(EngineError::TooManyTables { limit: 3 }));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_front_ends_count_together_and_keep_each_tasks_order() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let stores = [Store::on(&cluster).await, Store::on(&cluster).await];
    let mut tasks = Vec::new();
    for store in &stores {
        for task in 0..8 {
            let writer = Arc::clone(&store.writer);
            tasks.push(tokio::spawn(async move {
                let mut seen = Vec::new();
                for round in 0..40 {
                    let marker = set(&format!("marker{task}"), &round.to_string());
                    let results = writer.write(&table(), vec![add("n", 1), marker]).await;
                    assert!(version(&results[0]) <= version(&results[1]), "{results:?}");
                    seen.push(counter(&results[0]));
                }
                seen
            }));
        }
    }
    let mut seen = Vec::new();
    for task in tasks {
        let of_task = task.await.unwrap();
        assert!(of_task.is_sorted());
        seen.extend(of_task);
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=640).collect::<Vec<_>>());
    assert_eq!(stores[0].stored("n").await.unwrap().1, "640");
}

const LOST: &[u8] = b"the answer to this is lost";

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_told_as_it_was_and_nothing_is_done_twice() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let direct = cluster.endpoint(0);
    let way = Lossy::to(direct.clone(), LOST, 1).await;
    let store = Store::open(&way.endpoint, &direct, Duration::from_secs(30)).await;
    // Another front end knows what the answers should be.
    let other = Store::on(&cluster).await;
    assert!(other.write(one("none", Condition::Any, Action::Delete)).await.is_ok());
    let lost = std::str::from_utf8(LOST).unwrap();
    let mut last = 0;
    // The first one makes the table.
    for round in 1..=5_i64 {
        let whole = |mut write: Write| {
            write.before = BeforeDetail::Record;
            write
        };
        let writes = vec![
            whole(set("a", lost)),
            whole(add("n", round)),
            one("gone", Condition::Any, Action::Delete),
            one("none", Condition::Present, Action::Check),
            whole(one("gone2", Condition::Present, Action::Delete)),
            // Once it does not hold, what follows it goes into another group.
            one("first", Condition::Absent, Action::Increment { by: 7 }),
        ];
        way.arm();
        let writer = Arc::clone(&store.writer);
        let written = tokio::spawn(async move { writer.write(&table(), writes).await });
        let (at, _) = loop {
            match other.stored("a").await {
                Some(stored) if stored.0 > last => break stored,
                Some(_) | None => tokio::task::yield_now().await,
            }
        };
        // Whatever others do meanwhile is not part of the answer.
        version(&other.write(add("n", 1000)).await);
        version(&other.write(set("gone", "x")).await);
        way.cut();
        let results = written.await.unwrap();
        let record = |version: u64, value: &str| {
            let (version, value) = (Version::new(version).unwrap(), value.to_owned().into());
            Before::Record(Record { version, expires_at: None, value })
        };
        let written = |before, counters| Written::Applied {
            version: Version::new(at),
            before: [before].into(),
            counters,
        };
        let is_first = round == 1;
        let before = if is_first { Before::Absent } else { record(last, lost) };
        assert_eq!(results[0], Ok(written(before, vec![])));
        let counted = round * (round + 1) / 2 + 1000 * (round - 1);
        assert_eq!((version(&results[1]), counter(&results[1])), (at, counted));
        assert_eq!(other.stored("n").await.unwrap().1, (counted + 1000).to_string());
        match &results[2] {
            Ok(Written::Applied { version, before, .. }) => {
                assert_eq!(*version, Version::new(at).filter(|_| !is_first));
                let expected = if is_first { Before::Absent } else { Before::Present };
                assert_eq!(before[..], [expected]);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(results[3], Ok(Written::Conflict { change: 0, current: None }));
        match &results[5] {
            Ok(Written::Applied { counters, .. }) if is_first => assert_eq!(counters, &[7]),
            Ok(Written::Conflict { change: 0, current: Some(_) }) if !is_first => {}
            other => panic!("{other:?}"),
        }
        match &results[4] {
            Ok(Written::Conflict { change: 0, current: None }) if is_first => {}
            Ok(Written::Applied { version, before, .. }) if !is_first => {
                assert_eq!(*version, Version::new(at));
                assert_eq!(before[..], [record(last + 3, "y")]);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(version(&other.write(set("gone2", "y")).await), at + 3);
        last = at;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_the_outcome_is_unknown_and_nothing_comes_late() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let direct = cluster.endpoint(0);
    let store = Store::open(&direct, &direct, Duration::from_millis(1500)).await;
    for round in 0..3 {
        version(&store.write(set("k", "before")).await);
        cluster.pause(0);
        // The second one is not in the group of the first: it has the same key.
        let writes = vec![set("k", "doubtful"), set("k", "queued")];
        let results = store.writer.write(&table(), writes).await;
        let [in_doubt, queued] = results.try_into().unwrap();
        assert!(matches!(in_doubt, Err(EngineError::UnknownOutcome { .. })), "{in_doubt:?}");
        assert!(matches!(queued, Err(EngineError::Unavailable { .. })), "{queued:?}");
        cluster.resume(0);
        let after = loop {
            match store.write(set("k", &format!("after{round}"))).await {
                Err(EngineError::Unavailable { .. } | EngineError::UnknownOutcome { .. }) => {}
                written => break version(&written),
            }
        };
        // Whatever etcd still does with what it was sent while it was paused.
        version(&store.write(set("other", "x")).await);
        assert_eq!(store.stored("k").await, Some((after, format!("after{round}").into())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_takes_deletes_and_nothing_else() {
    let options = Options::members(1).quota(4 * 1024 * 1024);
    let Some(cluster) = Cluster::start_with(options).await else { return };
    let store = Store::on(&cluster).await;
    let value = "v".repeat(200_000);
    let mut filled = 0;
    let full = loop {
        match store.write(set(&filled.to_string(), &value)).await {
            Ok(_) => filled += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, EngineError::StoreFull { .. }), "{full:?}");
    let stored = store.stored("0").await.unwrap();
    let mut delete = one("0", Condition::Version(Version::new(stored.0).unwrap()), Action::Delete);
    delete.changes.extend(one("none", Condition::Any, Action::Delete).changes);
    let results = store
        .writer
        .write(
            &table(),
            vec![set("1", "x"), delete.clone(), one("none", Condition::Any, Action::Delete)],
        )
        .await;
    assert!(matches!(results[0], Err(EngineError::StoreFull { .. })), "{results:?}");
    let Ok(Written::Applied { version: Some(_), before, .. }) = &results[1] else {
        panic!("{results:?}")
    };
    assert_eq!(before[..], [Before::Present, Before::Absent]);
    assert!(matches!(results[2], Ok(Written::Applied { version: None, .. })), "{results:?}");
    assert_eq!(store.write(delete).await, Ok(Written::Conflict { change: 0, current: None }));
    assert_eq!(store.stored("0").await, None);
    // One that has just come may delete as well.
    let late = Store::on(&cluster).await;
    assert!(version(&late.write(one("1", Condition::Present, Action::Delete)).await) > stored.0);
    assert!(matches!(late.write(set("1", "x")).await, Err(EngineError::StoreFull { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fills_up_behind_a_doubtful_group_takes_deletes() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let direct = cluster.endpoint(0);
    let store = Store::open(&direct, &direct, Duration::from_millis(1500)).await;
    version(&store.write(set("k", "before")).await);
    version(&store.write(set("other", "before")).await);
    cluster.pause(0);
    let doubtful = store.write(set("k", "doubtful")).await;
    assert!(matches!(doubtful, Err(EngineError::UnknownOutcome { .. })), "{doubtful:?}");
    cluster.resume(0);
    let mut client = store.client.clone();
    client.alarm(AlarmAction::Activate, AlarmType::Nospace, None).await.unwrap();
    let late = store.write(set("k", "late")).await;
    assert!(late.is_err(), "{late:?}");
    let deleted = store.write(one("other", Condition::Any, Action::Delete)).await;
    assert!(matches!(deleted, Ok(Written::Applied { version: Some(_), .. })), "{deleted:?}");
    client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, None).await.unwrap();
    let after = version(&store.write(set("k", "after")).await);
    assert_eq!(store.stored("k").await, Some((after, "after".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_many_tasks_is_answered_to_each() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let store = Store::on(&cluster).await;
    let tasks = (0..64).map(|task| {
        let writer = Arc::clone(&store.writer);
        tokio::spawn(async move {
            for round in 0..20 {
                let (key, value) = (format!("{task}-{}", round % 3), format!("{round}"));
                let mut write = set(&key, &value);
                write.before = BeforeDetail::Record;
                let result = writer.write(&table(), vec![write]).await.pop().unwrap();
                let Ok(Written::Applied { before, .. }) = &result else { panic!("{result:?}") };
                let before: Vec<_> = before
                    .iter()
                    .map(|before| match before {
                        Before::Record(record) => Some(record.value.clone()),
                        Before::Absent | Before::Present => None,
                    })
                    .collect();
                let expected = (round >= 3).then(|| Bytes::from(format!("{}", round - 3)));
                assert_eq!(before, [expected]);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_store_refuses_that_fills_up_was_not_done() {
    for _ in 0..3 {
        let options = Options::members(1).quota(8 * 1024 * 1024);
        let Some(cluster) = Cluster::start_with(options).await else { return };
        let mut tasks = Vec::new();
        for front_end in 0..6 {
            let store = Store::on(&cluster).await;
            tasks.push(tokio::spawn(async move {
                let (name, value) = (format!("n{front_end}"), "v".repeat(3_000));
                let mut answered = 0;
                let refused = loop {
                    let writes =
                        vec![add(&name, 1), set(&format!("{front_end}-{answered}"), &value)];
                    match &store.writer.write(&table(), writes).await[0] {
                        Err(error) => break error.clone(),
                        done => answered = counter(done),
                    }
                };
                assert!(matches!(refused, EngineError::StoreFull { .. }), "{refused}");
                assert_eq!(store.stored(&name).await.unwrap().1, answered.to_string());
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_front_end_does_not_take_the_others_writes_for_its_own() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let endpoint = cluster.endpoint(0);
    let open = async || {
        let mut store = Store::on(&cluster).await;
        let mut config = EtcdConfig::new(vec![format!("http://{endpoint}")]);
        config.timeout = Duration::from_secs(5);
        let link = Arc::new(Link::open(&config).await.unwrap());
        let directory = Arc::new(Directory::new(Arc::clone(&link), store.layout.clone(), 10));
        let parts = WriterConfig {
            front_end: 7,
            timeout: config.timeout,
            max_value_bytes: 1024,
            max_tables: 10,
            clock: Arc::new(SystemClock),
        };
        store.writer = Arc::new(Writer::start(link, store.layout.clone(), directory, parts));
        store
    };
    for round in 0..10 {
        let (one, copy) = (open().await, open().await);
        let keys = [format!("a{round}"), format!("b{round}")];
        let (first, second) =
            tokio::join!(one.write(set(&keys[0], "x")), copy.write(set(&keys[1], "x")));
        for (written, key) in [first, second].into_iter().zip(keys) {
            assert!(written.is_err() || one.stored(&key).await.is_some(), "{key}: {written:?}");
        }
    }
}
