//! One budget, three proxies, four users that ask all of them: nobody gets more than a share by going elsewhere, whatever is killed.

use serde_json::{Value, json};
use tollway_core::spend::Nano;
use tollway_tests::cluster::Cluster;
use tollway_tests::http;
use tollway_tests::manifests::{bedrock_route, budget};
use tollway_tests::process::{Operator, Proxy};
use tollway_tests::sim::{Block, Config, Reply, Rule, Sim};
use tollway_tests::wait;

use super::cap::with_aws;

/// Two cents each.
const SHARE: u64 = 20_000_000;
const USERS: [&str; 4] = ["ann-of-sales", "bob-of-sales", "cem-of-sales", "dia-of-sales"];

fn nanos(text: &str) -> u64 {
    text.parse::<Nano>().map_or(0, |amount| amount.0)
}

/// Asks one proxy after the other until each has refused twice in a row; what the answers cost together.
async fn spend(urls: Vec<String>, user: &str) -> u64 {
    let body = json!({"model": "nova", "max_tokens": 300, "user": user, "messages": [{"role": "user", "content": "Tell me of toll roads."}]});
    let (mut spent, mut refused) = (0, 0);
    for url in urls.iter().cycle() {
        let Ok(reply) = http::try_post(url, &body, &[]).await else {
            tokio::task::yield_now().await;
            continue;
        };
        match reply.status.as_u16() {
            200 => {
                spent += nanos(reply.header("x-tollway-cost-usd"));
                refused = 0;
            }
            429 => {
                assert!(reply.text().contains("user's share"), "{}", reply.text());
                refused += 1;
            }
            _ => {}
        }
        if refused == 2 * urls.len() {
            break;
        }
    }
    spent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_holds_across_proxies_and_kills_and_no_name_is_stored() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("shares").await;
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    sim.script(Rule::reply(Reply::blocks(vec![Block::Tokens(200)])));
    let more = "perUser: {amount: \"0.02\"}\nadjustments: [{id: extra, credit: \"0.50\", reason: a gift}]";
    cluster.apply_text(
        &namespace,
        &format!("{}{}", bedrock_route("nova", "us.amazon.nova-pro-v1:0", ""), budget("team", "1.00", more)),
    );
    let operator = Operator::start(cluster, &namespace).await;
    let mut proxies: Vec<Proxy> = Vec::new();
    for i in 0..3 {
        let pod = cluster.proxy_pod(&namespace, &format!("proxy-{i}")).await;
        let mut proxy = operator.proxy(&pod, |program| with_aws(&sim, program));
        proxy.ready().await;
        proxies.push(proxy);
    }
    let urls: Vec<String> = proxies.iter().map(Proxy::chat_url).collect();
    let clients: Vec<_> = USERS
        .map(|user| {
            let urls = urls.clone();
            tokio::spawn(async move { spend(urls, user).await })
        })
        .into();
    wait::until("some traffic", async || (sim.bill().nano > SHARE).then_some(())).await;
    proxies[1].restart().await;
    for (client, user) in clients.into_iter().zip(USERS) {
        let spent = client.await.expect("a client that ends");
        println!("{user}: {spent} of {SHARE}");
        assert!(spent <= SHARE, "{user} spent {spent} of {SHARE}");
    }
    let bill = sim.bill().nano;
    assert!(bill <= 4 * SHARE, "billed {bill}");
    assert!(bill > SHARE, "only {bill} could be spent");

    let status = wait::until("every grant back in the status", async || {
        let text = cluster.kubectl(["get", "costbudget", "team", "-n", &namespace, "-o", "jsonpath={.status}"]);
        let status: Value = serde_json::from_str(&text).unwrap_or_default();
        let settled = nanos(status["spentUsd"].as_str().unwrap_or("0")) >= bill && status["reservedUsd"] == "0.00";
        settled.then_some(status)
    })
    .await;
    let spent = status["spentUsd"].as_str().expect("what is spent").to_owned();
    let applied = &status["adjustmentsApplied"][0];
    assert_eq!((applied["id"].as_str(), applied["credit"].as_str()), (Some("extra"), Some("0.50")), "{status}");
    assert!(applied["appliedAt"].is_string() && applied["reason"] == "a gift", "{status}");
    let ledger = cluster.kubectl(["get", "budgetledgers", "-n", &operator.namespace, "-o", "json"]);
    assert!(USERS.iter().all(|user| !ledger.contains(user)), "{ledger}");
    let ledger: Value = serde_json::from_str(&ledger).unwrap_or_default();
    let settled = ledger["items"][0]["spec"]["state"]["settled"].as_u64().map(|nano| Nano(nano).to_string());
    assert_eq!(settled.as_deref(), Some(spent.as_str()), "the ledger says what the status says");
    let metrics = operator.metrics().await;
    let line = metrics.lines().find(|line| line.starts_with("tollway_budget_spent_usd{budget=\"team\"")).unwrap_or("");
    let shown: f64 = line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or(0.0);
    assert_eq!(format!("{shown:.9}"), format!("{:.9}", spent.parse::<f64>().unwrap_or(-1.0)), "so do the metrics");
    let events = cluster.kubectl(["get", "events", "-n", &namespace, "-o", "json"]);
    assert!(events.contains("AdjustmentApplied"), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_proxy_spends_slows_the_other_down_also_without_the_operator() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("thresholds").await;
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    sim.script(Rule::reply(Reply::blocks(vec![Block::Tokens(200)])));
    let more = "thresholds: [{percent: 1, actions: [{rateLimit: {requestsPerMinute: 1}}]}]";
    cluster.apply_text(
        &namespace,
        &format!("{}{}", bedrock_route("nova", "us.amazon.nova-pro-v1:0", ""), budget("team", "0.05", more)),
    );
    let mut operator = Operator::start(cluster, &namespace).await;
    let mut proxies: Vec<Proxy> = Vec::new();
    for name in ["spends", "follows"] {
        let pod = cluster.proxy_pod(&namespace, name).await;
        let mut proxy = operator.proxy(&pod, |program| with_aws(&sim, program));
        proxy.ready().await;
        proxies.push(proxy);
    }
    proxies[0].chat("nova", "Tell me of toll roads.").await.ok();
    let told = wait::until("the other proxy to hear of it", async || {
        let page = proxies[1].status().await;
        (nanos(page["budgets"][0]["spentUsd"].as_str().unwrap_or("0")) * 100 >= 50_000_000).then_some(())
    });
    // It hears of a budget only once it has something to do with it, and the first request of a minute passes.
    let first = proxies[1].chat("nova", "Tell me of toll roads.").await;
    assert!(first.status.is_success(), "{}", first.text());
    told.await;
    operator.process.kill();
    // Whether the first one counted depends on what was known when it came.
    let replies = [proxies[1].chat("nova", "Again.").await, proxies[1].chat("nova", "Again.").await];
    let refused = &replies[1];
    assert_eq!(refused.json()["error"]["code"], "rate_limited", "{}", refused.text());
    assert!(refused.text().contains("team") && !refused.header("retry-after").is_empty(), "{}", refused.text());
}
