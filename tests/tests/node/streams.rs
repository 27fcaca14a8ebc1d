//! Two streams, one through a sidecar and one through a gateway: the release is upgraded and the sidecar's node drained, and both end whole.

use std::time::Instant;

use serde_json::Value;
use tollway_core::spend::Nano;
use tollway_tests::cluster::NODE;
use tollway_tests::node::Node;
use tollway_tests::process::workspace;
use tollway_tests::sim::{Block, Point, Reply, Rule};
use tollway_tests::wait;

use super::first;
use super::goods::{self, KEY};
use super::reader::{Reader, assert_whole};

const RELEASE: &str = "helm upgrade tollway charts/tollway -n tollway-system";
const ON_AND_ON: &str = r#"until [ -e /tmp/enough ]; do
  code=$(curl -s -o /tmp/said -w "%{http_code}" $OPENAI_BASE_URL/chat/completions -H "content-type: application/json" \
    -d "{\"model\":\"plain\",\"max_tokens\":50,\"messages\":[{\"role\":\"user\",\"content\":\"and on\"}]}")
  if [ $code = 200 ]; then echo 200; else echo $code $(cat /tmp/said); fi
done"#;
const ROLLED: &str = "kubectl -n tollway-system rollout status deployment/tollway-operator --timeout=90s
kubectl -n shop rollout status deployment/tollway-gateway --timeout=90s";

pub async fn outlive_an_upgrade_and_a_drain(node: &Node) {
    let sim = goods::upstream(node).await;
    goods::deliver(node, &sim);
    let begun = Instant::now();
    node.run(&format!("{RELEASE} -f {}\n{ROLLED}", goods::values("info").display()));
    println!("a gateway added: {:.1} s", begun.elapsed().as_secs_f64());

    // Three events, then silence for as long as the test wants.
    let held = Rule { stream: Some(true), ..Rule::stall(Point::Events(3)) };
    sim.script(Rule { reply: Some(Reply::blocks(vec![Block::Tokens(32)])), ..held });
    goods::reader(node);
    node.run("kubectl -n shop wait --for=condition=Ready pod/reader --timeout=60s");
    let mut sidecar = Reader::start(node, "kubectl -n shop logs -f reader -c app");
    let direct =
        goods::curl("https://tollway-gateway.shop.svc/v1", "keyed", &format!("-k -H 'authorization: Bearer {KEY}'"));
    let mut gateway = Reader::start(node, &format!("kubectl -n demo exec client -- {direct}"));
    sidecar.has("data: ").await;
    gateway.has("data: ").await;
    sim.wait_until(|_, in_flight| in_flight == 2).await;

    // Beside the streams, one short request after the other, each against the budget.
    let mut busy = Reader::start(node, &format!("kubectl -n shop exec reader -c app -- sh -c '{ON_AND_ON}'"));
    busy.has("200").await;

    for (what, change) in [
        ("upgrade", format!("{RELEASE} -f {}", goods::values("debug").display())),
        ("rollback", "helm rollback tollway -n tollway-system".to_owned()),
    ] {
        let begun = Instant::now();
        node.run(&format!("{change}\n{ROLLED}"));
        let took = begun.elapsed().as_secs_f64();
        println!("{what} of operator and gateway under two live streams: {took:.1} s");
        assert!(sim.cancelled().is_empty() && sim.in_flight() >= 2, "the {what} cut a stream");
    }
    node.run("kubectl -n shop exec reader -c app -- sh -c ': >/tmp/enough'");
    let said = busy.whole("the requests beside the streams").await;
    let (answered, refused): (Vec<&str>, Vec<&str>) = said.lines().partition(|line| *line == "200");
    // What needs a new grant while no operator leads waits for two seconds; nothing else may come between.
    assert!(refused.iter().all(|line| line.starts_with("503 ") && line.contains("budget_unavailable")), "{said}");
    println!("{} requests meanwhile answered, {} without a grant in time", answered.len(), refused.len());
    let ending = "kubectl -n shop get pods -l tollway.dev/gateway=tollway-gateway -o jsonpath='{.items[*].metadata.deletionTimestamp}'";
    assert!(!node.run(ending).is_empty(), "the former gateway waits for its stream");

    // The sidecar, which was not restarted, takes a table from the operators that came.
    let later = std::fs::read_to_string(workspace().join("examples/quickstart/route.yaml")).expect("an example");
    node.cluster.apply_text("shop", &later);
    node.run("kubectl -n shop wait --for=condition=Programmed modelroute/assistant --timeout=60s");
    let said = node.run(
        r#"kubectl -n shop exec reader -c app -- sh -c 'curl -sS $OPENAI_BASE_URL/chat/completions -H "content-type: application/json" -d "{\"model\":\"assistant\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}"'"#,
    );
    assert!(said.contains("Hello from"), "{said}");
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
    let simulated = first::cost(&said);

    let drain = format!("kubectl drain {NODE} --pod-selector=run=reader --force --delete-emptydir-data --timeout=120s");
    let begun = Instant::now();
    let mut drain = Reader::start(node, &drain);
    drain.has("evicting pod shop/reader").await;
    sidecar.has("told to stop").await;
    assert!(sim.cancelled().is_empty() && sim.in_flight() == 2, "the drain cut a stream");
    sim.release();
    let read = sidecar.whole("the application's log").await;
    assert_whole("the stream through the sidecar", &read);
    assert!(read.contains("read all"), "{read}");
    assert_whole("the stream through the gateway", &gateway.whole("the gateway's client").await);
    drain.whole("kubectl drain").await;
    println!("a drain that waits for its stream, and the Pod gone: {:.1} s", begun.elapsed().as_secs_f64());
    node.run(&format!("kubectl uncordon {NODE}"));
    money(node, sim.bill().nano + simulated, answered.len() + 1).await;
}

/// What was spent is what the upstream charged and the simulated target cost, to the nano-dollar; nothing is held, nothing burned, no
/// grant is open.
async fn money(node: &Node, cost: u64, plain: usize) {
    let field = |name: &str| node.run(&format!("kubectl -n shop get costbudget shop -o jsonpath='{{.status.{name}}}'"));
    wait::until("the whole cost in the budget's status", async || {
        (field("spentUsd").parse::<Nano>().ok()? == Nano(cost)).then_some(())
    })
    .await;
    for name in ["reservedUsd", "burnedUsd", "estimatedUsd"] {
        assert_eq!(field(name).parse::<Nano>().ok(), Some(Nano(0)), "{name}");
    }
    let open = "kubectl -n tollway-system get budgetledgers -l tollway.dev/budget=shop -o jsonpath='{.items[*].spec.summary.openGrants}'";
    assert_eq!(node.run(open), "0", "grants that were not given back");
    // Of the gateway's Pod that is no more, too.
    wait::until("the requests of both streams in the routes' status", async || {
        let requests =
            "kubectl -n shop get modelroutes keyed plain -o jsonpath='{.items[*].status.targets[0].requests}'";
        (node.run(requests) == format!("1 {plain}")).then_some(())
    })
    .await;
    println!("{}", node.run("kubectl -n shop get costbudget,modelroute"));
}
