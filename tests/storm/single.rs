//! The operations on one record, on keys that all tasks write and on keys of one task alone.

use std::time::Duration;

use kvsd::{Version, Versioned};

use crate::ledger::Fate;
use crate::own_key::{Lingering, OwnKey};
use crate::value::number_of;
use crate::worker::{End, Worker};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Single {
    Get,
    Versioned,
    Exists,
    Set,
    SetIfVersion,
    SetIfAbsent,
    Swap,
    Delete,
    Take,
}

/// The keys that all tasks write.
const SHARED_KEYS: u64 = 100;

impl Worker {
    pub(crate) async fn on_one(&mut self, arm: Single) {
        if self.random.one_in(2) {
            self.on_shared_key(arm).await;
        } else {
            self.on_own_key(arm).await;
            if self.own.uncertainty() > 2 {
                self.change_key().await;
            }
        }
    }

    pub(crate) fn shared_key(&mut self) -> String {
        format!("shared/{}", self.random.below(SHARED_KEYS))
    }

    /// Anyone may have written or removed it: a value must be whole and the key's.
    async fn on_shared_key(&mut self, arm: Single) {
        let key = self.shared_key();
        let (client, name) = (self.client.clone(), name_of(arm));
        match arm {
            Single::Get => {
                let end = self.run(name, None, |t| client.get::<Vec<u8>>(&key).timeout(t)).await;
                if let End::Done(Some(value)) = end {
                    self.ledger.saw(number_of(&key, &value));
                }
            }
            Single::Versioned => {
                let get = |t| client.get::<Vec<u8>>(&key).versioned().timeout(t);
                if let End::Done(Some(read)) = self.run(name, None, get).await {
                    self.ledger.saw(number_of(&key, &read.value));
                }
            }
            Single::Exists => {
                self.run(name, None, |t| client.exists(&key).timeout(t)).await;
            }
            Single::Set => {
                let (number, value) = self.new_value(&key);
                let end =
                    self.run(name, Some(number), |t| client.set(&key, &value).timeout(t)).await;
                self.stored(&end, number);
            }
            Single::SetIfAbsent => {
                let (number, value) = self.new_value(&key);
                let set = |t| client.set(&key, &value).if_absent().timeout(t);
                let end = self.run(name, Some(number), set).await;
                self.stored(&end, number);
            }
            Single::SetIfVersion => {
                let get = |t| client.get::<Vec<u8>>(&key).versioned().timeout(t);
                let End::Done(Some(read)) = self.run(name, None, get).await else {
                    return;
                };
                self.ledger.saw(number_of(&key, &read.value));
                let (number, value) = self.new_value(&key);
                let set = |t| client.set(&key, &value).if_version(read.version).timeout(t);
                let end = self.run(name, Some(number), set).await;
                self.stored(&end, number);
            }
            Single::Swap => {
                let (number, value) = self.new_value(&key);
                let swap = |t| client.swap::<Vec<u8>>(&key, &value).timeout(t);
                let end = self.run(name, Some(number), swap).await;
                self.stored(&end, number);
                if let End::Done(Some(before)) = end {
                    self.ledger.saw(number_of(&key, &before));
                }
            }
            Single::Delete => {
                self.run(name, None, |t| client.delete(&key).timeout(t)).await;
            }
            Single::Take => {
                let end = self.run(name, None, |t| client.take::<Vec<u8>>(&key).timeout(t)).await;
                if let End::Done(Some(value)) = end {
                    self.ledger.took(number_of(&key, &value));
                }
            }
        }
    }

    fn stored<T>(&self, end: &End<T>, number: u64) {
        if let End::Done(_) = end {
            self.ledger.stored(number);
        }
    }

