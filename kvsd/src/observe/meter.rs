//! The client's figures, through the facade `metrics`. Their names stand in the docs of `observe`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use metrics::{Counter, SharedString, counter, gauge, histogram};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Ending;
use crate::transport::Stream;

/// One operation's time and end.
#[derive(Debug)]
pub(super) struct Meter(Option<Begun>);

#[derive(Debug)]
struct Begun {
    operation: &'static str,
    address: Arc<str>,
    at: Instant,
}

impl Meter {
    pub(super) fn idle() -> Self {
        Self(None)
    }

    pub(super) fn begin(&mut self, operation: &'static str, address: &Arc<str>) {
        gauge!("kvsd_operations_in_flight", "server" => server(address)).increment(1);
        self.0 = Some(Begun { operation, address: Arc::clone(address), at: Instant::now() });
    }

    /// From now on it counts for this address.
    pub(super) fn move_to(&mut self, address: &Arc<str>) {
        let Some(begun) = &mut self.0 else { return };
        gauge!("kvsd_operations_in_flight", "server" => server(&begun.address)).decrement(1);
        gauge!("kvsd_operations_in_flight", "server" => server(address)).increment(1);
        begun.address = Arc::clone(address);
    }

    pub(super) fn end(&mut self, outcome: &'static str) {
        let Some(Begun { operation, address, at }) = self.0.take() else { return };
        gauge!("kvsd_operations_in_flight", "server" => server(&address)).decrement(1);
        histogram!(
            "kvsd_operation_seconds", "server" => server(&address), "operation" => operation
        )
        .record(at.elapsed());
        counter!(
            "kvsd_operations_total",
            "server" => server(&address), "operation" => operation, "outcome" => outcome
        )
        .increment(1);
    }
}

pub(super) fn sent_again(address: &Arc<str>, operation: &'static str) {
    counter!("kvsd_resends_total", "server" => server(address), "operation" => operation)
        .increment(1);
}

pub(super) fn connected(address: &Arc<str>) {
    gauge!("kvsd_connections_open", "server" => server(address)).increment(1);
    counter!("kvsd_connections_opened_total", "server" => server(address)).increment(1);
}

pub(super) fn ended(address: &Arc<str>, ending: Ending) {
    gauge!("kvsd_connections_open", "server" => server(address)).decrement(1);
    match ending {
        Ending::Closed => {}
        Ending::Lost => {
            counter!("kvsd_connections_lost_total", "server" => server(address)).increment(1);
        }
    }
}

pub(super) fn cannot_connect(address: &Arc<str>) {
    counter!("kvsd_connections_failed_total", "server" => server(address)).increment(1);
}

/// An attempt to open a connection, until it is dropped.
pub(crate) struct Opening(Arc<str>);

pub(crate) fn opening(address: &Arc<str>) -> Opening {
    gauge!("kvsd_connections_opening", "server" => server(address)).increment(1);
    Opening(Arc::clone(address))
}

impl Drop for Opening {
    fn drop(&mut self) {
        gauge!("kvsd_connections_opening", "server" => server(&self.0)).decrement(1);
    }
}

/// The stream, its bytes counted.
pub(crate) fn counted(stream: Stream, address: &Arc<str>) -> Stream {
    let Stream { reader, writer } = stream;
    let received = counter!("kvsd_received_bytes_total", "server" => server(address));
    let sent = counter!("kvsd_sent_bytes_total", "server" => server(address));
    Stream::new(Reading { inner: reader, received }, Writing { inner: writer, sent })
}

struct Reading {
    inner: Box<dyn AsyncRead + Send + Unpin>,
    received: Counter,
}

impl AsyncRead for Reading {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        self.received.increment((buffer.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

struct Writing {
    inner: Box<dyn AsyncWrite + Send + Unpin>,
    sent: Counter,
}

impl AsyncWrite for Writing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes))?;
        self.sent.increment(written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

fn server(address: &Arc<str>) -> SharedString {
    SharedString::from(Arc::clone(address))
}
