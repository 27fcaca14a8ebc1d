//! One dollar, five proxies, hundreds of streams, processes killed at random: the simulator's own bill never exceeds the dollar, and
//! what the status says of the spend is the bill, or above it by no more than what it reports as burned and estimated.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use serde_json::{Value, json};
use tollway_tests::cluster::Cluster;
use tollway_tests::http;
use tollway_tests::manifests::{bedrock_route, budget};
use tollway_tests::process::{Operator, Program, Proxy};
use tollway_tests::sim::{Block, Config, Exception, Point, Reply, Rule, Sim};
use tollway_tests::wait;

/// An open circuit would end the traffic that this is about.
const NEVER_OPEN: &str = "circuitBreaker: {failures: 1000}";

/// How many spend how much, and what goes wrong meanwhile.
pub(super) struct Storm {
    pub dollars: u64,
    pub proxies: usize,
    /// Clients of one proxy at once.
    pub clients: usize,
    /// Processes killed or paused one after the other.
    pub kills: usize,
    /// Whether upstream streams die.
    pub faults: bool,
}

impl Default for Storm {
    fn default() -> Self {
        Self { dollars: 1, proxies: 5, clients: 40, kills: 0, faults: false }
    }
}

pub(super) fn with_aws(sim: &Sim, program: Program) -> Program {
    program
        .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", sim.url())
        .env("AWS_ACCESS_KEY_ID", "AKIASIMULATED0000001")
        .env("AWS_SECRET_ACCESS_KEY", "simulated/secret/access/key/number+00001")
        .env("AWS_EC2_METADATA_DISABLED", "true")
}

pub(super) fn nanos(text: &str) -> u64 {
    text.parse::<tollway_core::spend::Nano>().unwrap_or_else(|e| panic!("{e}")).0
}

