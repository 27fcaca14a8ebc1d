//! The table, a model name and the facts of a request in; the route, the rule and the targets in the order they are tried out.

use http::HeaderMap;
use tollway_core::table::{Condition, PromptClass, Route, Rule, Table};

/// What rules may look at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub headers: &'a HeaderMap,
    pub user: Option<&'a str>,
    /// Estimated: bytes of text / 4.
    pub input_tokens: u64,
    /// What the prompt is about; absent where no rule asks, or the prompt cannot be read.
    pub class: Option<PromptClass>,
}

/// Name of the route that answers to `model`: its own, else the one that claimed `*`. This proxy need not be able to serve it.
#[must_use]
pub fn name<'t>(table: &'t Table, model: &str) -> Option<&'t str> {
    table.models.get(model).or_else(|| table.models.get("*")).map(String::as_str)
}

/// The route that answers to `model`.
#[must_use]
pub fn route<'t>(table: &'t Table, model: &str) -> Option<(&'t str, &'t Route)> {
    table.routes.get_key_value(name(table, model)?).map(|(name, route)| (name.as_str(), route))
}

/// The first rule whose every condition holds.
#[must_use]
pub fn rule<'r>(route: &'r Route, facts: &Facts<'_>) -> Option<&'r Rule> {
    route.rules.iter().find(|rule| rule.when.iter().all(|condition| holds(condition, facts)))
}

/// Whether one condition of a rule holds.
#[must_use]
pub fn holds(condition: &Condition, facts: &Facts<'_>) -> bool {
    match condition {
        Condition::Header { name, value } => {
            facts.headers.get_all(name).iter().any(|v| v.as_bytes() == value.as_bytes())
        }
        Condition::User(users) => facts.user.is_some_and(|user| users.iter().any(|u| u == user)),
        Condition::Prompt(class) => facts.class == Some(*class),
        Condition::InputTokens { min, max } => (*min..=*max).contains(&facts.input_tokens),
    }
}

/// First the target drawn by weight, then the fallbacks, each once. `draw` is any number; equal draws give equal orders.
#[must_use]
pub fn order(rule: &Rule, draw: u64) -> Vec<&str> {
    let total: u64 = rule.split.iter().map(|w| u64::from(w.weight)).sum();
    let mut left = draw.checked_rem(total).unwrap_or(0);
    let first = rule.split.iter().find(|w| {
        let weight = u64::from(w.weight);
        let hit = left < weight;
        left = left.saturating_sub(weight);
        hit
    });
    let mut order: Vec<&str> = Vec::with_capacity(1 + rule.fallback.len());
    for target in first.map(|w| w.target.as_str()).into_iter().chain(rule.fallback.iter().map(String::as_str)) {
        if !order.contains(&target) {
            order.push(target);
        }
    }
    order
}

#[cfg(test)]
mod tests;
