//! What the commands on a data folder share: which one, nobody else in it, and how far they are.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use super::args::FolderArgs;
use super::exit::Failure;
use super::serve::layers_beside;
use crate::config::EngineKind;
use crate::log::offline::{
    DataFolder, Hints, ReadOnlyDisk, StorageError, StoreError, Survey, TableFolder, Tables,
};
use crate::log::{Clock, LogConfig, OpenError, SystemClock};

/// A data folder that a command works on.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) tables: Tables,
    data: DataFolder,
}

impl FolderArgs {
    /// Opens the folder that is meant: by flag, else by environment or configuration. Where that has
    /// the data in etcd, this is an error that says what there is instead.
    pub(super) fn open(self) -> Result<Folder, Failure> {
        let (path, engine) = self.find()?;
        if engine == EngineKind::Etcd {
            return Err(Failure::Usage(IN_ETCD.into()));
        }
        let disk = ReadOnlyDisk::new(LogConfig::DEFAULT_OPEN_FILES);
        let data =
            DataFolder::open(Arc::new(disk), &path).map_err(|error| in_folder(error, &path))?;
        let tables = data.tables().map_err(in_data)?;
        Ok(Folder { path, tables, data })
    }

    /// Which folder is meant, and the engine of the server whose it is.
    pub(super) fn find(self) -> Result<(PathBuf, EngineKind), Failure> {
        if let Some(folder) = self.data_dir {
            return Ok((folder, EngineKind::Log));
        }
        let config = layers_beside(self.config)?.resolve()?;
        Ok((config.data_dir, config.engine))
    }
}

impl Folder {
    /// A bar for all tables; shown on a terminal only.
    pub(super) fn progress(&self, target: ProgressDrawTarget) -> ProgressBar {
        bar(self.tables.tables.iter().map(|table| self.data.size(table)).sum(), target)
    }

    /// Reads a table.
    pub(super) fn survey(
        &self,
        table: &TableFolder,
        hints: Hints,
        bar: &ProgressBar,
    ) -> Result<Survey, Failure> {
        bar.set_message(table.name.to_string());
        self.data.survey(table, hints, &mut |bytes| bar.inc(bytes)).map_err(in_data)
    }
}

const IN_ETCD: &str = "this server has engine = \"etcd\", and its data is in the cluster, not in a \
    folder: there, `etcdctl snapshot save` makes a backup that `etcdctl snapshot restore` brings \
    back, `etcdctl endpoint status` says how the members are, and of a running server `kvsd export` \
    prints the records; for a folder of the log engine, give --data-dir";

/// A bar for so many bytes; shown on a terminal only.
pub(super) fn bar(bytes: u64, target: ProgressDrawTarget) -> ProgressBar {
    let style = "{msg} [{bar:30}] {bytes} of {total_bytes}, {eta} to go";
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    // A command that fails must not leave half a bar in front of its error.
    let clear = ProgressFinish::AndClear;
    ProgressBar::with_draw_target(Some(bytes), target).with_style(style).with_finish(clear)
}

/// Where a bar goes whose command prints its results on standard output.
pub(super) fn beside_results() -> ProgressDrawTarget {
    match io::stdout().is_terminal() {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr(),
    }
}

/// The time now, in milliseconds since 1970.
pub(super) fn now() -> u64 {
    SystemClock.now().get()
}

/// Why a data folder does not open.
pub(super) fn in_folder(error: StoreError, path: &Path) -> Failure {
    Failure::other(OpenError::from_store(error, path.to_owned()))
}

/// What is wrong with its data.
pub(super) fn in_data(error: StorageError) -> Failure {
    Failure::other(OpenError::from_storage(error))
}
