//! Writes the manual pages and the completions for shells, out of what `florascope --help` is made of, into the folder
//! that is named: `cargo run --example manual -- FOLDER`.

use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use florascope::cli::Arguments;

fn main() -> anyhow::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("Name the folder to write to")?);
    std::fs::create_dir_all(&folder)?;
    let mut command = Arguments::command();
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut command, "florascope", &folder)?;
    }
    // Pages of the subcommands as well, which the first one names; none of `help`, which shows the same.
    let command = Arguments::command()
        .disable_help_subcommand(true)
        .mut_subcommand("models", |models| models.disable_help_subcommand(true));
    clap_mangen::generate_to(command, &folder)?;
    Ok(())
}
