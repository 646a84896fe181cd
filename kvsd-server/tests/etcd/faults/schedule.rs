//! What fails, and when: one fault at a time in etcd, of which one member may be missing, and often
//! one in a front end at the same time. The seed decides.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use crate::front_end::FrontEnd;
use crate::random::Random;

/// A plan of faults.
#[derive(Debug)]
pub(super) struct Schedule {
    random: Random,
    length: Duration,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Fault {
    KillMember,
    PauseMember,
    CutMember,
    KillFrontEnd,
    PauseFrontEnd,
}

impl Schedule {
    pub(super) fn new(seed: u64, length: Duration) -> Self {
        Self { random: Random::new(seed), length }
    }

    /// Lets faults happen, each of which passes; afterwards everything runs. How often each
    /// happened.
    pub(super) async fn run(
        mut self,
        cluster: &mut Cluster,
        front_ends: &mut [FrontEnd],
    ) -> String {
        let start = Instant::now();
        let mut happened: BTreeMap<Fault, u32> = BTreeMap::new();
        while start.elapsed() < self.length {
            self.pause(200, 1_500).await;
            let member = match self.random.below(2) {
                0 => cluster.leader().await,
                _ => *self.random.pick(&[0, 1, 2]),
            };
            let fault = *self.random.pick(&[
                Fault::KillMember,
                Fault::PauseMember,
                Fault::CutMember,
                Fault::KillFrontEnd,
                Fault::PauseFrontEnd,
            ]);
            *happened.entry(fault).or_default() += 1;
            let front_end = usize::from(self.random.below(2) == 0);
            match fault {
                Fault::KillMember => {
                    cluster.kill(member);
                    self.meanwhile(front_ends, front_end, &mut happened).await;
                    cluster.restart(member).await;
                }
                Fault::PauseMember => {
                    cluster.pause(member);
                    self.meanwhile(front_ends, front_end, &mut happened).await;
                    cluster.resume(member);
                }
                Fault::CutMember => {
                    cluster.cut(member).await;
                    self.meanwhile(front_ends, front_end, &mut happened).await;
                    cluster.heal(member);
                }
                Fault::KillFrontEnd => {
                    front_ends[front_end].kill();
                    self.pause(100, 2_000).await;
                    front_ends[front_end].restart().await;
                }
                Fault::PauseFrontEnd => {
                    front_ends[front_end].pause();
                    self.pause(100, 5_000).await;
                    front_ends[front_end].resume();
                }
            }
            cluster.ready().await;
        }
        format!("faults: {happened:?}")
    }

    /// The time that a fault of etcd lasts, in which a front end may be killed or paused as well.
    async fn meanwhile(
        &mut self,
        front_ends: &mut [FrontEnd],
        front_end: usize,
        happened: &mut BTreeMap<Fault, u32>,
    ) {
        self.pause(500, 3_000).await;
        match self.random.below(4) {
            0 => {
                *happened.entry(Fault::KillFrontEnd).or_default() += 1;
                front_ends[front_end].kill();
                self.pause(100, 1_000).await;
                front_ends[front_end].restart().await;
            }
            1 => {
                *happened.entry(Fault::PauseFrontEnd).or_default() += 1;
                front_ends[front_end].pause();
                self.pause(500, 4_000).await;
                front_ends[front_end].resume();
            }
            _ => {}
        }
    }

    async fn pause(&mut self, least_ms: u64, most_ms: u64) {
        sleep(Duration::from_millis(least_ms + self.random.below(most_ms - least_ms))).await;
    }
}
