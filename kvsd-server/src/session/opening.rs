//! A session's first message: which dialect it speaks, and who is there.
//!
//! Answers exactly one message, with a welcome or with a Fail behind which the connection ends.
//! The deadline is the caller's. Next file to read: `v1` or `v2`.

use bytes::BytesMut;
use kvsd::protocol::frame::{FieldError, FrameError, Message};
use kvsd::protocol::v1;
use kvsd::protocol::v2::{self, FailCode, Hello, Reply, RequestId, Welcome, hello};
use tokio::io::{AsyncRead, AsyncWrite};

use super::input::Input;
use super::output::Output;
use super::{Ended, Service};
use crate::auth::Denied;

/// What a session speaks from its first message on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    V1,
    V2,
}

/// Reads the first message and answers it.
pub(super) async fn open<S>(
    stream: &mut S,
    input: &mut Input,
    service: &Service,
) -> Result<Dialect, Ended>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut output = Output::default();
    let opened = loop {
        match input.next() {
            Ok(Some(message)) => break answer(&message, service, output.buffer()).await,
            Ok(None) => {}
            Err(error) => {
                garbled(error, dialect_of(input.rest()), output.buffer());
                break Err(Ended::Garbled(error));
            }
        }
        if input.read(stream).await.map_err(Ended::Broken)? == 0 {
            return Err(Ended::Left);
        }
    };
    output.flush(stream).await.map_err(Ended::Broken)?;
    opened
}

async fn answer(
    message: &Message<'_>,
    service: &Service,
    out: &mut BytesMut,
) -> Result<Dialect, Ended> {
    match message.kind() {
        hello::HELLO => answer_hello(message, service, out).await.map(|()| Dialect::V2),
        v1::AUTHENTICATE => answer_authenticate(message, service, out).await.map(|()| Dialect::V1),
        kind if v1::is_type(kind) => {
            let reason = "the first message must be Authenticate";
            v1_fail(v1::FailCode::UnexpectedMessage, reason, out);
            Err(Ended::Misplaced(reason))
        }
        _ => {
            let reason = "the first message must be Hello";
            Reply::encode_last(FailCode::Protocol, reason, out);
            Err(Ended::Misplaced(reason))
        }
    }
}

async fn answer_hello(
    message: &Message<'_>,
    service: &Service,
    out: &mut BytesMut,
) -> Result<(), Ended> {
    let (id, hello) = match Hello::parse(message) {
        Ok(parsed) => parsed,
        Err(error) => {
            let text = format!("not a Hello: {error}");
            Reply::encode_last(FailCode::Protocol, &text, out);
            return Err(Ended::Misplaced("a malformed Hello"));
        }
    };
    if !(hello.lowest..=hello.highest).contains(&v2::VERSION) {
        let (lowest, highest) = (hello.lowest, hello.highest);
        let text = format!(
            "this server speaks version {} of the protocol, the client {lowest} to {highest}",
            v2::VERSION
        );
        Reply::Fail { code: FailCode::Version, message: &text }.encode(id, out);
        return Err(Ended::Denied("no common version of the protocol"));
    }
    if let Err((code, reason)) = admit(hello, service).await {
        Reply::Fail { code, message: reason }.encode(id, out);
        return Err(Ended::Denied(reason));
    }
    welcome(id, service, out);
    Ok(())
}

/// Decides whether the client comes in.
async fn admit(hello: Hello<'_>, service: &Service) -> Result<(), (FailCode, &'static str)> {
    let Some(credentials) = hello.credentials else {
        if service.authenticator.accepts_anyone() {
            return Ok(());
        }
        return Err((FailCode::Unauthenticated, NOBODY));
    };
    match service.authenticator.verify(credentials.user, credentials.password).await {
        Ok(()) => Ok(()),
        Err(Denied::Credentials) => Err((FailCode::Unauthenticated, WRONG)),
        Err(Denied::Busy) => Err((FailCode::Busy, CROWDED)),
    }
}

fn welcome(id: RequestId, service: &Service, out: &mut BytesMut) {
    let engine = service.engine.description();
    let welcome = Welcome {
        version: v2::VERSION,
        server: concat!("kvsd-server/", env!("CARGO_PKG_VERSION")),
        engine: engine.name,
        durability: engine.durability,
        max_value_bytes: service.max_value_bytes as u64,
    };
    welcome.encode(id, out);
}

async fn answer_authenticate(
    message: &Message<'_>,
    service: &Service,
    out: &mut BytesMut,
) -> Result<(), Ended> {
    let (user, password) = match authenticate_fields(message) {
        Ok(fields) => fields,
        Err(error) => {
            let text = format!("not an Authenticate: {error}");
            v1_fail(v1::FailCode::UnexpectedMessage, &text, out);
            return Err(Ended::Misplaced("a malformed Authenticate"));
        }
    };
    let (code, reason) = match service.authenticator.verify(user, password).await {
        Ok(()) => {
            v1::Reply::Success { value: None }.encode(out);
            return Ok(());
        }
        Err(Denied::Credentials) => (v1::FailCode::Unauthenticated, WRONG),
        // That client knows no code for it; the text says that another try may succeed.
        Err(Denied::Busy) => (v1::FailCode::Undefined, CROWDED),
    };
    v1_fail(code, reason, out);
    Err(Ended::Denied(reason))
}

fn authenticate_fields<'a>(message: &Message<'a>) -> Result<(&'a [u8], &'a [u8]), FieldError> {
    match v1::Request::parse(message)? {
        Some(v1::Request::Authenticate { user, password }) => Ok((user, password)),
        _ => Err(FieldError::Wrong { wanted: "Authenticate" }),
    }
}

/// The Fail for bytes that are no message.
fn garbled(error: FrameError, dialect: Dialect, out: &mut BytesMut) {
    let text = match error {
        FrameError::Tls => PLAIN_PORT.to_owned(),
        error => error.to_string(),
    };
    match dialect {
        Dialect::V1 => v1_fail(v1::FailCode::UnexpectedMessage, &text, out),
        Dialect::V2 => Reply::encode_last(FailCode::Protocol, &text, out),
    }
}

/// Which dialect the start of a broken first message looks like.
fn dialect_of(start: &[u8]) -> Dialect {
    let kind = start.iter().position(|byte| *byte == b'#').and_then(|at| start.get(at + 1));
    match kind {
        Some(kind) if v1::is_type(*kind) => Dialect::V1,
        _ => Dialect::V2,
    }
}

fn v1_fail(code: v1::FailCode, message: &str, out: &mut BytesMut) {
    v1::Reply::Fail { code, message }.encode(out);
}

const NOBODY: &str = "this server has users: give a user name and a password";
const WRONG: &str = "the user or the password is wrong";
const CROWDED: &str = "too many clients log in at once, try again later";
const PLAIN_PORT: &str = "this port speaks plain TCP, not TLS: use a kvsd:// URL";
