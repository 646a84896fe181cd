//! What the log tells, and what it never tells. A program of its own: what a thread of another test
//! has said of its interest in an event would hold here too.

#![expect(clippy::unwrap_used, reason = "what a test does not expect ends it")]

#[expect(dead_code, reason = "the tests of sessions use the rest of it")]
#[path = "../session/support.rs"]
mod support;

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use kvsd_server::users::{Grants, Password, StoredHash, UserName, Users};
use tokio::io::AsyncWriteExt;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use support::{Running, ask, expect, login_v1, rest};

#[tokio::test]
async fn no_log_line_holds_a_key_a_value_or_a_password() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    let hash = StoredHash::of(&Password::new(b"secret".to_vec()).unwrap()).unwrap();
    Users::edit(&users, |users| users.add(UserName::parse("app").unwrap(), hash, Grants::all()))
        .unwrap();
    let server = Running::start(|config| {
        (config.dev, config.insecure) = (false, true);
        config.users = Some(users);
    })
    .await;

    for stranger in [
        &b"*3\r\n#\x02+app\r\n+canary\r\n"[..],
        b"*3\r\n#\x02+canary\r\n+canary\r\n",
        b"*6\r\n#H:0\r\n:2\r\n:2\r\n$6\r\ncanary\r\n$6\r\ncanary\r\n",
        b"*2\r\n#\x06+canary\r\n",
        b"canary",
    ] {
        let mut stream = server.connect().await;
        stream.write_all(stranger).await.unwrap();
        assert!(rest(&mut stream).await.contains("#"), "it was refused");
    }
    let mut stream = server.connect().await;
    login_v1(&mut stream).await;
    ask(&mut stream, b"*3\r\n#\x05+canary\r\n$6\r\ncanary\r\n", b"*2\r\n#\x03|").await;
    ask(&mut stream, b"*2\r\n#\x06+canary\r\n", b"*2\r\n#\x03$6\r\ncanary\r\n").await;
    stream.write_all(b"*2\r\n#\x06$6\r\ncanary\r\n").await.unwrap();
    expect(&mut stream, b"*3\r\n#\x04+UNEXPECTED_MESSAGE\r\n").await;
    stream.write_all(b"canary").await.unwrap();
    rest(&mut stream).await;
    drop(stream);
    server.end().await;

    let log = log.0.lock().unwrap();
    for told in ["serving", "connected", "refused", "the user or the password is wrong", "stopped"]
    {
        assert!(log.contains(told), "the log does not say {told:?}:\n{log}");
    }
    assert!(!log.contains("canary") && !log.contains("secret"), "the log tells too much:\n{log}");
}

/// Everything that was logged on this thread, each event a line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut Line(&mut self.0.lock().unwrap()));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Line(&mut self.0.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut log = self.0.lock().unwrap();
        event.record(&mut Line(&mut log));
        log.push('\n');
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line<'l>(&'l mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}
