//! Who is measured: a server that this program started, and the client that speaks to it.
//!
//! [`Peer`] is the seam: the rounds know nothing else. A peer's server is a process of its own on a
//! free port of the loopback address, with its data in a folder of its own, and ends with the peer.

pub(crate) mod kvsd;
mod process;
pub(crate) mod redis;

pub(crate) use process::Ending;

use std::ops::Range;
use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::Error;
use crate::load::{Outcome, Plan};
use crate::record::Records;

/// One side of a comparison.
pub(crate) trait Peer {
    /// What errors and progress call it.
    fn name(&self) -> &'static str;

    /// The process of its server.
    fn server(&self) -> u32;

    /// Writes the records of a range once.
    fn fill(
        &self,
        runtime: &Runtime,
        records: &Arc<Records>,
        range: Range<usize>,
    ) -> Result<(), Error>;

    /// Runs something like `plan` until the peer is at its best, and keeps what made it so. Returns
    /// how many connections that was.
    fn warm_up(&mut self, runtime: &Runtime, plan: &Plan) -> Result<usize, Error>;

    /// Carries out a plan.
    fn run(&self, runtime: &Runtime, plan: &Plan) -> Result<Outcome, Error>;

    /// Reads one record, as soon as the server answers reads.
    fn get(&self, runtime: &Runtime, records: &Records, at: usize) -> Result<(), Error>;

    /// Ends the server and waits until it is gone; its folder stays.
    fn end(self: Box<Self>, ending: Ending) -> Result<(), Error>;
}