    /// Nobody else writes it: what is acknowledged stays until this task changes it.
    async fn on_own_key(&mut self, arm: Single) {
        let key = self.own.name.clone();
        let (client, name) = (self.client.clone(), name_of(arm));
        match arm {
            Single::Get => {
                let end = self.run(name, None, |t| client.get::<Vec<u8>>(&key).timeout(t)).await;
                if let End::Done(read) = end {
                    self.saw(read, None);
                }
            }
            Single::Versioned => {
                let get = |t| client.get::<Vec<u8>>(&key).versioned().timeout(t);
                if let End::Done(read) = self.run(name, None, get).await {
                    match read {
                        Some(Versioned { version, value, .. }) => {
                            self.saw(Some(value), Some(version));
                        }
                        None => self.saw(None, None),
                    }
                }
            }
            Single::Exists => {
                let end = self.run(name, None, |t| client.exists(&key).timeout(t)).await;
                if let (End::Done(exists), true) = (end, self.own.is_certain()) {
                    assert_eq!(exists, self.own.exists(), "{key}");
                }
            }
            Single::Set => {
                let (number, value) = self.new_value(&key);
                match self.run(name, Some(number), |t| client.set(&key, &value).timeout(t)).await {
                    End::Done(version) => self.own.was_set(number, Some(version)),
                    end => self.perhaps(&end, Lingering::Set(number)),
                }
            }
            Single::Swap => {
                let (number, value) = self.new_value(&key);
                let swap = |t| client.swap::<Vec<u8>>(&key, &value).timeout(t);
                match self.run(name, Some(number), swap).await {
                    End::Done(before) => {
                        self.saw(before, None);
                        self.own.was_set(number, None);
                    }
                    end => self.perhaps(&end, Lingering::Set(number)),
                }
            }
            Single::SetIfAbsent => {
                let (number, value) = self.new_value(&key);
                let must_hold = self.own.is_certain().then(|| !self.own.exists());
                let set = |t| client.set(&key, &value).if_absent().timeout(t);
                let end = self.run(name, Some(number), set).await;
                self.after_condition(number, must_hold, end);
            }
            Single::SetIfVersion => {
                let Some(version) = self.own.version() else { return };
                let (number, value) = self.new_value(&key);
                let must_hold = self.own.is_certain().then_some(true);
                let set = |t| client.set(&key, &value).if_version(version).timeout(t);
                let end = self.run(name, Some(number), set).await;
                self.after_condition(number, must_hold, end);
            }
            Single::Delete => {
                match self.run(name, None, |t| client.delete(&key).timeout(t)).await {
                    End::Done(existed) => {
                        if self.own.is_certain() {
                            assert_eq!(existed, self.own.exists(), "{key}");
                        }
                        self.own.was_removed();
                    }
                    end => self.perhaps(&end, Lingering::Delete),
                }
            }
            Single::Take => {
                match self.run(name, None, |t| client.take::<Vec<u8>>(&key).timeout(t)).await {
                    End::Done(taken) => {
                        if let Some(taken) = &taken {
                            self.ledger.took(number_of(&key, taken));
                        }
                        self.saw(taken, None);
                        self.own.was_removed();
                    }
                    end => self.perhaps(&end, Lingering::Delete),
                }
            }
        }
    }

    /// A conditional set has ended; `must_hold` is what its condition must come to, if that is
    /// known.
    fn after_condition(&mut self, number: u64, must_hold: Option<bool>, end: End<Version>) {
        match end {
            End::Done(version) => {
                assert_ne!(must_hold, Some(false), "{}: a condition held", self.own.name);
                self.own.was_set(number, Some(version));
            }
            End::Failed(Fate::Conflict) => {
                assert_ne!(must_hold, Some(true), "{}: a condition did not hold", self.own.name);
            }
            end => self.perhaps(&end, Lingering::Set(number)),
        }
    }

    pub(crate) fn saw(&mut self, read: Option<Vec<u8>>, version: Option<Version>) {
        let number = read.map(|value| number_of(&self.own.name, &value));
        number.into_iter().for_each(|number| self.ledger.saw(number));
        self.own.saw(&self.ledger, number, version);
    }

    /// A write without an answer.
    fn perhaps<T>(&mut self, end: &End<T>, what: Lingering) {
        match end {
            End::Failed(Fate::Perhaps) | End::Dropped => self.own.lingers(what),
            End::Failed(Fate::Conflict) => panic!("{}: no condition, a conflict", self.own.name),
            End::Failed(Fate::Never) | End::Done(_) => {}
        }
    }

    /// Reads the key at last, once its past has become too unclear for sharp checks, and leaves it.
    async fn change_key(&mut self) {
        let key = self.own.name.clone();
        let read = loop {
            match self.client.get::<Vec<u8>>(&key).await {
                Ok(read) => break read,
                Err(error) => drop(self.ledger.failed("Get", None, &error)),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        self.saw(read, None);
        // Whether this is carried out matters to nobody.
        if let Err(error) = self.client.delete(&key).await {
            self.ledger.failed("Delete", None, &error);
        }
        self.generation += 1;
        self.own = OwnKey::new(format!("own/{}/{}", self.task, self.generation));
    }
}

fn name_of(arm: Single) -> &'static str {
    match arm {
        Single::Get => "get",
        Single::Versioned => "get versioned",
        Single::Exists => "exists",
        Single::Set => "set",
        Single::SetIfVersion => "set if version",
        Single::SetIfAbsent => "set if absent",
        Single::Swap => "swap",
        Single::Delete => "delete",
        Single::Take => "take",
    }
}
