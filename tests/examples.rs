//! The examples as a user runs them: what they print, and how they end.
//!
//! `cargo test` builds the examples before it runs this.

mod support;

use std::ffi::OsStr;
use std::net::TcpListener;
use std::process::{Command, Output};

use support::DevServer;

/// Runs an example to its end, without any setting of the environment that it would listen to.
fn run(name: &str, arguments: &[impl AsRef<OsStr>]) -> Output {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(program.exists(), "{} is not built: `cargo test` without `--test`", program.display());
    Command::new(program)
        .args(arguments)
        .env_remove("KVSD_URL")
        .env_remove("KVSD_TLS_CA")
        .output()
        .unwrap()
}

/// Runs an example beside what this runtime does.
async fn run_beside(name: &'static str, arguments: Vec<String>) -> Output {
    tokio::task::spawn_blocking(move || run(name, &arguments)).await.unwrap()
}

/// What a run that must go well printed.
#[track_caller]
fn printed(output: &Output) -> String {
    let (out, err) = texts(output);
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert_eq!(err, "");
    out
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn the_quickstart_shows_each_line_with_what_it_did() {
    let shown = printed(&run("quickstart", &[""; 0]));
    for expected in [
        "  client.get::<String>(\"greeting\").await?\n    -> Some(\"hello\")\n",
        "  client.put(&ada).await?\n    -> Version(1)\n",
        "the stored value is a User, not text",
        "a condition does not hold: the record has version 2",
        // The first take has it, the second finds nothing.
        "  client.take::<String>(\"greeting\").await?\n    -> Some(\"hello\")\n",
        "  client.take::<String>(\"greeting\").await?\n    -> None\n",
        // After the folder was closed and opened again.
        "  client.fetch(User::key_of(7)).await?\n    -> Some(User { id: 7, name: \"Ada Lovelace\"",
        "    -> Some(Entry { key: b\"user/00000000000000000007\", value: User { id: 7,",
    ] {
        assert!(shown.contains(expected), "{expected:?} is missing in:\n{shown}");
    }
}

#[test]
fn the_evolution_example_reads_what_last_year_stored() {
    let shown = printed(&run("evolution", &[""; 0]));
    for expected in [
        "  records.get::<Record>(\"record/7\").await?\n    -> Some(Record { id: 7, title: \"Ada\"",
        "the stored Record has version 2, and this program knows up to 1",
        "the stored Record of version 1 cannot become one of version 2",
        ": no minute has 75 seconds",
        "the stored value is a Note, not a Record",
    ] {
        assert!(shown.contains(expected), "{expected:?} is missing in:\n{shown}");
    }
}

#[test]
fn the_live_view_follows_changes_and_comes_back_after_a_gap() {
    let shown = printed(&run("live_view", &[""; 0]));
    for expected in [
        "as the view opens:\n    order 1: 500 x paper (version 1)\n    \
         order 2: 3 x ink (version 2)\n",
        "and a new order:\n    order 2: 5 x ink (version 3)\n    \
         order 3: 100 x envelopes (version 5)\n",
        "begun again:\n    order 4: 50 x stamps (version ",
    ] {
        assert!(shown.contains(expected), "{expected:?} is missing in:\n{shown}");
    }
    assert_eq!(shown.matches("(a gap: reading everything anew)\n").count(), 1, "{shown}");
}

#[test]
fn the_records_example_keeps_one_record_a_day_and_scans_them_in_order() {
    let shown = printed(&run("records", &[""; 0]));
    let (ada, bob) =
        ("01905f00-0000-7000-8000-000000000007", "01905f00-0000-7000-8000-000000000008");
    for expected in [
        format!("\n  visit/{ada}/2025-12-30\n"),
        "came_at: 2026-01-07T10:00:00Z, reason: \"still a cough\" })".to_owned(),
        "    -> put: a condition does not hold: the record has version 2".to_owned(),
        "    -> 2026-03-02 09:30:00 UTC: a check\n    -> 2026-01-07 10:00:00 UTC: still a cough\n\n"
            .to_owned(),
        format!(
            "    -> {ada} 2025-12-30: a cough\n    -> {ada} 2026-01-07: still a cough\n    \
             -> {ada} 2026-03-02: a check\n    -> {bob} 2026-01-07: a sprain\n\n"
        ),
        "  client.remove(Visit::key_of((bob, day))).await?\n    -> true\n".to_owned(),
        "  client.fetch(Visit::key_of((bob, day))).await?\n    -> None\n".to_owned(),
    ] {
        assert!(shown.contains(&expected), "{expected:?} is missing in:\n{shown}");
    }
}

#[test]
fn the_counter_example_counts_each_task_and_says_what_contention_costs() {
    let shown = printed(&run("counter", &[""; 0]));
    assert!(shown.contains("\n  the number is 640\n"), "{shown}");
    assert!(shown.contains("  500 sit, 140 were turned away, nobody is lost\n"), "{shown}");
    let (_, attempts) = shown.split_once("640 changes took ").unwrap();
    let (attempts, _) = attempts.split_once(" attempts").unwrap();
    assert!(attempts.parse::<u64>().unwrap() >= 640, "{shown}");
}

#[test]
fn the_cache_example_makes_an_entry_once_for_all_who_miss_it() {
    let shown = printed(&run("cache", &[""; 0]));
    assert_eq!(
        shown.matches("  Forecast { city: \"Kyoto\", degrees: 21 }\n").count(),
        10,
        "{shown}"
    );
    assert_eq!(shown.matches("was asked 1 time.\n").count(), 2, "{shown}");
    // After it has ended.
    assert!(shown.ends_with("was asked 2 times.\n"), "{shown}");
}

#[test]
fn the_transfer_example_neither_makes_nor_loses_money() {
    let shown = printed(&run("transfer", &[""; 0]));
    let paid_once = "  account/ada: 70.00\n  account/bob: 130.00\n  account/cai: 100.00\n";
    assert!(shown.contains(paid_once), "{shown}");
    let (_, rush) = shown.split_once("200 transfers at once:\n").unwrap();
    let (made, rest) = rush.trim_start().split_once(" were made; for ").unwrap();
    let (too_little, _) = rest.split_once(' ').unwrap();
    let [made, too_little] = [made, too_little].map(|count| count.parse::<u32>().unwrap());
    assert!(made > 0 && made + too_little == 200, "{shown}");
    assert!(rush.ends_with("  together: 400.00\n"), "{shown}");
}

#[test]
fn the_notes_example_keeps_its_notes_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("notes").display().to_string();
    let notes = |command: &[&str]| {
        let command = [&[folder.as_str()], command].concat();
        let output = run("notes", &command);
        let (out, err) = texts(&output);
        (output.status.code(), out + &err)
    };
    let says = |text: &str| (Some(0), text.to_owned());
    assert_eq!(notes(&["list"]), says("no notes\n"));
    assert_eq!(notes(&["add", "buy", "bread"]), says("added note 1\n"));
    assert_eq!(notes(&["add", "call Ada"]), says("added note 2\n"));
    assert_eq!(notes(&["list"]), says("   1  buy bread\n   2  call Ada\n"));
    assert_eq!(notes(&["remove", "2"]), says("removed note 2\n"));
    assert_eq!(notes(&["remove", "2"]), (Some(1), "error: there is no note 2\n".to_owned()));
    // A number that was taken is not given again.
    assert_eq!(notes(&["add", "call Bob"]), says("added note 3\n"));
    assert_eq!(notes(&["list"]), says("   1  buy bread\n   3  call Bob\n"));

    for wrong in [&[][..], &["add"], &["remove", "x"], &["list", "all"], &["help"]] {
        let (code, said) = notes(wrong);
        assert!(code == Some(2) && said.starts_with("usage: notes FOLDER"), "{wrong:?}: {said}");
    }
}

