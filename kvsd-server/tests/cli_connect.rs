//! How `kvsd` finds a server and comes in, and what it says when it cannot.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the right answer to a surprise")]

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use support::{
    Certificates, Server, assert_fails, assert_prints, binary, kvsd, outcome, run_with_input, shell,
};
use tokio::net::TcpSocket;

const PASSWORD: &str = "canary-pass:w@rd/1";
/// As it stands in a URL.
const ESCAPED: &str = "canary-pass%3Aw%40rd%2F1";

/// A server with TLS, a certificate for these hosts, and the user `app`.
fn tls_server(hosts: &[&str]) -> (Server, Certificates) {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path(), "one", hosts);
    let mut add = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    add.args(["user", "add", "app", "--users", "users", "--grant", "write@*"])
        .current_dir(folder.path());
    let output = run_with_input(&mut add, format!("{PASSWORD}\n").as_bytes());
    assert!(output.status.success(), "{output:?}");
    let file = |path: &Path| path.to_str().unwrap().to_owned();
    let args = [
        "--listen=127.0.0.1:0".to_owned(),
        "--users=users".to_owned(),
        format!("--tls-cert={}", file(&certificates.server)),
        format!("--tls-key={}", file(&certificates.server_key)),
    ];
    (Server::start(folder, args), certificates)
}

/// `kvsd` with these variables and no others of ours.
fn run(variables: &[(&str, &str)], args: &[&str]) -> Output {
    kvsd(args).envs(variables.iter().copied()).output().unwrap()
}

/// A socket that holds a port and does not listen on it, so that nobody else can.
fn closed_port() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket
}

#[test]
fn the_address_comes_from_the_flag_then_the_url_then_the_host() {
    let [flag, url, host] = [(); 3].map(|()| Server::dev());
    for (server, name) in [(&flag, "flag"), (&url, "url"), (&host, "host")] {
        assert_prints(&server.run(["set", "name", name]), "OK\n");
    }
    let flag = format!("kvsd://{}", flag.address);
    let url = format!("kvsd://{}", url.address);
    let host = host.address.to_string();
    let (url, host) = (("KVSD_URL", url.as_str()), ("KVSD_HOST", host.as_str()));

    assert_prints(&run(&[url, host], &["get", "name", "--url", &flag]), "flag\n");
    assert_prints(&run(&[url, host], &["get", "name"]), "url\n");
    assert_prints(&run(&[host], &["get", "name"]), "host\n");
    assert_prints(&run(&[("KVSD_URL", ""), host], &["get", "name"]), "host\n");
    // The first that is there counts, even if it is no good.
    assert_fails(&run(&[url, host], &["ping", "--url", "x"]), 2, &["--url: "]);
    assert_fails(&run(&[("KVSD_URL", "x"), host], &["ping"]), 2, &["KVSD_URL: "]);
}

#[test]
fn a_local_host_means_plain_tcp_and_any_other_means_tls() {
    let server = Server::dev();
    let port = server.address.port();
    for host in ["127.0.0.1", "localhost"] {
        let host = format!("{host}:{port}");
        assert!(run(&[("KVSD_HOST", &host)], &["ping"]).status.success(), "{host}");
    }
    // This machine by another name: TLS is tried, and a plain server is told from a closed port.
    let host = format!("0.0.0.0:{port}");
    let output = run(&[("KVSD_HOST", &host)], &["ping"]);
    assert_fails(&output, 3, &["does not speak TLS", "kvsd://", &host]);
}

