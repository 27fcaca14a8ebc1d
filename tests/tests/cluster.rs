//! The main job in a real cluster: resources go in with kubectl, proxies route and stop at the cap, and the status says what happened.

mod cluster {
    mod bad_resources;
    mod cap;
    mod convergence;
    mod failover;
}
