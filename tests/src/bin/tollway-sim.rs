//! The simulator as a process: flags in, its address on the first line of standard output, then it serves until it is told to stop.

use anyhow::Context;
use clap::Parser;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use tollway_tests::sim::{Config, Sim, rules};

/// Simulates the Bedrock runtime and an OpenAI-compatible server on one loopback port.
#[derive(Parser)]
struct Flags {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// JSON file with one rule or a list of rules, as POST /_sim/script takes them
    #[arg(long)]
    script: Option<PathBuf>,
    /// JSON file with models, prices, keys and the usual reply
    #[arg(long)]
    config: Option<PathBuf>,
    /// Accept requests without a signature
    #[arg(long)]
    no_auth: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let mut config = match &flags.config {
        Some(path) => {
            let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_slice(&text).with_context(|| format!("{} is not a configuration", path.display()))?
        }
        None => Config::default(),
    };
    config.listen = flags.listen;
    config.authenticate &= !flags.no_auth;
    let sim = Sim::start(config).await?;
    if let Some(path) = &flags.script {
        let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let rules = rules(&text).with_context(|| format!("{} holds no rules", path.display()))?;
        rules.into_iter().for_each(|rule| sim.script(rule));
    }
    let mut out = std::io::stdout();
    writeln!(out, "{}", sim.url())?;
    out.flush()?;
    let mut stop = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = stop.recv() => {}
    }
    sim.shutdown().await;
    Ok(())
}