#[test]
fn a_ca_means_tls_for_a_local_host_too() {
    let (server, certificates) = tls_server(&["127.0.0.1"]);
    let host = server.address.to_string();
    let ca = certificates.ca.to_str().unwrap();
    let who = [("KVSD_HOST", host.as_str()), ("KVSD_USERNAME", "app"), ("KVSD_PASSWORD", PASSWORD)];
    assert!(run(&who, &["--ca", ca, "ping"]).status.success());
    let by_variable = [&who[..], &[("KVSD_TLS_CA", ca)]].concat();
    assert!(run(&by_variable, &["ping"]).status.success());
    // The flag beats the variable.
    let wrong = [&who[..], &[("KVSD_TLS_CA", "absent.pem")]].concat();
    assert_fails(&run(&wrong, &["ping"]), 2, &["absent.pem"]);
    assert!(run(&wrong, &["ping", "--ca", ca]).status.success());
    // So does the URL, and without TLS the variable is not asked for.
    let url = format!("kvsds://{host}?ca={}", ca.replace(' ', "%20"));
    assert!(run(&wrong, &["ping", "--url", &url]).status.success());
    let dev = Server::dev();
    let url = format!("kvsd://{}", dev.address);
    assert!(run(&wrong, &["ping", "--url", &url]).status.success());
    assert_fails(&run(&[("KVSD_URL", &url), wrong[3]], &["ping"]), 2, &["plain TCP", "kvsds://"]);
}

#[test]
fn user_and_password_of_the_environment_fill_what_the_url_lacks() {
    let (server, certificates) = tls_server(&["127.0.0.1"]);
    let ca = certificates.ca.to_str().unwrap();
    let address = server.address;
    let [user, password] = [("KVSD_USERNAME", "app"), ("KVSD_PASSWORD", PASSWORD)];
    let [other_user, other_password] = [("KVSD_USERNAME", "ops"), ("KVSD_PASSWORD", "wrong")];
    let cases = [
        (format!("kvsds://{address}"), &[user, password][..], true),
        (format!("kvsds://app@{address}"), &[password], true),
        (format!("kvsds://app@{address}"), &[other_user, password], true),
        (format!("kvsds://app:{ESCAPED}@{address}"), &[], true),
        (format!("kvsds://app:{ESCAPED}@{address}"), &[other_user, other_password], true),
        (format!("kvsds://app:wrong@{address}"), &[user, password], false),
        (format!("kvsds://{address}"), &[], false),
    ];
    for (url, variables, comes_in) in &cases {
        for output in [
            run(variables, &["ping", "--ca", ca, "--url", url]),
            run(&[variables, &[("KVSD_URL", url.as_str())][..]].concat(), &["ping", "--ca", ca]),
        ] {
            if *comes_in {
                assert!(output.status.success(), "{url} {variables:?}: {output:?}");
            } else {
                assert_fails(&output, 3, &["not authenticated", "KVSD_PASSWORD"]);
            }
        }
    }
    let output = run(&[password], &["ping", "--ca", ca, "--url", &cases[0].0]);
    assert_fails(&output, 2, &["a password is given, but no user name"]);
}

#[test]
fn each_way_not_to_come_in_is_said_at_once_and_by_name() {
    let (server, certificates) = tls_server(&["127.0.0.1"]);
    let (other, _) = tls_server(&["other.example"]);
    let dev = Server::dev();
    let closed_port = closed_port();
    let closed = closed_port.local_addr().unwrap().to_string();
    let ca = certificates.ca.to_str().unwrap();
    let strange = Certificates::make(server.folder(), "two", &[]);
    let strange = strange.ca.to_str().unwrap();
    let other_ca = other.folder().join("one ca.pem");
    let other_ca = other_ca.to_str().unwrap();
    let plain = |address: &str| format!("kvsd://app:{ESCAPED}@{address}");
    let tls = |address: &str| format!("kvsds://app:{ESCAPED}@{address}");
    let (server, other, dev) =
        (server.address.to_string(), other.address.to_string(), dev.address.to_string());
    // No name server knows it, and none needs to be asked: a label has at most 63 letters.
    let nowhere = "x".repeat(64);

    let refused = |args: &[&str], said: &[&str]| {
        let output = run(&[], &[args, &["set", "key", "canary-value"]].concat());
        assert_fails(&output, 3, said);
        let (_, _, stderr) = outcome(&output);
        assert!(!stderr.contains("canary"), "{stderr}");
        // Each ends on its own account, not because nothing more came.
        assert!(!stderr.contains("within"), "{stderr}");
    };
    let wrong_password = format!("kvsds://app:canary@{server}");
    refused(
        &["--url", &wrong_password, "--ca", ca],
        &["not authenticated", "the user or the password is wrong", &server],
    );
    refused(&["--url", &plain(&nowhere)], &["cannot find the host", &nowhere]);
    for url in [plain(&closed), tls(&closed)] {
        refused(&["--url", &url], &["cannot connect: connection refused", &closed]);
    }
    let untrusted = ["the server's certificate was not accepted", "issuer", "--ca", &server];
    refused(&["--url", &tls(&server)], &untrusted);
    refused(&["--url", &tls(&server), "--ca", strange], &untrusted);
    refused(
        &["--url", &tls(&server), "--ca", other_ca],
        &["the name of a CA that is trusted here, but another key", "--ca"],
    );
    refused(
        &["--url", &tls(&other), "--ca", other_ca],
        &["it belongs to another host name", "other.example"],
    );
    refused(
        &["--url", &plain(&server)],
        &["the server speaks TLS on this port", "kvsds://", "--ca", &server],
    );
    refused(
        &["--url", &tls(&dev), "--ca", ca],
        &["the server does not speak TLS on this port", "kvsd://", &dev],
    );
}

