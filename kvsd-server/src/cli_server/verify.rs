//! `kvsd-server verify`: check a data folder, and say what is damaged and what to do.

use std::io::{self, Write};

use indicatif::ProgressDrawTarget;
use thiserror::Error;

use super::args::FolderArgs;
use super::exit::Failure;
use super::folder::now;
use crate::log::offline::{Expired, Hints, Survey};

/// Checks the folder.
pub(super) fn run(args: FolderArgs) -> Result<(), Failure> {
    let folder = args.open()?;
    let bar = folder.progress(ProgressDrawTarget::stderr());
    let expired = Expired::LeftOut { now: now() };
    let mut records = 0;
    let mut places = 0;
    let print = |lines: &str| bar.suspend(|| io::stdout().write_all(lines.as_bytes()));
    if let Some(damage) = &folder.tables.damage {
        places += 1;
        print(&format!("{damage}\n")).map_err(Failure::other)?;
    }
    for table in &folder.tables.tables {
        let survey = folder.survey(table, Hints::Checked, &bar)?;
        records += survey.records;
        places += survey.damages.len();
        print(&report(table.name.as_str(), &survey, expired)).map_err(Failure::other)?;
    }
    bar.finish_and_clear();
    if places > 0 {
        let folder = folder.path.display().to_string();
        return Err(Failure::other(VerifyError { folder, places }));
    }
    let tables = folder.tables.tables.len();
    writeln!(io::stdout(), "OK: {tables} tables, {records} records").map_err(Failure::other)
}

/// A table's line, and one for each place that is not as it should be.
fn report(name: &str, survey: &Survey, expired: Expired) -> String {
    let verdict = match (survey.damages.is_empty(), &survey.torn) {
        (false, _) => "DAMAGED",
        (true, Some(_)) => "ok, with a torn tail",
        (true, None) => "ok",
    };
    let Survey { records, bytes, .. } = survey;
    let live = survey.live_keys(expired);
    let mut text =
        format!("{name}: {records} records, {live} live keys, {bytes} bytes: {verdict}\n");
    for damage in &survey.damages {
        text.push_str(&format!("  {name}: {damage}\n"));
    }
    for hint in &survey.wrong_hints {
        text.push_str(&format!(
            "  {name}: warning: {}: {}; the server makes it again from the segment\n",
            hint.file.display(),
            hint.what,
        ));
    }
    if let Some(torn) = &survey.torn {
        text.push_str(&format!(
            "  {name}: {} ends with {} unfinished bytes, from byte {}: a crash left them; the \
             server keeps them aside when it starts\n",
            torn.file.display(),
            torn.to - torn.from,
            torn.from,
        ));
    }
    text
}

/// Something is damaged.
#[derive(Debug, Error)]
#[error(
    "{places} damaged, listed above; restore a backup, or save what is whole with \
     `kvsd-server salvage --data-dir {folder} --to NEWDIR`",
    places = match places { 1 => "1 place is".to_owned(), n => format!("{n} places are") }
)]
struct VerifyError {
    folder: String,
    places: usize,
}
