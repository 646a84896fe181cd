//! What is no message, no request, or too large for one; and data that looks like requests.

use std::time::Duration;

use kvsd::protocol::v2::{Action, Change, Condition, Request};

use super::nonsense::GARBAGE;
use super::target::Target;
use super::wire::{Client, get, hello, message, set};
use super::witness::Witness;

#[test]
fn garbage_in_any_state_is_answered_and_closed_and_others_are_served() {
    let target = Target::dev(&[]);
    let witness = Witness::of(&target);
    for (garbage, reason) in GARBAGE {
        let shown = garbage.escape_ascii();
        let stranger = Client::new(target.connect());
        for (state, mut client) in [
            ("stranger", stranger),
            ("version 1", target.client_v1()),
            ("version 2", target.client()),
        ] {
            client.say(garbage);
            client.finish();
            let answer = client.rest();
            assert!(answer.contains(reason), "{state}: {shown}: {answer}");
        }
        let mut administrator = target.administrator();
        administrator.say(garbage);
        let answer = administrator.rest();
        assert!(answer.contains("#f|+PROTOCOL"), "administrator: {shown}: {answer}");
    }
    witness.leave();
    target.stop();
}

/// Off the grammar beyond repair: the whole connection ends.
#[test]
fn what_never_becomes_a_message_is_given_up_early() {
    let target = Target::dev(&[]);
    for start in [&b"\0"[..], b"*\0", b"*3\r\n#H$\0", b"*3\r\n#\x02+"] {
        let mut client = Client::new(target.connect());
        let endless = [b'x'; 4096];
        client.say(start);
        let mut sent = 0;
        // It would go on for ever.
        while std::io::Write::write_all(&mut client.stream, &endless).is_ok() {
            sent += endless.len();
            assert!(sent < 1 << 30, "{} is read for ever", start.escape_ascii());
        }
    }
    Witness::of(&target).leave();
    target.stop();
}

#[test]
fn requests_for_every_limit_plus_one_are_refused_and_the_next_one_is_served() {
    let target = Target::dev(&["--max-value-bytes", "64KiB", "--max-tables", "4"]);
    let witness = Witness::of(&target);
    let mut client = target.client();
    let (key, table) = (vec![b'k'; 1025], "t".repeat(65));
    let change = Change { key: b"k", condition: Condition::Any, action: Action::Delete };
    let too_many = Request::Batch { table: "default", changes: vec![change; 1025] };
    for (request, code) in [
        (get("default", &key), "Invalid"),
        (get("default", b""), "Invalid"),
        (set("default", &key, b"v"), "Invalid"),
        (set("", b"k", b"v"), "Invalid"),
        (set(&table, b"k", b"v"), "Invalid"),
        (too_many, "Invalid"),
        (Request::Pipeline(vec![get("default", b"k"); 1025]), "Invalid"),
        (Request::Pipeline(vec![]), "Invalid"),
        (Request::Batch { table: "default", changes: vec![] }, "Invalid"),
        (
            Request::Increment { table: "default", key: b"max", by: 1, condition: Condition::Any },
            "Overflow",
        ),
        (
            Request::Increment { table: "default", key: b"text", by: 1, condition: Condition::Any },
            "NotAnInteger",
        ),
    ] {
        client.ask(&set("default", b"max", i64::MAX.to_string().as_bytes()));
        client.ask(&set("default", b"text", b"text"));
        let answer = client.ask(&request);
        assert!(answer.contains(&format!("code: {code}")), "{request:?}: {answer}");
    }
    // Beside `default` and the one of the witness.
    for table in ["a", "b"] {
        assert!(client.ask(&set(table, b"k", b"v")).starts_with("Written"), "{table}");
    }
    let answer = client.ask(&set("fifth", b"k", b"v"));
    assert!(answer.contains("code: TooManyTables"), "{answer}");

    // The largest value, which goes in parts, and one byte more.
    for (bytes, said) in [(64 << 10, "#w:9"), ((64 << 10) + 1, "#f:9\\r\\n+INVALID")] {
        let value = vec![b'v'; bytes];
        client.say(&in_parts(9, &message(9, &set("default", b"k", &value))));
        let answer = client.heard();
        assert!(answer.contains(said), "{bytes}: {answer}");
    }
    assert!(client.ask(&get("default", b"max")).starts_with("Value(Some"));

    // What cannot be followed any more ends the connection.
    let parts: Vec<u8> = (0..5)
        .flat_map(|id| format!("*4\r\n#K:{id}\r\n:70000\r\n$1\r\n*\r\n").into_bytes())
        .collect();
    for (bytes, said) in [
        (parts, "at most 4"),
        (b"*16385\r\n#K".to_vec(), "at most 16384 frames here"),
        ([b"*2\r\n#G+".as_slice(), &[b'x'; 1026]].concat(), "at most 1024 bytes here"),
        (b"*5\r\n#S:1\r\n+t\r\n$1\r\nk\r\n$67584\r\n".to_vec(), "at most 67584 bytes here"),
        (b"*4\r\n#K:1\r\n:99999999\r\n$1\r\n*\r\n".to_vec(), "#f|+PROTOCOL"),
        (b"*2\r\n#P:-1\r\n".to_vec(), "without an id"),
    ] {
        let mut client = target.client();
        client.say(&bytes);
        client.finish();
        let answer = client.rest();
        assert!(answer.contains(said), "{said}: {answer}");
    }
    witness.leave();
    target.stop();
}

