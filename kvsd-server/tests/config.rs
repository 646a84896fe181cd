//! The configuration of the real server: checked before it starts, and read again while it runs.

#![allow(clippy::unwrap_used, reason = "a test's helpers unwrap as its functions do")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use support::{Server, assert_prints, binary, outcome};

fn config(folder: &Path, args: &[&str]) -> Output {
    let mut command = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    command.arg("config").args(args).current_dir(folder).output().unwrap()
}

#[test]
fn every_mistake_is_named_at_once_and_a_sound_file_is_ok() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kvsd.toml");
    fs::write(
        &file,
        "max_tabels = 5\nlisten = 7379\nmax_tables = 0\nshutdown_timeout = '2h'\nlog = 'loud'\n\
         tls_cert = 'absent.pem'\nmax_in_flight = 0\n",
    )
    .unwrap();
    let (code, stdout, stderr) =
        outcome(&config(folder.path(), &["check", "--config", "kvsd.toml"]));
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    for said in [
        "unknown key `max_tabels` in kvsd.toml; the nearest valid key is `max_tables`",
        "listen in kvsd.toml: `7379` is not valid",
        "max_tables must be between 1 and 65536, not 0",
        "shutdown_timeout must be between",
        "max_in_flight must be between",
        "log: `loud` is not valid",
        "--tls-cert is given without --tls-key",
        "no users are configured",
    ] {
        let lines =
            stderr.lines().filter(|line| line.starts_with("error: ") && line.contains(said));
        assert_eq!(lines.count(), 1, "`{said}` in: {stderr}");
    }

    fs::write(&file, "dev = true\n").unwrap();
    assert_prints(&config(folder.path(), &["check", "--config", "kvsd.toml"]), "OK\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was made");
}

#[test]
fn a_file_that_is_not_there_is_a_mistake_and_no_file_is_what_the_server_would_do() {
    let folder = tempfile::tempdir().unwrap();
    for (args, said) in
        [(&["check", "--config", "absent"][..], "absent"), (&["check"], "no TLS certificate")]
    {
        let (code, stdout, stderr) = outcome(&config(folder.path(), args));
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
}

#[test]
fn the_reference_names_every_flag_of_the_help() {
    let folder = tempfile::tempdir().unwrap();
    let (code, reference, _) = outcome(&config(folder.path(), &["reference"]));
    assert_eq!(code, Some(0));
    let mut command = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    let (_, help, _) = outcome(&command.arg("--help").output().unwrap());
    let flags = help.lines().map(str::trim_start).filter_map(|line| line.split(' ').next());
    let flags: Vec<_> = flags.filter(|word| word.starts_with("--")).collect();
    assert!(flags.len() > 20, "{help}");
    for flag in flags.into_iter().filter(|flag| *flag != "--config") {
        assert!(reference.contains(&format!("`{flag}`")), "{flag}");
    }
}

#[test]
fn sighup_takes_what_can_change_and_names_what_waits_and_a_bad_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kvsd.toml");
    let text = "dev = true\nlisten = '127.0.0.1:0'\n";
    fs::write(&file, format!("{text}log = 'info'\n")).unwrap();
    let mut server = Server::start(folder, ["--config", "kvsd.toml"]);
    let reload = |server: &mut Server, rest: &str, until: &str| {
        fs::write(&file, format!("{text}{rest}")).unwrap();
        let before = server.log().len();
        let pid = server.child().id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        loop {
            let log = server.log().split_off(before);
            if log.contains(until) {
                return log;
            }
            thread::yield_now();
        }
    };

    let log = reload(&mut server, "log = 'debug'\nmax_tables = 7\n", "wait for a restart");
    assert!(log.contains("changed=log"), "{log}");
    assert!(log.contains("settings=max_tables"), "{log}");
    assert!(log.contains("event=\"settings\""), "{log}");
    assert_eq!(server.run(["ping"]).status.code(), Some(0));
    while !server.log().contains("connected") {
        thread::yield_now();
    }

    let log = reload(&mut server, "log = 'off'\nmax_tabels = 7\n", "not read again");
    assert!(log.contains("the nearest valid key is `max_tables`"), "{log}");
    let log = reload(&mut server, "log = 'loud'\n", "not read again");
    assert!(log.contains("nothing has changed"), "{log}");
}
