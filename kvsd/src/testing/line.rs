//! One connection over a network that misbehaves: whether it flows, and its two halves.
//!
//! A half waits its turn (a piece's length and delay), then passes one piece on. Never holds a lock
//! while it touches the stream below or wakes a task.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::faults::Shared;
use super::random::Random;

/// What both halves of a connection and the handle on all of them share.
pub(super) struct Line {
    shared: Arc<Shared>,
    state: Mutex<State>,
}

struct State {
    flow: Flow,
    /// Bytes until then, both ways together.
    cut_after: Option<u64>,
    half_open_after: Option<u64>,
    passed: u64,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Each state ends in those below it, never in one above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flow {
    Open,
    /// Takes everything, gives nothing.
    HalfOpen,
    Cut,
}

/// A piece's bytes at most.
const MAX_PIECE_BYTES: usize = 64 * 1024;

impl Line {
    pub(super) fn new(
        shared: Arc<Shared>,
        cut_after: Option<u64>,
        half_open_after: Option<u64>,
    ) -> Self {
        let flow = Flow::Open;
        let state =
            State { flow, cut_after, half_open_after, passed: 0, reader: None, writer: None };
        let line = Self { shared, state: Mutex::new(state) };
        line.pass(0);
        line
    }

    pub(super) fn flow(&self) -> Flow {
        self.lock().flow
    }

    /// Makes the connection half-open, or cuts it, unless it is at least as bad already.
    pub(super) fn turn(&self, flow: Flow) {
        let wakers = {
            let mut state = self.lock();
            if flow <= state.flow {
                return;
            }
            state.flow = flow;
            [state.reader.take(), state.writer.take()]
        };
        let tally = &self.shared.tally;
        match flow {
            Flow::Open => {}
            Flow::HalfOpen => drop(tally.half_opens.fetch_add(1, Ordering::Relaxed)),
            Flow::Cut => drop(tally.cuts.fetch_add(1, Ordering::Relaxed)),
        }
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// `bytes` went through: the connection ends here, if it was to.
    fn pass(&self, bytes: u64) {
        let turn = {
            let mut state = self.lock();
            state.passed += bytes;
            let reached = |after: Option<u64>| after.is_some_and(|after| after <= state.passed);
            if reached(state.cut_after) {
                Flow::Cut
            } else if reached(state.half_open_after) {
                Flow::HalfOpen
            } else {
                return;
            }
        };
        self.turn(turn);
    }

    /// How the connection is, and how many bytes may go before it changes. The caller is woken when
    /// it changes from without.
    fn look(&self, waker: &Waker, side: fn(&mut State) -> &mut Option<Waker>) -> (Flow, usize) {
        let mut state = self.lock();
        *side(&mut state) = Some(waker.clone());
        let ends = [state.cut_after, state.half_open_after].into_iter().flatten();
        let left = ends.map(|end| end.saturating_sub(state.passed)).filter(|left| *left > 0);
        let left =
            left.min().map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        (state.flow, left)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the next piece goes, and how long it is.
struct Pace {
    random: Random,
    /// Drawn, and not yet passed on.
    next: Option<(usize, Option<Pin<Box<Sleep>>>)>,
}

impl Pace {
    fn new(random: Random) -> Self {
        Self { random, next: None }
    }

    /// The length of the next piece.
    fn length(&mut self, line: &Line) -> usize {
        if let Some((length, _)) = &self.next {
            return *length;
        }
        let (split, one_in, at_most) = {
            let settings = line.shared.settings();
            (settings.split, settings.delay_one_in, settings.delay_at_most)
        };
        let length = match split {
            usize::MAX => MAX_PIECE_BYTES,
            split => self.random.length(split.min(MAX_PIECE_BYTES)),
        };
        let sleep = (one_in > 0 && self.random.below(one_in.into()) == 0).then(|| {
            line.shared.tally.delays.fetch_add(1, Ordering::Relaxed);
            let micros = u64::try_from(at_most.as_micros()).unwrap_or(u64::MAX);
            let wait = Duration::from_micros(self.random.below(micros.saturating_add(1)));
            Box::pin(tokio::time::sleep(wait))
        });
        self.next = Some((length, sleep));
        length
    }

    /// Waits until the piece that was drawn may go.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.next {
            Some((_, Some(sleep))) => sleep.as_mut().poll(context),
            Some((_, None)) | None => Poll::Ready(()),
        }
    }

    /// The piece has gone.
    fn step(&mut self, line: &Line, bytes: usize) {
        self.next = None;
        line.shared.tally.pieces.fetch_add(1, Ordering::Relaxed);
        line.shared.tally.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        line.pass(bytes as u64);
    }
}

/// What the client reads from.
pub(super) struct Reader {
    line: Arc<Line>,
    /// Gone once the connection is cut, so that the server sees it as well.
    inner: Option<Box<dyn AsyncRead + Send + Unpin>>,
    pace: Pace,
    piece: Box<[u8]>,
    /// The part of `piece` that has come and was not handed on yet.
    held: std::ops::Range<usize>,
    cut_looks: CutLooks,
}

/// How a cut connection looks to who reads from it.
#[derive(Debug, Clone, Copy)]
enum CutLooks {
    LikeAnEnd,
    LikeAReset,
}

impl Reader {
    pub(super) fn new(
        line: Arc<Line>,
        inner: Box<dyn AsyncRead + Send + Unpin>,
        mut random: Random,
    ) -> Self {
        let cut_looks =
            if random.below(2) == 0 { CutLooks::LikeAnEnd } else { CutLooks::LikeAReset };
        let piece = vec![0; MAX_PIECE_BYTES].into_boxed_slice();
        Self { line, inner: Some(inner), pace: Pace::new(random), piece, held: 0..0, cut_looks }
    }

