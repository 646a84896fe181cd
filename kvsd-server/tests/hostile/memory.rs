//! What clients promise, and what they do not fetch: neither takes memory without bound.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::Duration;

use kvsd::protocol::v2::{Action, Change, Condition, Request};

use super::target::Target;
use super::wire::{Client, get, message, set};
use super::witness::Witness;

/// What the server may take beside what a test explains: its allocator keeps what was freed.
const SLACK: u64 = 24 << 20;

#[test]
fn promises_of_length_and_count_take_no_memory() {
    const CLIENTS: u64 = 200;
    let target = Target::dev(&["--max-connections-per-address", "1000"]);
    let witness = Witness::of(&target);
    let before = target.held().memory;
    let mut crowd = Vec::new();
    for _ in 0..CLIENTS {
        // 10 MiB each, one frame short of 16,384 of them, and 12 MiB in parts four times.
        let mut old = target.client_v1();
        old.say(b"*3\r\n#\x05+k\r\n$10485760\r\nv");
        let mut client = target.client();
        for id in 1..=4 {
            for (remaining, byte) in [(12_000_000, '*'), (11_999_999, '5')] {
                let part = format!("*4\r\n#K:{id}\r\n:{remaining}\r\n$1\r\n{byte}\r\n");
                client.say(part.as_bytes());
            }
        }
        client.say(b"*16384\r\n#L:9\r\n:3\r\n");
        let mut stranger = Client::new(target.connect());
        stranger.say(b"*8\r\n#H:0\r\n:2\r\n:2\r\n$1000\r\n");
        crowd.push((old, client, stranger));
    }
    witness.is_served();
    let grown = target.most_memory().saturating_sub(before);
    // An idle connection may hold 16 KiB, and here each holds a little that has arrived.
    let most = 3 * CLIENTS * (32 << 10) + SLACK;
    assert!(grown <= most, "{grown} bytes for promises, {most} at most");
    drop(crowd);
    witness.leave();
    target.stop();
}

/// Writes until nothing has been taken for a while.
fn write_until_stuck(stream: &mut TcpStream, bytes: &[u8]) {
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    loop {
        match stream.write(bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            // The server may have had enough of it.
            Err(_) => return,
        }
    }
}

#[test]
fn clients_that_never_read_are_answered_up_to_a_bound_and_others_are_served() {
    // The value's size, how many do not read, and what each of them may make the server hold.
    for (value_bytes, clients, most_each) in [(16 << 10, 16, 2_u64 << 20), (1 << 20, 2, 40 << 20)] {
        let target = Target::dev(&["--cache-bytes", "0"]);
        let mut client = target.client_v1();
        let head = format!("*3\r\n#\x05+k\r\n${value_bytes}\r\n");
        client.say(&[head.as_bytes(), &vec![b'v'; value_bytes], b"\r\n"].concat());
        assert_eq!(client.heard(), "*2\\r\\n#\\x03|");
        let witness = Witness::of(&target);
        let before = target.most_memory();

        // A hundred times more than the bound would be asked for.
        let gets: Vec<u8> = (1..=1000).flat_map(|id| message(id, &get("default", b"k"))).collect();
        let mut silent: Vec<_> = (0..clients).map(|_| target.client()).collect();
        std::thread::scope(|scope| {
            for client in &mut silent {
                scope.spawn(|| write_until_stuck(&mut client.stream, &gets));
            }
        });
        witness.is_served();
        let grown = target.most_memory().saturating_sub(before);
        let most = clients * most_each + SLACK;
        assert!(grown <= most, "{grown} bytes wait for {clients} clients, {most} at most");

        // Version 1 answers one request after the other, and stops between them.
        let mut old = target.client_v1();
        write_until_stuck(&mut old.stream, &b"*2\r\n#\x06+k\r\n".repeat(1000));
        witness.is_served();
        let grown = target.most_memory().saturating_sub(before);
        assert!(grown <= most + (16 << 20), "{grown} bytes with one of version 1");
        witness.leave();
        drop((silent, old));
        target.stop();
    }
}

/// Requests that wait hold what they brought: a client that sends and does not read is not read.
#[test]
fn writes_without_an_end_from_one_who_never_reads_are_bounded() {
    let target = Target::dev(&["--history-bytes", "0"]);
    let witness = Witness::of(&target);
    let before = target.most_memory();
    let value = vec![b'v'; 32 << 10];
    let sets: Vec<u8> =
        (1..=200).flat_map(|id| message(id, &set("default", b"k", &value))).collect();
    let mut flood = target.client();
    flood.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // Writes are answered with little: this many fill no buffer of answers, but 128 MiB pass.
    for _ in 0..20 {
        if flood.stream.write_all(&sets).is_err() {
            break;
        }
    }
    witness.is_served();
    let grown = target.most_memory().saturating_sub(before);
    // What is in flight, what its table keeps at hand, and the log's buffers.
    let most = (16 << 20) + (32 << 20) + SLACK;
    assert!(grown <= most, "{grown} bytes, {most} at most");
    witness.leave();
    drop(flood);
    target.stop();
}

#[test]
fn a_batch_of_one_who_never_reads_is_carried_out_as_a_whole() {
    let target = Target::dev(&[]);
    let mut other = target.client();
    assert!(other.ask(&set("default", b"k", &vec![b'v'; 16 << 10])).starts_with("Written"));
    let mut silent = target.client();
    let keys: Vec<String> = (0..1000).map(|number| format!("batch/{number}")).collect();
    let action = Action::Set { value: b"v", expiry: None };
    let changes = keys
        .iter()
        .map(|key| Change { key: key.as_bytes(), condition: Condition::Any, action })
        .collect();
    let gets: Vec<u8> = (1..=60).flat_map(|id| message(id, &get("default", b"k"))).collect();
    // Nearly a MiB of answers, then the batch.
    silent.say(&gets);
    silent.say(&message(99, &Request::Batch { table: "default", changes }));
    write_until_stuck(&mut silent.stream, &gets.repeat(100));
    for key in [&keys[0], &keys[999]] {
        let found = other.ask(&get("default", key.as_bytes()));
        assert!(found.starts_with("Value(Some"), "{key}: {found}");
    }
    target.stop();
}
