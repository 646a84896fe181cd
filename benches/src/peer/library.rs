//! What makes a client library a peer: how to make a task's client, and which numbers of
//! connections to try.

use std::ops::Range;
use std::sync::Arc;

use tokio::runtime::Runtime;

use super::process::{Ending, Process};
use super::{Best, Peer};
use crate::Error;
use crate::load::{self, Client, Outcome, Plan};
use crate::record::Records;

/// A client library, connected in every form that is tried.
pub(crate) trait Library {
    /// What a task uses.
    type Client: Client;

    /// The numbers of connections that are tried for so many tasks.
    fn choices(&self, tasks: usize) -> Vec<usize>;

    /// The client of the task with that number, if so many connections are used.
    fn client(&self, connections: usize, task: usize) -> Self::Client;

    /// Waits until the server answers reads.
    async fn ready(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// A server, and a library that is connected to it.
#[derive(Debug)]
pub(crate) struct Served<L> {
    pub(super) server: Process,
    pub(super) library: L,
    /// How many connections are used.
    connections: usize,
}

impl<L: Library> Served<L> {
    pub(crate) fn new(server: Process, library: L) -> Self {
        let connections = library.choices(1).first().copied().unwrap_or(1);
        Self { server, library, connections }
    }
}

impl<L: Library> Peer for Served<L> {
    fn server(&self) -> u32 {
        self.server.id()
    }

    fn fill(
        &self,
        runtime: &Runtime,
        records: &Arc<Records>,
        range: Range<usize>,
    ) -> Result<(), Error> {
        let client = |task| self.library.client(self.connections, task);
        runtime.block_on(load::fill(records, range, client))
    }

    /// Chooses the number of connections with which most gets done, by the sum of all passes.
    fn warm_up(&mut self, runtime: &Runtime, plan: &Plan) -> Result<Best, Error> {
        let choices = self.library.choices(plan.tasks).into_iter();
        let mut done: Vec<_> = choices.map(|connections| (0, connections)).collect();
        for _ in 0..WARM_UP_PASSES {
            for (operations, connections) in &mut done {
                self.connections = *connections;
                *operations += self.run(runtime, plan)?.count();
            }
        }
        let (operations, connections) = done.into_iter().max().ok_or("nothing to try")?;
        self.connections = connections;
        let rate = operations as f64 / (plan.time * WARM_UP_PASSES).as_secs_f64();
        Ok(Best { connections, rate })
    }

    fn run(&self, runtime: &Runtime, plan: &Plan) -> Result<Outcome, Error> {
        let client = |task| self.library.client(self.connections, task);
        runtime.block_on(load::run(plan, client))
    }

    fn get(&self, runtime: &Runtime, records: &Records, at: usize) -> Result<(), Error> {
        runtime.block_on(async {
            self.library.ready().await?;
            load::get(&mut self.library.client(self.connections, 0), records, at).await
        })
    }

    fn end(self: Box<Self>, ending: Ending) -> Result<(), Error> {
        self.server.end(ending)
    }
}

/// What is tried where the number of connections is free. A task uses one, so more of them than
/// tasks are not tried.
pub(super) fn numbers(tasks: usize) -> Vec<usize> {
    CONNECTIONS.into_iter().filter(|connections| *connections <= tasks).collect()
}

const CONNECTIONS: [usize; 4] = [1, 2, 4, 8];
pub(super) const MOST_CONNECTIONS: usize = 8;
const WARM_UP_PASSES: u32 = 2;
