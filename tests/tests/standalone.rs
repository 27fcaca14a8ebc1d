//! The proxy without a cluster, through its front door: the quickstart, vendors' clients, upstreams that misbehave, bad input, its size.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says what it saw and stops; figures are for the reader"
)]

mod standalone {
    mod anthropic_client;
    mod bad_input;
    mod boto3_client;
    mod cold_start;
    mod documents;
    mod examples;
    mod footprint;
    mod hosted;
    mod jobs;
    mod openai_client;
    mod openai_embeddings;
    mod openai_responses;
    mod quickstart;
    mod real_model;
    mod sagemaker_embeddings;
    mod setup;
    mod shared;
    mod streams;
    mod traces;
}
