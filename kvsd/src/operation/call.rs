//! One operation on its way: encoded, sent over a connection of the pool, answered or out of time.
//!
//! The hot path takes an open connection without waiting. Everything else - no connection, a
//! connection that ended in between - is the slow path, a boxed future.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::argument::invalid;
use super::draft::{Draft, Item};
use crate::client::Client;
use crate::connection::Pending;
use crate::connection::answer::Answer;
use crate::error::{Error, ErrorKind, Outcome};
use crate::observe::{self, Observed};
use crate::pool::YEAR;
use crate::pool::budget::{Cause, Retries};
use crate::protocol::v2::FailCode;

/// An operation's draft and how far it has come.
pub(crate) struct Call<'c> {
    client: ClientRef<'c>,
    /// The operation's name, for errors.
    name: &'static str,
    table: Table,
    timeout: Duration,
    /// Known from the first poll on.
    deadline: Option<Instant>,
    state: State,
    observed: Observed,
    /// Where it was sent last, if the client has several addresses.
    sent_to: Option<Arc<str>>,
}

enum Table {
    OfHandle,
    Named(Cow<'static, str>),
    /// The operation is about none.
    Nothing,
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

/// What the slow way has come to, and the address that the call was sent to.
type Told = (Result<Answer, Error>, Option<Arc<str>>);

enum State {
    /// Not polled yet; what is wrong with the draft is said at the first poll.
    New(Result<Draft, Error>),
    Sent {
        pending: Pending,
        draft: Draft,
    },
    Slow(Pin<Box<dyn Future<Output = Told> + Send>>),
    Done,
}

impl<'c> Call<'c> {
    pub(crate) fn new(client: &'c Client, name: &'static str, draft: Result<Draft, Error>) -> Self {
        let (client, timeout) = (ClientRef::Borrowed(client), client.timeout());
        let (table, state, observed) = (Table::OfHandle, State::New(draft), Observed::unbegun());
        let (deadline, sent_to) = (None, None);
        Self { client, name, table, timeout, deadline, state, observed, sent_to }
    }

    /// Acts on this table instead of that of the client's handle. Its name was checked.
    pub(crate) fn on_table(self, table: impl Into<Cow<'static, str>>) -> Self {
        Self { table: Table::Named(table.into()), ..self }
    }

    /// Is about no table: errors name none.
    pub(crate) fn on_no_table(self) -> Self {
        Self { table: Table::Nothing, ..self }
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

    /// What stood some time ago will do, if the operation is a read.
    pub(crate) fn set_stale(&mut self) {
        if let Some(draft) = self.draft_mut() {
            draft.set_stale();
        }
    }

    pub(crate) fn into_owned(self) -> Call<'static> {
        let Self { client, name, table, timeout, deadline, state, observed, sent_to } = self;
        let client = match client {
            ClientRef::Borrowed(client) => client.clone(),
            ClientRef::Owned(client) => client,
        };
        let client = ClientRef::Owned(client);
        Call { client, name, table, timeout, deadline, state, observed, sent_to }
    }

    /// The request as part of a pipeline of the handle `client`.
    pub(super) fn into_item(self, client: &Client) -> Result<Item, Error> {
        if !self.client().is_of(client) {
            return Err(invalid("the operation is another client's"));
        }
        let own = self.table() != client.table_name();
        let table = own.then(|| self.table().to_owned().into_boxed_str());
        match self.state {
            State::New(draft) => Ok(Item { name: self.name, table, draft: draft? }),
            State::Sent { .. } | State::Slow(_) | State::Done => {
                Err(invalid("the operation was polled already"))
            }
        }
    }

    /// Asks for more, within the deadline that the first request had.
    pub(super) fn again(&mut self, draft: Draft) {
        self.state = State::New(Ok(draft));
    }

    /// How long to wait before what the server could not do now is asked again; `None` if it must
    /// not be.
    pub(super) fn pause(&self, retries: &mut Retries) -> Option<Duration> {
        let pool = self.client().pool();
        let pause = retries.pause(Cause::Busy, pool.budget(), self.deadline?)?;
        observe::sent_again(pool.address(), self.name);
        Some(pause)
    }

    /// When the operation must be over; `None` before the first poll.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Answer, Error>> {
        self.begin();
        let _entered = self.observed.enter();
        loop {
            match &mut self.state {
                State::New(_) => {
                    let State::New(draft) = std::mem::replace(&mut self.state, State::Done) else {
                        unreachable!("the state was seen to be new");
                    };
                    self.state = self.start(draft?, context.waker())?;
                    if let State::Sent { .. } = self.state {
                        return Poll::Pending;
                    }
                }
                State::Sent { pending, .. } => {
                    let result = ready!(Pin::new(pending).poll(context));
                    let sent = std::mem::replace(&mut self.state, State::Done);
                    let (State::Sent { draft, pending }, Some(deadline), Some(cause)) =
                        (sent, self.deadline, worth_resending(&result))
                    else {
                        return Poll::Ready(result);
                    };
                    let mut retries = Retries::default();
                    let budget = self.client().pool().budget();
                    let Some(pause) = retries.pause(cause, budget, deadline) else {
                        return Poll::Ready(result);
                    };
                    observe::sent_again(pending.address(), self.name);
                    self.state = self.go_slow(draft, deadline, retries, pause);
                }
                State::Slow(slow) => {
                    let (result, address) = ready!(slow.as_mut().poll(context));
                    self.state = State::Done;
                    if let Some(address) = address {
                        self.went_to(&address);
                    }
                    return Poll::Ready(result);
                }
                State::Done => panic!("an operation was polled after it was ready"),
            }
        }
    }

    /// The operation's result, with its name in an error.
    pub(crate) fn finish<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        // What could not be asked at all was not polled.
        self.begin();
        let result = result.map_err(|error| self.explain(error));
        self.observed.end(result.as_ref().err());
        result
    }

