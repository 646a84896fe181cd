//! `kvsd-server salvage`: a new data folder from what a damaged one still holds.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use indicatif::ProgressDrawTarget;

use super::args::FolderArgs;
use super::exit::Failure;
use super::folder::{in_data, in_folder};
use crate::log::LogConfig;
use crate::log::offline::{Hints, NewFolder, PosixDisk, Survey};

/// Makes the new folder.
pub(super) fn run(args: FolderArgs, to: &Path) -> Result<(), Failure> {
    let folder = args.open()?;
    refuse_below(&folder.path, to)?;
    let disk = PosixDisk::new(LogConfig::DEFAULT_OPEN_FILES);
    let mut new = NewFolder::create(Arc::new(disk), to).map_err(|error| in_folder(error, to))?;
    let bar = folder.progress(ProgressDrawTarget::stderr());
    let print = |lines: &str| bar.suspend(|| io::stdout().write_all(lines.as_bytes()));
    let mut records = 0;
    let mut skipped = 0;
    if let Some(damage) = &folder.tables.damage {
        skipped += 1;
        let lines = format!("{damage}\n  the tables' names are lost: they are called unnamed-N\n");
        print(&lines).map_err(Failure::other)?;
    }
    for table in &folder.tables.tables {
        let survey = folder.survey(table, Hints::LeftAlone, &bar)?;
        let saved = new.add(&table.name, &survey).map_err(in_data)?;
        records += saved;
        skipped += survey.damages.len();
        print(&report(table.name.as_str(), &survey, saved)).map_err(Failure::other)?;
    }
    bar.finish_and_clear();
    let tables = folder.tables.tables.len();
    let to = to.display();
    writeln!(
        io::stdout(),
        "saved {records} records of {tables} tables in {to}, {skipped} places skipped; users, \
         certificates and configuration are not copied"
    )
    .map_err(Failure::other)
}

/// A new folder inside the damaged one would change it.
fn refuse_below(from: &Path, to: &Path) -> Result<(), Failure> {
    let from = from.canonicalize().map_err(Failure::other)?;
    let to = std::path::absolute(to).map_err(Failure::other)?;
    let there = to.ancestors().find_map(|path| path.canonicalize().ok());
    if there.is_some_and(|there| there.starts_with(&from)) {
        let message = format!("{} is inside the folder to salvage", to.display());
        return Err(Failure::Usage(message.into()));
    }
    Ok(())
}

fn report(name: &str, survey: &Survey, saved: u64) -> String {
    let skipped = survey.damages.len();
    let mut text = format!("{name}: {saved} records saved, {skipped} places skipped\n");
    for damage in &survey.damages {
        text.push_str(&format!("  {name}: {damage}\n"));
    }
    if let Some(torn) = &survey.torn {
        text.push_str(&format!(
            "  {name}: {} unfinished bytes that a crash left at the end of {} are not copied\n",
            torn.to - torn.from,
            torn.file.display(),
        ));
    }
    text
}
