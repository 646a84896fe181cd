//! A stop among those who would not let it.

use std::io::Write;
use std::time::Duration;

use super::nonsense::HELLO;
use super::target::Target;
use super::wire::{Client, get, message, set};
use super::witness::Witness;

#[test]
fn a_stop_ends_in_time_whoever_is_connected_and_keeps_what_was_acknowledged() {
    let target = Target::dev(&["--shutdown-timeout", "1s"]);
    let mut client = target.client();
    assert!(client.ask(&set("default", b"k", &[b'v'; 60_000])).starts_with("Written"));
    let mut crowd = Vec::new();
    for beginning in [
        &b""[..],
        b"*6\r\n#H:0",
        b"\x16\x03\x01",
        &[HELLO, b"*5\r\n#S:1\r\n+default\r\n$1\r\nk\r\n$50000\r\nv"].concat(),
        &[HELLO, b"*4\r\n#K:1\r\n:70000\r\n$1\r\n*\r\n"].concat(),
        &[HELLO, b"*6\r\n#W:2\r\n+default\r\n||:30000\r\n"].concat(),
    ] {
        for _ in 0..8 {
            let mut client = Client::new(target.connect());
            let _ = client.stream.write_all(beginning);
            crowd.push(client);
        }
    }
    let gets: Vec<u8> = (1..=5000).flat_map(|id| message(id, &get("default", b"k"))).collect();
    for _ in 0..4 {
        let mut flood = target.client();
        flood.stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        // More answers than anybody's buffers, and nobody who reads them.
        let _ = flood.stream.write_all(&gets);
        crowd.push(flood);
    }
    Witness::of(&target).leave();
    let folder = target.stop_and_keep();

    let target = Target::start(folder, &["--dev"]);
    let found = target.client().ask(&get("default", b"k"));
    assert!(found.starts_with("Value(Some"), "{found}");
    target.stop();
    drop(crowd);
}