    /// The operation is seen from now on, unless it is already.
    fn begin(&mut self) {
        if self.is_new() && self.deadline.is_none() {
            let pool = self.client().pool();
            let (all, only) = (pool.address(), pool.only_address());
            self.observed = Observed::begin(self.name, self.table(), all, only);
        }
    }

    fn explain(&self, error: Error) -> Error {
        let mut error = error.during(self.name);
        match &self.table {
            Table::OfHandle | Table::Named(_) if error.table().is_none() => {
                error = error.on(self.table());
            }
            Table::OfHandle | Table::Named(_) | Table::Nothing => {}
        }
        if error.address().is_some() { error } else { error.at(self.address()) }
    }

    /// Where it was sent last; before that, all addresses of the client.
    pub(super) fn address(&self) -> &Arc<str> {
        self.sent_to.as_ref().unwrap_or_else(|| self.client().pool().address())
    }

    /// It was sent there.
    fn went_to(&mut self, address: &Arc<str>) {
        if !Arc::ptr_eq(address, self.address()) {
            self.observed.move_to(address);
            self.sent_to = Some(Arc::clone(address));
        }
    }

    /// Whether it was not polled yet.
    pub(super) fn is_new(&self) -> bool {
        matches!(self.state, State::New(_))
    }

    pub(super) fn client(&self) -> &Client {
        self.client.get()
    }

    fn table(&self) -> &str {
        match &self.table {
            Table::Named(name) => name,
            Table::OfHandle | Table::Nothing => self.client().table_name(),
        }
    }

