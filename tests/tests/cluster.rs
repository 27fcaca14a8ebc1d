//! The main job in a real cluster: resources go in with kubectl, proxies route and stop at the cap, and the status says what happened.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says what it saw and stops; figures are for the reader"
)]

mod cluster {
    mod admission;
    mod aws;
    mod bad_resources;
    mod cap;
    mod cold_start;
    mod convergence;
    mod failover;
    mod fleet;
    mod footprint;
    mod health;
    mod injection;
    mod plugin;
    mod provision;
    mod queues;
    mod restored;
    mod scaling;
    mod shared_cache;
    mod shares;
    mod stand;
}
