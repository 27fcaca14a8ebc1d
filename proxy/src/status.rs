//! What `/status` says: the source, every route with its targets, every budget. Made from the live table, the meters and the purses; read back by `tollway-proxy status`.

use crate::ledger::BudgetView;
use crate::metrics::{Decision, Metrics};
use crate::source::{Health, Serving};
use crate::store::Store;
use crate::targets::{note, notes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Instant;
use tollway_core::control::TargetObservation;
use tollway_core::status::percentile_ms;
use tollway_core::table::{Embedder, Embedding, Provider, Route, Table};

/// The whole page. Amounts are decimal text in US dollars.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    pub version: String,
    /// Drawn at process start.
    pub incarnation: String,
    pub uptime_seconds: u64,
    /// Whether a table is served.
    pub ready: bool,
    pub source: SourcePage,
    pub namespace: String,
    pub revision: u64,
    pub digest: String,
    /// Absent where no address was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisPage>,
    pub routes: Vec<RoutePage>,
    pub budgets: Vec<BudgetPage>,
    /// What became of the last requests of each route, the newest first.
    #[serde(default)]
    pub decisions: Vec<DecisionPage>,
}

/// What became of one request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionPage {
    /// When it ended, RFC 3339.
    pub at: String,
    /// Its `x-request-id`.
    pub id: String,
    pub route: String,
    /// The target that answered or was tried last; empty where none was.
    pub target: String,
    pub attempts: u32,
    /// HTTP status.
    pub status: u16,
    /// The error's code, or how the answer broke off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<String>,
    pub took_ms: u64,
}

/// The Redis that proxies share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedisPage {
    /// Without user and password.
    pub address: String,
    /// Why it is of no use just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Proxies of the namespace that shared it last; 0 before the first count.
    pub proxies: u32,
}

/// Where the table comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourcePage {
    /// `Folder` or `Operator`.
    pub kind: String,
    /// The folder, or the operator's address.
    pub place: String,
    pub connected: bool,
    /// One line each: `file:line: what is wrong: what to do`.
    pub problems: Vec<String>,
}

/// One route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoutePage {
    pub name: String,
    /// Names clients may send as `model`.
    pub models: Vec<String>,
    /// Why this proxy does not serve it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unserved: Option<String>,
    /// What of it is not shared between proxies as its manifest says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Requests by how they ended.
    pub requests: BTreeMap<String, u64>,
    pub budgets: Vec<String>,
    pub targets: Vec<TargetPage>,
}

/// One target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetPage {
    pub name: String,
    /// `bedrock`, `openai` or `simulated`.
    pub provider: String,
    /// The provider's model, where it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// `Closed`, `HalfOpen` or `Open`.
    pub circuit: String,
    pub requests: u64,
    pub errors: u64,
    /// Absent until the target answered something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<u64>,
    pub cost_usd: String,
}

/// One budget, as far as this proxy knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetPage {
    pub name: String,
    /// `Enforce` or `Observe`.
    pub mode: String,
    pub period: String,
    pub limit_usd: String,
    pub spent_usd: String,
    /// The part of `spentUsd` charged in full without the provider's usage.
    pub estimated_usd: String,
    /// The part of `spentUsd` held by processes that died with it; only a ledger of one's own knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burned_usd: Option<String>,
    /// Granted to this proxy and not spent.
    pub reserved_usd: String,
    pub remaining_usd: String,
    /// What the window will have spent at its end if it goes on as in the last hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast_usd: Option<String>,
    /// When nothing will be left at that pace, where that is before the window's end (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exhaustion_forecast_at: Option<String>,
    /// RFC 3339; absent for `Once`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_end: Option<String>,
    pub exhausted: bool,
    pub frozen: bool,
    /// Models denied because they used more than their bound.
    pub denied_models: Vec<String>,
}

/// What does not change while the process lives.
#[derive(Clone, Debug)]
pub struct Process {
    pub started: Instant,
    pub incarnation: String,
    /// `Folder` or `Operator`.
    pub source: &'static str,
}

/// The page as of now.
#[must_use]
pub fn gather(
    process: &Process,
    live: Option<&Serving>,
    metrics: &Metrics,
    budgets: &[BudgetView],
    health: &Health,
    store: Option<&Store>,
) -> Page {
    let Health { connected, place, problems } = health.clone();
    let routes = live.map(|serving| route_pages(serving, metrics, store)).unwrap_or_default();
    Page {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        incarnation: process.incarnation.clone(),
        uptime_seconds: process.started.elapsed().as_secs(),
        ready: live.is_some(),
        source: SourcePage { kind: process.source.to_owned(), place, connected, problems },
        namespace: live.map(|serving| serving.table.namespace.clone()).unwrap_or_default(),
        revision: live.map_or(0, |serving| serving.revision),
        digest: live.map(|serving| serving.digest.clone()).unwrap_or_default(),
        redis: store.map(|store| RedisPage {
            address: store.address().to_string(),
            problem: store.problem(),
            proxies: store.proxies().unwrap_or(0),
        }),
        routes,
        budgets: live.map(|serving| budget_pages(&serving.table, budgets)).unwrap_or_default(),
        decisions: metrics.decisions().into_iter().map(decision_page).collect(),
    }
}

fn decision_page(decision: Decision) -> DecisionPage {
    let Decision { at, id, route, target, attempts, status, reason, cost, took } = decision;
    DecisionPage {
        at: format!("{:.0}", jiff::Timestamp::try_from(at).unwrap_or_default()),
        id,
        route,
        target: target.unwrap_or_default(),
        attempts,
        status,
        reason: reason.map(str::to_owned),
        cost_usd: cost.map(|cost| cost.to_string()),
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }
}

