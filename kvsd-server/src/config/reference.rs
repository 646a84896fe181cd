//! The reference of all settings, in Markdown, made from the table of settings.

use std::fmt::Write;

use super::keys::{Reload, SETTINGS, Setting};

/// The reference of all settings in Markdown: what `kvsd-server config reference` prints, and
/// `docs/configuration.md` holds.
#[must_use]
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            // Writing to a String never fails.
            let _ = writeln!(text, "\n## {group}");
        }
        describe(setting, &mut text);
    }
    text
}

fn describe(setting: &Setting, text: &mut String) {
    let value = setting.value.unwrap_or("true or false");
    let default = match setting.default {
        Some(default) => format!("`{default}`"),
        None => "not set".to_owned(),
    };
    let acts = match setting.reload {
        Reload::Now => "on reload",
        Reload::Restart => "after a restart",
    };
    let _ = write!(
        text,
        "\n### `{key}`\n\n{help}.\n\n| value | default | flag | variable | a change acts |\n\
         |---|---|---|---|---|\n| {value} | {default} | `--{flag}` | `{variable}` | {acts} |\n",
        key = setting.key,
        help = escape(setting.help),
        flag = setting.flag(),
        variable = setting.variable(),
    );
}

/// What would be markup is text.
fn escape(text: &str) -> String {
    text.replace('<', "&lt;").replace('_', "\\_").replace('[', "\\[").replace(']', "\\]")
}

const INTRODUCTION: &str = "\
# Configuration of kvsd-server

This page is what `kvsd-server config reference` prints; a test compares the two.

Each setting may stand in a TOML file (`kvsd-server --config FILE`, or the file that the variable
`KVSD_SERVER_CONFIG` names), in a variable of the environment, or as a flag. A flag beats its
variable, that beats the file, and that the default. An empty variable counts as not set. A key that
no setting has is refused, with the nearest valid one. A relative path in the file starts from the
file's folder, any other from the working folder.

- Times are numbers with units: `10s`, `250ms`, `1m 30s`.
- Lists have commas between their parts; in the file they may also be arrays of strings.
- Sizes are whole numbers of bytes, or have a unit: `10MiB` (1024 x 1024), `10MB` (a million).

`kvsd-server config check --config FILE` names everything that is wrong with a file, and changes
nothing: its exit code is 0 for a file that a server starts from, else 1. On SIGHUP, and when an
administrator asks for it, a running server reads its file again. What can change at run time does;
what waits for a restart is named in the log; a file with a mistake changes nothing.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_the_reference_of_this_server() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let page = std::fs::read_to_string(page).unwrap();
        assert!(
            page == reference(),
            "make the page again: kvsd-server config reference > docs/configuration.md"
        );
    }

    #[test]
    fn every_setting_has_its_heading_flag_and_variable() {
        let text = reference();
        for setting in SETTINGS {
            for needed in [
                format!("### `{}`", setting.key),
                format!("`--{}`", setting.flag()),
                format!("`{}`", setting.variable()),
            ] {
                assert!(text.contains(&needed), "{needed}");
            }
        }
    }

    #[test]
    fn each_group_stands_together() {
        let mut groups: Vec<_> = SETTINGS.iter().map(|setting| setting.group).collect();
        groups.dedup();
        let count = groups.len();
        groups.sort_unstable();
        groups.dedup();
        assert_eq!(groups.len(), count);
    }
}
