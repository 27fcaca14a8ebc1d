//! Resources as `kubectl apply --dry-run=server` shows them: every mistake at once, and warnings for what is legal but unwise or not acted on.

use super::stand::{Stand, stderr, stdout};

/// Two mistakes of form, which the API server's schema knows too, and three of meaning, which only the validator knows.
const BROKEN: &str = r#"
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: broken}
spec:
  models: ["with space"]
  targets:
  - {name: a, simulated: {}}
  - {name: b, openai: {baseUrl: "http://169.254.169.254/v1"}, maxConcurrent: 0}
  rules:
  - split: [{target: a, weight: 1}]
  retry: {backoff: {base: 9s, max: 1s}}
  timeouts: {connect: 2h}
"#;

const UNWISE: &str = r#"
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: unwise}
spec:
  models: [chat]
  targets:
  - {name: a, simulated: {}}
  - {name: b, bedrock: {modelId: acme.unheard-of-v1:0}}
  rules:
  - split: [{target: a, weight: 1}]
---
apiVersion: tollway.dev/v1alpha1
kind: CostBudget
metadata: {name: nothing}
spec: {limit: {amount: "0"}, period: Daily}
"#;

/// Stored before anybody judges: past the schema, not past the validator.
const STORED: &str = r#"
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: stored}
spec:
  models: [stored]
  targets: [{name: a, simulated: {}}]
  rules: [{split: [{target: a, weight: 1}]}]
  retry: {backoff: {base: 9s, max: 1s}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_every_mistake_and_what_is_unwise() {
    let stand = Stand::start(&[]).await;
    let cluster = &stand.cluster;
    let namespace = cluster.namespace("team").await;
    cluster.apply_text(&namespace, STORED);
    cluster.apply_webhook(&stand.address).await;
    stand.heard().await;

    let refused = stand.try_apply(&namespace, &["--dry-run=server"], BROKEN);
    let told = stderr(&refused);
    assert!(!refused.status.success(), "{told}");
    for field in [
        "spec.models[0]",
        "spec.targets[1].maxConcurrent",
        "spec.targets[1].openai.baseUrl",
        "spec.retry.backoff.max",
        "spec.timeouts.connect",
    ] {
        assert!(told.contains(field), "{field} is not told: {told}");
    }

    let allowed = stand.try_apply(&namespace, &["--dry-run=server"], UNWISE);
    let told = stderr(&allowed);
    assert!(allowed.status.success(), "{told}");
    assert!(stdout(&allowed).contains("modelroute.tollway.dev/unwise created (server dry run)"));
    for warning in ["b is in no rule", "has no known price", "spec.limit.amount: is 0"] {
        assert!(told.lines().any(|line| line.starts_with("Warning: ") && line.contains(warning)), "{warning}: {told}");
    }

    // What was stored before can be labelled and deleted, and not be made worse.
    cluster.kubectl(["label", "modelroute", "stored", "a=b", "-n", &namespace]);
    let worse = STORED.replace("base: 9s", "base: 8s");
    let refused = stand.try_apply(&namespace, &[], &worse);
    assert!(!refused.status.success() && stderr(&refused).contains("spec.retry.backoff.max"), "{}", stderr(&refused));
    cluster.kubectl(["delete", "modelroute", "stored", "-n", &namespace]);

    // The whole of an example goes through without a word.
    let applied = cluster.try_kubectl(["apply", "-n", &namespace, "-f", "examples/quickstart"]);
    assert!(applied.status.success() && stderr(&applied).is_empty(), "{}", stderr(&applied));
}
