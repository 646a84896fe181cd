//! Closing a stream so that the other side can read what was said last.
//!
//! A socket that is closed with unread bytes in it answers them with a reset, and the reset throws
//! away what the peer has not read yet: the very Fail that explains the close. So the writing side
//! is closed first, and what the peer still sends is read and dropped for a short while.

use std::time::Duration;

use bytes::BytesMut;
use kvsd::protocol::v2::{FailCode, Reply};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Tells a client that is not let in why, in the only words that need no question, and closes.
pub(crate) async fn turn_away(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    why: &'static str,
) {
    let mut out = BytesMut::new();
    Reply::encode_last(FailCode::Busy, why, &mut out);
    // So little finds room in the buffer of a socket that is new.
    if matches!(timeout(MAX_LINGER, stream.write_all(&out)).await, Ok(Ok(()))) {
        linger(stream).await;
    }
}

/// Says goodbye and waits, within bounds, until the peer has closed too.
pub(crate) async fn linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let farewell = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        // Not in the future itself: it would have a part in what an idle connection costs.
        let mut dropped = vec![0; 1024];
        let mut left = MAX_LINGER_BYTES;
        while left > 0 {
            match stream.read(&mut dropped).await {
                Ok(0) | Err(_) => return,
                Ok(read) => left = left.saturating_sub(read),
            }
        }
    };
    // Out of time: whoever has not read the farewell by now will not.
    let _ = timeout(MAX_LINGER, farewell).await;
}

/// Closes the writing side, and does not wait for the peer.
pub(super) async fn hang_up(stream: &mut (impl AsyncWrite + Unpin)) {
    // Out of time only for a peer that takes not even the few bytes with which TLS ends.
    let _ = timeout(MAX_LINGER, stream.shutdown()).await;
}

/// How much of what a peer still sends is read, in bytes.
const MAX_LINGER_BYTES: usize = 256 * 1024;
/// How long a peer has to read what was said last.
const MAX_LINGER: Duration = Duration::from_secs(1);
