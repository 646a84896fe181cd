//! A session of version 2: many requests in flight, answered as they are done.
//!
//! ```text
//! stream -> input -> parts -> requests -+-> reads, all that came together -+-> output -> stream
//!                                       +-> writes, a group a table -+       |
//!                                       +-> all else that may wait --+-> in flight
//! ```
//!
//! One task and one state machine: everything that a read brought is looked at before anything is
//! written, and reading goes on while writing does. A client that asks for more than it takes is
//! not read from until it has caught up (`MAX_OUTPUT_BYTES`, `in_flight`): that is the only brake,
//! and it bounds what a client can make the server hold. A client whose answers pass the hard limit
//! all the same is cut off. Large messages come and go in parts; those
//! that have come are held outside of that bound, at most four messages, because only reading on
//! makes them whole: a brake on them would never be released. Next file to read: `requests`.

mod access;
mod answer;
mod batches;
mod in_flight;
mod parts;
mod pipeline;
mod points;
mod reads;
mod requests;
mod rules;
mod scans;
mod tables;
mod watches;
mod writes;

use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use kvsd::protocol::v2::{self, FailCode, Reply, part};
use tokio::io::{AsyncRead, AsyncWrite};

use self::in_flight::InFlight;
use self::parts::Parts;
use self::requests::Requests;
pub(super) use self::watches::MAX_WATCHES;
use super::input::Input;
use super::leave::Leave;
use super::meter::Meter;
use super::output::{Output, Written};
use super::{Ended, Service};
use crate::limits::Followed;

/// Serves an authenticated client to its end.
pub(super) async fn serve<S>(
    stream: &mut S,
    mut input: Input,
    service: &Service,
    mut leave: Leave<'_>,
) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let whole = v2::limits(service.most.max_value_bytes);
    input.set_limits(part::stream_limits(whole));
    let mut session = Session {
        stream,
        input,
        parts: Parts::new(whole),
        requests: Requests::new(service, &leave),
        in_flight: InFlight::new(service.most.max_value_bytes),
        output: Output::default(),
        meter: Meter::new(&leave.entry, &service.metrics),
        limits: service.limits.follow(),
        phase: Phase::Open,
    };
    let mut asked = pin!(leave.asked());
    std::future::poll_fn(|cx| session.poll(cx, asked.as_mut())).await
}

struct Session<'s, S> {
    stream: &'s mut S,
    input: Input,
    parts: Parts,
    requests: Requests<'s>,
    in_flight: InFlight,
    output: Output,
    meter: Meter<'s>,
    limits: Followed,
    phase: Phase,
}

/// How far a session is on its way. Each phase follows the one above it.
#[derive(Debug)]
enum Phase {
    /// Reads, carries out, answers.
    Open,
    /// The server stops: what was received is carried out, nothing is read any more.
    Draining,
    /// Nothing is carried out any more; what is in flight gets its answer.
    Finishing(Ended),
    /// The last word is said, and on its way.
    Closing(Ended),
    /// Over.
    Closed,
}

