//! Command line in, exit code out.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    tollway_proxy::cli::main(tollway_proxy::cli::Cli::parse())
}
