//! `kubectl tollway`: a person at the keyboard asks what stands, what a request would meet, what a change would do, and gives a credit.

use std::process::Output;

use serde_json::Value;
use tollway_tests::cluster::Cluster;
use tollway_tests::manifests::{bedrock_route, budget};
use tollway_tests::process::{Operator, Program};
use tollway_tests::{scratch, wait};

const CODE: &str =
    "def f(x):\n    return x + 1\n# why does this function raise TypeError: unsupported operand type(s)?";

struct Keyboard<'c> {
    cluster: &'c Cluster,
    plugin: std::path::PathBuf,
    namespace: String,
}

impl Keyboard<'_> {
    fn ask(&self, args: &[&str]) -> Output {
        let program = Program::at(&self.plugin).env("KUBECONFIG", self.cluster.kubeconfig());
        program.env("KUBECTL", self.cluster.kubectl_path()).args(args).args(["-n", &self.namespace]).output()
    }

    fn says(&self, args: &[&str], code: i32) -> String {
        let output = self.ask(args);
        let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{text}{error}");
        text.into_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_asks_and_gives() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("plugin").await;
    let route = "---\napiVersion: tollway.dev/v1alpha1\nkind: ModelRoute\nmetadata: {name: assistant}\nspec:\n  models: [assistant]\n  \
        targets:\n  - {name: dear, simulated: {reply: a}, price: {inputPerMillion: \"10\", outputPerMillion: \"100\"}}\n  \
        - {name: cheap, simulated: {reply: b}, price: {inputPerMillion: \"1\", outputPerMillion: \"1\"}}\n  \
        - {name: unpriced, openai: {baseUrl: \"http://models.example/v1\", model: m}}\n  rules:\n  \
        - {name: code, when: {prompt: {class: Code}}, split: [{target: dear, weight: 1}], fallback: [unpriced]}\n  \
        - {split: [{target: cheap, weight: 3}, {target: dear, weight: 1}]}\n";
    cluster.apply_text(&namespace, &format!("{route}{}", budget("team", "1.00", "")));
    let operator = Operator::start(cluster, &namespace).await;
    let proxy = operator.new_proxy(cluster, &namespace, "proxy").await;
    let reply = proxy.chat("assistant", "hello").await.ok();
    let served = reply.header("x-tollway-target").to_owned();

    // The proxy's own binary under another name.
    let plugin = scratch::folder("plugin").join("kubectl-tollway");
    std::os::unix::fs::symlink(Program::proxy().path(), &plugin).expect("a link");
    let person = Keyboard { cluster, plugin, namespace: namespace.clone() };

    let status = wait::until("everything to be ready", async || {
        let output = person.ask(&["status"]);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    })
    .await;
    assert!(status.contains("ROUTE") && status.contains("1/1") && status.contains("BUDGET"), "{status}");
    let top = wait::until("the request in top", async || {
        let text = person.says(&["top", "-o", "json"], 0);
        let list: Value = serde_json::from_str(&text).expect("JSON");
        let target = list[0]["target"].clone();
        (target["requests"].as_u64() >= Some(1)).then_some(target)
    })
    .await;
    assert_eq!(top["name"].as_str(), Some(served.as_str()));

    let code = person.says(&["explain", "assistant", "--prompt", CODE], 0);
    for part in [
        "class Code",
        "rule code",
        "dear: 100 %",
        "unpriced: fallback, price unknown - skipped",
        "not in this rule: cheap",
        "budget team",
        "carries it",
    ] {
        assert!(code.contains(part), "{part}: {code}");
    }
    let other =
        person.says(&["explain", "--model", "assistant", "--prompt", "hello", "--max-tokens", "100", "-o", "json"], 0);
    let other: Value = serde_json::from_str(&other).expect("JSON");
    assert_eq!((&other["rule"], &other["targets"][0]["place"]), (&"1".into(), &"75 %".into()), "{other}");
    assert!(other["passedOver"][0].as_str().is_some_and(|why| why.contains("not Code")), "{other}");
    let dear = person.says(&["explain", "assistant", "--prompt", "hello", "--max-tokens", "1000000000"], 2);
    assert!(dear.contains("denies") && dear.contains("would not be served"), "{dear}");
    assert!(
        String::from_utf8_lossy(&person.ask(&["explain", "nobody"]).stderr).contains("there is no ModelRoute nobody")
    );

    let folder = scratch::folder("change");
    std::fs::write(folder.join("route.yaml"), route.replace("weight: 3", "weight: 5")).expect("a manifest");
    let diff = person.says(&["diff", folder.to_str().expect("a path")], 1);
    assert!(diff.contains("routes.assistant.rules") && diff.contains("\"weight\":5"), "{diff}");
    std::fs::write(folder.join("route.yaml"), route).expect("a manifest");
    assert_eq!(person.says(&["diff", folder.to_str().expect("a path")], 0), "nothing would change\n");
    std::fs::write(
        folder.join("route.yaml"),
        bedrock_route("assistant", "amazon.nova-lite-v1:0", "retry: {attempts: 0}"),
    )
    .expect("a manifest");
    let diff = person.says(&["diff", folder.to_str().expect("a path")], 1);
    assert!(diff.contains("is refused") && diff.contains("attempts"), "{diff}");

    let credited = person.says(&["budget", "credit", "team", "0.50", "--reason", "a demo day"], 0);
    assert!(credited.contains("credited 0.50 USD as credit-"), "{credited}");
    wait::until("the credit to be applied", async || {
        let applied = cluster.kubectl([
            "get",
            "costbudget",
            "team",
            "-n",
            &namespace,
            "-o",
            "jsonpath={.status.adjustmentsApplied[0].credit}",
        ]);
        (applied == "0.50").then_some(())
    })
    .await;
    for bad in [
        &["budget", "credit", "team", "much", "--reason", "x"][..],
        &["budget", "credit", "none", "1", "--reason", "x"],
    ] {
        assert!(!person.ask(bad).status.success());
    }
}
