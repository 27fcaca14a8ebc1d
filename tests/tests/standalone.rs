//! The proxy without a cluster, through its front door: the quickstart, vendors' clients, upstreams that misbehave, bad input, its size.

mod standalone {
    mod bad_input;
    mod footprint;
    mod openai_client;
    mod quickstart;
    mod setup;
}
