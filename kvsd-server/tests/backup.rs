//! `kvsd admin backup` and `kvsd-server restore` with a real server.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the right answer to a surprise")]

mod support;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use support::{Server, assert_fails, binary, kvsd, outcome};
use tempfile::TempDir;

const WRITERS: usize = 4;

fn tool(folder: &Path, args: &[&str]) -> Command {
    let mut command = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    command.args(args).current_dir(folder);
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    tool(folder, args).output().unwrap()
}

/// `kvsd admin` beside the usual data folder.
fn admin(folder: &Path, args: &[&str]) -> Command {
    let mut command = kvsd(["admin"].iter().chain(args));
    command.current_dir(folder);
    command
}

fn back_up(folder: &Path, name: &str) -> Output {
    admin(folder, &["backup", name]).output().unwrap()
}

fn serve(folder: TempDir, args: &[&str]) -> Server {
    let dev = ["--dev", "--listen", "127.0.0.1:0"];
    Server::start(folder, dev.iter().chain(args))
}

fn with_backups() -> Server {
    serve(tempfile::tempdir().unwrap(), &["--backups", "backups"])
}

async fn client(server: &Server) -> kvsd::Client {
    kvsd::Client::connect(&format!("kvsd://{}", server.address)).await.unwrap()
}

/// Stops the server as an operator does; its folder.
fn stop(mut server: Server) -> TempDir {
    kill_process(Pid::from_child(server.child()), Signal::TERM).unwrap();
    assert!(server.child().wait().unwrap().success());
    server.into_folder()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    files.sort();
    files
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("kvsd-data/admin.sock")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_under_load_holds_all_that_was_acknowledged_before() {
    let server = with_backups();
    let writer = client(&server).await;
    let acknowledged: Arc<Vec<AtomicU64>> =
        Arc::new((0..WRITERS).map(|_| AtomicU64::new(0)).collect());
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let table = writer.table(&format!("table-{}", number % 2)).unwrap();
            let (acknowledged, is_over) = (Arc::clone(&acknowledged), Arc::clone(&is_over));
            tokio::spawn(async move {
                for count in 1.. {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    // The newest value under one key, and every one under a key of its own.
                    table.set(format!("last-{number}"), count).await.unwrap();
                    table.set(format!("each-{number}-{count}"), count).await.unwrap();
                    acknowledged[number].store(count, Ordering::SeqCst);
                }
            })
        })
        .collect();
    while acknowledged.iter().any(|count| count.load(Ordering::SeqCst) < 20) {
        tokio::task::yield_now().await;
    }
    let mut before = Vec::new();
    for round in 1..=3 {
        before = acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).collect::<Vec<_>>();
        let name = format!("round-{round}");
        let mut backup = admin(server.folder(), &["backup", &name]);
        let output = tokio::task::spawn_blocking(move || backup.output().unwrap()).await.unwrap();
        let (code, stdout, stderr) = outcome(&output);
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        assert!(stderr.starts_with("users, certificates and configuration"), "{stderr}");
        assert!(stdout.starts_with("backed up 2 tables, "), "{stdout}");
        assert!(stdout.ends_with(&format!(" as {name}\n")), "{stdout}");
    }
    is_over.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    let last = writer.table("table-0").unwrap().get::<u64>("last-0").versioned().await.unwrap();
    let shown = last.unwrap().version;
    writer.close().await;
    let folder = stop(server);

    let (code, stdout, stderr) =
        outcome(&run(folder.path(), &["restore", "backups/round-3", "--data-dir", "new/data"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.starts_with("restored 2 tables, ") && stdout.contains("users"), "{stdout}");
    for data in ["kvsd-data", "new/data"] {
        let (code, stdout, _) = outcome(&run(folder.path(), &["verify", "--data-dir", data]));
        assert_eq!(code, Some(0), "{stdout}");
        assert!(stdout.contains("\nOK: 2 tables, "), "{stdout}");
        assert!(!stdout.contains("warning"), "{stdout}");
    }

    let server = serve(folder, &["--data-dir", "new/data"]);
    let reader = client(&server).await;
    for (number, before) in before.into_iter().enumerate() {
        let table = reader.table(&format!("table-{}", number % 2)).unwrap();
        let last = table.get::<u64>(&format!("last-{number}")).await.unwrap().unwrap();
        assert!(last >= before, "writer {number}: {last}, {before} was acknowledged");
        for count in 1..=before {
            let each = table.get::<u64>(&format!("each-{number}-{count}")).await.unwrap();
            assert_eq!(each, Some(count), "writer {number}");
        }
    }
    let table = reader.table("table-0").unwrap();
    table.set("last-0", 0).await.unwrap();
    let again = table.get::<u64>("last-0").versioned().await.unwrap().unwrap().version;
    assert!(again.get() > shown.get(), "a version that was shown never returns");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_backed_up_or_restored_is_refused_in_plain_words() {
    let server = serve(tempfile::tempdir().unwrap(), &[]);
    let backup = |server: &Server, name| back_up(server.folder(), name);
    assert_fails(&backup(&server, "one"), 3, &["no folder for backups", "--backups"]);
    let folder = stop(server);
    assert_fails(&back_up(folder.path(), "one"), 3, &["no server", "kvsd-data", "--socket"]);

    let server = serve(folder, &["--backups", "backups"]);
    client(&server).await.set("key", "canary").await.unwrap();
    for name in ["../one", "a/b", ".one", "one.partial", ""] {
        assert_fails(&backup(&server, name), 2, &["a backup's name has 1 to 64"]);
    }
    assert_eq!(backup(&server, "one").status.code(), Some(0));
    assert_fails(&backup(&server, "one"), 2, &["there is a backup called one already"]);
    let folder = stop(server);
    let path = folder.path();

    let before = files(path);
    for args in [&["--dev"][..], &["verify"], &["dump"], &["salvage", "--to", "saved"]] {
        let mut args = args.to_vec();
        args.extend(["--data-dir", "backups/one"]);
        let output = run(path, &args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = outcome(&output).2;
        assert!(said.contains("backups/one is a backup"), "{said}");
        assert!(said.contains("kvsd-server restore backups/one"), "{said}");
    }
    let restore = |from, to| run(path, &["restore", from, "--data-dir", to]);
    assert_fails(&restore("backups/one", "kvsd-data"), 1, &["kvsd-data", "not empty"]);
    assert_fails(&restore("backups/none", "new"), 1, &["backups/none/BACKUP", "No such file"]);
    assert_eq!(files(path), before);

    let damaged = path.join("backups/one/tables/00000001/00000001.seg");
    let mut content = fs::read(&damaged).unwrap();
    let at = content.windows(6).position(|bytes| bytes == b"canary").unwrap();
    content[at] ^= 1;
    fs::remove_file(&damaged).unwrap();
    fs::write(&damaged, content).unwrap();
    let said = &["backups/one/tables/00000001/00000001.seg is damaged at byte 64"];
    assert_fails(&restore("backups/one", "new"), 1, said);
    assert_eq!(files(path), before);
    assert_eq!(run(path, &["verify"]).status.code(), Some(0));
}

#[test]
fn what_a_killed_server_has_left_of_a_backup_is_not_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("backups/one.partial/tables/00000001")).unwrap();
    fs::write(folder.path().join("backups/one.partial/tables/00000001/MANIFEST"), "x").unwrap();
    let server = serve(folder, &["--backups", "backups"]);
    assert_eq!(back_up(server.folder(), "one").status.code(), Some(0));
    let backups = server.folder().join("backups");
    assert_eq!(files(&backups), [backups.join(".lock"), backups.join("one/BACKUP")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_can_still_be_administered_by_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder, &["--backups", "backups", "--max-connections", "1"]);
    let url = format!("kvsd://{}", server.address);
    let only = kvsd::Client::builder().url(&url).unwrap().pool_size(1).connect().await.unwrap();
    only.set("key", "value").await.unwrap();
    let metadata = fs::symlink_metadata(socket(server.folder())).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);

    // Administrators who say nothing take no slot of anybody else's.
    let connect = || UnixStream::connect(socket(server.folder())).unwrap();
    let idle: Vec<UnixStream> = (0..3).map(|_| connect()).collect();
    assert_eq!(back_up(server.folder(), "one").status.code(), Some(0));
    assert_eq!(only.get::<String>("key").await.unwrap().as_deref(), Some("value"));
    drop(idle);
    only.close().await;
    let folder = stop(server);
    assert!(!fs::exists(socket(folder.path())).unwrap());
}

#[test]
fn the_socket_of_a_killed_server_is_replaced_and_anything_else_is_left_alone() {
    let server = with_backups();
    let folder = server.into_folder();
    assert!(fs::exists(socket(folder.path())).unwrap());
    assert_fails(&back_up(folder.path(), "one"), 3, &["no server is running"]);
    let server = serve(folder, &["--backups", "backups"]);
    assert_eq!(back_up(server.folder(), "one").status.code(), Some(0));
    let folder = stop(server);

    fs::write(socket(folder.path()), "mine").unwrap();
    let server = serve(folder, &["--backups", "backups"]);
    assert!(server.log().contains("admin.sock is in the way"), "{}", server.log());
    let folder = stop(server);
    assert_eq!(fs::read_to_string(socket(folder.path())).unwrap(), "mine");
}

#[test]
fn nonsense_on_the_administrators_socket_is_answered_and_ends_nothing_else() {
    use std::io::{Read, Write};

    let server = with_backups();
    let mut answers = Vec::new();
    for said in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"*2\r\n#!:1\r\n*2\r\n#P:2\r\n",
        b"*3\r\n#B:3\r\n+../one\r\n",
        b"*1\r\n#P",
        &[b'*'; 20_000],
    ] {
        let mut stream = UnixStream::connect(socket(server.folder())).unwrap();
        stream.write_all(said).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut answer);
        answers.push(String::from_utf8(answer).unwrap());
    }
    let said = [
        &["#f|+PROTOCOL"][..],
        &["#f:1\r\n+UNSUPPORTED", "#p:2\r\n:0\r\n:0\r\n"],
        &["#f:3\r\n+INVALID"],
        &["#f|+INVALID"],
        &["#f|+PROTOCOL"],
    ];
    for (answer, said) in answers.iter().zip(said) {
        for words in said {
            assert!(answer.contains(words), "`{words}` is not in {answer:?}");
        }
    }
    let output = admin(server.folder(), &["backup", "one"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}
