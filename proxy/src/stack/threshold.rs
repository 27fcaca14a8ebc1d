//! What the budgets of a route or an embedding endpoint do at the thresholds that are reached in; a slower pace, or another target
//! instead of the chosen ones, out.

use crate::error::{ApiError, Code};
use crate::limit::{Cells, duration};
use std::time::Duration;
use tokio::time::Instant;
use tollway_core::rate::{Denied, Rate};
use tollway_core::table::{Reached, Route};

const MINUTE_MS: u64 = 60_000;

/// Takes the request from the pace of every budget that sets one, counted for this route or endpoint in this proxy.
///
/// # Errors
/// It is too early; the budget is named, and when to come back.
pub fn pace(paces: &Cells, reached: &[(&str, Reached<'_>)], now: Instant) -> Result<(), ApiError> {
    for (budget, reached) in reached {
        let Some((percent, most)) = reached.requests_per_minute else { continue };
        let (rate, key) = (Rate::new(most, MINUTE_MS), paces.key(Some(budget)));
        let (taken, _) = paces.take(rate, key, now, |_| 1);
        if let Err(Denied::After(wait)) = taken {
            let message = format!(
                "budget {budget:?} has reached {percent} % of its limit and lets {most} requests a minute through here: try again in {}",
                duration(wait)
            );
            return Err(ApiError::new(Code::RateLimited, message).retry_after(Some(Duration::from_nanos(wait))));
        }
    }
    Ok(())
}

/// The targets in their order of trial: as chosen, unless a budget names another that the route has; then that one alone, since a
/// fallback to what is dearer would undo it. Among several budgets the highest threshold decides.
pub fn order<'r>(
    route: &'r Route,
    reached: &[(&str, Reached<'_>)],
    chosen: impl FnOnce() -> Vec<&'r str>,
) -> Vec<&'r str> {
    let downgrades = reached.iter().filter_map(|(_, reached)| {
        let (percent, to) = reached.downgrade?;
        Some((percent, route.targets.get_key_value(to)?.0.as_str()))
    });
    // The first of equals: budgets come in the order of their names.
    let highest = downgrades.rev().max_by_key(|(percent, _)| *percent);
    highest.map_or_else(chosen, |(_, to)| vec![to])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{assistant, simulated};

    fn downgrade(percent: u32, to: &str) -> Reached<'_> {
        Reached { downgrade: Some((percent, to)), requests_per_minute: None }
    }

    #[test]
    fn the_highest_threshold_that_names_a_target_of_the_route_replaces_the_chosen_ones() {
        let route = assistant(["pro", "lite", "local"].map(|name| (name, simulated("x"))).into());
        let order = |reached: &[(&str, Reached<'_>)]| order(&route, reached, || vec!["pro", "lite"]).join(",");
        assert_eq!(order(&[]), "pro,lite");
        assert_eq!(order(&[("a", Reached::default()), ("b", downgrade(80, "lite"))]), "lite");
        assert_eq!(order(&[("a", downgrade(80, "lite")), ("b", downgrade(90, "local"))]), "local");
        assert_eq!(order(&[("a", downgrade(80, "lite")), ("b", downgrade(80, "local"))]), "lite");
        assert_eq!(order(&[("a", downgrade(99, "elsewhere"))]), "pro,lite", "routes without it are not downgraded");
        assert_eq!(order(&[("a", downgrade(99, "elsewhere")), ("b", downgrade(80, "local"))]), "local");
    }
}
