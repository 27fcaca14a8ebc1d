//! Command line in, exit code out; under the name kubectl-tollway, that of kubectl's plugin.

use clap::Parser;
use std::path::Path;
use std::process::ExitCode;
use tollway_proxy::{cli, kubectl};

fn main() -> ExitCode {
    if kubectl::is_plugin(std::env::args_os().next().as_deref().map(Path::new)) {
        return kubectl::main(kubectl::Cli::parse());
    }
    cli::main(cli::Cli::parse())
}
