//! Who is measured: a server that this program started, and the client that speaks to it.
//!
//! [`Peer`] is the seam: the rounds know nothing else. A peer's server is a process of its own on a
//! free port of the loopback address, with its data in a folder of its own, and ends with the peer.

pub(crate) mod kvsd;
mod process;
pub(crate) mod redis;

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

    /// Writes every record once.
    fn fill(&self, runtime: &Runtime, records: &Arc<Records>) -> Result<(), Error>;

    /// Runs something like `plan` until the peer is at its best, and keeps what made it so. Returns
    /// how many connections that was.
    fn warm_up(&mut self, runtime: &Runtime, plan: &Plan) -> Result<usize, Error>;

    /// Carries out a plan.
    fn run(&self, runtime: &Runtime, plan: &Plan) -> Result<Outcome, Error>;
}