impl<S> Session<'_, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Does what can be done, and tells of it; ready when the session is over.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        asked: Pin<&mut impl Future<Output = Ended>>,
    ) -> Poll<Ended> {
        self.meter.begin();
        let ended = self.go_on(cx, asked);
        self.meter.tell(&mut self.input, &mut self.output, self.in_flight.requests());
        ended
    }

    fn go_on(
        &mut self,
        cx: &mut Context<'_>,
        asked: Pin<&mut impl Future<Output = Ended>>,
    ) -> Poll<Ended> {
        if matches!(self.phase, Phase::Open)
            && let Poll::Ready(ended) = asked.poll(cx)
        {
            self.phase = match ended {
                Ended::Stopped => Phase::Draining,
                ended => Phase::Finishing(ended),
            };
        }
        self.requests.rest();
        self.limits.look();
        for _ in 0..MAX_ROUNDS {
            let (read, written) = match self.round(cx) {
                Ok(polled) => polled,
                Err(error) => return Poll::Ready(Ended::Broken(error)),
            };
            if self.output.len() + self.output.large_len() > self.limits.get().max_output_bytes_hard
            {
                return Poll::Ready(Ended::Deaf);
            }
            match mem::replace(&mut self.phase, Phase::Closed) {
                Phase::Closing(ended) if written == Written::All => return Poll::Ready(ended),
                phase => self.phase = phase,
            }
            if self.requests.are_tired() {
                break;
            }
            let nothing_to_take = read.is_pending() || !self.can_take();
            if written != Written::Part && nothing_to_take && !self.can_answer() {
                self.requests.tidy();
                return Poll::Pending;
            }
        }
        give_way(cx);
        Poll::Pending
    }

    /// Reads once, answers everything that this brought, writes once. Tells whether the stream has
    /// nothing more to read for now (pending), and how far the writing has come.
    fn round(&mut self, cx: &mut Context<'_>) -> io::Result<(Poll<()>, Written)> {
        let mut read = Poll::Ready(());
        if matches!(self.phase, Phase::Open) && self.input.is_exhausted() && self.has_room() {
            match self.input.poll_read(cx, self.stream) {
                Poll::Ready(Ok(0)) => self.phase = Phase::Finishing(Ended::Left),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => read = Poll::Pending,
            }
        }
        self.requests.memory_is_full = self.meter.memory_is_full(self.limits.get());
        self.take_messages();
        self.requests.submit(&mut self.in_flight, self.meter.now());
        if !matches!(self.phase, Phase::Open) {
            self.in_flight.cancel_all();
        }
        self.in_flight.poll(cx, &mut self.output, &mut self.meter);
        self.say_the_last_word();
        let written = self.output.poll_write(cx, self.stream)?;
        if self.output_has_room() {
            self.in_flight.forget_told();
        }
        let besides = self.parts.held() + self.in_flight.held() + self.requests.held();
        self.meter.hold(&self.input, &self.output, besides, self.limits.get());
        Ok((read, written))
    }

    /// Carries out what was read, until a whole message is missing or there is no room.
    fn take_messages(&mut self) {
        self.answer_reads();
        while self.can_take() && !self.requests.are_tired() {
            let taken = match self.input.next() {
                Ok(Some(message)) => self.parts.take(&message, |message, backing| {
                    self.meter.count();
                    let to = (&mut self.in_flight, &mut self.output, &mut self.meter);
                    self.requests.take(message, backing, to)
                }),
                Ok(None) => break,
                Err(error) => Err(Ended::Garbled(error)),
            };
            if let Err(ended) = taken {
                self.phase = Phase::Finishing(ended);
            }
            if self.requests.reads().are_full() {
                self.answer_reads();
            }
        }
        self.answer_reads();
        if matches!(self.phase, Phase::Draining) && self.input.is_exhausted() {
            self.phase = Phase::Finishing(Ended::Stopped);
        }
    }

    /// Answers the reads that were gathered, as far as there is room.
    fn answer_reads(&mut self) {
        self.requests.look_ahead();
        while self.has_room() && !self.requests.are_tired() {
            let to = (&mut self.in_flight, &mut self.output, &mut self.meter);
            if !self.requests.answer_read(to) {
                return;
            }
        }
    }

    /// Once nothing is in flight, tells the client why the connection ends.
    fn say_the_last_word(&mut self) {
        if !(self.in_flight.is_empty() && self.requests.reads().are_answered()) {
            return;
        }
        self.phase = match mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Finishing(ended) => {
                let out = self.output.last();
                match &ended {
                    Ended::Stopped => Reply::encode_last(FailCode::Closing, STOPPING, out),
                    Ended::Revoked => Reply::encode_last(FailCode::Unauthenticated, REVOKED, out),
                    Ended::Evicted(why) => {
                        Reply::encode_last(FailCode::Closing, &why.to_string(), out);
                    }
                    Ended::Garbled(error) => {
                        Reply::encode_last(FailCode::Protocol, &error.to_string(), out);
                    }
                    Ended::Parted(error) => {
                        Reply::encode_last(FailCode::Protocol, &error.to_string(), out);
                    }
                    Ended::Misplaced(reason) => {
                        Reply::encode_last(FailCode::Protocol, reason, out);
                    }
                    Ended::Left
                    | Ended::Dismissed
                    | Ended::Unencrypted(_)
                    | Ended::TimedOut
                    | Ended::Deaf
                    | Ended::Denied(..)
                    | Ended::Broken(_) => {}
                }
                Phase::Closing(ended)
            }
            phase => phase,
        };
    }

    /// Whether there is a use and room for another message.
    fn can_take(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Draining) && self.has_room()
    }

    /// Whether there are reads that were gathered, and room for what comes of them.
    fn can_answer(&self) -> bool {
        !self.requests.reads().are_answered() && self.has_room()
    }

    fn has_room(&self) -> bool {
        self.output_has_room() && self.in_flight.has_room(self.limits.get().max_in_flight)
    }

    fn output_has_room(&self) -> bool {
        let most = self.limits.get().max_output_bytes;
        self.output.len() < MAX_OUTPUT_BYTES.min(most) && self.output.large_len() < most
    }
}

/// Has this task polled again once the runtime has looked at its sockets: waking it at once would
/// put it before all those that wait for theirs.
fn give_way(cx: &mut Context<'_>) {
    let yielded = pin!(tokio::task::yield_now()).poll(cx);
    debug_assert!(yielded.is_pending());
}

const STOPPING: &str = "the server is shutting down";
const REVOKED: &str = "this user has gone, or has another password or other grants: log in again";

/// How much may wait to be written before a client is no longer read from, answers aside that go in
/// parts and that small ones pass: 1 MiB, and the answer that passes it.
const MAX_OUTPUT_BYTES: usize = 1024 * 1024;
/// How often a session reads and writes before others get the thread.
const MAX_ROUNDS: usize = 2;
