//! The operator's process: flags in, an exit code out.

use clap::Parser;
use std::io::{IsTerminal, Write};
use tollway_operator::cli::{Cli, Command, LogFormat, Run};

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Crds => {
            std::io::stdout().write_all(tollway_operator::crds_yaml()?.as_bytes())?;
            Ok(())
        }
        Command::Run(run) => {
            log(&run)?;
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(tollway_operator::run(*run))
        }
    }
}

fn log(run: &Run) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&run.log)?;
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    match run.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
