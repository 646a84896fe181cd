//! `kvsd admin backup`, with a bar that says how far it is.

use kvsd::protocol::admin::{Reply, Request};

use super::outcome::Outcome;
use super::socket::{Heard, Socket};
use crate::cli::failure::Failure;
use crate::cli::progress::{Results, Unit, bar};

/// What the server says of a backup.
enum Said {
    Made(u64, u64, u64),
    Progress(u64, u64),
    SomethingElse,
}

/// Has the backup made.
pub(super) fn run(server: &mut Socket, name: String) -> Result<Outcome, Failure> {
    let bar = bar(Some(0), Unit::Bytes, Results::OnStandardOutput);
    server.send(&Request::Backup { name: &name })?;
    let mut asked = None;
    loop {
        let heard = server.hear(|id, reply| match reply {
            Reply::Made { tables, files, bytes } => (id, Said::Made(tables, files, bytes)),
            Reply::Progress { done, total } => (id, Said::Progress(done, total)),
            _ => (id, Said::SomethingElse),
        })?;
        match heard {
            Heard::Reply((_, Said::Made(tables, files, bytes))) => {
                bar.finish_and_clear();
                return Ok(Outcome::BackedUp { name, tables, files, bytes });
            }
            Heard::Reply((id, Said::Progress(done, total))) => {
                bar.set_length(total);
                bar.set_position(done);
                asked.take_if(|asked| Some(*asked) == id);
            }
            Heard::Reply((_, Said::SomethingElse)) => {}
            Heard::Silence => {
                if asked.is_none() {
                    asked = Some(server.send(&Request::Progress)?);
                }
            }
        }
    }
}
