//! How much an idle proxy with a hundred routes holds in memory.

use tollway_tests::manifests::split_route;
use tollway_tests::process::Proxy;

use super::setup::folder;

#[tokio::test]
async fn an_idle_proxy_with_a_hundred_routes_stays_small() {
    let manifests: String = (0..100).map(|i| split_route(&format!("route-{i}"), 1, 1)).collect();
    let proxy = Proxy::standalone(folder(&manifests)).await;
    proxy.chat("route-99", "hello").await.ok();
    let resident = proxy.process.resident_bytes();
    println!("{} KiB resident", resident >> 10);
    // An unoptimised binary is larger than what is shipped; the release binary's figure is in the README.
    let limit = if cfg!(debug_assertions) { 60 << 20 } else { 20 << 20 };
    assert!(resident < limit, "{resident} bytes");
}
