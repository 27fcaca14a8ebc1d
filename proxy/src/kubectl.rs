//! `kubectl tollway`: arguments in; what stands, what a request would meet and what a change would do out. Reads through `kubectl`, so that
//! context, login and rights are the person's own.
//!
//! # Why it is the proxy's binary
//! `explain` and `diff` answer with the compiler and the selection that serve: under the name `kubectl-tollway` in the PATH the binary
//! is kubectl's plugin.

mod cluster;
mod diff;
mod explain;
mod show;

use crate::kubectl::cluster::Cluster;
use anyhow::{Context, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tollway_core::spend::Nano;

/// What Tollway does in a namespace, and what it would do.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-tollway",
    bin_name = "kubectl tollway",
    version,
    propagate_version = true,
    max_term_width = 110
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Routes, embedding endpoints and budgets with their state. Exit code 2 when any of them is not ready.
    Status(Common),
    /// Which rule and which targets a request would meet, why not the others, what it would cost at most, and whether budgets carry it.
    /// Exit code 2 when nothing would serve it.
    #[command(
        after_help = "Example:\n  kubectl tollway explain assistant --prompt 'Why does this loop not end?' --user ann"
    )]
    Explain(explain::Question),
    /// What manifests would change in the compiled table, as an edit from what serves now. Exit code 1 when anything would.
    Diff {
        /// Files or folders with manifests; `-` reads the standard input.
        #[arg(required = true)]
        manifests: Vec<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Change a budget.
    #[command(subcommand)]
    Budget(Budget),
    /// Targets by what they cost, the dearest first.
    Top(Common),
}

#[derive(Debug, Subcommand)]
enum Budget {
    /// Give a budget some more for the window that runs: one entry of `adjustments`, applied once.
    Credit {
        /// The CostBudget.
        name: String,
        /// USD, like 1.50.
        amount: String,
        /// Who wants it, or why: kept in the resource and told as an event.
        #[arg(long)]
        reason: String,
        /// What keeps it from being applied twice. Default: made from the time.
        #[arg(long)]
        id: Option<String>,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args, Clone, Debug, Default)]
struct Common {
    /// Namespace. Default: that of the current context.
    #[arg(short, long)]
    namespace: Option<String>,
    /// Context of the kubeconfig.
    #[arg(long)]
    context: Option<String>,
    /// `text` for a person, `json` for a program.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
}

/// Whether the process was started as kubectl's plugin.
#[must_use]
pub fn is_plugin(program: Option<&Path>) -> bool {
    program.and_then(Path::file_stem).is_some_and(|name| name == "kubectl-tollway" || name == "kubectl_tollway")
}

/// Runs one command.
pub fn main(cli: Cli) -> ExitCode {
    run(cli.command).unwrap_or_else(|error| {
        eprintln!("kubectl tollway: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Status(common) => {
            let objects = Cluster::new(&common).resources()?;
            let ready = show::is_ready(&objects);
            say(common.output, || show::status(&objects), || show::json(&objects))?;
            Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(2) })
        }
        Command::Top(common) => {
            let objects = Cluster::new(&common).resources()?;
            say(common.output, || show::top(&objects), || show::top_json(&objects))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Explain(question) => explain::answer(&question),
        Command::Diff { manifests, common } => {
            let cluster = Cluster::new(&common);
            let given = manifests.iter().map(|path| read(path)).collect::<anyhow::Result<Vec<_>>>()?;
            let (before, after) = cluster.with_and_without(&given)?;
            let changes = diff::changes(&before, &after)?;
            say(common.output, || diff::text(&changes), || json!(changes))?;
            Ok(if changes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        Command::Budget(Budget::Credit { name, amount, reason, id, common }) => {
            let nano: Nano = amount.parse().with_context(|| format!("{amount:?} is no amount of USD, like 1.50"))?;
            ensure!(nano > Nano::ZERO, "a credit of nothing changes nothing");
            ensure!(!reason.trim().is_empty(), "say with --reason who wants it, or why");
            let id = id.unwrap_or_else(|| format!("credit-{}", jiff::Timestamp::now().as_millisecond()));
            let entry = json!({"id": id, "credit": nano.to_string(), "reason": reason});
            let said = Cluster::new(&common).append("costbudget", &name, "adjustments", &entry)?;
            say(common.output, || format!("{said}credited {nano} USD as {id}\n"), || entry.clone())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn say(output: Output, text: impl FnOnce() -> String, json: impl FnOnce() -> serde_json::Value) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match output {
        Output::Text => out.write_all(text().as_bytes())?,
        Output::Json => writeln!(out, "{:#}", json())?,
    }
    Ok(())
}

/// The manifests of a file, or of every YAML and JSON file of a folder.
fn read(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        return Ok(text);
    }
    let of = |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    if !path.is_dir() {
        return of(path);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .with_context(|| path.display().to_string())?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known)))
        .collect();
    files.sort();
    if files.is_empty() {
        bail!("{} holds no manifest: *.yaml, *.yml or *.json", path.display());
    }
    let texts = files.iter().map(|path| of(path)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(texts.join("\n---\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent_and_the_name_decides() {
        Cli::command().debug_assert();
        assert!(is_plugin(Some(Path::new("/usr/local/bin/kubectl-tollway"))));
        assert!(!is_plugin(Some(Path::new("tollway-proxy"))) && !is_plugin(None));
        assert!(Cli::try_parse_from(["kubectl-tollway", "budget", "credit", "team", "1.50"]).is_err(), "no reason");
    }
}
