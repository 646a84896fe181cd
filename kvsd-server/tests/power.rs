//! The real server on a real file system whose power fails, and on one that is full.
//!
//! Both are made of an image file: an ext4 on a loop device, shut down by the file system's own
//! `EXT4_IOC_SHUTDOWN`, which lets nothing more reach the disk. That needs root and the commands
//! `mkfs.ext4`, `losetup`, `mount`, `umount` and `perl`, so the tests run only where
//! `KVSD_TEST_POWER_ROUNDS` says how many rounds; elsewhere they say that they were not run.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test's helpers unwrap as its functions do")]

mod support;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kvsd::protocol::v2::FailCode;
use kvsd::{Client, ErrorKind, Outcome};
use rustix::process::{Pid, Signal, kill_process};
use support::{Server, binary};
use tempfile::TempDir;
use tokio::task::JoinSet;

const SWITCH: &str = "KVSD_TEST_POWER_ROUNDS";
const WRITERS: u64 = 24;

/// How many rounds are asked for; nothing in the ordinary run, which is told so.
fn rounds(test: &str) -> Option<u64> {
    let Some(rounds) = std::env::var_os(SWITCH) else {
        // Past the harness, which keeps to itself what a passing test prints.
        let _ = writeln!(
            io::stderr(),
            "{test}: NOT RUN: it needs root, loop devices and mkfs.ext4; {SWITCH}=5 runs it"
        );
        return None;
    };
    let rounds = rounds.to_str().and_then(|rounds| rounds.parse().ok());
    let rounds = rounds.unwrap_or_else(|| panic!("{SWITCH} is no number of rounds"));
    assert!(rustix::process::geteuid().is_root(), "{SWITCH} is set, which needs root");
    Some(rounds)
}

