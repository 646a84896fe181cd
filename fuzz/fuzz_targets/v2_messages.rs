//! A stream of version 2 in both directions: whatever a parser takes says the same once it is
//! written and read again, and what comes in parts is never more than the limit.
#![no_main]

use bytes::BytesMut;
use kvsd::protocol::frame::{Decoder, Message};
use kvsd::protocol::v2::hello::HELLO;
use kvsd::protocol::v2::part::{stream_limits, Arrival, Assembler, Chunk, Part, Sender};
use kvsd::protocol::v2::{self, Hello, Reply, Request, Welcome};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    join(Sender::Client, stream);
    join(Sender::Server, stream);
    let mut decoder = Decoder::new(v2::limits(4096));
    let mut rest = stream;
    while let Ok(Some(message)) = decoder.decode(rest) {
        for write_again in [hello, welcome, request, reply, part] {
            let Some(written) = write_again(&message) else {
                continue;
            };
            let mut decoder = Decoder::new(v2::limits(4096));
            let again = decoder
                .decode(&written)
                .expect("in the grammar")
                .expect("one message");
            assert_eq!(again.byte_len(), written.len());
            assert_eq!(write_again(&again), Some(written.clone()));
        }
        rest = &rest[message.byte_len()..];
    }
});

/// Joins what comes in parts, and reads what they make.
fn join(sender: Sender, stream: &[u8]) {
    let whole = v2::limits(128 * 1024);
    let mut decoder = Decoder::new(stream_limits(whole));
    let mut assembler = Assembler::new(sender, whole);
    let mut chunk = Chunk::default();
    let mut rest = stream;
    while let Ok(Some(message)) = decoder.decode(rest) {
        match assembler.take(&message) {
            Ok(Arrival::Whole | Arrival::Part) => {}
            Ok(Arrival::Assembled(mut whole)) => {
                if let Ok((message, backing)) = whole.open() {
                    if let Ok((_, Some(Request::Set { value, .. }))) = Request::parse(&message) {
                        assert_eq!(backing.keep(value, &mut chunk), value);
                    }
                    let _ = reply(&message);
                }
            }
            Err(_) => return,
        }
        rest = &rest[message.byte_len()..];
    }
}

fn part(message: &Message<'_>) -> Option<BytesMut> {
    let sender = [Sender::Client, Sender::Server]
        .into_iter()
        .find(|sender| sender.kind() == message.kind())?;
    let (id, part) = Part::parse(message).ok()?;
    let mut out = BytesMut::new();
    part.encode(sender, id, &mut out);
    Some(out)
}

fn hello(message: &Message<'_>) -> Option<BytesMut> {
    let (id, hello) = Hello::parse(message)
        .ok()
        .filter(|_| message.kind() == HELLO)?;
    let mut out = BytesMut::new();
    hello.encode(id, &mut out);
    Some(out)
}

fn welcome(message: &Message<'_>) -> Option<BytesMut> {
    let (id, welcome) = Welcome::parse(message).ok()?;
    let mut out = BytesMut::new();
    welcome.encode(id, &mut out);
    Some(out)
}

fn request(message: &Message<'_>) -> Option<BytesMut> {
    let (id, request) = Request::parse(message).ok()?;
    let mut out = BytesMut::new();
    request?.encode(id, &mut out);
    Some(out)
}

fn reply(message: &Message<'_>) -> Option<BytesMut> {
    let mut out = BytesMut::new();
    match Reply::parse(message).ok()? {
        (Some(id), Some(reply)) => reply.encode(id, &mut out),
        (None, Some(Reply::Fail { code, message })) => {
            Reply::encode_last(code, message, &mut out);
        }
        (None, Some(other)) => panic!("{other:?} names no request"),
        (_, None) => return None,
    }
    Some(out)
}
