//! One operation on its way: encoded, sent over a connection of the pool, answered or out of time.
//!
//! The hot path takes an open connection without waiting. Everything else - no connection, a
//! connection that ended in between - is the slow path, a boxed future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::client::Client;
use crate::connection::Pending;
use crate::connection::answer::Answer;
use crate::error::{Error, ErrorKind, Outcome};
use crate::observe::{self, Observed};
use crate::protocol::v2::{Condition, FailCode, Previous, Request};
use crate::types::UnixMillis;

/// What will be asked, in bytes.
pub(crate) struct Draft {
    pub(crate) verb: Verb,
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    pub(crate) condition: Condition,
    pub(crate) expires_at: Option<UnixMillis>,
    pub(crate) previous: Previous,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Ping,
    Get,
    Exists,
    Set,
    Delete,
    Take,
}

impl Verb {
    /// The name that errors give the operation.
    fn name(self) -> &'static str {
        match self {
            Verb::Ping => "ping",
            Verb::Get => "get",
            Verb::Exists => "exists",
            Verb::Set => "set",
            Verb::Delete => "delete",
            Verb::Take => "take",
        }
    }
}

impl Draft {
    fn request<'a>(&'a self, table: &'a str) -> Request<'a> {
        let Self { verb, ref key, ref value, condition, expires_at, previous } = *self;
        match verb {
            Verb::Ping => Request::Ping,
            Verb::Get => Request::Get { table, key },
            Verb::Exists => Request::Exists { table, key },
            Verb::Set => Request::Set { table, key, value, condition, expires_at, previous },
            Verb::Delete | Verb::Take => Request::Delete { table, key, condition, previous },
        }
    }
}

/// An operation's draft and how far it has come.
pub(crate) struct Call<'c> {
    client: ClientRef<'c>,
    verb: Verb,
    timeout: Duration,
    state: State,
    observed: Observed,
}

enum ClientRef<'c> {
    Borrowed(&'c Client),
    Owned(Client),
}

impl ClientRef<'_> {
    fn get(&self) -> &Client {
        match self {
            ClientRef::Borrowed(client) => client,
            ClientRef::Owned(client) => client,
        }
    }
}

enum State {
    /// Not polled yet; what is wrong with the draft is said at the first poll.
    New(Result<Draft, Error>),
    Sent {
        pending: Pending,
        draft: Draft,
        deadline: Instant,
    },
    Slow(Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>),
    Done,
}

/// A longer time-out counts as this one, a year: clocks overflow.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);
/// How often an operation that cannot have been carried out is sent again after its connection was
/// lost: each connection of a pool may be dead once, a server that drops all of them is not chased.
const MAX_RESENDS: usize = 3;

impl<'c> Call<'c> {
    pub(crate) fn new(client: &'c Client, verb: Verb, draft: Result<Draft, Error>) -> Self {
        let timeout = client.timeout();
        Self {
            client: ClientRef::Borrowed(client),
            verb,
            timeout,
            state: State::New(draft),
            observed: Observed::unbegun(),
        }
    }

    /// The draft, if it is sound and not on its way yet.
    pub(crate) fn draft_mut(&mut self) -> Option<&mut Draft> {
        match &mut self.state {
            State::New(Ok(draft)) => Some(draft),
            State::New(Err(_)) | State::Sent { .. } | State::Slow(_) | State::Done => None,
        }
    }

    /// Makes the operation fail with `error` when it is polled.
    pub(crate) fn spoil(&mut self, error: Error) {
        if let State::New(draft @ Ok(_)) = &mut self.state {
            *draft = Err(error);
        }
    }

    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub(crate) fn into_owned(self) -> Call<'static> {
        let Self { client, verb, timeout, state, observed } = self;
        let client = match client {
            ClientRef::Borrowed(client) => client.clone(),
            ClientRef::Owned(client) => client,
        };
        Call { client: ClientRef::Owned(client), verb, timeout, state, observed }
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Answer, Error>> {
        let client = self.client.get();
        let (table, address) = (client.table_name(), client.pool().address());
        let _entered = self.observed.enter(self.verb.name(), table, address);
        loop {
            match &mut self.state {
                State::New(_) => {
                    let State::New(draft) = std::mem::replace(&mut self.state, State::Done) else {
                        unreachable!("the state was seen to be new");
                    };
                    self.state = self.start(draft?)?;
                }
                State::Sent { pending, .. } => {
                    let result = ready!(Pin::new(pending).poll(context));
                    let sent = std::mem::replace(&mut self.state, State::Done);
                    let (State::Sent { draft, deadline, .. }, Err(error)) = (sent, &result) else {
                        return Poll::Ready(result);
                    };
                    if !is_worth_resending(error) {
                        return Poll::Ready(result);
                    }
                    observe::sent_again(self.client().pool().address(), self.verb.name());
                    self.state = self.go_slow(draft, deadline, MAX_RESENDS - 1);
                }
                State::Slow(slow) => {
                    let result = ready!(slow.as_mut().poll(context));
                    self.state = State::Done;
                    return Poll::Ready(result);
                }
                State::Done => panic!("an operation was polled after it was ready"),
            }
        }
    }

