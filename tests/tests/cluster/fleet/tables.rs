//! Tables at size: edits that a hundred proxies take, ten thousand routes in a thousand namespaces. Prints figures.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use kube::{Client, ResourceExt};
use serde_json::json;
use tollway_tests::cluster::Cluster;
use tollway_tests::process::{Operator, Proxy};
use tollway_tests::wait;

use super::fleet;
use super::streams::Streams;

const EDITS: usize = 20;
const NAMESPACES: usize = 1_000;
const ROUTES_EACH: usize = 10;
/// Calls to the API server at once.
pub(super) const AT_ONCE: usize = 16;

fn routes(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = kube::core::GroupVersionKind::gvk("tollway.dev", "v1alpha1", "ModelRoute");
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&kind))
}

fn route(name: &str, reply: &str) -> DynamicObject {
    let target = json!({"name": "it", "simulated": {"reply": reply}});
    let spec = json!({"models": [name], "targets": [target], "rules": [{"split": [{"target": "it", "weight": 1}]}]});
    serde_json::from_value(
        json!({"apiVersion": "tollway.dev/v1alpha1", "kind": "ModelRoute", "metadata": {"name": name}, "spec": spec}),
    )
    .expect("a route")
}

/// Writes another reply into a route; its revision comes back.
async fn edit(api: &Api<DynamicObject>, name: &str, reply: &str) -> String {
    let targets = json!([{"name": "it", "simulated": {"reply": reply}}]);
    let patch = Patch::Merge(json!({"spec": {"targets": targets}}));
    let edited = api.patch(name, &PatchParams::default(), &patch).await.expect("an edit");
    edited.resource_version().expect("its revision")
}

/// When a proxy says that a table of that revision, or of a later one, came into force.
fn in_force(proxy: &Proxy, revision: &str) -> Option<Timestamp> {
    let wanted: u64 = revision.parse().ok()?;
    let revision = |line: &str| line.split("revision=").nth(1)?.split(' ').next()?.parse::<u64>().ok();
    let log = proxy.process.log();
    let mut tables = log.lines().filter(|line| line.contains("table in force"));
    let line = tables.find(|line| revision(line).is_some_and(|revision| revision >= wanted))?;
    line.split_whitespace().next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make fleet"]
async fn an_edit_is_in_force_on_a_hundred_proxies() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("edits").await;
    let api = routes(&cluster.client().await, &namespace);
    api.create(&PostParams::default(), &route("answers", "first")).await.expect("a route");
    let operator = Operator::start(cluster, &namespace).await;
    let proxies = fleet(cluster, &operator, &namespace, 100, None).await;
    let mut waits = Vec::new();
    for number in 0..EDITS {
        let began = Timestamp::now();
        let revision = edit(&api, "answers", &format!("reply {number}")).await;
        for proxy in &proxies {
            let at = wait::until("the edit in force", async || in_force(proxy, &revision)).await;
            waits.push(at.duration_since(began).as_millis());
        }
    }
    waits.sort_unstable();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
    println!(
        "100 proxies, {EDITS} edits, from the call to enforced: p50 {} ms, p99 {} ms, at most {} ms",
        at(50),
        at(99),
        at(100)
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make fleet"]
async fn ten_thousand_routes_stay_small_and_an_edit_costs_its_own_namespace_only() {
    let cluster = Cluster::start().await;
    let client = cluster.client().await;
    let spaces: Api<Namespace> = Api::all(client.clone());
    let names: Vec<String> = (0..NAMESPACES).map(|number| format!("team-{number}")).collect();
    let fill = |name: &String| {
        let (spaces, api, mut space) = (spaces.clone(), routes(&client, name), Namespace::default());
        space.metadata.name = Some(name.clone());
        async move {
            spaces.create(&PostParams::default(), &space).await.expect("a namespace");
            for number in 0..ROUTES_EACH {
                api.create(&PostParams::default(), &route(&format!("r{number}"), "hello")).await.expect("a route");
            }
        }
    };
    stream::iter(&names).map(fill).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    let began = Instant::now();
    let operator = Operator::start_with(&cluster, |program| program).await;
    let api = routes(&client, &names[NAMESPACES - 1]);
    let accepted = async |name: &str, generation: i64| {
        let object = api.get(name).await.ok()?;
        let seen = object.data["status"]["observedGeneration"].as_i64()?;
        (seen >= generation).then_some(())
    };
    // Every status is written once: the last one is the longest way.
    let written = async || {
        let text = operator.metrics().await;
        let counts = text.lines().filter(|line| line.starts_with("tollway_operator_status_writes_total"));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    let all = (NAMESPACES * ROUTES_EACH) as f64;
    let done = async || (written().await >= all).then_some(());
    wait::within(Duration::from_secs(900), "every status", done).await;
    let first = began.elapsed();
    let resident = || operator.process.resident_bytes() / (1 << 20);
    let alone = resident();
    let streams = Streams::start(&cluster, &operator, &names).await;
    let served = async || (streams.served() == NAMESPACES).then_some(());
    let connecting = Instant::now();
    wait::within(Duration::from_secs(300), "every stream", served).await;
    println!("{NAMESPACES} streams connected in {:.1} s", connecting.elapsed().as_secs_f64());
    // Each route's status says now that it is served: an edit is not to be measured behind them.
    let shown = async || (written().await >= 2.0 * all).then_some(());
    wait::within(Duration::from_secs(900), "every status anew", shown).await;
    let proxy = operator.new_proxy(&cluster, &names[NAMESPACES - 1], "proxy").await;
    let mut spent = Vec::new();
    for number in 0..EDITS {
        let before = operator.process.cpu_nanos();
        let revision = edit(&api, "r0", &format!("reply {number}")).await;
        wait::until("the edit in force", async || in_force(&proxy, &revision)).await;
        wait::until("its status", async || accepted("r0", number as i64 + 2).await).await;
        spent.push((operator.process.cpu_nanos() - before) / 1_000_000);
    }
    spent.sort_unstable();
    println!(
        "{} routes in {NAMESPACES} namespaces: every status written {:.0} s after the start, {alone} MiB resident, {} MiB with {NAMESPACES} proxy streams; \
         CPU time of the operator for an edit {} ms (median of {EDITS})",
        NAMESPACES * ROUTES_EACH,
        first.as_secs_f64(),
        resident(),
        spent[EDITS / 2],
    );
    drop(proxy);

    let mut operator = operator;
    let killed = Instant::now();
    operator.process.start_again();
    wait::within(Duration::from_secs(60), "the streams to end", async || (streams.served() == 0).then_some(())).await;
    let mut back = Vec::new();
    wait::within(Duration::from_secs(300), "every stream to be back", async || {
        back.push((killed.elapsed(), streams.served()));
        (streams.served() == NAMESPACES).then_some(())
    })
    .await;
    let at = |share: usize| {
        let reached = back.iter().find(|(_, served)| *served >= NAMESPACES * share / 100);
        reached.map(|(at, _)| at.as_secs_f64()).unwrap_or_default()
    };
    let sent = operator.metrics().await;
    println!(
        "operator killed under {NAMESPACES} streams: the first back after {:.1} s, half {:.1} s, all {:.1} s",
        at(1),
        at(50),
        at(100)
    );
    assert!(sent.contains("tollway_operator_table_messages_total{body=\"sent\"} 0"), "{sent}");
}
