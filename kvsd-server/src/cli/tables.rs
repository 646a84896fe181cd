//! `kvsd tables`: what tables there are, making and removing them, and how much they hold.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Subcommand;
use kvsd::{Client, TableName};

use super::answer::Answer;
use super::failure::Failure;
use super::stats::TableFigures;

/// What to do with tables.
#[derive(Debug, Subcommand)]
pub(super) enum TablesCommand {
    /// Print the names of all tables, one in each line
    #[command(after_help = LIST_EXAMPLES)]
    List,
    /// Make a table
    ///
    /// Prints `OK`, also if there was such a table already. A table comes into being with its first
    /// write as well.
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// The table: 1 to 64 letters, digits, `_`, `-` and `.`
        #[arg(value_name = "NAME", value_parser = TableName::parse)]
        name: TableName,
    },
    /// Remove a table and all that is in it
    ///
    /// Asks before it does so, unless --yes is given; where nobody can be asked, --yes is needed.
    /// Prints `OK`; without such a table, the exit code is 1.
    #[command(after_help = DROP_EXAMPLES)]
    Drop {
        /// The table
        #[arg(value_name = "NAME", value_parser = TableName::parse)]
        name: TableName,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Print how much a table holds, or each of them
    ///
    /// Without such a table, the exit code is 1. What the columns are says `kvsd stats --help`.
    #[command(after_help = STATS_EXAMPLES)]
    Stats {
        /// The table; without it, all of them
        #[arg(value_name = "NAME", value_parser = TableName::parse)]
        name: Option<TableName>,
    },
}

/// Carries out a command; `table` is the one that was asked for on the spot.
pub(super) async fn run(
    client: &Client,
    table: Option<TableName>,
    command: TablesCommand,
) -> Result<Answer, Failure> {
    match command {
        TablesCommand::List => Ok(Answer::Tables(client.tables().await?)),
        TablesCommand::Create { name } => {
            let is_new = client.create_table(name.as_str()).await?;
            Ok(Answer::Created { name, is_new })
        }
        TablesCommand::Drop { name, yes } => {
            if !yes {
                let Some(keys) = keys_of(client, &name).await? else {
                    return Ok(Answer::NoTable(name));
                };
                confirm(&name, keys)?;
            }
            Ok(match client.drop_table(name.as_str()).await? {
                true => Answer::Dropped(name),
                false => Answer::NoTable(name),
            })
        }
        TablesCommand::Stats { name } => Ok(match name.or(table) {
            None => Answer::Figures(figures(client).await?),
            Some(name) => match client.table(name.as_str())?.statistics().await? {
                Some(statistics) => Answer::Figures(vec![TableFigures { name, statistics }]),
                None => Answer::NoTable(name),
            },
        }),
    }
}

/// How much each table holds, in the order of their names.
pub(super) async fn figures(client: &Client) -> Result<Vec<TableFigures>, Failure> {
    let mut all = Vec::new();
    for name in client.tables().await? {
        // One that was dropped meanwhile is none any more.
        if let Some(statistics) = client.table(name.as_str())?.statistics().await? {
            all.push(TableFigures { name, statistics });
        }
    }
    Ok(all)
}

async fn keys_of(client: &Client, name: &TableName) -> Result<Option<u64>, Failure> {
    let statistics = client.table(name.as_str())?.statistics().await?;
    Ok(statistics.map(|statistics| statistics.keys))
}

/// Asks whoever sits there.
fn confirm(name: &TableName, keys: u64) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::wrong_usage("nobody can be asked whether to drop it; give --yes"));
    }
    let mut answer = String::new();
    let asked = write!(io::stderr(), "drop table {name} and its {keys} keys? [y/N] ")
        .and_then(|()| io::stdin().lock().read_line(&mut answer));
    asked.map_err(|error| Failure::stream("ask", &error))?;
    match agrees(&answer) {
        true => Ok(()),
        false => Err(Failure::other("the table was not dropped")),
    }
}

fn agrees(answer: &str) -> bool {
    matches!(answer.trim(), "y" | "Y" | "yes")
}

pub(super) const EXAMPLES: &str = "\
Examples:
  kvsd tables list
  kvsd tables create users
  kvsd tables stats users
  kvsd tables drop users";

const LIST_EXAMPLES: &str = "\
Example:
  kvsd tables list";
const CREATE_EXAMPLES: &str = "\
Example:
  kvsd tables create users";
const DROP_EXAMPLES: &str = "\
Examples:
  kvsd tables drop users
  kvsd tables drop --yes users < /dev/null";
const STATS_EXAMPLES: &str = "\
Examples:
  kvsd tables stats
  kvsd --output json tables stats users";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_drops_a_table() {
        assert!(["y\n", "Y", "yes\r\n"].into_iter().all(agrees));
        assert!(!["", "\n", "n\n", "yy", "no", "yes, but"].into_iter().any(agrees));
    }
}