    /// The operation's result, with its name in an error.
    pub(crate) fn finish<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        let result = result.map_err(|error| self.explain(error));
        self.observed.end(result.as_ref().err());
        result
    }

    fn explain(&self, error: Error) -> Error {
        let error = error.during(self.verb.name());
        if error.address().is_some() { error } else { error.at(self.client().pool().address()) }
    }

    fn client(&self) -> &Client {
        self.client.get()
    }

    fn start(&self, draft: Draft) -> Result<State, Error> {
        let client = self.client();
        if self.timeout.is_zero() {
            return Err(Error::new(
                ErrorKind::Timeout,
                Outcome::NotSent,
                "no time at all was allowed",
            ));
        }
        let deadline = Instant::now() + self.timeout.min(MAX_TIMEOUT);
        if let Some(connection) = client.pool().handle_now()? {
            match connection.send(&draft.request(client.table_name()), deadline) {
                Ok(pending) => {
                    return Ok(State::Sent { pending, draft, deadline });
                }
                Err(error) if is_worth_resending(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.go_slow(draft, deadline, MAX_RESENDS))
    }

    fn go_slow(&self, draft: Draft, deadline: Instant, resends: usize) -> State {
        State::Slow(Box::pin(send_slowly(self.client().clone(), draft, deadline, resends)))
    }
}

/// Waits for a connection and sends, again if the connection ends before the request can have been
/// carried out.
async fn send_slowly(
    client: Client,
    draft: Draft,
    deadline: Instant,
    mut resends: usize,
) -> Result<Answer, Error> {
    loop {
        let waiting = tokio::time::timeout_at(deadline, client.pool().handle());
        let connection = waiting.await.unwrap_or_else(|_| {
            let detail = "no connection in time";
            Err(Error::new(ErrorKind::Timeout, Outcome::NotSent, detail))
        })?;
        let sent = connection.send(&draft.request(client.table_name()), deadline);
        // The handle must not keep a connection open that only this request still uses.
        drop(connection);
        let result = match sent {
            Ok(pending) => pending.await,
            Err(error) => Err(error),
        };
        match result {
            Err(error) if resends > 0 && is_worth_resending(&error) => {
                observe::sent_again(client.pool().address(), draft.verb.name());
                resends -= 1;
            }
            result => return result,
        }
    }
}

/// Whether another connection may do better, and nothing can have happened on this one: it was lost,
/// or the server took its leave.
fn is_worth_resending(error: &Error) -> bool {
    let is_gone =
        matches!(error.kind(), ErrorKind::ConnectionLost | ErrorKind::Server(FailCode::Closing));
    is_gone && error.is_retryable()
}

/// The error in an answer that is none of those that the operation knows what to do with.
pub(crate) fn refused(answer: Answer) -> Error {
    match answer {
        Answer::Fail { code, message } => {
            let outcome = match code {
                FailCode::Unknown => Outcome::Unknown,
                _ => Outcome::Refused,
            };
            Error::new(ErrorKind::Server(code), outcome, message)
        }
        Answer::Conflict { current } => {
            Error::new(ErrorKind::Conflict { current }, Outcome::Refused, "")
        }
        Answer::Pong | Answer::Value(_) | Answer::Exists(_) | Answer::Written { .. } => {
            unreachable!("the connection checks that an answer fits its request")
        }
    }
}

/// Never shows key or value.
impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::New(_) => "new",
            State::Sent { .. } => "sent",
            State::Slow(_) => "waiting for a connection",
            State::Done => "done",
        };
        write!(f, "{} ({state}, at most {:?})", self.verb.name(), self.timeout)
    }
}