/// Runs a command of the system; what it printed.
fn system(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("this test needs {program}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What becomes of the file system's journal when the power fails.
#[derive(Debug, Clone, Copy)]
enum Shutdown {
    /// The file system is frozen first, so that all of it is there.
    Default = 0,
    /// What is in memory is lost.
    NoLogFlush = 2,
}

/// An ext4 of its own. Unmounted and given back at the end, however that comes.
struct Disk {
    folder: TempDir,
    device: String,
}

impl Disk {
    fn make(megabytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
        let image = image.to_str().unwrap();
        system("mkfs.ext4", &["-q", "-F", "-m", "0", image]);
        fs::create_dir(folder.path().join("mount")).unwrap();
        let device = system("losetup", &["--find", "--show", image]);
        let disk = Self { folder, device };
        disk.mount();
        disk
    }

    fn point(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    fn mount(&self) {
        system("mount", &["-t", "ext4", &self.device, self.point().to_str().unwrap()]);
    }

    fn unmount(&self) {
        system("umount", &[self.point().to_str().unwrap()]);
    }

    /// The power fails: from now on nothing reaches the disk.
    fn shut_down(&self, how: Shutdown) {
        const SCRIPT: &str = "open(my $root, '<', $ARGV[0]) or die \"open: $!\"; \
            my $how = pack('L', $ARGV[1]); \
            defined ioctl($root, 0x8004587D, $how) or die \"EXT4_IOC_SHUTDOWN: $!\";";
        let how = (how as u32).to_string();
        system("perl", &["-e", SCRIPT, self.point().to_str().unwrap(), &how]);
    }

    /// A server with its data on this disk, and everything else in that folder.
    fn serve(&self, folder: TempDir) -> Server {
        let data = self.point().join("data");
        let data = data.to_str().unwrap();
        let args = ["--dev", "--listen", "127.0.0.1:0", "--sync", "always", "--data-dir", data];
        // The disk is to be used up.
        Server::start(folder, args.into_iter().chain(["--min-free-disk", "0"]))
    }

    /// What `kvsd-server verify` says of the data.
    fn verify(&self) -> String {
        let mut verify = binary(env!("CARGO_BIN_EXE_kvsd-server"));
        let output =
            verify.args(["verify", "--data-dir"]).arg(self.point().join("data")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{errors}");
        said
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Not mounted, perhaps; whoever fails already has more to say than this.
        let _ = Command::new("umount").arg("-l").arg(self.point()).output();
        let _ = Command::new("losetup").arg("-d").arg(&self.device).output();
    }
}

async fn connect(server: &Server) -> Client {
    Client::connect(&format!("kvsd://{}", server.address)).await.unwrap()
}

/// Stops the server as an operator does; its folder.
fn stop(mut server: Server) -> TempDir {
    kill_process(Pid::from_child(server.child()), Signal::TERM).unwrap();
    assert!(server.child().wait().unwrap().success(), "{}", server.log());
    server.into_folder()
}

/// What a writer knows of its own key.
struct Known {
    writer: u64,
    /// The last number whose write was acknowledged; the test looks on.
    acknowledged: Arc<AtomicU64>,
    /// The last number that was sent: it may have been written.
    sent: u64,
}

impl Known {
    fn table(&self) -> &'static str {
        ["left", "middle", "right"][(self.writer % 3) as usize]
    }

    fn key(&self) -> String {
        format!("writer/{}", self.writer)
    }

    /// A value that says which one it is in every word, from none to some 20 KB of them.
    fn value(&self, number: u64) -> Vec<u8> {
        let words = 1 + (number * 31 + self.writer * 7) % 1_250;
        let word = |place| [self.writer, number ^ (place << 40)].map(u64::to_le_bytes).concat();
        (0..words).flat_map(word).collect()
    }

    /// Which number a value is; it must be whole.
    fn number(&self, value: Option<&[u8]>) -> u64 {
        let Some(value) = value else {
            return 0;
        };
        let number = u64::from_le_bytes(value[8..16].try_into().unwrap());
        assert!(value == self.value(number), "{} holds a mixture, as if {number}", self.key());
        number
    }
}

/// Writes growing numbers to one key until that fails.
async fn write_until_it_ends(client: Client, mut known: Known, written: Arc<AtomicU64>) -> Known {
    let table = client.table(known.table()).unwrap();
    loop {
        let number = known.sent + 1;
        known.sent = number;
        match table.set(known.key(), known.value(number)).await {
            Ok(_) => {
                known.acknowledged.store(number, Ordering::SeqCst);
                written.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                if error.outcome() != Outcome::Unknown {
                    known.sent = number - 1;
                }
                return known;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_under_load_loses_nothing_that_was_acknowledged() {
    let Some(rounds) = rounds("a_power_cut_under_load") else {
        return;
    };
    let disk = Disk::make(1024);
    let mut folder = tempfile::tempdir().unwrap();
    let start = |writer| Known { writer, acknowledged: Arc::default(), sent: 0 };
    let mut known: Vec<Known> = (0..WRITERS).map(start).collect();
    for round in 0..rounds {
        let how = if round % 3 == 2 { Shutdown::Default } else { Shutdown::NoLogFlush };
        let mut server = disk.serve(folder);
        let client = connect(&server).await;
        let written = Arc::new(AtomicU64::new(0));
        let seen: Vec<_> = known.iter().map(|known| Arc::clone(&known.acknowledged)).collect();
        let mut writers = JoinSet::new();
        for known in known.drain(..) {
            writers.spawn(write_until_it_ends(client.clone(), known, Arc::clone(&written)));
        }
        // Another moment in each round.
        let enough = WRITERS * (5 + round * 7 % 20);
        while written.load(Ordering::Relaxed) < enough {
            tokio::task::yield_now().await;
        }
        // Taken first: what is acknowledged while the power fails, no real machine would tell.
        let acknowledged: Vec<u64> = seen.iter().map(|seen| seen.load(Ordering::SeqCst)).collect();
        disk.shut_down(how);
        server.child().kill().unwrap();
        server.child().wait().unwrap();
        known = writers.join_all().await;
        known.sort_unstable_by_key(|known| known.writer);
        folder = server.into_folder();
        disk.unmount();
        disk.mount();

        let server = disk.serve(folder);
        let client = connect(&server).await;
        let mut late = 0;
        for (place, known) in known.iter_mut().enumerate() {
            let table = client.table(known.table()).unwrap();
            let found = table.get::<Vec<u8>>(known.key()).await.unwrap();
            let number = known.number(found.as_deref());
            let acknowledged = acknowledged[place];
            let sent = known.sent;
            late += known.acknowledged.load(Ordering::SeqCst).saturating_sub(number);
            assert!(
                (acknowledged..=sent).contains(&number),
                "round {round}, {how:?}: {} holds {number}; {acknowledged} was acknowledged, \
                 {sent} was sent",
                known.key()
            );
            known.acknowledged.store(number, Ordering::SeqCst);
            known.sent = number;
        }
        let written = written.load(Ordering::Relaxed);
        println!(
            "round {round}, {how:?}: {written} acknowledged writes, all there but {late} of those \
             acknowledged while the power failed"
        );
        drop(client);
        folder = stop(server);
    }
    print!("{}", disk.verify());
}

/// Large values, so that few deletes free much.
const VALUE_BYTES: usize = 1 << 20;

fn large(number: u64) -> Vec<u8> {
    number.to_le_bytes().into_iter().cycle().take(VALUE_BYTES).collect()
}

fn key(number: u64) -> String {
    format!("large/{number:05}")
}

/// Writes values until the disk is full; the number of the first that was refused.
async fn fill(client: &Client, from: u64) -> u64 {
    for number in from.. {
        let Err(error) = client.set(key(number), large(number)).await else {
            continue;
        };
        assert!(matches!(error.kind(), ErrorKind::Server(FailCode::DiskFull)), "{error:?}");
        assert!(error.to_string().contains("the disk is full"), "{error}");
        assert_ne!(error.outcome(), Outcome::Unknown);
        return number;
    }
    unreachable!("no disk is that large")
}

async fn assert_holds(client: &Client, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let value = client.get::<Vec<u8>>(key(number)).await.unwrap();
        assert!(value.as_deref() == Some(&large(number)[..]), "{} is not what it was", key(number));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_writing_goes_on_when_there_is_room_without_a_restart() {
    let Some(rounds) = rounds("a_full_disk") else {
        return;
    };
    for round in 0..rounds.min(MOST_FULL_ROUNDS) {
        let disk = Disk::make(256);
        let ballast = disk.point().join("ballast");
        fs::write(&ballast, vec![1; 24 << 20]).unwrap();
        let pebble = disk.point().join("pebble");
        fs::write(&pebble, vec![1; 256 << 10]).unwrap();
        let server = disk.serve(tempfile::tempdir().unwrap());
        let client = connect(&server).await;

        let end = fill(&client, 0).await;
        assert_holds(&client, 0..end).await;
        // The last ones, whose segment stays whatever happens.
        assert!(client.delete(key(end - 1)).await.unwrap());
        fs::remove_file(&ballast).unwrap();
        let more = fill(&client, end - 1).await;
        assert!(more > end + 8, "with the ballast gone there is room: {end}, {more}");
        assert_holds(&client, 0..more).await;

        // Room for manifests, and for no value. The first segment holds only the first values.
        fs::remove_file(&pebble).unwrap();
        for number in 0..FIRST_VALUES {
            assert!(client.delete(key(number)).await.unwrap(), "value {number}");
        }
        let deadline = Instant::now() + PATIENCE;
        while client.set(key(more), large(more)).await.is_err() {
            assert!(Instant::now() < deadline, "deleting has made no room: {}", server.log());
            tokio::task::yield_now().await;
        }
        let last = fill(&client, more + 1).await;
        assert_holds(&client, FIRST_VALUES..last).await;
        println!(
            "round {round}: full at {end}, at {more} without ballast, at {last} after deletes"
        );

        drop(client);
        // Killed, and as full as ever: what a start repairs fits into what was kept for it.
        let folder = server.into_folder();
        print!("{}", disk.verify());
        let server = disk.serve(folder);
        let client = connect(&server).await;
        assert_holds(&client, FIRST_VALUES..last).await;
        for number in 0..FIRST_VALUES {
            assert!(!client.exists(key(number)).await.unwrap());
        }
    }
}

/// Each fills a disk, and one is much like the other.
const MOST_FULL_ROUNDS: u64 = 3;
/// A segment takes 64 MiB: at least so many values.
const FIRST_VALUES: u64 = 63;
/// Long enough for any compaction.
const PATIENCE: Duration = Duration::from_secs(60);
