//! Proof that the simulator speaks the real wire: AWS's service model, AWS's own clients and its own bill judge it.
#![expect(clippy::unwrap_used, reason = "what a test's helpers cannot do fails the test")]

mod binary;
mod boto3;
mod corpus;
mod faults;
mod model;
mod openai;
mod sdk;

use tollway_tests::sim::{Config, Model, Price, Sim};

const PRO: &str = "us.amazon.nova-pro-v1:0";
const LOCAL: &str = "llama3:8b";

/// A simulator whose local model costs a dollar per million tokens in and two out: 1,000 and 2,000 nano-dollars a token.
async fn start() -> Sim {
    let mut config = Config::default();
    config.models.insert(LOCAL.to_owned(), Model::priced(Price::micro(1_000_000, 2_000_000)));
    Sim::start(config).await.unwrap()
}