#[tokio::test]
async fn the_notes_example_says_why_a_folder_cannot_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let held = kvsd_server::Embedded::open(folder.path()).await.unwrap();
    let arguments = vec![folder.path().display().to_string(), "list".to_owned()];
    let output = run_beside("notes", arguments).await;
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    let reason = format!("the data folder {} is in use", folder.path().display());
    assert_eq!(err, format!("error: cannot open the data folder: {reason} by another process\n"));
    held.close().await.unwrap();
}

#[test]
fn the_remote_example_without_a_server_says_how_to_start_one() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = run("remote", &[format!("kvsd://{closed}")]);
    let (out, err) = texts(&output);
    assert_eq!((output.status.code(), out.as_str()), (Some(1), ""));
    assert!(err.contains(&closed.to_string()), "{err}");
    assert!(err.contains("cargo run --bin kvsd-server -- --dev"), "{err}");
}

#[tokio::test]
async fn the_remote_example_loses_no_count_of_its_tasks() {
    let server = DevServer::start().await;
    let shown = printed(&run_beside("remote", vec![server.url("")]).await);
    assert!(shown.contains("100 tasks added one to the same counter: it says 100\n"), "{shown}");
    server.stop().await;
}

#[tokio::test]
async fn the_import_stores_into_a_server_and_verifies_it_again_later() {
    let server = DevServer::start().await;
    let url = server.url("?pool=3");
    let verified = |shown: &str| shown.contains("verified 300 packages in ");

    let nothing_yet = run_beside("import_packages", words(&["--url", &url, "--verify-only"])).await;
    let (_, complaint) = texts(&nothing_yet);
    assert_eq!(nothing_yet.status.code(), Some(1));
    assert!(complaint.ends_with(": not found\n"), "{complaint}");

    let shown = printed(&run_beside("import_packages", words(&["--url", &url])).await);
    assert!(shown.contains("stored 300 packages in ") && verified(&shown), "{shown}");
    let again = run_beside("import_packages", words(&["--url", &url, "--verify-only"])).await;
    let shown = printed(&again);
    assert!(!shown.contains("stored") && verified(&shown), "{shown}");
    server.stop().await;
}

#[test]
fn the_import_keeps_a_folder_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("data").display().to_string();
    printed(&run("import_packages", &["--data-dir", &folder]));
    printed(&run("import_packages", &["--data-dir", &folder, "--verify-only"]));
}

#[test]
fn the_import_tells_a_wrong_call_from_a_failure() {
    let wrong: [&[&str]; 6] = [
        &["--verify-only"],
        &["--url"],
        &["--url", "kvsd://localhost", "--data-dir", "x"],
        &["--loud"],
        &["one", "two"],
        &["--data-dir"],
    ];
    for arguments in wrong {
        let output = run("import_packages", arguments);
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {err}");
        assert!(err.contains("usage: import_packages"), "{err}");
    }
    assert_eq!(run("import_packages", &["no-such-file"]).status.code(), Some(1));
}