#[test]
fn requests_with_the_wrong_frames_are_refused_and_the_session_goes_on() {
    let target = Target::dev(&[]);
    let mut client = target.client();
    for request in [
        &b"*3\r\n#G:5\r\n+default\r\n"[..],
        b"*5\r\n#G:5\r\n+default\r\n$1\r\nk\r\n|",
        b"*4\r\n#G:5\r\n$7\r\ndefault\r\n$1\r\nk\r\n",
        b"*4\r\n#G:5\r\n+default\r\n+k\r\n",
        b"*3\r\n#P:5\r\n|",
        b"*6\r\n#S:5\r\n+default\r\n$1\r\nk\r\n$1\r\nv\r\n+unknown\r\n",
        b"*7\r\n#S:5\r\n+default\r\n$1\r\nk\r\n$1\r\nv\r\n+absent\r\n+present\r\n",
        b"*3\r\n#B:5\r\n+default\r\n",
        b"*4\r\n#L:5\r\n:9\r\n+G\r\n",
        b"*4\r\n#R:5\r\n+default\r\n+sideways\r\n",
        b"*3\r\n#T:5\r\n:1\r\n",
    ] {
        client.say(request);
        let answer = client.heard();
        assert!(answer.contains("#f:5\\r\\n+INVALID"), "{}: {answer}", request.escape_ascii());
    }
    let mut old = target.client_v1();
    for request in [&b"*1\r\n#\x06"[..], b"*2\r\n#\x06$1\r\nk\r\n", b"*3\r\n#\x06+k\r\n+k\r\n"] {
        old.say(request);
        let answer = old.heard();
        assert!(answer.contains("UNEXPECTED_MESSAGE"), "{}: {answer}", request.escape_ascii());
    }
    // What is no time is given back as it came.
    old.say(b"*3\r\n#\x01Tsoon\r\n|");
    assert!(old.heard().starts_with("*3\\r\\n#\\x01Tsoon\\r\\nT20"));
    Witness::with(client).leave();
    target.stop();
}

/// A message as it goes in parts.
fn in_parts(id: u64, whole: &[u8]) -> Vec<u8> {
    let mut remaining = whole.len();
    let mut parts = Vec::new();
    for part in whole.chunks(64 << 10) {
        remaining -= part.len();
        parts.extend(format!("*4\r\n#K:{id}\r\n:{remaining}\r\n${}\r\n", part.len()).bytes());
        parts.extend_from_slice(part);
        parts.extend_from_slice(b"\r\n");
    }
    parts
}

#[test]
fn line_ends_and_requests_in_keys_and_values_stay_data() {
    let target = Target::dev(&[]);
    let mut client = target.client();
    let evil = b"k\r\n*4\r\n#D:9\r\n+default\r\n$4\r\ngood\r\n";
    client.ask(&set("default", b"good", b"here"));
    assert!(client.ask(&set("default", evil, evil)).starts_with("Written"));
    let found = client.ask(&get("default", evil));
    assert!(found.starts_with("Value(Some"), "{found}");
    assert!(client.ask(&get("default", b"good")).starts_with("Value(Some"));

    // Version 1 has its keys in lines: what stands behind the line's end is another message, and
    // here none that can be understood. Nothing of it is carried out.
    let mut old = target.client_v1();
    old.say(b"*2\r\n#\x06+k\r\n+good\r\n");
    let answer = old.rest();
    assert!(answer.contains("UNEXPECTED_MESSAGE"), "{answer}");
    assert!(client.ask(&get("default", b"good")).starts_with("Value(Some"));
    target.stop();
}

#[test]
fn a_second_login_and_what_only_servers_say_are_refused() {
    let target = Target::dev(&[]);
    let witness = Witness::of(&target);
    let mut old = target.client_v1();
    for said in
        [&b"*3\r\n#\x02+app\r\n+secret\r\n"[..], b"*2\r\n#\x03|", b"*3\r\n#\x04+UNDEFINED\r\n+\r\n"]
    {
        old.say(said);
        let answer = old.heard();
        assert!(answer.contains("UNEXPECTED_MESSAGE"), "{answer}");
    }
    old.say(b"*2\r\n#\x06+k\r\n");
    assert_eq!(old.heard(), "*2\\r\\n#\\x03|", "the session goes on");

    let mut client = target.client();
    for kind in "hpgeywicblrntqofk!".chars() {
        client.say(format!("*3\r\n#{kind}:5\r\n|").as_bytes());
        let answer = client.heard();
        assert!(answer.contains("#f:5\\r\\n+UNSUPPORTED"), "{kind}: {answer}");
    }
    client.say(&hello(None));
    let answer = client.rest();
    assert!(answer.contains("a second Hello"), "{answer}");
    witness.leave();
    target.stop();
}

#[test]
fn a_large_value_in_small_pieces_costs_work_in_proportion_to_its_size() {
    const PIECE_BYTES: usize = 4096;
    const SMALL_BYTES: usize = 256 << 10;
    let target = Target::dev(&[]);
    let (mut client, mut other) = (target.client_v1(), target.client());
    let mut cost_of = |bytes: usize| {
        let value = vec![b'v'; bytes];
        let set = [format!("*3\r\n#\x05+k\r\n${bytes}\r\n").as_bytes(), &value, b"\r\n"].concat();
        let before = target.cpu_time();
        for piece in set.chunks(PIECE_BYTES) {
            client.say(piece);
            // Time enough to take it: pieces that wait would be read together.
            other.ask(&Request::Ping);
        }
        assert_eq!(client.heard(), "*2\\r\\n#\\x03|");
        target.cpu_time() - before
    };
    cost_of(SMALL_BYTES);
    let small: Duration = (0..4).map(|_| cost_of(SMALL_BYTES)).sum();
    let large = cost_of(40 * SMALL_BYTES);
    // Ten times the bytes; were all of them moved with each piece, four hundred times the work.
    assert!(large < small * 14, "{small:?} for four times 256 KiB, {large:?} for 10 MiB");
    target.stop();
}
