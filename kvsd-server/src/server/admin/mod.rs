//! The administrators' listener: a Unix socket in the data folder, for who may open it.
//!
//! No password is asked for: the socket is a file of mode 0600, and has that mode before it has its
//! name. A few connections of its own are served, however full the server is. The messages are those
//! of [`kvsd::protocol::admin`]. Reading order: `session` (messages in and out), `action` (all that an
//! administrator can do, each with its audit entry), and a file for each noun.
//!
//! Next file to read: `session`.

mod action;
mod connections;
mod log_filter;
mod session;
mod tables;
mod users;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tracing::debug;

pub(super) use self::action::Administration;
use self::session::Session;
use super::accept;
use super::stop::Stopper;

/// The socket's name in the data folder.
pub(crate) const SOCKET_FILE: &str = "admin.sock";

/// The socket. Its file is removed when this is dropped.
#[derive(Debug)]
pub(super) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    administration: Arc<Administration>,
    slots: Arc<Semaphore>,
    /// Its disappearance ends all sessions.
    stopper: Stopper,
}

impl AdminSocket {
    /// Makes the socket in a data folder that is locked. One that a killed server has left is
    /// replaced.
    pub(super) fn bind(data: &Path, administration: Administration) -> io::Result<Self> {
        let path = data.join(SOCKET_FILE);
        // Its name must be short enough for whoever connects.
        SocketAddr::from_pathname(&path)?;
        refuse_unless(&path, |found| found.is_socket())?;
        // Nobody else can enter this folder, and so open the socket before it has its mode.
        let (folder, made) = (data.join(FOLDER), data.join(FOLDER).join("s"));
        refuse_unless(&folder, |found| found.is_dir())?;
        unless_absent(fs::remove_file(&made))?;
        unless_absent(fs::remove_dir(&folder))?;
        DirBuilder::new().mode(0o700).create(&folder)?;
        let bound = UnixListener::bind(&made).and_then(|listener| {
            fs::set_permissions(&made, Permissions::from_mode(0o600))?;
            fs::rename(&made, &path)?;
            Ok(listener)
        });
        if bound.is_err() {
            let _ = fs::remove_file(&made);
        }
        fs::remove_dir(&folder)?;
        let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let administration = Arc::new(administration);
        Ok(Self { listener: bound?, path, administration, slots, stopper: Stopper::new() })
    }

    /// Serves administrators for as long as it is polled; their sessions end with the socket.
    pub(super) async fn serve(&self) -> Infallible {
        loop {
            let slot = Arc::clone(&self.slots).acquire_owned().await;
            let slot = slot.expect("the semaphore is never closed");
            let (stream, _) = accept::next(|| self.listener.accept()).await;
            let administration = Arc::clone(&self.administration);
            let stop = self.stopper.subscribe();
            tokio::spawn(async move {
                match Session::serve(stream, administration, stop).await {
                    Ok(()) => debug!("an administrator's connection has ended"),
                    Err(error) => debug!(%error, "an administrator's connection is broken"),
                }
                drop(slot);
            });
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // One that is left does no harm: the next server replaces it.
        let _ = fs::remove_file(&self.path);
    }
}

/// An error if there is something else than what may be replaced.
fn refuse_unless(path: &Path, is_ours: impl Fn(fs::FileType) -> bool) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if is_ours(found.file_type()) => Ok(()),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} is in the way", path.display()),
        )),
        Err(error) => unless_absent(Err(error)),
    }
}

fn unless_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The folder that the socket is made in.
const FOLDER: &str = ".admin";
/// How many administrators are served at once; more of them wait.
const MOST_CONNECTIONS: usize = 4;
