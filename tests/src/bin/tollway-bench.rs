//! `make bench`: the ratios on standard output and, with BENCH_JSON=file, as JSON. `upstream` and `reverse` are parts it starts itself.
#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use std::net::SocketAddr;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tollway_tests::bench::{self, Plan};

/// Measures the proxy's CPU time a request against a bare hyper reverse proxy and nginx.
#[derive(Parser)]
struct Flags {
    #[command(subcommand)]
    part: Option<Part>,
    /// Turns that every proxy gets
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Plain requests in a turn; a turn of streams has a tenth of it
    #[arg(long, default_value_t = 4000)]
    requests: usize,
    /// Connections that ask at the same time
    #[arg(long, default_value_t = 16)]
    connections: usize,
}

#[derive(Subcommand)]
enum Part {
    /// Answers every chat with the same bytes
    Upstream { listen: SocketAddr },
    /// The bare hyper reverse proxy
    Reverse { listen: SocketAddr, upstream: SocketAddr },
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    match flags.part {
        Some(Part::Upstream { listen }) => bench::upstream(listen).await,
        Some(Part::Reverse { listen, upstream }) => bench::reverse(listen, upstream).await,
        None => {
            let plan = Plan { rounds: flags.rounds, requests: flags.requests, connections: flags.connections };
            let measured = bench::run(plan, |text| eprintln!("{text}")).await?;
            print!("\n{}", measured.table());
            if let Some(path) = std::env::var_os("BENCH_JSON") {
                let json = serde_json::to_string_pretty(&measured.ratios)?;
                std::fs::write(&path, json).with_context(|| format!("cannot write {}", path.display()))?;
            }
            Ok(())
        }
    }
}