    fn start(&mut self, draft: Draft, waker: &Waker) -> Result<State, Error> {
        let now = Instant::now();
        let deadline = match self.deadline {
            Some(deadline) if deadline <= now => return Err(too_late("no time was left")),
            Some(deadline) => deadline,
            None if self.timeout.is_zero() => {
                return Err(too_late("no time at all was allowed"));
            }
            // Longer, and clocks overflow.
            None => now + self.timeout.min(YEAR),
        };
        self.deadline = Some(deadline);
        let client = self.client();
        client.pool().budget().earn();
        if let Some(connection) = client.pool().handle_now()? {
            match connection.send(&draft.request(self.table()), deadline, Some(waker)) {
                Ok(pending) => {
                    self.went_to(pending.address());
                    return Ok(State::Sent { pending, draft });
                }
                Err(error) if is_worth_resending(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.go_slow(draft, deadline, Retries::default(), Duration::ZERO))
    }

    fn go_slow(&self, draft: Draft, deadline: Instant, retries: Retries, pause: Duration) -> State {
        let (client, name) = (self.client().clone(), self.name);
        let sending = Sending { client, name, table: self.table().to_owned(), draft, deadline };
        State::Slow(Box::pin(sending.run(retries, pause)))
    }
}

/// What goes the slow way.
struct Sending {
    client: Client,
    name: &'static str,
    table: String,
    draft: Draft,
    deadline: Instant,
}

impl Sending {
    /// After a pause, waits for a connection and sends; again if the request was not carried out.
    /// Tells where it was sent last as well.
    async fn run(
        self,
        mut retries: Retries,
        mut pause: Duration,
    ) -> (Result<Answer, Error>, Option<Arc<str>>) {
        let Self { client, name, table, draft, deadline } = self;
        let pool = client.pool();
        let mut sent_to = None;
        loop {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let waiting = tokio::time::timeout_at(deadline, pool.handle());
            let late = |_| Err(too_late("no connection in time"));
            let connection = match waiting.await.unwrap_or_else(late) {
                Ok(connection) => connection,
                Err(error) => return (Err(error), sent_to),
            };
            let address = &*sent_to.insert(Arc::clone(connection.address()));
            let sent = connection.send(&draft.request(&table), deadline, None);
            // The handle must not keep a connection open that only this request still uses.
            drop(connection);
            let result = match sent {
                Ok(pending) => pending.in_time().await,
                Err(error) => Err(error),
            };
            let cause = worth_resending(&result);
            match cause.and_then(|cause| retries.pause(cause, pool.budget(), deadline)) {
                Some(next) => pause = next,
                None => return (result, sent_to),
            }
            observe::sent_again(address, name);
        }
    }
}

fn too_late(detail: &str) -> Error {
    Error::new(ErrorKind::Timeout, Outcome::NotSent, detail)
}

/// Why the operation should be sent again, if it should: it was not carried out, and another attempt
/// may do better.
fn worth_resending(result: &Result<Answer, Error>) -> Option<Cause> {
    match result {
        Err(error) if !is_worth_resending(error) => None,
        Err(error) if error.outcome() == Outcome::NotSent => Some(Cause::Unsent),
        Err(_) => Some(Cause::Lost),
        Ok(Answer::Fail { code: FailCode::Busy | FailCode::Unavailable, .. }) => Some(Cause::Busy),
        Ok(_) => None,
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
            let kind = match code {
                FailCode::NotAnInteger => ErrorKind::NotAnInteger,
                FailCode::Overflow => ErrorKind::Overflow,
                FailCode::Denied => ErrorKind::PermissionDenied,
                FailCode::Unavailable => ErrorKind::Unavailable,
                FailCode::ScanExpired => ErrorKind::ScanExpired,
                code => ErrorKind::Server(code),
            };
            Error::new(kind, outcome, message)
        }
        Answer::Conflict { current, .. } => {
            Error::new(ErrorKind::Conflict { current }, Outcome::Refused, "")
        }
        _ => {
            Error::new(ErrorKind::Protocol, Outcome::Unknown, "the answer is none to this request")
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
        write!(f, "{} ({state}, at most {:?})", self.name, self.timeout)
    }
}
