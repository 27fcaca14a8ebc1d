//! `tollway-proxy status`: a running proxy's `/status` in, a table for a person or JSON for a program out.

use super::table::columns;
use crate::status::{BudgetPage, Page, TargetPage};
use anyhow::{Context, bail};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpStream;
use tollway_core::spend::Nano;

const BAR: usize = 24;

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The admin address of the proxy to ask.
    #[arg(long, env = "TOLLWAY_ADMIN", value_name = "ADDRESS", default_value = "127.0.0.1:9091")]
    admin: SocketAddr,
    /// `text` for a person, `json` for a program.
    #[arg(short, long, env = "TOLLWAY_OUTPUT", value_name = "FORMAT", default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Exit code 0 when the proxy is ready, 2 when it is not.
pub fn print(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = runtime.block_on(async {
        let asked = tokio::time::timeout(Duration::from_secs(5), ask(args.admin)).await;
        asked.with_context(|| format!("{} did not answer within 5 s", args.admin))?
    })?;
    let page: Page = serde_json::from_slice(&body)
        .with_context(|| format!("{} is not the admin port of a tollway-proxy of this version", args.admin))?;
    let mut out = std::io::stdout().lock();
    match args.output {
        Output::Json => out.write_all(&body)?,
        Output::Text => out.write_all(render(&page).as_bytes())?,
    }
    Ok(if page.ready { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

async fn ask(admin: SocketAddr) -> anyhow::Result<Bytes> {
    let stream = TcpStream::connect(admin)
        .await
        .with_context(|| format!("no proxy answers on {admin}: start one, or name its admin address with --admin"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get("/status")
        .header("host", admin.to_string())
        .header("accept", "application/json")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        bail!("{admin} answered {status}: {}", String::from_utf8_lossy(&body).trim());
    }
    Ok(body)
}

fn render(page: &Page) -> String {
    let mut out = String::new();
    let source = &page.source;
    let ready = if page.ready { "ready" } else { "not ready: no table yet" };
    let stands = if source.connected { "" } else { " (not reachable just now)" };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{ready}, {} {}{stands}", source.kind.to_lowercase(), source.place);
    let _ = writeln!(out, "namespace {}, revision {}, up {} s", page.namespace, page.revision, page.uptime_seconds);
    if let Some(redis) = &page.redis {
        let stands = redis.problem.as_ref().map_or_else(
            || format!("shared by proxies of the namespace: {}", redis.proxies),
            |problem| format!("not of use just now: {problem}"),
        );
        let _ = writeln!(out, "redis {}, {stands}", redis.address);
    }
    for problem in &source.problems {
        let _ = writeln!(out, "! {problem}");
    }
    if !page.routes.is_empty() {
        let mut rows =
            vec![row(["ROUTE", "TARGET", "PROVIDER", "CIRCUIT", "ATTEMPTS", "ERRORS", "P50 MS", "P95 MS", "USD"])];
        for route in &page.routes {
            rows.extend(route.targets.iter().map(|target| target_row(&route.name, target)));
        }
        out.push('\n');
        out.push_str(&columns(&rows));
        for route in &page.routes {
            if let Some(reason) = &route.unserved {
                let _ = writeln!(out, "! {} is not served: {reason}", route.name);
            }
            for note in &route.notes {
                let _ = writeln!(out, "! {}: {note}", route.name);
            }
        }
    }
    if !page.budgets.is_empty() {
        let mut rows = vec![row(["BUDGET", "PERIOD", "SPENT", "", "OF USD", "LEFT", "STATE"])];
        rows.extend(page.budgets.iter().map(budget_row));
        out.push('\n');
        out.push_str(&columns(&rows));
    }
    out
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn target_row(route: &str, target: &TargetPage) -> Vec<String> {
    let millis = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let TargetPage { name, provider, model: _, circuit, requests, errors, p50_ms, p95_ms, cost_usd } = target;
    let (requests, errors, p50, p95) = (requests.to_string(), errors.to_string(), millis(*p50_ms), millis(*p95_ms));
    row([route, name, provider, circuit, &requests, &errors, &p50, &p95, cost_usd])
}

fn budget_row(budget: &BudgetPage) -> Vec<String> {
    let state = match budget {
        BudgetPage { frozen: true, .. } => "frozen",
        BudgetPage { exhausted: true, .. } => "exhausted",
        BudgetPage { mode, .. } if mode == "Observe" => "observed only",
        _ => "within",
    };
    let bar = bar(&budget.spent_usd, &budget.limit_usd);
    row([&budget.name, &budget.period, &budget.spent_usd, &bar, &budget.limit_usd, &budget.remaining_usd, state])
}

/// `[######..................]`, full exactly when nothing is left.
fn bar(spent: &str, limit: &str) -> String {
    let [spent, limit] = [spent, limit].map(|amount| u128::from(amount.parse::<Nano>().unwrap_or_default().0));
    let full = (spent * BAR as u128).checked_div(limit).unwrap_or(BAR as u128);
    let full = usize::try_from(full).unwrap_or(BAR).min(BAR);
    format!("[{}{}]", "#".repeat(full), ".".repeat(BAR - full))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{RoutePage, SourcePage};

    #[test]
    fn a_page_is_readable_as_text() {
        let target = TargetPage {
            name: "flaky".to_owned(),
            provider: "simulated".to_owned(),
            circuit: "Open".to_owned(),
            requests: 12,
            errors: 5,
            p50_ms: Some(80),
            cost_usd: "0.0012".to_owned(),
            ..TargetPage::default()
        };
        let budget = BudgetPage {
            name: "demo".to_owned(),
            period: "Daily".to_owned(),
            limit_usd: "1.00".to_owned(),
            spent_usd: "0.50".to_owned(),
            remaining_usd: "0.50".to_owned(),
            ..BudgetPage::default()
        };
        let source = SourcePage {
            kind: "Folder".to_owned(),
            place: "/demo".to_owned(),
            connected: true,
            problems: vec!["a.yaml:3: unknown field".to_owned()],
        };
        let routes = vec![RoutePage { name: "assistant".to_owned(), targets: vec![target], ..RoutePage::default() }];
        let page = Page {
            ready: true,
            source,
            namespace: "default".to_owned(),
            revision: 3,
            routes,
            budgets: vec![budget],
            ..Page::default()
        };
        insta::assert_snapshot!(render(&page));
    }

    #[test]
    fn a_bar_is_full_when_nothing_is_left() {
        assert_eq!(bar("0.00", "1.00"), format!("[{}]", ".".repeat(BAR)));
        assert_eq!(bar("1.00", "1.00"), format!("[{}]", "#".repeat(BAR)));
        assert_eq!(bar("9.00", "1.00"), bar("0.00", "0.00"));
    }
}
