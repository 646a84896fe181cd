//! The three tasks of a connection: writer, reader, keeper.
//!
//! Each ends when the connection does, and ends it when it fails or is dropped with its runtime.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::alive::Verdict;
use super::answer::Answer;
use super::slots::Unasked;
use super::{LINGER, Phase, Shared};
use crate::error::{Error, ErrorKind, Outcome};
use crate::protocol::frame::{Decoder, FrameError, Message};
use crate::protocol::v2::part::{Arrival, Assembler, Backing, Chunk, Cut, PartError};
use crate::protocol::v2::{Reply, RequestId};

type Writer = Box<dyn AsyncWrite + Send + Unpin>;
type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// What a read asks room for, in bytes.
const READ_BYTES: usize = 32 * 1024;
/// A buffer that has grown beyond this for a large value is not kept, in bytes.
const KEPT_BUFFER_BYTES: usize = 512 * 1024;

/// Ends the connection if its task goes away without having said why: its runtime is gone.
struct Watch(Option<Arc<Shared>>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.end(shared.lost("the runtime that served it has stopped"));
        }
    }
}

pub(super) async fn write(shared: Arc<Shared>, mut writer: Writer) {
    let mut watch = Watch(Some(Arc::clone(&shared)));
    let mut batch = BytesMut::new();
    loop {
        shared.write.notified().await;
        // Whoever is about to send as well gets into the same write; a caller alone need not wait.
        if shared.lock().slots.waiting() > 1 {
            tokio::task::yield_now().await;
        }
        loop {
            let ended = shared.ended.notified();
            let cut = match shared.take_batch(&mut batch) {
                Take::Batch(cut) => cut,
                Take::Nothing => break,
                Take::HalfClose => {
                    // The server sees the end of the stream, answers what it has, and closes; the
                    // reader sees that and ends the connection.
                    let result = tokio::select! {
                        biased;
                        result = writer.shutdown() => result,
                        () = ended => return,
                    };
                    if let Err(error) = result {
                        shared.end(shared.lost("it could not be closed").with_source(error));
                    }
                    watch.0 = None;
                    return;
                }
                Take::Ended => return,
            };
            let written = async {
                writer.write_all(&batch).await?;
                writer.flush().await
            };
            let result = tokio::select! {
                biased;
                result = written => result,
                () = ended => return,
            };
            if let Err(error) = result {
                shared.end(shared.lost("a write failed").with_source(error));
                return;
            }
            if cut != Cut::Nothing {
                shared.lock().alive.hear(Instant::now());
                // Others may have small requests to put before the next part.
                tokio::task::yield_now().await;
            }
            batch.clear();
            if batch.capacity() > KEPT_BUFFER_BYTES {
                batch = BytesMut::new();
            }
        }
    }
}

pub(super) async fn read(
    shared: Arc<Shared>,
    mut reader: Reader,
    mut buffer: BytesMut,
    mut incoming: Incoming,
) {
    let _watch = Watch(Some(Arc::clone(&shared)));
    let mut answers = Vec::new();
    let mut wakers = Vec::new();
    let mut has_woken = false;
    let mut at_once = LEAST_AT_ONCE;
    // If so, nobody else takes the callers that are woken here.
    let is_alone = Handle::current().metrics().num_workers() == 1;
    loop {
        let ended = shared.ended.notified();
        let result = incoming.decode_some(&mut buffer, &mut answers, at_once);
        let waiting = shared.deliver(&mut answers, &mut wakers);
        has_woken |= !wakers.is_empty();
        wakers.drain(..).for_each(Waker::wake);
        let Some(waiting) = waiting else {
            return;
        };
        at_once = answers_at_once(waiting);
        match result {
            Ok(Decoded::All) => {}
            Ok(Decoded::Some) => {
                // With so few under way the server would else wait for all of their callers.
                if is_alone || at_once == LEAST_AT_ONCE {
                    tokio::task::yield_now().await;
                }
                continue;
            }
            Err(end) => {
                shared.end(shared.explain(&end));
                return;
            }
        }
        if std::mem::take(&mut has_woken) && !incoming.assembler.is_empty() {
            // More of a large answer is at hand, and callers may not get the thread before this
            // task gives it up: they must not wait for megabytes.
            tokio::task::yield_now().await;
        }
        buffer.reserve(READ_BYTES);
        let result = tokio::select! {
            biased;
            result = reader.read_buf(&mut buffer) => result,
            () = ended => return,
        };
        match result {
            Ok(0) => {
                shared.end(shared.lost("the server closed it"));
                return;
            }
            Ok(_) => {}
            Err(error) => {
                shared.end(shared.lost("a read failed").with_source(error));
                return;
            }
        }
    }
}

