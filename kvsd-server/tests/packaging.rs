//! What an operator installs: the unit, the user and folders, the image, the Debian package.
//!
//! Where a tool of systemd is missing, or the test is not run by root, less is checked, and the
//! test says so (`-- --nocapture` shows it). Debian's package `systemd` has all of them.

#![allow(clippy::unwrap_used, reason = "a test's helpers unwrap as its functions do")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::binary;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &str) -> String {
    let path = root().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The output of a tool, if there is one of this name.
fn tool(name: &str, args: &[&str]) -> Option<Output> {
    match Command::new(name).args(args).output() {
        Ok(output) => Some(output),
        Err(error) => {
            println!("checked less: {name} cannot be run: {error}");
            None
        }
    }
}

/// The values of a key of the unit, in order.
fn unit(key: &str) -> Vec<String> {
    let text = read(UNIT);
    let values = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.map(str::to_owned).collect()
}

/// A copy of the unit that starts the binary of this test.
fn unit_of_this_binary(folder: &Path) -> String {
    let file = folder.join("kvsd-server.service");
    let text = read(UNIT).replace("/usr/bin/kvsd-server", env!("CARGO_BIN_EXE_kvsd-server"));
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn systemd_has_nothing_to_say_about_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let file = unit_of_this_binary(folder.path());
    let Some(output) = tool("systemd-analyze", &["verify", "--man=no", &file]) else {
        return;
    };
    // An unknown key is a line on standard error, and no failure.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn systemd_finds_little_that_the_unit_leaves_open() {
    let folder = tempfile::tempdir().unwrap();
    let file = unit_of_this_binary(folder.path());
    let args = ["security", "--offline=true", "--threshold=20", &file];
    let Some(output) = tool("systemd-analyze", &args) else {
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_unit_starts_what_the_binary_understands() {
    let [command] = &unit("ExecStart")[..] else {
        panic!("one ExecStart");
    };
    let mut words = command.split(' ');
    assert_eq!(words.next(), Some("/usr/bin/kvsd-server"));
    let args: Vec<&str> = words.collect();
    let [flag, config] = args[..] else { panic!("{args:?}") };
    assert_eq!(flag, "--config");
    assert_eq!(unit("ConditionPathExists"), [config]);
    let folder = Path::new(config).parent().unwrap();
    assert_eq!(unit("WorkingDirectory"), [folder.to_str().unwrap()]);

    // Elsewhere, `init` makes what the command then takes: all that is missing is an address.
    let here = tempfile::tempdir().unwrap();
    let data = here.path().join("kvsd");
    let mut init = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    assert!(init.arg("init").arg("--data-dir").arg(&data).output().unwrap().status.success());
    let made = data.join(Path::new(config).file_name().unwrap());
    assert!(made.exists(), "init makes no {}", made.display());
}

#[test]
fn a_mistake_in_the_configuration_ends_with_the_code_that_is_not_tried_again() {
    assert_eq!(unit("RestartPreventExitStatus"), ["2"]);
    let mut server = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    let output = server.args(["--config", "/absent/kvsd.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_user_and_the_folders_come_into_being() {
    let sysusers = read("packaging/kvsd-server.sysusers");
    let tmpfiles = read("packaging/kvsd-server.tmpfiles");
    assert!(sysusers.contains("\nu kvsd - "));
    let folders = ["kvsd"];
    assert_eq!(unit("StateDirectory"), [folders.join(" ")]);
    for folder in folders {
        assert!(tmpfiles.contains(&format!("\nd /var/lib/{folder} 0700 kvsd kvsd -")), "{folder}");
    }

    if !rustix::process::geteuid().is_root() {
        println!("checked less: only root can make users and folders that are theirs");
        return;
    }
    let tree = tempfile::tempdir().unwrap();
    let place = |folder: &str, text: &str| {
        let folder = tree.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("kvsd-server.conf"), text).unwrap();
    };
    fs::create_dir(tree.path().join("etc")).unwrap();
    place("usr/lib/sysusers.d", &sysusers);
    place("usr/lib/tmpfiles.d", &tmpfiles);
    let at = format!("--root={}", tree.path().display());
    for (name, args) in
        [("systemd-sysusers", &[at.as_str()][..]), ("systemd-tmpfiles", &[&at, "--create"])]
    {
        let Some(output) = tool(name, args) else {
            return;
        };
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let users = fs::read_to_string(tree.path().join("etc/passwd")).unwrap();
    let id: u32 = users
        .lines()
        .find_map(|line| line.strip_prefix("kvsd:x:"))
        .unwrap()
        .split(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    for folder in folders {
        use std::os::unix::fs::MetadataExt;
        let made = fs::metadata(tree.path().join("var/lib").join(folder)).unwrap();
        assert_eq!((made.uid(), made.mode() & 0o7777), (id, 0o700), "{folder}");
    }
}

/// The instructions of the Dockerfile, each on one line.
fn dockerfile() -> Vec<(String, String)> {
    let text = read("packaging/Dockerfile").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap()).map(|(a, b)| (a.into(), b.into())).collect()
}

fn instructions(name: &str) -> Vec<String> {
    dockerfile().into_iter().filter(|(one, _)| one == name).map(|(_, rest)| rest).collect()
}

/// What the build copies out of the repository.
fn copied() -> Vec<String> {
    let copies = instructions("COPY");
    let ours = copies.iter().filter(|words| !words.starts_with("--from="));
    let sources = ours.flat_map(|words| words.split_whitespace().rev().skip(1));
    sources.map(str::to_owned).collect()
}

/// The Debian packages that the etcd engine is built with.
const PROTOC: [&str; 2] = ["protobuf-compiler", "libprotobuf-dev"];

#[test]
fn the_image_is_built_from_files_that_are_there_and_make_a_workspace() {
    let ignored = read("packaging/Dockerfile.dockerignore");
    let allowed: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let mut copied = copied();
    assert!(copied.len() > 4, "the copies were not found");
    let here = tempfile::tempdir().unwrap();
    for name in &copied {
        copy(&root().join(name), &here.path().join(name));
    }
    copied.sort();
    let mut expected: Vec<String> = allowed.iter().map(|&name| name.to_owned()).collect();
    expected.sort();
    assert_eq!(copied, expected, "the image's build sees other files than it copies");

    let args = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output = Command::new(env!("CARGO")).args(args).current_dir(here.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let [tools, build] = &instructions("RUN")[..] else { panic!("two RUN") };
    let command = "cargo build --locked --release -p kvsd-server --features etcd && ";
    assert!(build.starts_with(command), "{build}");
    assert!(PROTOC.iter().all(|package| tools.contains(package)), "{tools}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"name\":\"kvsd-server\""));
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    }
}

#[test]
fn the_gate_installs_what_the_image_is_built_with() {
    let gate = read(".ci/run");
    assert!(gate.contains(&format!("install {} ", PROTOC.join(" "))));
}

#[test]
fn the_image_is_built_by_the_gates_rust_on_the_debian_that_it_runs_on() {
    let gate = read(".ci/run");
    let toolchain = gate.lines().find_map(|line| line.strip_prefix("readonly TOOLCHAIN=")).unwrap();
    let minor = toolchain.rsplit_once('.').unwrap().0;
    let [build, run] = &instructions("FROM")[..] else { panic!("two stages") };
    let debian = run.strip_prefix("debian:").unwrap().strip_suffix("-slim").unwrap();
    assert_eq!(*build, format!("rust:{minor}-slim-{debian} AS build"));
}

#[test]
fn the_image_runs_as_nobody_special_and_what_it_runs_is_understood() {
    let [user] = &instructions("USER")[..] else { panic!("one USER") };
    let ids: Vec<u32> = user.split(':').map(|id| id.parse().unwrap()).collect();
    assert!(ids.len() == 2 && ids.iter().all(|id| *id > 0), "{user}");
    assert_eq!(instructions("ENTRYPOINT"), ["[\"kvsd-server\"]"]);
    // What stands in the place of arguments: a variable that the binary reads.
    let [variable] = &instructions("ENV")[..] else { panic!("one ENV") };
    let (name, file) = variable.split_once('=').unwrap();
    let mut server = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    let output = server.env(name, file).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains(file), "{output:?}");
    let folder = Path::new(file).parent().unwrap().to_str().unwrap();
    assert_eq!(instructions("VOLUME"), [folder]);
    let port = kvsd_server::config::DEFAULT_PORT.to_string();
    assert_eq!(instructions("EXPOSE"), [port]);
}

#[test]
fn the_images_health_check_is_good_only_while_the_server_says_so() {
    let [check] = &instructions("HEALTHCHECK")[..] else { panic!("one HEALTHCHECK") };
    let words = check.split_once("CMD ").unwrap().1;
    let words: Vec<String> = serde_json::from_str(words).unwrap();
    assert_eq!(words[0], "kvsd-server");
    for (status, code) in [("200 OK", 0), ("503 Service Unavailable", 1)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = binary(env!("CARGO_BIN_EXE_kvsd-server"));
        command.args(&words[1..]).arg("--status").arg(listener.local_addr().unwrap().to_string());
        let output = std::thread::scope(|scope| {
            let asked = scope.spawn(|| command.output().unwrap());
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let mut line = String::from("-");
            while !line.trim().is_empty() {
                line.clear();
                assert_ne!(stream.read_line(&mut line).unwrap(), 0);
            }
            write!(stream.get_mut(), "HTTP/1.1 {status}\r\n\r\nso it is\n").unwrap();
            drop(stream);
            asked.join().unwrap()
        });
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
}

#[test]
fn the_debian_package_takes_files_that_are_there() {
    let manifest: toml::Table = toml::from_str(&read("kvsd-server/Cargo.toml")).unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let package = root().join("kvsd-server");
    let mut binaries = Vec::new();
    for asset in deb["assets"].as_array().unwrap() {
        let source = asset[0].as_str().unwrap();
        match source.strip_prefix("target/release/") {
            Some(binary) => binaries.push(binary),
            None => assert!(package.join(source).is_file(), "{source}"),
        }
    }
    assert_eq!(binaries, ["kvsd-server", "kvsd"]);
    assert_eq!(deb["features"].as_array().unwrap()[..], ["etcd".into()]);
    assert!(package.join(deb["license-file"][0].as_str().unwrap()).is_file());
    let units = &deb["systemd-units"];
    let unit = format!("{}.service", units["unit-name"].as_str().unwrap());
    assert!(package.join(units["unit-scripts"].as_str().unwrap()).join(unit).is_file());

    let scripts = package.join(deb["maintainer-scripts"].as_str().unwrap());
    for script in ["postinst", "postrm"] {
        let script = scripts.join(script);
        let output = Command::new("/bin/sh").arg("-n").arg(&script).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        // Where cargo-deb puts what starts, restarts and stops the unit.
        assert!(fs::read_to_string(&script).unwrap().contains("\n#DEBHELPER#\n"));
    }
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let page = read("docs/threat-model.md");
    let mut sources = String::new();
    for folder in ["kvsd-server/src", "kvsd-server/tests", "kvsd/src", "kvsd/tests", "tests"] {
        gather(&root().join(folder), &mut sources);
    }
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.ends_with("` |"));
    let shown = rows.filter_map(|row| row.trim_end_matches(" |").rsplit_once(" | "));
    let names: Vec<&str> = shown.flat_map(|(_, names)| names.split(", ")).collect();
    assert!(names.len() > 30, "the tests were not found");
    for name in names {
        let name = name.trim_matches('`');
        assert!(sources.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}

fn gather(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

const UNIT: &str = "packaging/kvsd-server.service";
