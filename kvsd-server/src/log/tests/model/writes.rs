//! Batches of writes, and what the actor does with one.

#![expect(clippy::cast_possible_truncation, reason = "sizes and numbers of a test are small")]

use bytes::Bytes;
use kvsd::{UnixMillis, Version};

use super::Policy;
use super::run::{KEYS, Run, key_of};
use crate::engine::{Action, BeforeDetail, Change, Condition, EngineError, Write, WriteResult};
use crate::log::convert::demand_of;
use crate::log::storage::reader::Access;
use crate::log::storage::rotation::Demand;
use crate::log::tests::history::Checked;
use crate::log::turn::{Batch, Taken};

impl Batch for Vec<Vec<Write>> {
    fn submissions(&self) -> impl Iterator<Item = &[Write]> {
        self.iter().map(Vec::as_slice)
    }
}

impl Run {
    /// Does what the actor does with a batch.
    pub(crate) fn write(&mut self, batch: &Vec<Vec<Write>>) -> Checked<bool> {
        let Some((_, turn, _)) = &mut self.table else {
            return Ok(false);
        };
        let mut demand = Demand::default();
        for more in batch.iter().map(|writes| demand_of(writes)) {
            demand.bytes += more.bytes;
            demand.records += more.records;
            demand.key_bytes += more.key_bytes;
        }
        let prepared = match turn.needs_preparation(&demand) {
            true => turn.prepare(batch, &demand),
            false => Ok(()),
        };
        if prepared.is_ok() {
            let taken = match turn.take(batch, Access::Cached) {
                Taken::NotCached => turn.take(batch, Access::Wait),
                taken => taken,
            };
            if taken == Taken::Written {
                if self.policy == Policy::Always {
                    let sync = turn.sync();
                    let result = sync.run();
                    turn.synced(&sync, result);
                }
                turn.settle();
            }
        }
        let results: Vec<Vec<WriteResult>> = turn.results().collect();
        let failed = results.iter().flatten().find_map(|result| result.as_ref().err());
        if let Some(EngineError::Corrupt { .. }) = failed {
            return Err(format!("{failed:?}"));
        }
        let stopped = results.iter().flatten().any(|result| {
            matches!(result, Err(EngineError::UnknownOutcome { .. } | EngineError::ReadOnly { .. }))
        });
        self.history.take(batch, &results, self.now)?;
        if self.policy == Policy::Always && !stopped {
            self.history.all_durable();
        }
        Ok(!stopped)
    }

    pub(crate) fn batch(&mut self) -> Vec<Vec<Write>> {
        (0..1 + self.random.below(3))
            .map(|_| (0..1 + self.random.below(3)).map(|_| self.random_write()).collect())
            .collect()
    }

    fn random_write(&mut self) -> Write {
        let mut keys: Vec<usize> =
            (0..1 + self.random.below(3)).map(|_| self.random.below(KEYS)).collect();
        keys.sort_unstable();
        keys.dedup();
        let before = match self.random.percent(50) {
            true => BeforeDetail::Presence,
            false => BeforeDetail::Record,
        };
        let changes = keys.into_iter().map(|key| self.random_change(key_of(key))).collect();
        Write { changes, before }
    }

    fn random_change(&mut self, key: Bytes) -> Change {
        let condition = match self.random.below(10) {
            0 => Condition::Absent,
            1 => Condition::Present,
            2 | 3 => {
                let current = self.history.shown.get(&key).map_or(1, |record| record.version);
                Condition::Version(Version::new(current).unwrap())
            }
            _ => Condition::Any,
        };
        let end = self.now + self.random.below(500) as u64;
        let expires_at = self.random.percent(25).then(|| UnixMillis::new(end).unwrap());
        let action = match self.random.below(20) {
            0..5 => Action::Delete,
            5 | 6 => Action::Expire { at: expires_at },
            7..9 => Action::Increment { by: self.random.below(9) as i64 - 4 },
            9 => Action::Increment { by: i64::MAX - self.random.below(3) as i64 },
            10 => Action::Set { value: Bytes::from_static(b"-7"), expires_at },
            11 => Action::Check,
            _ => {
                let length = match self.random.below(10) {
                    0 => 0,
                    1 => 600,
                    _ => self.random.below(60),
                };
                let value: Vec<u8> = (0..length).map(|_| self.random.next() as u8).collect();
                Action::Set { value: value.into(), expires_at }
            }
        };
        Change { key, condition, action }
    }
}
