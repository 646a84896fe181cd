//! An administrator's connection: messages in, actions begun, answers out.
//!
//! Actions run in tasks of their own and go on if the connection ends. Next file to read: `action`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use kvsd::protocol::admin::{REQUEST_LIMITS, Reply, Request};
use kvsd::protocol::frame::Decoder;
use kvsd::protocol::v2::{FailCode, RequestId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::action::{Action, Administration, Refused};
use crate::audit::Administrator;
use crate::engine::{BackupError, BackupProgress};
use crate::server::stop::Stop;

/// An administrator's connection.
#[derive(Debug)]
pub(super) struct Session {
    stream: UnixStream,
    administration: Arc<Administration>,
    by: Administrator,
    decoder: Decoder,
    input: BytesMut,
    output: BytesMut,
    /// What is being done, each with its answer in the end.
    actions: JoinSet<(RequestId, BytesMut)>,
    /// The backup among them.
    backup: Option<(RequestId, Arc<BackupProgress>)>,
}

/// Whether a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Read,
    Close,
}

impl Session {
    /// Serves a connection until it ends.
    pub(super) async fn serve(
        stream: UnixStream,
        administration: Arc<Administration>,
        stop: Stop,
    ) -> io::Result<()> {
        let peer = stream.peer_cred()?;
        let mut session = Self {
            stream,
            administration,
            by: Administrator { uid: peer.uid(), pid: peer.pid() },
            decoder: Decoder::new(REQUEST_LIMITS),
            input: BytesMut::new(),
            output: BytesMut::new(),
            actions: JoinSet::new(),
            backup: None,
        };
        let ended = session.run(stop).await;
        session.actions.detach_all();
        ended
    }

    async fn run(&mut self, mut stop: Stop) -> io::Result<()> {
        let mut next = Next::Read;
        loop {
            if next == Next::Read {
                next = self.answer_all();
            }
            timeout(WRITE_TIMEOUT, self.stream.write_all_buf(&mut self.output)).await??;
            if next == Next::Close {
                return Ok(());
            }
            let is_idle = self.actions.is_empty();
            tokio::select! {
                biased;
                () = stop.draining() => return Ok(()),
                Some(ended) = self.actions.join_next() => next = self.end_action(ended),
                read = self.stream.read_buf(&mut self.input) => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
                () = sleep(IDLE_TIMEOUT), if is_idle => return Ok(()),
            }
        }
    }

    /// Answers every whole message that has arrived, or begins what it asks for.
    fn answer_all(&mut self) -> Next {
        loop {
            let message = match self.decoder.decode(&self.input) {
                Ok(Some(message)) => message,
                Ok(None) => return Next::Read,
                Err(error) => {
                    fail(None, FailCode::Protocol, &error.to_string(), &mut self.output);
                    return Next::Close;
                }
            };
            let length = message.byte_len();
            match Request::parse(&message) {
                Ok((id, Some(Request::Progress))) => {
                    let progress = self.backup.as_ref().map(|(_, progress)| progress.get());
                    let (done, total) = progress.unwrap_or_default();
                    Reply::Progress { done, total }.encode(Some(id), &mut self.output);
                }
                Ok((id, Some(request))) => {
                    let action = Action::check(request).and_then(|action| self.admit(action));
                    match action {
                        Ok(action) => self.begin(id, action),
                        Err(refused) => self.output.unsplit(refused.encode(id)),
                    }
                }
                Ok((id, None)) => {
                    fail(Some(id), FailCode::Unsupported, UNKNOWN_TYPE, &mut self.output);
                }
                Err((id, error)) => {
                    fail(id, FailCode::Invalid, &error.to_string(), &mut self.output);
                    if id.is_none() {
                        return Next::Close;
                    }
                }
            }
            self.input.advance(length);
        }
    }

    /// Refuses what is too much at once.
    fn admit(&self, action: Action) -> Result<Action, Refused> {
        match action {
            Action::Backup(..) if self.backup.is_some() => Err(BackupError::Busy.into()),
            _ if self.actions.len() >= MOST_ACTIONS => Err(Refused::new(
                FailCode::Busy,
                format!("{MOST_ACTIONS} requests of this connection are being carried out already"),
            )),
            action => Ok(action),
        }
    }

    fn begin(&mut self, id: RequestId, action: Action) {
        if let Action::Backup(_, progress) = &action {
            self.backup = Some((id, Arc::clone(progress)));
        }
        let (administration, by) = (Arc::clone(&self.administration), self.by);
        self.actions.spawn(async move { (id, administration.carry_out(by, id, action).await) });
    }

    fn end_action(&mut self, ended: Result<(RequestId, BytesMut), JoinError>) -> Next {
        let Ok((id, answer)) = ended else {
            let message = "the server has failed at one of these requests; its log says more";
            fail(None, FailCode::Internal, message, &mut self.output);
            return Next::Close;
        };
        self.backup.take_if(|(backup, _)| *backup == id);
        self.output.unsplit(answer);
        Next::Read
    }
}

fn fail(id: Option<RequestId>, code: FailCode, message: &str, out: &mut BytesMut) {
    Reply::Fail { code, message }.encode(id, out);
}

const UNKNOWN_TYPE: &str = concat!(
    "this server, kvsd-server ",
    env!("CARGO_PKG_VERSION"),
    ", knows no such request; use the kvsd of its version"
);
/// How many requests of a connection are carried out at once.
const MOST_ACTIONS: usize = 16;
/// How long an administrator may say nothing while nothing is under way.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one may take to read an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
