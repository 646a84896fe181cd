//! Many who say little: silent handshakes, slow writers, and more clients than there is room for.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use super::target::{PATIENCE, Target};
use super::wire::Client;
use super::witness::Witness;

/// Comes in over TLS, however often that takes: a crowd of strangers may take all the room there is
/// for strangers, until their time is up.
pub(crate) fn enter_tls(target: &Target) -> Witness {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = target.connect_tls();
        let said = client.stream.write_all(&super::wire::hello(None));
        let is_in = said.is_ok()
            && client.try_next().ok().flatten().is_some_and(|answer| {
                answer.starts_with(b"*") && answer.windows(4).any(|part| part == b"#h:0")
            });
        if is_in {
            return Witness::with(client);
        }
        assert!(Instant::now() < deadline, "nobody comes in any more");
    }
}

#[test]
fn a_thousand_silent_tls_handshakes_hold_nobody_up_and_end_in_time() {
    let target = Target::tls(&["--handshake-timeout", "3s"]);
    let early = enter_tls(&target);
    let crowd: Vec<TcpStream> = (0..1000).map(|_| target.connect()).collect();
    // One in ten has begun to shake hands.
    for mut stream in crowd.iter().step_by(10) {
        // The server may have refused it already.
        let _ = stream.write_all(b"\x16\x03\x01\x02\x00\x01");
    }
    early.is_served();
    let late = enter_tls(&target);
    // Each is closed by the server, whoever it is.
    for stream in crowd {
        let closed = Client::new(stream).try_next();
        assert!(closed.is_ok(), "not closed in time: {closed:?}");
    }
    late.leave();
    early.leave();
    target.stop();
}

#[test]
fn slow_writers_are_waited_for_by_nobody_else() {
    let target = Target::dev(&["--handshake-timeout", "2s"]);
    let witness = Witness::of(&target);
    let mut slow: Vec<_> = (0..50).map(|_| Client::new(target.connect())).collect();
    // A byte at a time, and never a whole message.
    for byte in b"*6\r\n#H:0\r\n:2\r\n:2\r\n|" {
        for client in &mut slow {
            let _ = client.stream.write_all(&[*byte]);
        }
        witness.is_served();
    }
    for mut client in slow {
        assert_eq!(client.rest(), "", "closed without a word at the deadline");
    }
    witness.leave();
    target.stop();
}

#[test]
fn resets_and_half_closes_at_any_byte_leave_nothing_behind() {
    let target = Target::dev(&[]);
    let witness = Witness::of(&target);
    let session = [
        super::nonsense::HELLO,
        b"*2\r\n#P:1\r\n",
        b"*8\r\n#W:16\r\n+default\r\n|:0\r\n:30000\r\n+prefix\r\n$1\r\nq\r\n",
    ]
    .concat();
    let before = target.held();
    for end in 0..=session.len() {
        for way in [Way::Reset, Way::Half, Way::Drop] {
            let mut stream = target.connect();
            stream.write_all(&session[..end]).unwrap();
            match way {
                Way::Reset => reset(stream),
                Way::Half => {
                    stream.shutdown(Shutdown::Write).unwrap();
                    Client::new(stream).rest();
                }
                Way::Drop => drop(stream),
            }
        }
    }
    witness.is_served();
    // The last of them may still be on their way out.
    let deadline = Instant::now() + PATIENCE;
    while target.held().descriptors > before.descriptors {
        assert!(Instant::now() < deadline, "{before:?} before, {:?} now", target.held());
        std::thread::yield_now();
    }
    witness.leave();
    target.stop();
}

/// How a client goes.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Reset,
    Half,
    Drop,
}

/// Closes so that the system tells the other side to forget the connection.
pub(crate) fn reset(stream: TcpStream) {
    let linger = Some(std::time::Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(&stream, linger).unwrap();
}
