//! Who is measured: a server that this program started, and the client that speaks to it.
//!
//! [`Peer`] is the seam: the rounds know nothing else. A peer's server is a process of its own on a
//! free port of the loopback address, with its data in a folder of its own, and ends with the peer.
//! Next file to read: [`library`] (what makes a client library a peer).

mod bb8;
mod fred;
pub(crate) mod kvsd;
mod library;
mod process;
pub(crate) mod redis;
mod setting;
pub(crate) mod version1;

#[cfg(feature = "etcd")]
pub(crate) use library::{Library, Served};
pub(crate) use process::Ending;
#[cfg(feature = "etcd")]
pub(crate) use process::Process;
pub(crate) use setting::{Link, Rewrites, Setting, Watch};

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use tokio::runtime::Runtime;

use crate::Error;
use crate::load::{Outcome, Plan};
use crate::record::Records;

/// A client library and the server that it speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The SDK and the server of this repository.
    #[value(skip)]
    Kvsd,
    /// Redis and the crate `redis`, multiplexed.
    Redis,
    /// Redis and a pool of the crate `fred`.
    Fred,
    /// Redis and a pool of the crate `bb8-redis`.
    Bb8,
    /// Crate kvsd 0.1.3 and its own server.
    Version1,
}

impl Kind {
    /// All that are measured beside kvsd.
    pub(crate) const PEERS: [Self; 4] = [Self::Redis, Self::Fred, Self::Bb8, Self::Version1];

    /// Whether its server is Redis.
    pub(crate) fn is_redis(self) -> bool {
        match self {
            Self::Redis | Self::Fred | Self::Bb8 => true,
            Self::Kvsd | Self::Version1 => false,
        }
    }

    /// Starts a server on a new folder and connects to it; so many tasks will use that.
    pub(crate) fn start(
        self,
        runtime: &Runtime,
        folder: &Path,
        setting: &Setting,
        tasks: usize,
    ) -> Result<Box<dyn Peer>, Error> {
        Ok(match self {
            Self::Kvsd => Box::new(kvsd::start(runtime, folder, setting)?),
            Self::Redis => Box::new(redis::start(runtime, folder, setting)?),
            Self::Fred => Box::new(fred::start(runtime, folder, setting)?),
            Self::Bb8 => Box::new(bb8::start(runtime, folder, setting)?),
            Self::Version1 => Box::new(version1::start(runtime, folder, setting, tasks)?),
        })
    }
}

/// As the table and progress call it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvsd => "kvsd",
            Self::Redis => "redis",
            Self::Fred => "fred",
            Self::Bb8 => "bb8",
            Self::Version1 => "version1",
        })
    }
}

/// The form in which a peer does most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Best {
    pub(crate) connections: usize,
    /// Operations a second.
    pub(crate) rate: f64,
}

/// One side of a comparison.
pub(crate) trait Peer {
    /// The process of its server.
    fn server(&self) -> u32;

    /// Writes the records of a range once.
    fn fill(
        &self,
        runtime: &Runtime,
        records: &Arc<Records>,
        range: Range<usize>,
    ) -> Result<(), Error>;

    /// Runs something like `plan` until the peer is at its best, and keeps what made it so.
    fn warm_up(&mut self, runtime: &Runtime, plan: &Plan) -> Result<Best, Error>;

    /// Carries out a plan.
    fn run(&self, runtime: &Runtime, plan: &Plan) -> Result<Outcome, Error>;

    /// Reads one record, as soon as the server answers reads.
    fn get(&self, runtime: &Runtime, records: &Records, at: usize) -> Result<(), Error>;

    /// Ends the server and waits until it is gone; its folder stays.
    fn end(self: Box<Self>, ending: Ending) -> Result<(), Error>;
}
