//! `make bench`: the ratios on standard output and, with BENCH_JSON=file, as JSON. `upstream`, `reverse` and `signing` are parts it starts itself.
#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use std::net::SocketAddr;

use anyhow::Context;
use clap::{Parser, Subcommand};
use rustix::process::{Resource, getrlimit};
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
    /// Streams open at the same time while memory is weighed; each takes two descriptors of the proxy
    #[arg(long, default_value_t = most_streams())]
    streams: usize,
    /// Measure nothing but this: plain, stream, converse, converse-stream, vectors, vectors-of-length-1, first-byte, memory or batches
    #[arg(long)]
    only: Option<String>,
}

/// As many as this process may open files for, up to 10,000.
fn most_streams() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit / 2).unwrap_or(usize::MAX).saturating_sub(100).clamp(1, 10_000)
}

#[derive(Subcommand)]
enum Part {
    /// Answers every chat with the same bytes
    Upstream { listen: SocketAddr },
    /// The bare hyper reverse proxy
    Reverse { listen: SocketAddr, upstream: SocketAddr },
    /// The bare hyper reverse proxy that asks a Bedrock runtime
    Signing { listen: SocketAddr, upstream: SocketAddr },
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    match flags.part {
        Some(Part::Upstream { listen }) => bench::upstream(listen).await,
        Some(Part::Reverse { listen, upstream }) => bench::reverse(listen, upstream).await,
        Some(Part::Signing { listen, upstream }) => bench::signing(listen, upstream).await,
        None => {
            let Flags { rounds, requests, connections, streams, only, .. } = flags;
            let plan = Plan { rounds, requests, connections, streams, only };
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
