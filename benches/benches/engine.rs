//! What the log engine costs without a network, through the seam that sessions use: looking a key
//! up, reading it, and a turn of group commit.
//!
//! - `miss` is the probe of the index and nothing else.
//! - `hit` is the probe, one `pread` from the page cache, the checksum and the comparison of the
//!   key.
//! - `commit` is what a submission costs from hand-over to answer: conditions, encoding, one write
//!   to the file, publication. The policy is `never`, so that no disk is waited for; the table's
//!   actor runs on the thread that waits.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use kvsd::TableName;
use kvsd_server::engine::{
    Action, BeforeDetail, Change, Condition, Engine, Freshness, ReadNow, Write, WriteResult,
    Written,
};
use kvsd_server::log::{LogConfig, LogEngine, SyncPolicy};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Allocations are shown beside the times.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
    // Their folders go with them; statics are never dropped.
    TABLES.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

#[divan::bench(args = [10_000, 2_000_000], sample_count = 200, sample_size = 500)]
fn hit(bencher: Bencher, keys: usize) {
    read(bencher, keys, |at| at);
}

#[divan::bench(args = [10_000, 2_000_000], sample_count = 200, sample_size = 500)]
fn miss(bencher: Bencher, keys: usize) {
    read(bencher, keys, |at| at + keys);
}

#[divan::bench(args = [1, 64], sample_count = 200, sample_size = 10)]
fn commit(bencher: Bencher, writes: usize) {
    let table = Table::of(COMMIT_KEYS);
    let mut dice = Dice(1);
    bencher
        .counter(ItemsCount::new(writes))
        .with_inputs(|| (0..writes).map(|_| write(dice.below(COMMIT_KEYS))).collect::<Vec<_>>())
        .bench_local_values(|writes| table.write(writes));
}

/// Reads keys of a table with so many, in a random order that is drawn before.
fn read(bencher: Bencher, keys: usize, number: impl Fn(usize) -> usize) {
    let table = Table::of(keys);
    let mut dice = Dice(1);
    let asked: Vec<_> = (0..ASKED).map(|_| key(number(dice.below(keys)))).collect();
    let is_there = number(0) < keys;
    let (mut next, mut buffer) = (asked.iter().cycle(), Vec::new());
    bencher.bench_local(|| {
        let key = next.next().expect("it never ends");
        let found = match table.engine.read_now(table.name.as_str(), key, &mut buffer) {
            ReadNow::Ready(found) => found.expect("the table is sound").is_some(),
            ReadNow::WouldBlock => {
                let read = table.engine.read(table.name.as_str(), key, Freshness::Latest);
                table.runtime.block_on(read).expect("the table is sound").is_some()
            }
        };
        assert_eq!(black_box(found), is_there);
    });
}

/// An open engine with one table of so many keys.
struct Table {
    engine: LogEngine,
    name: TableName,
    runtime: Runtime,
    _folder: TempDir,
}

impl Table {
    /// The table with so many keys; filled when it is first asked for.
    fn of(keys: usize) -> Arc<Self> {
        let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tables.entry(keys).or_insert_with(|| Arc::new(Self::filled(keys))))
    }

    fn filled(keys: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        // Beside the build's output: the usual place for such folders may be memory.
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder = tempfile::tempdir_in(parent).expect("a folder");
        let engine = {
            let _guard = runtime.enter();
            let mut config = LogConfig::new(folder.path());
            config.sync = SyncPolicy::Never;
            // Else a hit would be found there once it was read, and no file be looked at.
            config.cache_bytes = 0;
            LogEngine::open(config).expect("the folder is empty")
        };
        let name = TableName::parse("bench").expect("a name");
        let table = Self { engine, name, runtime, _folder: folder };
        let numbers: Vec<_> = (0..keys).collect();
        for some in numbers.chunks(FILLED_AT_ONCE) {
            table.write(some.iter().copied().map(write).collect());
        }
        table
    }

    fn write(&self, writes: Vec<Write>) -> Vec<WriteResult> {
        let results = self.runtime.block_on(self.engine.write(&self.name, writes));
        let is_applied =
            |result: &WriteResult| matches!(result, Ok(Written::Applied { version: Some(_), .. }));
        assert!(results.iter().all(is_applied));
        results
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // What cannot be closed well is removed all the same.
        let _ = self.runtime.block_on(self.engine.close());
    }
}

/// A plain set of a value of 100 bytes.
fn write(at: usize) -> Write {
    let change = Change {
        key: Bytes::from(key(at)),
        condition: Condition::Any,
        action: Action::Set { value: Bytes::from_static(&[b'v'; 100]), expires_at: None },
    };
    Write { changes: [change].into(), before: BeforeDetail::Presence }
}

fn key(at: usize) -> Vec<u8> {
    format!("key/{at:012}").into_bytes()
}

/// Random numbers, the same ones each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // The high bits are the better ones; the quotient is below `end`.
        usize::try_from((u128::from(self.0) * end as u128) >> 64).unwrap_or_default()
    }
}

/// The tables that are open, by their number of keys.
static TABLES: Mutex<BTreeMap<usize, Arc<Table>>> = Mutex::new(BTreeMap::new());
/// As many different keys are asked for, in turn.
const ASKED: usize = 1 << 16;
const FILLED_AT_ONCE: usize = 10_000;
/// Another table than those that are read.
const COMMIT_KEYS: usize = 16_384;
