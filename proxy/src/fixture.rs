//! What tests of the request path stand on: routes and tables at their defaults, an upstream that misbehaves on request, a running proxy.

mod redis_server;
mod running;
mod upstream;

pub use redis_server::Redis;
pub use running::{Answer, Running, read};
pub use upstream::{Act, Upstream, completion, stream};

use std::collections::BTreeMap;
use tollway_core::spend::{Nano, Price};
use tollway_core::table::{
    Batching, Bounds, Budget, CircuitBreaker, Defaults, Embedder, Embedding, OpenAi, Pooling, Preprocess, Provider,
    Retry, Route, Rule, Simulated, Source, Table, Target, Timeouts, Weighted,
};

/// A route over `targets`: the first of `order` gets every request, the others are its fallbacks.
pub fn route(targets: BTreeMap<String, Target>, order: Vec<&str>) -> Route {
    let split = order.first().map(|t| Weighted { target: (*t).to_owned(), weight: 1 }).into_iter().collect();
    let fallback = order.iter().skip(1).map(|t| (*t).to_owned()).collect();
    Route {
        requires: vec![],
        retry: Retry { attempts: u32::try_from(order.len()).unwrap().max(3), base_ms: 1, max_ms: 5 },
        targets,
        rules: vec![Rule { name: "0".to_owned(), when: vec![], split, fallback }],
        defaults: Defaults::default(),
        circuit_breaker: CircuitBreaker { failures: 5, recovery_ms: 300_000 },
        timeouts: Timeouts {
            connect_ms: 2_000,
            first_token_ms: 30_000,
            idle_ms: 300_000,
            total_ms: 600_000,
            drain_on_disconnect_ms: 0,
        },
        budgets: vec![],
        auth: None,
        rate_limits: vec![],
        system: None,
        cache: None,
    }
}

/// A route `assistant` over targets in their order of trial.
pub fn assistant(targets: Vec<(&str, Target)>) -> Route {
    let order = targets.iter().map(|(name, _)| *name).collect();
    route(targets.iter().map(|(name, target)| ((*name).to_owned(), target.clone())).collect(), order)
}

/// A table that serves `route` as `assistant`.
pub fn table(route: Route) -> Table {
    Table {
        namespace: "team".to_owned(),
        models: BTreeMap::from([("assistant".to_owned(), "assistant".to_owned())]),
        routes: BTreeMap::from([("assistant".to_owned(), route)]),
        ..Table::default()
    }
}

/// A target at an OpenAI-compatible server.
pub fn openai(upstream: &Upstream) -> Target {
    let base_url = format!("http://{}/v1", upstream.address);
    target(Provider::OpenAi(OpenAi { base_url, model: Some("llama".to_owned()), api_key: None, loopback: true }))
}

/// A target that says `reply` at once.
pub fn simulated(reply: &str) -> Target {
    let reply = reply.to_owned();
    target(Provider::Simulated(Simulated { reply, first_token_ms: 0, tokens_per_second: 0, fail_every: 0 }))
}

fn target(provider: Provider) -> Target {
    let bounds = Bounds {
        context_window: 8_000,
        tokens_per_kilobyte: Some(1000),
        per_request: 10,
        per_message: 10,
        per_tool: 100,
        per_image: 1_000,
    };
    Target { provider, price: None, bounds, max_concurrent: None }
}

/// One cent for a thousand tokens in, two for a thousand out.
pub fn priced(target: Target) -> Target {
    let price = Price { input: Nano(10_000_000_000), output: Nano(20_000_000_000), ..Price::default() };
    Target { price: Some(price), ..target }
}

/// A budget that never renews.
pub fn budget(dollars: u64) -> Budget {
    Budget { limit: Nano(dollars * 1_000_000_000), ..Budget::default() }
}

/// An endpoint for vectors of two numbers, at OpenAI-compatible servers; batches of four at most, which do not wait.
pub fn embedding(upstreams: &[&str]) -> Embedding {
    let source = |(at, base): (usize, &&str)| {
        let base_url = format!("{base}/v1");
        let openai = OpenAi { base_url, model: Some("bge".to_owned()), api_key: None, loopback: true };
        Source { name: format!("source-{at}"), embedder: Embedder::OpenAi(openai) }
    };
    let route = route(BTreeMap::new(), vec![]);
    Embedding {
        requires: vec![],
        model: "bge".to_owned(),
        dimensions: 2,
        normalize: None,
        pooling: Pooling::None,
        max_tokens: None,
        preprocess: Preprocess::default(),
        sources: upstreams.iter().enumerate().map(source).collect(),
        batching: Batching { max_items: 4, max_wait_ms: 0, max_concurrent: 8 },
        cold_wait_ms: 0,
        cache: None,
        price: Price::default(),
        bounds: Bounds { per_request: 16, ..tollway_core::spend::catalog::UNKNOWN },
        retry: route.retry,
        circuit_breaker: route.circuit_breaker,
        timeouts: route.timeouts,
        jobs: None,
        budgets: vec![],
    }
}
