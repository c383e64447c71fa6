//! Arguments -> the window or a subcommand -> the exit code.

use std::process::ExitCode;

use clap::Parser;
use florascope::cli::{self, Arguments, exit};

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Some(command) => cli::run(command, &arguments.common),
        None => Ok(0),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(exit::FAILED)
        }
    }
}
