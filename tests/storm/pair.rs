//! Two keys that one task alone writes, always together: never does one have a batch's value
//! without the other.

use std::time::Duration;

use kvsd::Client;

use crate::ledger::Fate;
use crate::value::number_of;
use crate::worker::{End, Worker};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Pair {
    Batch,
    Read,
}

pub(crate) struct OwnPair {
    task: u64,
    generation: u64,
    /// The batch whose values stand there, unless one of `lingering` has come in between.
    current: Option<u64>,
    /// Batches whose outcome nobody knows: each may come once, at any time, or never.
    lingering: Vec<u64>,
}

/// What stood at the two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairing {
    Same,
    /// A batch came between the two reads.
    Apart,
}

impl OwnPair {
    pub(crate) fn new(task: u64, generation: u64) -> Self {
        Self { task, generation, current: None, lingering: Vec::new() }
    }

    pub(crate) fn keys(&self) -> [String; 2] {
        let Self { task, generation, .. } = self;
        ["a", "b"].map(|side| format!("pair/{task}/{generation}/{side}"))
    }
}

impl Worker {
    pub(crate) async fn on_pair(&mut self, arm: Pair) {
        let (client, keys) = (self.client.clone(), self.pair.keys());
        match arm {
            Pair::Batch => {
                let (number, first) = self.new_value(&keys[0]);
                let second = crate::value::value(&keys[1], number, 100);
                let batch = client.batch().set(&keys[0], first).set(&keys[1], second);
                match self.run("batch", Some(number), |t| batch.timeout(t)).await {
                    End::Done(_) => self.pair.current = Some(number),
                    End::Failed(Fate::Perhaps) | End::Dropped => self.pair.lingering.push(number),
                    End::Failed(Fate::Never) => {}
                    End::Failed(Fate::Conflict) => panic!("a conflict, and no condition"),
                }
            }
            Pair::Read => {
                let get = |t| client.get_many::<Vec<u8>>(&keys).timeout(t);
                if let End::Done(read) = self.run("get_many", None, get).await {
                    self.saw_pair(read);
                }
            }
        }
        if self.pair.lingering.len() > 2 {
            self.change_pair().await;
        }
    }

    /// Checks the pair through a client without storm: what may come between two reads has come
    /// soon, and then both keys have one batch's values.
    pub(crate) async fn check_pair(&mut self, witness: &Client) {
        let mut reads = 0;
        while self.saw_pair(witness.get_many(self.pair.keys()).await.unwrap()) == Pairing::Apart {
            reads += 1;
            assert!(reads < 10, "half of a batch stays: {:?}", self.pair.keys());
        }
    }

    /// Checks what was read at the pair's keys, and learns from it.
    pub(crate) fn saw_pair(&mut self, read: Vec<Option<Vec<u8>>>) -> Pairing {
        let numbers: Vec<Option<u64>> = read
            .iter()
            .zip(self.pair.keys())
            .map(|(value, key)| value.as_ref().map(|value| number_of(&key, value)))
            .collect();
        numbers.iter().flatten().for_each(|number| self.ledger.saw(*number));
        let OwnPair { current, lingering, .. } = &mut self.pair;
        for number in &numbers {
            let is_known = number == current || number.is_some_and(|it| lingering.contains(&it));
            assert!(is_known, "{numbers:?}, acknowledged {current:?}, unknown {lingering:?}");
        }
        if numbers[0] == numbers[1] {
            *current = numbers[0];
            lingering.retain(|number| Some(*number) != numbers[0]);
            Pairing::Same
        } else {
            // Two reads, and a lingering batch may have come in between; it is the second's.
            let came = numbers[1].filter(|number| lingering.contains(number));
            assert!(came.is_some(), "half a batch: {numbers:?}, unknown {lingering:?}");
            Pairing::Apart
        }
    }

    /// Removes the pair, once its past has become too unclear for sharp checks, and takes another.
    async fn change_pair(&mut self) {
        let keys = self.pair.keys();
        let read = loop {
            match self.client.get_many::<Vec<u8>>(&keys).await {
                Ok(read) => break read,
                Err(error) => drop(self.ledger.failed("get_many", None, &error)),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        self.saw_pair(read);
        if let Err(error) = self.client.delete_many(&keys).await {
            self.ledger.failed("delete_many", None, &error);
        }
        self.pair = OwnPair::new(self.task, self.pair.generation + 1);
    }
}