#[test]
fn a_server_that_hangs_up_is_told_from_one_that_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let output = run(&[], &["ping", "--url", &format!("kvsd://{address}")]);
    assert_fails(&output, 3, &["cannot reach the server", "hello", &address]);
    let output = run(&[], &["ping", "--url", &format!("kvsds://{address}")]);
    assert_fails(&output, 3, &["cannot reach the server", "during the TLS handshake", &address]);
}

#[test]
fn neither_password_nor_value_reaches_standard_error_or_the_servers_log() {
    let (server, certificates) = tls_server(&["127.0.0.1"]);
    let ca = certificates.ca.to_str().unwrap();
    let url = format!("kvsds://app:{ESCAPED}@{}", server.address);
    let variables =
        [("KVSD_URL", url.as_str()), ("KVSD_USERNAME", "app"), ("KVSD_PASSWORD", PASSWORD)];
    let calls: [&[&str]; 12] = [
        &["set", "key", "canary-value"],
        &["set", "key", "canary value", "canary"],
        &["set", "key", "canary", "-canary"],
        &["set", "", "canary-value"],
        &["get", "key"],
        &["get", "none"],
        &["get", "--canary_x=canary", "key"],
        &["delete", "key"],
        &["--url", "kvsds://app:canary@127.0.0.1:x", "ping"],
        &["--url", "app:canary@127.0.0.1", "ping"],
        &[&url, "ping"],
        &["--urls", &url, "ping"],
    ];
    for args in calls {
        let output = run(&variables, &[&["--ca", ca], args].concat());
        let (_, _, stderr) = outcome(&output);
        assert!(!stderr.contains("canary"), "{args:?}: {stderr}");
    }
    for host in [url.as_str(), "app:canary@host", "canary@host"] {
        let output = run(&[("KVSD_HOST", host)], &["ping"]);
        assert_fails(&output, 2, &["KVSD_HOST"]);
        assert!(!outcome(&output).2.contains("canary"));
    }
    assert!(!server.log().contains("canary"), "{}", server.log());
}

#[test]
fn what_init_prints_works_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let mut init = binary(env!("CARGO_BIN_EXE_kvsd-server"));
    let output = init.args(["init", "--listen", "127.0.0.1:0"]).current_dir(folder.path());
    let printed = String::from_utf8(output.output().unwrap().stdout).unwrap();
    let server = Server::start(
        folder,
        ["--config", "kvsd-data/kvsd.toml", "--status-listen", "127.0.0.1:0"],
    );
    let exports: Vec<_> =
        printed.lines().filter(|line| line.trim_start().starts_with("export ")).collect();
    // Only the port was not known before.
    let exports =
        exports.join("\n").replace("localhost:0", &format!("localhost:{}", server.address.port()));
    let script = format!("{exports}\nkvsd set key value");
    assert_prints(&shell(&script).output().unwrap(), "OK\n");
}
