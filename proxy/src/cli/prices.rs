//! `tollway-proxy prices`: the shipped catalog in, a table of what each model charges out.

use super::table::columns;
use anyhow::Context;
use clap::Args;
use std::io::Write;
use std::process::ExitCode;
use tollway_core::spend::catalog::Catalog;
use tollway_core::spend::{Nano, Price};

#[derive(Debug, Args)]
pub struct PricesArgs {
    /// Only models whose id contains this.
    filter: Option<String>,
}

/// Exit code 0 when something is listed.
pub fn print(args: &PricesArgs) -> anyhow::Result<ExitCode> {
    let text = render(Catalog::shipped(), args.filter.as_deref().unwrap_or_default());
    let found = text.lines().count() > 1;
    if found {
        std::io::stdout().lock().write_all(text.as_bytes()).context("the prices could not be written")?;
    } else {
        eprintln!(
            "no model of the shipped catalog matches: a target's `price` or the operator's ConfigMap may name one"
        );
    }
    Ok(if found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn render(catalog: &Catalog, filter: &str) -> String {
    let heads = ["MODEL", "INPUT", "OUTPUT", "CACHE READ", "CACHE WRITE", "CACHE WRITE 1H", "PER REQUEST"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for (id, model) in catalog.iter().filter(|(id, _)| id.contains(filter)) {
        let Price { input, output, cache_read, cache_write, cache_write_1h, per_request } = model.price;
        let amounts = [input, output, cache_read, cache_write, cache_write_1h, per_request].map(amount);
        rows.push(std::iter::once(id.to_owned()).chain(amounts).collect());
    }
    columns(&rows)
}

fn amount(nano: Nano) -> String {
    if nano == Nano::ZERO { "-".to_owned() } else { nano.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_is_listed_and_filtered() {
        let all = render(Catalog::shipped(), "");
        assert_eq!(all.lines().count(), Catalog::shipped().iter().count() + 1);
        let (id, model) = Catalog::shipped().iter().next().unwrap();
        let one = render(Catalog::shipped(), id);
        assert!(one.contains(id) && one.contains(&model.price.output.to_string()), "{one}");
        assert_eq!(render(Catalog::shipped(), "no such model").lines().count(), 1);
    }
}