/// Tells callers when their deadline passes, asks a silent server whether it is there, and ends what
/// nobody waits on when its time is over. Sleeps while there is none of these to do.
pub(super) async fn keep(shared: Arc<Shared>) {
    let _watch = Watch(Some(Arc::clone(&shared)));
    let mut linger: Option<Instant> = None;
    loop {
        let next = {
            let state = shared.lock();
            if let Phase::Ended(_) = state.phase {
                return;
            }
            if state.is_drained() {
                Some(*linger.get_or_insert_with(|| Instant::now() + LINGER))
            } else {
                [state.earliest, state.alive.next()].into_iter().flatten().min()
            }
        };
        let Some(next) = next else {
            shared.keep.notified().await;
            continue;
        };
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = shared.keep.notified() => continue,
        }
        if linger.is_some() {
            shared.end(shared.lost("the server did not close it in time"));
            return;
        }
        let mut wakers = Vec::new();
        let verdict = {
            let mut state = shared.lock();
            let now = Instant::now();
            state.earliest = state.slots.expire(now, &mut wakers);
            let verdict = state.alive.look(now);
            if verdict == Verdict::Ask {
                state.ask(now);
            }
            shared.after_departure(state);
            verdict
        };
        wakers.into_iter().for_each(Waker::wake);
        match verdict {
            Verdict::Wait => {}
            Verdict::Ask => shared.write.notify_one(),
            Verdict::Gone(silence) => {
                let why = format!("nothing has come from the server for {} s", silence.as_secs());
                shared.end(shared.lost(&why));
                return;
            }
        }
    }
}

enum Take {
    Batch(Cut),
    Nothing,
    HalfClose,
    Ended,
}

/// Why the bytes of the server are followed no further.
enum End {
    Frame(FrameError),
    Part(PartError),
    /// The server's last words.
    Farewell {
        code: crate::protocol::v2::FailCode,
        message: String,
    },
    /// A message that is no reply, or one to nobody.
    Stray,
}

impl Shared {
    fn take_batch(&self, batch: &mut BytesMut) -> Take {
        let mut state = self.lock();
        match state.phase {
            Phase::Ended(_) | Phase::HalfClosed => return Take::Ended,
            Phase::Open | Phase::Draining => {}
        }
        let taken = state.outbox.take(batch);
        self.tell_crowding(&state);
        if let Some(cut) = taken {
            let number = state.taken;
            state.taken += 1;
            if let Cut::Last(id) = cut {
                // Only now can the server have all of it.
                state.slots.set_batch(id.get(), number);
            }
            return Take::Batch(cut);
        }
        if state.is_drained() {
            state.phase = Phase::HalfClosed;
            return Take::HalfClose;
        }
        Take::Nothing
    }

    /// Hands answers to their callers; wakers are woken once the lock is gone. Tells how many
    /// requests still wait for one; `None` if the connection has ended.
    fn deliver(&self, answers: &mut Vec<(u64, Answer)>, wakers: &mut Vec<Waker>) -> Option<usize> {
        let mut state = self.lock();
        if let Phase::Ended(_) = state.phase {
            return None;
        }
        state.alive.hear(Instant::now());
        // A refusal proves nothing: a server that takes its leave answers with one.
        if answers.iter().any(|(_, answer)| !matches!(answer, Answer::Fail { .. })) {
            self.served.store(true, Ordering::Relaxed);
        }
        for (id, answer) in answers.drain(..) {
            match state.slots.answer(id, answer) {
                Ok(waker) => wakers.extend(waker),
                Err(Unasked) => {
                    drop(state);
                    self.end(self.explain(&End::Stray));
                    return None;
                }
            }
        }
        self.tell_crowding(&state);
        let waiting = state.slots.waiting();
        self.after_departure(state);
        Some(waiting)
    }

