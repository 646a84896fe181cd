//! What works against a data folder works against a cluster, unchanged.

use crate::cluster::Cluster;
use crate::front_end::FrontEnd;
use crate::support::shell;

/// As in `tests/console.rs`.
const SESSION: &str = "\
$ kvsd set hello rust
OK
$ kvsd get hello
rust
$ kvsd set hello 'rust!!!'
OK
$ kvsd delete hello
OK old value: rust!!!
";

#[tokio::test]
async fn the_first_console_session_is_the_same_byte_for_byte() {
    let Some(cluster) = Cluster::start(3).await else { return };
    let front_end = FrontEnd::start(&cluster).await;
    let mut transcript = Vec::new();
    for line in SESSION.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let mut shell = shell(&format!("exec 2>&1; {line}"));
        shell.env("KVSD_HOST", front_end.address());
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        transcript.extend_from_slice(format!("$ {line}\n").as_bytes());
        transcript.extend_from_slice(&output.stdout);
    }
    assert_eq!(String::from_utf8(transcript).unwrap(), SESSION);
}
