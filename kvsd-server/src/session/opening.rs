//! A session's first message: which dialect it speaks, and who is there.
//!
//! Answers exactly one message, with a welcome or with a Fail behind which the connection ends.
//! What the client does has a deadline, and what the server does has its own bounds. Next file to read: `v1` or `v2`.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use kvsd::protocol::frame::{FieldError, FrameError, Message};
use kvsd::protocol::v1;
use kvsd::protocol::v2::{self, FailCode, Hello, Reply, RequestId, Welcome, hello};
use kvsd::protocol::{MAX_PASSWORD_BYTES, MAX_USER_BYTES};
use kvsd::types::MAX_KEY_BYTES;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::input::Input;
use super::output::Output;
use super::v2::MAX_WATCHES;
use super::{Ended, Newcomer, Service};
use crate::audit::{Proof, Reason};
use crate::auth::{Denied, Login};
use crate::metrics::Refusal;

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
    newcomer: &Newcomer,
) -> Result<(Dialect, Login), Ended>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut output = Output::default();
    let mut deadline = newcomer.deadline;
    let opened = loop {
        match input.next() {
            Ok(Some(message)) => {
                let begun = Instant::now();
                let opened = answer(&message, service, newcomer, output.buffer()).await;
                deadline += begun.elapsed();
                break opened;
            }
            Ok(None) => {}
            Err(error) => {
                garbled(error, dialect_of(input.rest()), output.buffer());
                break Err(Ended::Garbled(error));
            }
        }
        if in_time(deadline, input.read(stream)).await? == 0 {
            return Err(Ended::Left);
        }
    };
    in_time(deadline, output.flush(stream)).await?;
    opened
}