    pub(super) fn lost(&self, why: &str) -> Error {
        Error::new(ErrorKind::ConnectionLost, Outcome::Unknown, why).at(&self.address)
    }

    fn explain(&self, end: &End) -> Error {
        match end {
            End::Frame(error) => {
                Error::new(ErrorKind::Protocol, Outcome::Unknown, "its bytes are no messages")
                    .at(&self.address)
                    .with_source(*error)
            }
            End::Part(error) => Error::new(
                ErrorKind::Protocol,
                Outcome::Unknown,
                "its messages are off their parts",
            )
            .at(&self.address)
            .with_source(*error),
            End::Farewell { code, message } => {
                Error::new(ErrorKind::Server(*code), Outcome::Unknown, message.as_str())
                    .at(&self.address)
            }
            End::Stray => {
                Error::new(ErrorKind::Protocol, Outcome::Unknown, "it answered what nobody asked")
                    .at(&self.address)
            }
        }
    }
}

/// What the server's bytes have come to so far.
pub(super) struct Incoming {
    decoder: Decoder,
    assembler: Assembler,
    chunk: Chunk,
}

/// How much of the buffer was decoded.
enum Decoded {
    All,
    /// There may be more in it.
    Some,
}

/// How many answers are handed over at once, when so many requests are under way. Their callers run
/// while the rest is decoded, and wait for the lock no longer than that takes. A quarter, so that
/// the server has something to do while the next one's callers run.
fn answers_at_once(under_way: usize) -> usize {
    (under_way / 4).clamp(LEAST_AT_ONCE, MOST_AT_ONCE)
}

const LEAST_AT_ONCE: usize = 16;
const MOST_AT_ONCE: usize = 64;

impl Incoming {
    pub(super) fn new(decoder: Decoder, assembler: Assembler) -> Self {
        Self { decoder, assembler, chunk: Chunk::default() }
    }

    /// Decodes messages of the buffer and takes them from it.
    fn decode_some(
        &mut self,
        buffer: &mut BytesMut,
        answers: &mut Vec<(u64, Answer)>,
        at_once: usize,
    ) -> Result<Decoded, End> {
        let mut done = 0;
        let result = loop {
            if answers.len() == at_once {
                break Ok(Decoded::Some);
            }
            let rest = buffer.get(done..).unwrap_or_default();
            let message = match self.decoder.decode(rest) {
                Ok(Some(message)) => message,
                Ok(None) => break Ok(Decoded::All),
                Err(error) => break Err(End::Frame(error)),
            };
            done += message.byte_len();
            let answer = match self.assembler.take(&message) {
                Ok(Arrival::Part) => continue,
                Ok(Arrival::Whole) => read_answer(&message, Backing::ReadBuffer, &mut self.chunk),
                Ok(Arrival::Assembled(mut whole)) => match whole.open() {
                    Ok((message, backing)) => read_answer(&message, backing, &mut self.chunk),
                    Err(error) => Err(End::Part(error)),
                },
                Err(error) => Err(End::Part(error)),
            };
            match answer {
                Ok(answer) => answers.push(answer),
                Err(end) => break Err(end),
            }
        };
        buffer.advance(done);
        result
    }
}

fn read_answer(
    message: &Message<'_>,
    backing: Backing<'_>,
    chunk: &mut Chunk,
) -> Result<(u64, Answer), End> {
    match Reply::parse(message) {
        Ok((Some(id), Some(reply))) => {
            Ok((RequestId::get(id), Answer::from_reply(&reply, backing, chunk)))
        }
        Ok((None, Some(Reply::Fail { code, message }))) => {
            Err(End::Farewell { code, message: message.to_owned() })
        }
        Ok(_) | Err(_) => Err(End::Stray),
    }
}
