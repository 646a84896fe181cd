//! The operations on several records at once, on keys that all tasks write: each answer must be
//! that of its own place.

use crate::ledger::Fate;
use crate::value::number_of;
use crate::worker::{End, Worker};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Several {
    Get,
    Set,
    Delete,
    Pipeline,
    Scan,
}

impl Worker {
    pub(crate) async fn on_several(&mut self, arm: Several) {
        let client = self.client.clone();
        let keys: Vec<String> = (0..=self.random.below(6)).map(|_| self.shared_key()).collect();
        match arm {
            Several::Get => {
                let get = |t| client.get_many::<Vec<u8>>(&keys).timeout(t);
                if let End::Done(values) = self.run("get_many", None, get).await {
                    assert_eq!(values.len(), keys.len());
                    for (key, value) in keys.iter().zip(values) {
                        value.iter().for_each(|value| self.ledger.saw(number_of(key, value)));
                    }
                }
            }
            Several::Set => {
                let (numbers, values): (Vec<_>, Vec<_>) =
                    keys.iter().map(|key| self.new_value(key)).unzip();
                let set = |t| client.set_many(keys.iter().zip(&values)).timeout(t);
                match self.run("set_many", None, set).await {
                    End::Done(versions) => {
                        assert_eq!(versions.len(), keys.len());
                        numbers.into_iter().for_each(|number| self.ledger.stored(number));
                        assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
                    }
                    End::Failed(Fate::Never | Fate::Conflict) => {
                        numbers.into_iter().for_each(|number| self.ledger.never_happened(number));
                    }
                    End::Failed(Fate::Perhaps) | End::Dropped => {}
                }
            }
            Several::Delete => {
                let delete = |t| client.delete_many(&keys).timeout(t);
                if let End::Done(existed) = self.run("delete_many", None, delete).await {
                    assert_eq!(existed.len(), keys.len());
                }
            }
            Several::Pipeline => self.pipeline().await,
            Several::Scan => self.scan().await,
        }
    }

    /// Every record is its key's, and comes once and in order.
    async fn scan(&mut self) {
        let prefix = format!("shared/{}", self.random.below(10));
        let scan = self.client.scan::<Vec<u8>>(prefix.as_str()).page_size(4);
        let scan = |t| async move {
            let (mut scan, mut entries) = (scan.timeout(t), Vec::new());
            while let Some(entry) = scan.next().await {
                entries.push(entry?);
            }
            Ok(entries)
        };
        if let End::Done(entries) = self.run("scan", None, scan).await {
            assert!(entries.is_sorted_by(|one, next| one.key < next.key));
            for entry in entries {
                let key = std::str::from_utf8(&entry.key).unwrap();
                assert!(key.starts_with(&prefix), "a scan of {prefix} met {key}");
                self.ledger.saw(number_of(key, &entry.value));
            }
        }
    }

    async fn pipeline(&mut self) {
        let client = self.client.clone();
        let (first, second) = (self.shared_key(), self.shared_key());
        let (number, value) = self.new_value(&second);
        let mut pipeline = client.pipeline();
        let read = pipeline.get::<Vec<u8>>(&first);
        let set = pipeline.add(client.set(&second, &value));
        let exists = pipeline.add(client.exists(&second));
        match self.run("pipeline", Some(number), |t| pipeline.timeout(t)).await {
            End::Done(mut answers) => {
                if let Some(value) = answers.take(read).unwrap() {
                    self.ledger.saw(number_of(&first, &value));
                }
                match answers.take(set) {
                    Ok(_) => self.ledger.stored(number),
                    Err(error) => drop(self.ledger.failed("set", Some(number), &error)),
                }
                answers.take(exists).unwrap();
            }
            End::Failed(_) | End::Dropped => {}
        }
    }
}
