//! `kvsd completions`: what a shell needs to complete our words, made from the same definitions.

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Cli;

/// The script for this shell.
pub(super) fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kvsd", &mut script);
    script
}

pub(super) const EXAMPLES: &str = "\
Examples:
  kvsd completions bash > ~/.local/share/bash-completion/completions/kvsd
  kvsd completions zsh > ~/.zfunc/_kvsd
  kvsd completions fish > ~/.config/fish/completions/kvsd.fish";
