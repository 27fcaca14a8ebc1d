//! Routes, targets and tables for tests: everything at its default but what the test is about.

use std::collections::BTreeMap;
use tollway_core::table::{CircuitBreaker, Defaults, Retry, Route, Rule, Target, Timeouts, Weighted};

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
    }
}
