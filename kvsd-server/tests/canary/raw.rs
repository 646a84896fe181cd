//! What no client of ours sends: version 1, nonsense in every place, messages that are too large.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::told::{KEY, PASSWORD, STRANGER, Told, VALUE, WRONG};

/// Says something and keeps the answer, of which no part is what was stored.
fn say(address: SocketAddr, told: &Told, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    // A server that has heard enough reads no further.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    told.add("an answer to raw bytes", answer);
}

fn bytes_of(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

pub(crate) fn nonsense(address: SocketAddr, told: &Told) {
    let v1 = format!("*3\r\n#\x02+app\r\n+{PASSWORD}\r\n");
    let v2 = format!("*6\r\n#H:0\r\n:2\r\n:2\r\n{}{}", bytes_of("app"), bytes_of(PASSWORD));
    let secrets = [PASSWORD, WRONG, STRANGER, KEY, VALUE];
    for secret in secrets {
        let (string, bytes) = (format!("+{secret}\r\n"), bytes_of(secret));
        for first in [
            secret.to_owned(),
            string.clone(),
            format!("*2\r\n#\x06{string}"),
            format!("*3\r\n#\x02+eve\r\n{string}"),
            format!("*3\r\n#\x02{string}{string}"),
            format!("*3\r\n#\x02{bytes}{string}"),
            format!("*4\r\n#\x02+eve\r\n{string}{string}"),
            format!("*2\r\n#H{string}"),
            format!("*6\r\n#H:0\r\n:7\r\n:9\r\n{bytes}{bytes}"),
            format!("*6\r\n#H:0\r\n:2\r\n:2\r\n{bytes}{bytes}"),
            format!("*6\r\n#H:0\r\n:2\r\n:2\r\n{string}{bytes}"),
            format!("*3\r\n#\x02+eve\r\n+{}\r\n", secret.repeat(100)),
        ] {
            say(address, told, first.as_bytes());
        }
        // Behind a login: no record of these is stored, so that no answer may name one.
        for second in [
            secret.to_owned(),
            string.clone(),
            format!("*3\r\n#\x05{string}|"),
            format!("*2\r\n#\x06{bytes}"),
            format!("*3\r\n#\x02+app\r\n{string}"),
            format!("*2\r\n#G{string}"),
            format!("*4\r\n#G:1\r\n+default\r\n{string}"),
            // In a table's place: what could be the name of one counts as one, and may be shown.
            format!("*4\r\n#G:1\r\n+.{secret}\r\n{bytes}"),
            format!("*4\r\n#S:1\r\n+default\r\n{bytes}"),
            format!("*3\r\n#Z:1\r\n+.{secret}\r\n"),
            format!("*3\r\n#U:1\r\n{string}"),
            format!("*5\r\n#!:1\r\n{string}{bytes}+x\r\n"),
            format!("*4\r\n#G:1\r\n+default\r\n{}", bytes_of(&secret.repeat(100))),
            format!("*3\r\n#p:1\r\n{string}"),
            "*4\r\n#G:1\r\n+default\r\n$999999999\r\n".to_owned() + secret,
        ] {
            for login in [&v1, &v2] {
                say(address, told, format!("{login}{second}").as_bytes());
            }
        }
    }
}

/// All of version 1: its answers hold what is stored, and are looked at for passwords alone.
pub(crate) fn version_1(address: SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    let value = bytes_of(VALUE);
    write!(
        stream,
        "*3\r\n#\x02+app\r\n+{PASSWORD}\r\n*2\r\n#\x01|*3\r\n#\x05+{KEY}-v1\r\n{value}\
         *2\r\n#\x06+{KEY}-v1\r\n*2\r\n#\x07+{KEY}-v1\r\n*2\r\n#\x07+{KEY}-v1\r\n"
    )
    .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}
