//! `tollway-proxy prices`: the shipped catalog, and perhaps an override, in; what models and instances charge, or what changes, out.

mod diff;
mod list;

use anyhow::Context;
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use tollway_core::spend::catalog::Catalog;

#[derive(Debug, Args)]
pub struct PricesArgs {
    /// Only models and instance types whose id contains this.
    filter: Option<String>,
    /// What an override (the prices.yaml of the operator's ConfigMap, or the ConfigMap itself) changes in the shipped catalog.
    #[arg(long, value_name = "FILE")]
    diff: Option<PathBuf>,
    /// How it is written.
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Exit code 0 when something is listed, or an override can be used.
pub fn print(args: &PricesArgs) -> anyhow::Result<ExitCode> {
    let filter = args.filter.as_deref().unwrap_or_default();
    let shipped = Catalog::shipped();
    let (text, found) = match &args.diff {
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
            let ours = diff::overlaid(shipped, &text).with_context(|| format!("{} is not taken", file.display()))?;
            let changes = diff::changes(shipped, &ours, filter);
            (diff::render(&changes, args.output == Output::Json)?, true)
        }
        None => {
            let listed = list::List::of(shipped, filter);
            (listed.render(args.output == Output::Json)?, !listed.is_empty())
        }
    };
    std::io::stdout().lock().write_all(text.as_bytes()).context("the prices could not be written")?;
    if !found {
        eprintln!(
            "nothing of the shipped catalog matches: a target's `price` or the operator's ConfigMap may name a model, its ConfigMap an instance type"
        );
    }
    Ok(if found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
