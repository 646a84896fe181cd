//! The standard streams: lines go out as they come, until nobody reads them.
//!
//! Knows streams and bytes; never what a line says.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;

use clap::ValueEnum;
use kvsd::stream::Stream;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde::Serialize;
use serde_json::json;

use super::failure::Failure;

/// For whom a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    // No doc comments: the help of each command would grow by six lines.
    Text,
    Json,
}

/// Lines on their way to whoever reads them.
pub(super) struct Lines {
    out: BufWriter<Box<dyn Write>>,
    /// What to say that cannot be done.
    what: String,
    reader: Reader,
}

/// Who reads the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Reads,
    /// It has closed the pipe: it has seen enough.
    Gone,
}

impl Lines {
    /// Lines on standard output.
    pub(super) fn on_stdout() -> Self {
        Self::new(Box::new(io::stdout().lock()), "write to standard output".to_owned())
    }

    /// Lines in a file that is made, or emptied, for them.
    pub(super) fn in_file(path: &Path) -> Result<Self, Failure> {
        let what = format!("write {}", path.display());
        match File::create(path) {
            Ok(file) => Ok(Self::new(Box::new(file), what)),
            Err(error) => Err(Failure::stream(&what, &error)),
        }
    }

    fn new(out: Box<dyn Write>, what: String) -> Self {
        Self { out: BufWriter::new(out), what, reader: Reader::Reads }
    }

    pub(super) fn reader(&self) -> Reader {
        self.reader
    }

    /// Writes a line, its line feed included.
    pub(super) fn write(
        &mut self,
        line: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        match self.reader {
            Reader::Reads => {
                let written = line(&mut self.out);
                self.judge(written)
            }
            Reader::Gone => Ok(()),
        }
    }

    /// Writes an object as a line.
    pub(super) fn write_json(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        self.write(|out| write_json(out, object))
    }

    /// Hands on what is held back.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        match self.reader {
            Reader::Reads => {
                let written = self.out.flush();
                self.judge(written)
            }
            Reader::Gone => Ok(()),
        }
    }

    /// The next item of a stream, or `None` if nobody would read it. What is held back is handed on
    /// before the item is waited for.
    pub(super) async fn next<S: Stream + Unpin>(
        &mut self,
        stream: &mut S,
    ) -> Result<Option<S::Item>, Failure> {
        if self.reader == Reader::Reads {
            let stream = &mut *stream;
            let polled = poll_fn(|context| Poll::Ready(Pin::new(&mut *stream).poll_next(context)));
            if let Poll::Ready(item) = polled.await {
                return Ok(item);
            }
            self.flush()?;
        }
        match self.reader {
            Reader::Reads => Ok(poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await),
            Reader::Gone => Ok(None),
        }
    }

    /// As [`Lines::next`]; what has come before an error is handed on before it is told.
    pub(super) async fn try_next<T>(
        &mut self,
        stream: &mut (impl Stream<Item = Result<T, kvsd::Error>> + Unpin),
    ) -> Result<Option<T>, Failure> {
        match self.next(stream).await? {
            None => Ok(None),
            Some(Ok(item)) => Ok(Some(item)),
            Some(Err(error)) => {
                self.flush()?;
                Err(error.into())
            }
        }
    }

    fn judge(&mut self, written: io::Result<()>) -> Result<(), Failure> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.reader = Reader::Gone;
                Ok(())
            }
            written => written.map_err(|error| Failure::stream(&self.what, &error)),
        }
    }
}

/// Waits until nobody can read standard output any more, which a pipe tells before anything is
/// written to it.
pub(super) async fn reader_is_gone() {
    let wait = || {
        let stdout = io::stdout();
        // An error is told though nothing is asked for.
        let mut stdout = [PollFd::new(&stdout, PollFlags::empty())];
        loop {
            match poll(&mut stdout, None) {
                Err(Errno::INTR) => {}
                polled => return polled.is_ok(),
            }
        }
    };
    match tokio::task::spawn_blocking(wait).await {
        Ok(true) => {}
        // It is seen when something is written.
        Ok(false) | Err(_) => std::future::pending().await,
    }
}

/// Says on standard error what is neither a result nor an error.
pub(super) fn note(format: Format, text: &str) {
    let mut stderr = io::stderr();
    // Nobody may be reading.
    let _ = match format {
        Format::Text => writeln!(stderr, "{text}"),
        Format::Json => write_json(&mut stderr, &json!({ "note": text })),
    };
}

/// Writes an object as a line.
pub(super) fn write_json(
    out: &mut (impl Write + ?Sized),
    object: &impl Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(object)?;
    line.push(b'\n');
    out.write_all(&line)
}
