//! kvsd's log engine.

use std::time::Instant;

use kvsd_server::engine::ScanDetail;

use super::Detail;
use super::store::{Store, Take, get_loop};
use crate::Error;
use crate::data::Data;
use crate::engine::OpenEngine;
use crate::load::Dice;

/// What the report says of it.
pub(super) const SETTINGS: &str =
    "`LogEngine`, cache 1 GiB, else its defaults: `always`; a task for each writer.";

impl Store for OpenEngine {
    fn name(&self) -> &'static str {
        "kvsd"
    }

    fn load(&self, data: &Data) -> Result<(), Error> {
        self.fill(data, 0, &data.loading_order())
    }

    fn get_until(&self, data: &Data, end: Instant) -> Result<u64, Error> {
        let mut buffer = Vec::new();
        get_loop(data, end, |key, check| {
            self.get_now(key, &mut buffer, check)
                .unwrap_or_else(|| self.runtime().block_on(self.get(key, &mut buffer, check)))
        })
    }

    fn set_until(
        &self,
        data: &Data,
        writers: usize,
        revision: u32,
        end: Instant,
    ) -> Result<u64, Error> {
        let write = |writer: usize| {
            let (engine, data, mut dice) = (self.clone(), *data, Dice::new(writer));
            async move {
                let mut sets = 0;
                loop {
                    let at = dice.below(data.keys);
                    engine.set(&data, revision, std::iter::once(at)).await?;
                    if Instant::now() >= end {
                        return Ok::<u64, Error>(sets);
                    }
                    sets += 1;
                }
            }
        };
        let tasks: Vec<_> = (0..writers).map(|at| self.runtime().spawn(write(at))).collect();
        tasks.into_iter().map(|task| self.runtime().block_on(task)?).sum()
    }

    fn scan(&self, detail: Detail, take: &mut Take<'_>) -> Result<(), Error> {
        let detail = match detail {
            Detail::Keys => ScanDetail::Keys,
            Detail::Values => ScanDetail::Records,
        };
        self.runtime().block_on(OpenEngine::scan(self, detail, take))
    }
}
