//! Arbitrary bytes as a client's whole session with a real server, engine and all, over a pipe: it
//! answers in whole messages, ends the session, and panics nowhere. The stream's length chooses the
//! pieces in which it is sent.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use kvsd::protocol::frame::{Decoder, FrameLimits};
use kvsd::transport::Transport;
use kvsd_server::Embedded;
use kvsd_server::log::SyncPolicy;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

static SERVER: LazyLock<(Runtime, Embedded)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let options = Embedded::options()
        .sync(SyncPolicy::Never)
        .max_value_bytes(64 * 1024)
        .cache_bytes(1024 * 1024)
        .history_bytes(1024 * 1024);
    let server = runtime.block_on(options.temporary()).expect("a server");
    (runtime, server)
});

fuzz_target!(|session: &[u8]| {
    let (runtime, server) = &*SERVER;
    let said = runtime
        .block_on(async { timeout(PATIENCE, talk(server, session)).await })
        .expect("the server ends a session whose client has nothing more to say");
    let mut rest = &said[..];
    let mut decoder = Decoder::new(ANY);
    while let Some(message) = decoder.decode(rest).expect("in the grammar") {
        rest = &rest[message.byte_len()..];
    }
    assert!(rest.is_empty(), "half an answer");
});

/// Says all of it, and listens to the end.
async fn talk(server: &Embedded, session: &[u8]) -> Vec<u8> {
    let stream = server.transport().connect().await.expect("a session");
    let (mut reader, mut writer) = stream.into_split();
    let write = async {
        for piece in session.chunks(1 + session.len() % 251) {
            // The server may have closed long ago.
            if writer.write_all(piece).await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    };
    let mut said = Vec::new();
    let read = async { reader.read_to_end(&mut said).await };
    let ((), read) = tokio::join!(write, read);
    read.expect("a pipe does not break");
    said
}

/// Longer than any session takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Limits for what the server says: it is trusted here.
const ANY: FrameLimits = FrameLimits { message_bytes: 1 << 30, frames: 1 << 20, line_bytes: 1024 };
