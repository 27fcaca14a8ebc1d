//! A thousand embedding endpoints at one operator; what a sweep over all of them asks of AWS, and that it changes nothing. Prints figures.

use super::tables::AT_ONCE;
use futures_util::{StreamExt, stream};
use kube::api::{Api, PostParams};
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tollway_tests::cluster::Cluster;
use tollway_tests::moto::identified;
use tollway_tests::process::Operator;
use tollway_tests::sim::{Account, Answers, Config, Embeds, Model, Price, Sim};
use tollway_tests::wait;

const NAMESPACES: usize = 20;
const EACH: usize = 50;
const ALL: usize = NAMESPACES * EACH;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make fleet"]
async fn a_thousand_endpoints_are_looked_at_and_left_alone() {
    let cluster = Cluster::start().await;
    let account = Account::start().await.expect("an account");
    let embeds = Embeds { answers: Answers::Object, dimensions: 8, ..Embeds::default() };
    let mut config = Config::default();
    for number in 0..ALL {
        let name = format!("e-{number}");
        account.add_endpoint(&name, "ml.m5.xlarge");
        config.models.insert(name, Model { embeds: Some(embeds.clone()), ..Model::priced(Price::default()) });
    }
    let sim = Sim::start(config).await.expect("a simulator");
    let client = cluster.client().await;
    let kind =
        ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("tollway.dev", "v1alpha1", "EmbeddingEndpoint"));
    let mut spaces: Vec<Api<DynamicObject>> = Vec::new();
    for number in 0..NAMESPACES {
        let namespace = cluster.namespace(&format!("vectors-{number}")).await;
        spaces.push(Api::namespaced_with(client.clone(), &namespace, &kind));
    }
    let make = |number: usize| {
        let (api, name) = (spaces[number / EACH].clone(), format!("e-{number}"));
        async move {
            let scaling = json!({"minInstances": 1, "maxInstances": 3, "target": {"metric": "InvocationsPerInstance", "value": 200}});
            let spec =
                json!({"model": name, "dimensions": 8, "sagemaker": {"endpointName": name}, "autoscaling": scaling});
            let object = json!({"apiVersion": "tollway.dev/v1alpha1", "kind": "EmbeddingEndpoint", "metadata": {"name": name}, "spec": spec});
            let object = serde_json::from_value(object).expect("an endpoint");
            api.create(&PostParams::default(), &object).await.expect("an endpoint");
        }
    };
    stream::iter(0..ALL).map(make).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;

    let began = Instant::now();
    let operator = Operator::start_with(&cluster, |program| {
        identified(program).env("AWS_ENDPOINT_URL", account.url()).env("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", sim.url())
    })
    .await;
    let count = |calls: &[String], of: &str| calls.iter().filter(|call| *call == of).count();
    let scaled = async || (count(&account.calls(), "PutScalingPolicy") >= ALL).then_some(());
    wait::within(Duration::from_secs(900), "every endpoint to be scaled", scaled).await;
    let healthy = async || (sim.requests().len() >= ALL).then_some(());
    wait::within(Duration::from_secs(900), "every endpoint to be called", healthy).await;
    let made = began.elapsed();
    assert_eq!(count(&account.calls(), "RegisterScalableTarget"), ALL, "each once");

    // From here on everybody is looked at twice more.
    let (before, invoked, cpu, from) =
        (account.calls().len(), sim.requests().len(), operator.process.cpu_nanos(), Instant::now());
    let swept = async || (count(&account.calls()[before..], "DescribeScalingPolicies") >= 2 * ALL).then_some(());
    wait::within(Duration::from_secs(900), "two sweeps", swept).await;
    let (calls, span) = (account.calls()[before..].to_vec(), from.elapsed().as_secs_f64());
    let writes: Vec<&String> = calls.iter().filter(|call| !call.starts_with("Describe")).collect();
    assert!(writes.is_empty(), "{writes:?}");
    let mut paces: BTreeMap<&str, usize> = BTreeMap::new();
    for call in &calls {
        *paces.entry(call).or_default() += 1;
    }
    let paces: Vec<String> =
        paces.iter().map(|(call, times)| format!("{call} {:.1}/s", *times as f64 / span)).collect();
    println!(
        "{ALL} endpoints: all scaled and called {:.0} s after the start; then a sweep takes {:.0} s, with {}, InvokeEndpoint {:.1}/s, no write; \
         {:.1} % of a core, {} MiB resident",
        made.as_secs_f64(),
        span / 2.0,
        paces.join(", "),
        (sim.requests().len() - invoked) as f64 / span,
        (operator.process.cpu_nanos() - cpu) as f64 / 1e7 / span,
        operator.process.resident_bytes() / (1 << 20),
    );
}
