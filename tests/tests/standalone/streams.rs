//! Streams that end early or late: a client that hangs up, one whose usage is still read, a proxy told to stop in the middle.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tollway_tests::manifests::{bedrock_route, budget};
use tollway_tests::process::Proxy;
use tollway_tests::sim::{Block, Config, Outcome, Reply, Rule, Sim};
use tollway_tests::{http, wait};

use super::setup::proxy;

const MODEL: &str = "us.amazon.nova-pro-v1:0";

/// A proxy whose route answers with 60 tokens at 60 a second.
async fn slow(more: &str) -> (Sim, Proxy) {
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    sim.script(Rule::reply(Reply::blocks(vec![Block::Tokens(60)])));
    sim.script(Rule::pace(10, 60));
    let manifests = format!("{}{}", bedrock_route("nova", MODEL, more), budget("team", "5.00", ""));
    let proxy = proxy(&sim, &manifests).await;
    (sim, proxy)
}

async fn team(proxy: &Proxy) -> Value {
    proxy.status().await["budgets"][0].clone()
}

fn usd(budget: &Value, field: &str) -> u64 {
    let text = budget[field].as_str().unwrap_or_else(|| panic!("{field} in {budget}"));
    text.parse::<tollway_core::spend::Nano>().unwrap_or_else(|e| panic!("{e}")).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_cancels_the_upstream_and_is_charged_in_full() {
    let (sim, proxy) = slow("").await;
    let mut stream = proxy.chat_stream("nova", "Tell me of toll roads.").await;
    stream.next().await.expect("a first event");
    drop(stream);
    let left = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis();
    wait::until("the upstream to be cancelled", async || (!sim.cancelled().is_empty()).then_some(())).await;
    println!("cancelled {} ms after the client left", u128::from(sim.cancelled()[0]).saturating_sub(left));
    let charged = wait::until("the charge in the status", async || {
        let team = team(&proxy).await;
        (usd(&team, "spentUsd") > 0).then_some(team)
    })
    .await;
    assert_eq!(usd(&charged, "spentUsd"), usd(&charged, "estimatedUsd"), "what nobody counted is marked as estimated");
    assert!(usd(&charged, "spentUsd") >= sim.bill().nano);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_drained_is_charged_what_it_used() {
    let (sim, proxy) = slow("timeouts: {drainOnDisconnect: 30s}").await;
    let mut stream = proxy.chat_stream("nova", "Tell me of toll roads.").await;
    stream.next().await.expect("a first event");
    drop(stream);
    sim.wait_until(|started, in_flight| started == 1 && in_flight == 0).await;
    assert_eq!(sim.requests()[0].outcome, Outcome::Complete);
    let charged = wait::until("the charge in the status", async || {
        let team = team(&proxy).await;
        (usd(&team, "spentUsd") > 0).then_some(team)
    })
    .await;
    assert_eq!((usd(&charged, "spentUsd"), usd(&charged, "estimatedUsd")), (sim.bill().nano, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_told_to_stop_finishes_its_streams_and_gives_back_its_grants() {
    let (sim, mut proxy) = slow("").await;
    let mut stream = proxy.chat_stream("nova", "Tell me of toll roads.").await;
    stream.next().await.expect("a first event");
    proxy.process.terminate();
    let models = format!("{}/v1/models", proxy.url);
    wait::until("the listener to close", async || http::try_get(&models).await.is_err().then_some(())).await;
    let events = stream.rest().await.expect("a stream that goes on to its end");
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    assert!(proxy.process.exited().await.success());

    proxy.process.start_again();
    proxy.ready().await;
    let team = wait::until("the ledger of the process before", async || {
        let team = team(&proxy).await;
        team["spentUsd"].is_string().then_some(team)
    })
    .await;
    assert_eq!(
        (usd(&team, "spentUsd"), usd(&team, "burnedUsd")),
        (sim.bill().nano, 0),
        "nothing burns at a clean stop"
    );
}
