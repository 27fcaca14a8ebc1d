//! A search run to its end; what it came to, as lines to read.

use super::search::Search;
use super::setups::Setup;
use super::words;
use stateright::{Checker, HasDiscoveries, Model};
use std::time::{Duration, Instant};

/// What a search came to.
pub(super) struct Outcome {
    pub(super) search: Search,
    pub(super) states: usize,
    pub(super) steps: usize,
    pub(super) depth: usize,
    pub(super) took: Duration,
    /// The rule that was broken, and the shortest way there.
    pub(super) caught: Option<(&'static str, Vec<String>)>,
    /// Every state within bounds was looked at.
    pub(super) complete: bool,
}

/// Breadth first and on one thread, so that the first counterexample is a shortest one.
pub(super) fn run(setup: Setup, most: usize) -> Outcome {
    let search = Search::new(setup);
    let began = Instant::now();
    let checker =
        search.clone().checker().target_state_count(most).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let caught = search.caught.get().map(|rule| {
        let path = checker.discoveries().into_values().next().unwrap();
        (*rule, words::story(&search, path))
    });
    Outcome {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        took: began.elapsed(),
        complete: caught.is_none() && checker.state_count() < most,
        caught,
        search,
    }
}