    /// Takes in what comes and forgets it. An end of the stream is swallowed, too.
    fn swallow(&mut self, context: &mut Context<'_>) {
        let Some(inner) = &mut self.inner else { return };
        for _ in 0..PIECES_PER_TURN {
            let mut piece = ReadBuf::new(&mut self.piece);
            match Pin::new(&mut *inner).poll_read(context, &mut piece) {
                Poll::Ready(Ok(())) if !piece.filled().is_empty() => {
                    let bytes = piece.filled().len() as u64;
                    self.line.shared.tally.swallowed.fetch_add(bytes, Ordering::Relaxed);
                }
                Poll::Ready(_) | Poll::Pending => return,
            }
        }
        context.waker().wake_by_ref();
    }
}

/// A half-open connection gives way to other tasks after so many pieces.
const PIECES_PER_TURN: usize = 32;

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let (flow, left) = this.line.look(context.waker(), |state| &mut state.reader);
            match flow {
                Flow::Open => {}
                Flow::HalfOpen => {
                    this.held = 0..0;
                    this.swallow(context);
                    return Poll::Pending;
                }
                Flow::Cut => {
                    this.inner = None;
                    return Poll::Ready(match this.cut_looks {
                        CutLooks::LikeAnEnd => Ok(()),
                        CutLooks::LikeAReset => Err(io::ErrorKind::ConnectionReset.into()),
                    });
                }
            }
            if !this.held.is_empty() {
                ready!(this.pace.poll_ready(context));
                let bytes = this.held.len().min(buffer.remaining());
                let held = this.piece.get(this.held.start..this.held.start + bytes);
                buffer.put_slice(held.unwrap_or_default());
                this.held.start += bytes;
                this.pace.step(&this.line, bytes);
                return Poll::Ready(Ok(()));
            }
            let Some(inner) = &mut this.inner else { return Poll::Ready(Ok(())) };
            let length = this.pace.length(&this.line).min(left);
            let mut piece = ReadBuf::new(this.piece.get_mut(..length).unwrap_or_default());
            ready!(Pin::new(inner).poll_read(context, &mut piece))?;
            this.held = 0..piece.filled().len();
            if this.held.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// What the client writes to.
pub(super) struct Writer {
    line: Arc<Line>,
    /// Gone once the connection is cut, so that the server sees it as well.
    inner: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    pace: Pace,
}

impl Writer {
    pub(super) fn new(
        line: Arc<Line>,
        inner: Box<dyn AsyncWrite + Send + Unpin>,
        random: Random,
    ) -> Self {
        Self { line, inner: Some(inner), pace: Pace::new(random) }
    }

    /// The stream below and how many bytes it may be given, if the connection flows; otherwise what
    /// a write says.
    fn look(&mut self, context: &Context<'_>) -> Result<usize, io::Result<()>> {
        match self.line.look(context.waker(), |state| &mut state.writer) {
            (Flow::Open, left) => Ok(left),
            (Flow::HalfOpen, _) => Err(Ok(())),
            (Flow::Cut, _) => {
                self.inner = None;
                Err(Err(io::ErrorKind::BrokenPipe.into()))
            }
        }
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let left = match this.look(context) {
            Ok(left) => left,
            Err(said) => {
                let swallowed = said.map(|()| bytes.len());
                if let Ok(swallowed) = &swallowed {
                    let tally = &this.line.shared.tally;
                    tally.swallowed.fetch_add(*swallowed as u64, Ordering::Relaxed);
                }
                return Poll::Ready(swallowed);
            }
        };
        let length = this.pace.length(&this.line).min(left).min(bytes.len());
        ready!(this.pace.poll_ready(context));
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let piece = bytes.get(..length).unwrap_or_default();
        let written = ready!(Pin::new(inner).poll_write(context, piece))?;
        this.pace.step(&this.line, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Err(said) = self.look(context) {
            return Poll::Ready(said);
        }
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_flush(context),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Err(said) = self.look(context) {
            return Poll::Ready(said);
        }
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_shutdown(context),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
}