/// Routes of the table, and those that this proxy could not read.
fn route_pages(serving: &Serving, metrics: &Metrics, store: Option<&Store>) -> Vec<RoutePage> {
    let seen = metrics.observations();
    let served = serving.table.routes.iter().map(|(name, route)| RoutePage {
        notes: notes(route, &serving.secrets, store),
        ..route_page(name, route, serving, metrics, &seen)
    });
    let unserved = serving.unserved.iter().filter(|(name, _)| !serving.table.routes.contains_key(*name));
    let unserved = unserved.map(|(name, reason)| RoutePage {
        name: name.clone(),
        models: models(serving, name),
        unserved: Some(reason.clone()),
        ..RoutePage::default()
    });
    let embeddings = serving.table.embeddings.iter().map(|(name, config)| {
        let note = config.cache.as_ref().and_then(|cache| note(cache, "vectors", &serving.secrets, store));
        RoutePage { notes: note.into_iter().collect(), ..endpoint_page(name, config, metrics, &seen) }
    });
    served.chain(embeddings).chain(unserved).collect()
}

fn models(serving: &Serving, route: &str) -> Vec<String> {
    serving.table.models.iter().filter(|(_, of)| *of == route).map(|(model, _)| model.clone()).collect()
}

fn route_page(
    name: &str,
    route: &Route,
    serving: &Serving,
    metrics: &Metrics,
    seen: &[TargetObservation],
) -> RoutePage {
    let targets = route.targets.iter().map(|(target, of)| {
        let (provider, model) = match &of.provider {
            Provider::Bedrock(bedrock) => ("bedrock", bedrock.model_id.clone()),
            Provider::OpenAi(openai) => ("openai", openai.model.clone().unwrap_or_default()),
            Provider::Anthropic(anthropic) => ("anthropic", anthropic.model.clone()),
            Provider::SageMaker(sagemaker) => ("sagemaker", sagemaker.endpoint_name.clone()),
            Provider::AgentCore(agent) => ("agentCore", agent.runtime_arn.clone()),
            Provider::Simulated(_) => ("simulated", String::new()),
        };
        let found = seen.iter().find(|one| one.route == name && one.target == *target);
        target_page(target, provider, model, found)
    });
    RoutePage {
        name: name.to_owned(),
        models: models(serving, name),
        unserved: serving.unserved.get(name).cloned(),
        notes: Vec::new(),
        requests: metrics.requests(name),
        budgets: route.budgets.clone(),
        targets: targets.collect(),
    }
}

/// An embedding endpoint, as a route whose targets are its sources; a request of theirs is a batch.
fn endpoint_page(name: &str, config: &Embedding, metrics: &Metrics, seen: &[TargetObservation]) -> RoutePage {
    let place = Embedding::place(name);
    let sources = config.sources.iter().map(|source| {
        let provider = match &source.embedder {
            Embedder::SageMaker(_) => "sagemaker",
            Embedder::OpenAi(_) => "openai",
        };
        let found = seen.iter().find(|one| one.route == place && one.target == source.name);
        target_page(&source.name, provider, config.model.clone(), found)
    });
    RoutePage {
        models: vec![config.model.clone()],
        unserved: None,
        requests: metrics.requests(&place),
        budgets: config.budgets.clone(),
        targets: sources.collect(),
        notes: Vec::new(),
        name: place,
    }
}

fn target_page(name: &str, provider: &str, model: String, seen: Option<&TargetObservation>) -> TargetPage {
    let quantile = |percent| percentile_ms(&seen?.latency_buckets, percent);
    TargetPage {
        name: name.to_owned(),
        provider: provider.to_owned(),
        model,
        circuit: seen.map_or_else(|| "Closed".to_owned(), |seen| seen.circuit.clone()),
        requests: seen.map_or(0, |seen| seen.requests),
        errors: seen.map_or(0, |seen| seen.errors),
        p50_ms: quantile(50),
        p95_ms: quantile(95),
        cost_usd: tollway_core::spend::Nano(seen.map_or(0, |seen| seen.cost)).to_string(),
    }
}

fn budget_pages(table: &Table, views: &[BudgetView]) -> Vec<BudgetPage> {
    let page = |(name, budget): (&String, &tollway_core::table::Budget)| {
        let unused =
            BudgetView { name: name.clone(), limit: budget.limit, remaining: budget.limit, ..BudgetView::default() };
        let BudgetView {
            name,
            limit,
            spent,
            estimated,
            burned,
            reserved,
            remaining,
            forecast,
            window_end,
            exhausted,
            frozen,
            denied_models,
            ..
        } = views.iter().find(|view| view.name == *name).cloned().unwrap_or(unused);
        BudgetPage {
            name,
            mode: format!("{:?}", budget.mode),
            period: format!("{:?}", budget.period),
            limit_usd: limit.to_string(),
            spent_usd: spent.to_string(),
            estimated_usd: estimated.to_string(),
            burned_usd: burned.map(|burned| burned.to_string()),
            reserved_usd: reserved.to_string(),
            remaining_usd: remaining.to_string(),
            forecast_usd: forecast.at_end.map(|amount| amount.to_string()),
            exhaustion_forecast_at: forecast
                .exhausted_at_ms
                .and_then(|at| jiff::Timestamp::from_millisecond(at).ok())
                .map(|at| at.to_string()),
            window_end: window_end.map(|end| end.to_string()),
            exhausted,
            frozen,
            denied_models,
        }
    };
    table.budgets.iter().map(page).collect()
}
