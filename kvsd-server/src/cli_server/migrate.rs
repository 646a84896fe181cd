//! `kvsd-server migrate`: the tables of a data folder, moved into an etcd cluster.

use super::args::{MigrateArgs, MigrateFrom, MigrateTo};
use super::exit::Failure;
use super::serve::layers_beside;

/// Moves the tables.
pub(super) fn run(args: MigrateArgs) -> Result<(), Failure> {
    let MigrateArgs { from: MigrateFrom::Log, to: MigrateTo::Etcd, data_dir, config } = args;
    let config = layers_beside(config)?.resolve()?;
    match config.check_engine()? {
        None => Err(Failure::Usage(NO_CLUSTER.into())),
        #[cfg(feature = "etcd")]
        Some(etcd) => moving::run(&data_dir, &crate::server::etcd_config(&etcd)),
        // Without the engine there are no such settings.
        #[cfg(not(feature = "etcd"))]
        Some(_) => {
            let _ = data_dir;
            Err(crate::config::ConfigError::BuiltWithoutEtcd.into())
        }
    }
}

const NO_CLUSTER: &str = "the configuration says engine = \"log\": give --config FILE with engine = \
    \"etcd\" and etcd_endpoints, those of the server that is to have the tables";

#[cfg(feature = "etcd")]
mod moving {
    use std::io::{self, Write};
    use std::path::Path;
    use std::time::Duration;

    use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

    use super::Failure;
    use crate::engine::Engine;
    use crate::etcd::{EtcdConfig, MigratedTable, MigrationProgress, migrate};
    use crate::log::{LogConfig, LogEngine};

    pub(super) fn run(folder: &Path, to: &EtcdConfig) -> Result<(), Failure> {
        if !folder.is_dir() {
            let missing = format!("{} is no data folder", folder.display());
            return Err(Failure::Usage(missing.into()));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(Failure::other)?;
        // The engine has tasks on the runtime.
        let entered = runtime.enter();
        let from = LogEngine::open(LogConfig::new(folder)).map_err(Failure::other)?;
        drop(entered);
        let progress = MigrationProgress::default();
        let bar = bar();
        let migrated = runtime.block_on(async {
            let mut work = std::pin::pin!(migrate(&from, to, &progress));
            loop {
                match tokio::time::timeout(LOOK, &mut work).await {
                    Ok(result) => return result,
                    Err(_) => {
                        let (done, total) = progress.get();
                        bar.set_length(total);
                        bar.set_position(done);
                    }
                }
            }
        });
        bar.finish_and_clear();
        let closed = runtime.block_on(from.close());
        let tables = migrated.map_err(Failure::other)?;
        closed.map_err(Failure::other)?;
        report(&tables, &to.prefix).map_err(Failure::other)
    }

    fn report(tables: &[MigratedTable], prefix: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for MigratedTable { name, records, checksum } in tables {
            writeln!(out, "{name}\t{records} records\tchecksum {checksum:08x} on both sides")?;
        }
        let all: u64 = tables.iter().map(|table| table.records).sum();
        writeln!(
            out,
            "{all} records are in etcd, under {prefix}/; those that end within ten minutes are there \
             too, but not counted; users, certificates and configuration are no part of a migration"
        )
    }

    /// Shown on a terminal only.
    fn bar() -> ProgressBar {
        let style = "migrating [{bar:30}] {pos} of {len} records, {eta} to go";
        let style =
            ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
        // A command that fails must not leave half a bar in front of its error.
        let clear = ProgressFinish::AndClear;
        let target = ProgressDrawTarget::stderr();
        ProgressBar::with_draw_target(Some(0), target).with_style(style).with_finish(clear)
    }

    /// How often the bar moves.
    const LOOK: Duration = Duration::from_millis(100);
}
