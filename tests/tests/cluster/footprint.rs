//! What an idle sidecar with a hundred routes of its operator holds in memory, and how soon it serves its last good table without one.

use std::time::Instant;

use tollway_tests::cluster::Cluster;
use tollway_tests::manifests::split_route;
use tollway_tests::process::Operator;
use tollway_tests::{http, wait};

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_with_a_hundred_routes_stays_small_and_serves_its_last_table_at_once() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("footprint").await;
    let mut operator = Operator::start(cluster, &namespace).await;
    let manifests: String = (0..100).map(|i| split_route(&format!("route-{i}"), 1, 0)).collect();
    cluster.apply_text(&namespace, &manifests);
    let mut proxy = operator.new_proxy(cluster, &namespace, "proxy").await;
    wait::until("the hundredth route", async || {
        (proxy.table().await["routes"].as_object()?.len() == 100).then_some(())
    })
    .await;
    let resident = proxy.process.resident_bytes();

    operator.process.kill();
    proxy.process.kill();
    let started = Instant::now();
    proxy.process.start_again();
    let url = format!("{}/v1/models", proxy.url);
    let models = wait::until("the last good table without an operator", async || {
        http::try_get(&url).await.ok().filter(|reply| reply.status.is_success())
    })
    .await;
    println!("footprint: {} KiB resident, last good table served after {:?}", resident >> 10, started.elapsed());
    assert_eq!(models.json()["data"].as_array().map(Vec::len), Some(100));
    // An unoptimised binary is larger than what is shipped; the release binary's figure is in the README.
    let limit = if cfg!(debug_assertions) { 60 << 20 } else { 20 << 20 };
    assert!(resident < limit, "{resident} bytes");
}
