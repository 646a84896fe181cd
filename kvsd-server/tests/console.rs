//! The console session that kvsd began with, to the letter.

mod support;

use support::{Server, shell};

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

#[test]
fn the_first_console_session_is_the_same_byte_for_byte() {
    let server = Server::dev();
    let mut transcript = Vec::new();
    // A real shell reads the lines as a person types them: it takes the quotes away.
    for line in SESSION.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let mut shell = shell(&format!("exec 2>&1; {line}"));
        shell.env("KVSD_HOST", server.address.to_string());
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        transcript.extend_from_slice(format!("$ {line}\n").as_bytes());
        transcript.extend_from_slice(&output.stdout);
    }
    assert_eq!(String::from_utf8(transcript).unwrap(), SESSION);
}