async fn in_time<T>(
    deadline: Instant,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, Ended> {
    match timeout_at(deadline, work).await {
        Ok(done) => done.map_err(Ended::Broken),
        Err(_) => Err(Ended::TimedOut),
    }
}

async fn answer(
    message: &Message<'_>,
    service: &Service,
    newcomer: &Newcomer,
    out: &mut BytesMut,
) -> Result<(Dialect, Login), Ended> {
    let of = |dialect| move |login| (dialect, login);
    match message.kind() {
        hello::HELLO => answer_hello(message, service, newcomer, out).await.map(of(Dialect::V2)),
        v1::AUTHENTICATE => {
            answer_authenticate(message, service, newcomer, out).await.map(of(Dialect::V1))
        }
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
    newcomer: &Newcomer,
    out: &mut BytesMut,
) -> Result<Login, Ended> {
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
        let reason = "no common version of the protocol";
        return Err(deny(None, service, newcomer, Refusal::Version, reason));
    }
    let user = hello.credentials.as_ref().map(|credentials| credentials.user);
    match admit(hello, service, newcomer).await {
        Ok(login) => {
            welcome(id, service, out);
            Ok(login)
        }
        Err((code, why, reason)) => {
            Reply::Fail { code, message: reason }.encode(id, out);
            Err(deny(user, service, newcomer, why, reason))
        }
    }
}

/// Decides whether the client comes in.
async fn admit(
    hello: Hello<'_>,
    service: &Service,
    newcomer: &Newcomer,
) -> Result<Login, (FailCode, Refusal, &'static str)> {
    let Some(credentials) = hello.credentials else {
        if service.authenticator.accepts_anyone() {
            newcomer.guest.is_known(None);
            return Ok(Login::of_anyone());
        }
        let Some(user) = &newcomer.certified else {
            return Err((FailCode::Unauthenticated, Refusal::NoCredentials, NOBODY));
        };
        let login = service.authenticator.admit(user.as_bytes());
        let login =
            login.ok_or((FailCode::Unauthenticated, Refusal::WrongCertificate, STRANGER))?;
        let_in(user, Proof::Certificate, service, newcomer);
        return Ok(login);
    };
    match identify(credentials.user, credentials.password, service, newcomer).await {
        Ok(login) => Ok(login),
        Err(denied) => {
            let code = match denied {
                Denied::Credentials => FailCode::Unauthenticated,
                Denied::Failures | Denied::Busy => FailCode::Busy,
            };
            let (why, reason) = explain(denied);
            Err((code, why, reason))
        }
    }
}

/// Checks a user and its password. The user whom the client's certificate names needs none; whoever
/// gives another name needs that one's password.
async fn identify(
    user: &[u8],
    password: &[u8],
    service: &Service,
    newcomer: &Newcomer,
) -> Result<Login, Denied> {
    let is_certified = newcomer.certified.as_ref().is_some_and(|name| name.as_bytes() == user);
    newcomer.guest.has_spoken();
    let (proof, login) = if password.is_empty() && is_certified {
        let login = service.authenticator.admit(user).ok_or(Denied::Credentials);
        (Proof::Certificate, login)
    } else {
        let login = service.authenticator.verify(user, password, newcomer.address()).await;
        (Proof::Password, login)
    };
    let login = login?;
    // Where anyone is let in, a name says nothing.
    if service.authenticator.accepts_anyone() {
        newcomer.guest.is_known(None);
    } else {
        let_in(&String::from_utf8_lossy(user), proof, service, newcomer);
    }
    Ok(login)
}

fn let_in(user: &str, proof: Proof, service: &Service, newcomer: &Newcomer) {
    newcomer.guest.is_known(Some(user));
    service.audit.login(user, &newcomer.guest.entry().peer(), proof);
}

/// Notes that a client is not let in, who may have said who it is.
fn deny(
    user: Option<&[u8]>,
    service: &Service,
    newcomer: &Newcomer,
    why: Refusal,
    reason: &'static str,
) -> Ended {
    let known = user.and_then(|user| service.authenticator.known(user));
    let told = Reason { why: why.label(), text: reason };
    service.audit.login_refused(known, &newcomer.guest.entry().peer(), told);
    Ended::Denied(why, reason)
}

fn welcome(id: RequestId, service: &Service, out: &mut BytesMut) {
    let engine = service.engine.description();
    let welcome = Welcome {
        version: v2::VERSION,
        server: concat!("kvsd-server/", env!("CARGO_PKG_VERSION")),
        engine: engine.name,
        durability: engine.durability,
        max_value_bytes: service.most.max_value_bytes as u64,
        limits: announced(service),
    };
    welcome.encode(id, out);
}

/// The limits of this server and of the protocol, by their names.
fn announced(service: &Service) -> Vec<(&'static str, u64)> {
    let limits = service.limits.get();
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let count = |number: usize| number as u64;
    vec![
        ("max-user-bytes", count(MAX_USER_BYTES)),
        ("max-password-bytes", count(MAX_PASSWORD_BYTES)),
        ("max-key-bytes", count(MAX_KEY_BYTES)),
        ("max-message-bytes", count(v2::limits(service.most.max_value_bytes).message_bytes)),
        ("max-batch", count(service.most.max_batch)),
        ("max-write-bytes", count(service.most.max_write_bytes)),
        ("max-page", count(v2::MAX_PAGE)),
        ("answer-bytes", count(v2::ANSWER_BYTES)),
        ("max-tables", count(service.max_tables)),
        ("max-watches", count(MAX_WATCHES)),
        ("max-in-flight", count(limits.max_in_flight)),
        ("max-output-bytes", count(limits.max_output_bytes)),
        ("max-output-bytes-hard", count(limits.max_output_bytes_hard)),
        ("connection-memory", count(limits.connection_memory)),
        ("max-connections", count(service.max_connections)),
        ("max-connections-per-address", count(limits.max_connections_per_address)),
        ("max-unauthenticated", count(limits.max_unauthenticated)),
        ("handshake-timeout-ms", millis(limits.handshake_timeout)),
        // 0 for none.
        ("idle-timeout-ms", limits.idle_timeout.map_or(0, millis)),
    ]
}

async fn answer_authenticate(
    message: &Message<'_>,
    service: &Service,
    newcomer: &Newcomer,
    out: &mut BytesMut,
) -> Result<Login, Ended> {
    let (user, password) = match authenticate_fields(message) {
        Ok(fields) => fields,
        Err(error) => {
            let text = format!("not an Authenticate: {error}");
            v1_fail(v1::FailCode::UnexpectedMessage, &text, out);
            return Err(Ended::Misplaced("a malformed Authenticate"));
        }
    };
    let denied = match identify(user, password, service, newcomer).await {
        Ok(login) => {
            v1::Reply::Success { value: None }.encode(out);
            return Ok(login);
        }
        Err(denied) => denied,
    };
    let code = match denied {
        Denied::Credentials => v1::FailCode::Unauthenticated,
        // That client knows no code for these; the text says that another try may succeed.
        Denied::Failures | Denied::Busy => v1::FailCode::Undefined,
    };
    let (why, reason) = explain(denied);
    v1_fail(code, reason, out);
    Err(deny(Some(user), service, newcomer, why, reason))
}

/// What a client that is not let in is counted as, and told.
fn explain(denied: Denied) -> (Refusal, &'static str) {
    match denied {
        Denied::Credentials => (Refusal::WrongCredentials, WRONG),
        Denied::Failures => (Refusal::TooManyFailures, FAILURES),
        Denied::Busy => (Refusal::LoginQueueFull, CROWDED),
    }
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
const STRANGER: &str =
    "the client's certificate names no user of this server: give a user name and a password";
const WRONG: &str = "the user or the password is wrong";
const CROWDED: &str = "too many clients log in at once, try again later";
const FAILURES: &str =
    "too many failed logins of this user from this address, try again in some seconds";
const PLAIN_PORT: &str = "this port speaks plain TCP, not TLS: use a kvsd:// URL";