pub(super) fn status(cluster: &Cluster, namespace: &str) -> Value {
    let text = cluster.kubectl(["get", "costbudget", "team", "-n", namespace, "-o", "jsonpath={.status}"]);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Streams until told to stop; counts the requests that ended with `[DONE]` and those refused over the budget.
async fn client(
    url: String,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    odd: Arc<AtomicU64>,
) {
    let body = json!({"model": "nova", "stream": true, "max_tokens": 500, "messages": [{"role": "user", "content": "Tell me of toll roads."}]});
    while !stop.load(Relaxed) {
        let Ok(mut stream) = http::post_stream(&url, &body).await else {
            // Its proxy is being killed and started again.
            tokio::task::yield_now().await;
            continue;
        };
        match stream.status.as_u16() {
            200 => {}
            429 => drop(refused.fetch_add(1, Relaxed)),
            _ => drop(odd.fetch_add(1, Relaxed)),
        }
        if stream.rest().await.is_ok_and(|events| events.last().is_some_and(|e| e == "[DONE]")) {
            served.fetch_add(1, Relaxed);
        }
    }
}

/// What a storm came to; amounts in nano-dollars.
pub(super) struct Outcome {
    /// By the simulator's own count.
    pub bill: u64,
    /// By the budget's status, and what of it was burned and estimated.
    pub spent: u64,
    burned: u64,
    estimated: u64,
    /// Answers that were neither a stream nor a refusal over the budget.
    odd: u64,
}

/// Streams until the budget is exhausted.
pub(super) async fn storm(storm: Storm) -> Outcome {
    let Storm { dollars, proxies: fleet, clients: each, kills, faults } = storm;
    let cap = dollars * 1_000_000_000;
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("cap").await;
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    sim.script(Rule::reply(Reply::blocks(vec![Block::Tokens(400)])));
    sim.script(Rule::pace(20, 1_000));
    if faults {
        sim.script(Rule::error(Exception::Throttling).every(5));
        sim.script(Rule::cut(Point::Events(30)).every(7));
        sim.script(Rule::stream_error(Exception::ModelStreamError, 50).every(11));
        sim.script(Rule::cut(Point::Headers).every(13));
    }
    cluster.apply_text(
        &namespace,
        &format!(
            "{}{}",
            bedrock_route("nova", "us.amazon.nova-pro-v1:0", NEVER_OPEN),
            budget("team", &format!("{dollars}.00"), "")
        ),
    );
    let mut operator = Operator::start(cluster, &namespace).await;
    let mut proxies: Vec<Proxy> = Vec::new();
    for i in 0..fleet {
        let pod = cluster.proxy_pod(&namespace, &format!("proxy-{i}")).await;
        let mut proxy = operator.proxy(&pod, |program| with_aws(&sim, program));
        proxy.ready().await;
        proxies.push(proxy);
    }

    let stop = Arc::new(AtomicBool::new(false));
    let (served, refused, odd) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..fleet * each)
        .map(|i| {
            let url = proxies[i % fleet].chat_url();
            tokio::spawn(client(url, Arc::clone(&stop), Arc::clone(&served), Arc::clone(&refused), Arc::clone(&odd)))
        })
        .collect();
    let mut paused: Option<usize> = None;
    for kill in 0..kills {
        // The next victim falls after some more requests were served or refused, wherever they then stand.
        let mark = served.load(Relaxed) + refused.load(Relaxed) + 30;
        wait::until("traffic between two kills", async || {
            (served.load(Relaxed) + refused.load(Relaxed) >= mark).then_some(())
        })
        .await;
        if let Some(paused) = paused.take() {
            proxies[paused].process.resume();
        }
        let victim = fastrand::usize(..fleet);
        match kill % 4 {
            1 => operator.restart().await,
            2 => {
                proxies[victim].process.pause();
                paused = Some(victim);
            }
            _ => proxies[victim].restart().await,
        }
        assert!(sim.bill().nano <= cap, "billed {} of {cap}", sim.bill().nano);
    }
    if let Some(paused) = paused {
        proxies[paused].process.resume();
    }
    let patience = wait::PATIENCE * u32::try_from(fleet.div_ceil(5)).expect("a few proxies");
    wait::within(patience, "the budget to be exhausted", async || {
        let status = status(cluster, &namespace);
        status["exhaustedAt"].is_string().then_some(())
    })
    .await;
    stop.store(true, Relaxed);
    for client in clients {
        client.await.expect("a client that ends");
    }
    sim.idle().await;
    let bill = sim.bill().nano;
    assert!(bill <= cap, "billed {bill} of {cap}");
    assert!(served.load(Relaxed) > 0, "nothing was served");

    let settled = wait::until("every proxy's last word in the status", async || {
        let status = status(cluster, &namespace);
        let of = |field: &str| nanos(status[field].as_str().unwrap_or("0"));
        let (spent, burned, estimated, reserved) =
            (of("spentUsd"), of("burnedUsd"), of("estimatedUsd"), of("reservedUsd"));
        (spent >= bill && reserved == 0).then_some((spent, burned, estimated))
    })
    .await;
    let (spent, burned, estimated) = settled;
    println!(
        "kills {kills}: billed {bill}, spent {spent}, burned {burned}, estimated {estimated}, served {served:?}, refused {refused:?}, otherwise {odd:?}"
    );
    assert!(spent <= cap, "spent {spent} of {cap}");
    assert!(spent - bill <= burned + estimated, "spent {spent}, billed {bill}, burned {burned}, estimated {estimated}");
    Outcome { bill, spent, burned, estimated, odd: odd.load(Relaxed) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_run_spends_the_cap_and_accounts_for_every_nano_dollar() {
    let Outcome { bill, spent, burned, estimated, odd } = storm(Storm::default()).await;
    assert_eq!((spent, burned, estimated), (bill, 0, 0), "a clean run accounts for every nano-dollar");
    assert_eq!(odd, 0, "with everything up, what does not fit is refused over the budget and nothing else");
    assert!(bill > 900_000_000, "only {bill} of a dollar could be spent");
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_proxies_and_the_operator_never_breaks_the_cap() {
    storm(Storm { kills: 12, ..Storm::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_die_are_charged_in_full_and_say_so() {
    storm(Storm { faults: true, ..Storm::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_and_dying_streams_together_never_break_the_cap() {
    storm(Storm { kills: 6, faults: true, ..Storm::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_budget_finds_what_was_spent() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("recreated").await;
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    cluster.apply_text(
        &namespace,
        &format!("{}{}", bedrock_route("nova", "us.amazon.nova-pro-v1:0", ""), budget("team", "1.00", "")),
    );
    let operator = Operator::start(cluster, &namespace).await;
    let pod = cluster.proxy_pod(&namespace, "proxy").await;
    let mut proxy = operator.proxy(&pod, |program| with_aws(&sim, program));
    proxy.ready().await;
    proxy.chat("nova", "Tell me of toll roads.").await.ok();
    let bill = sim.bill().nano;
    let spent = async || {
        wait::until("the spend in the status", async || {
            let status = status(cluster, &namespace);
            let spent = nanos(status["spentUsd"].as_str().unwrap_or("0"));
            (spent > 0).then_some(spent)
        })
        .await
    };
    assert_eq!(spent().await, bill);
    cluster.kubectl(["delete", "costbudget", "team", "-n", &namespace]);
    cluster.apply_text(&namespace, &budget("team", "1.00", ""));
    assert_eq!(spent().await, bill);
}
