//! Budgets and AWS: thresholds reach SNS topics once, mirrors in AWS Budgets follow their resources, figures reach CloudWatch, and what
//! AWS denies is said on the budget while the cap holds.

use serde_json::{Value, json};
use std::time::Instant;
use tollway_tests::cluster::Cluster;
use tollway_tests::manifests::budget;
use tollway_tests::moto::{Moto, identified};
use tollway_tests::process::Operator;
use tollway_tests::sim::Account;
use tollway_tests::wait;

const ACCOUNT: &str = "123456789012";
const TOPIC_SCRIPT: &str = "moto_topic.py";
const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:money";

/// A dime a request.
const ROUTE: &str = r#"
---
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: dime}
spec:
  models: [dime]
  targets:
  - {name: pretend, simulated: {reply: "yes"}, price: {perRequest: "0.10"}}
  rules:
  - split: [{target: pretend, weight: 1}]
"#;

fn status(cluster: &Cluster, namespace: &str, name: &str) -> Value {
    let text = cluster.kubectl(["get", "costbudget", name, "-n", namespace, "-o", "json"]);
    serde_json::from_str::<Value>(&text).unwrap_or_else(|e| panic!("{e}: {text}"))["status"].clone()
}

pub(super) fn condition(status: &Value, type_: &str) -> (String, String, String) {
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.into_iter().find(|condition| condition["type"] == type_).unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"), text("message"))
}

async fn is(cluster: &Cluster, namespace: &str, name: &str, type_: &str, reason: &str) -> (Value, String) {
    wait::until(&format!("{type_} of {name} to be {reason}"), async || {
        let status = status(cluster, namespace, name);
        let (_, said, message) = condition(&status, type_);
        (said == reason).then_some((status, message))
    })
    .await
}

fn mirrored(name: &str, dollars: &str) -> String {
    let more = format!(
        "awsBudget: {{accountId: \"{ACCOUNT}\", name: models}}\nthresholds:\n- {{percent: 80, actions: [{{notify: {{snsTopicArn: \"{TOPIC}\"}}}}]}}"
    );
    budget(name, dollars, &more)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_follows_its_budget_from_its_making_to_its_end() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("mirror").await;
    let account = Account::start().await.unwrap();
    let _operator = Operator::start_with(cluster, |program| {
        identified(program)
            .arg(format!("--watch-namespace={namespace}"))
            .arg("--cloudwatch-namespace=Tollway")
            .env("AWS_ENDPOINT_URL_BUDGETS", account.url())
            .env("AWS_ENDPOINT_URL_CLOUDWATCH", account.url())
    })
    .await;
    let there = || account.budget(ACCOUNT, "models").unwrap_or_default();

    cluster.apply_text(&namespace, &mirrored("team", "1.00"));
    is(cluster, &namespace, "team", "AwsBudgetInSync", "InSync").await;
    assert_eq!(there().budget["BudgetLimit"], json!({"Amount": "1.00", "Unit": "USD"}));
    assert_eq!(there().budget["TimeUnit"], "MONTHLY");
    let (alert, told) = there().alerts.remove(0);
    assert_eq!((&alert["NotificationType"], alert["Threshold"].as_f64()), (&json!("ACTUAL"), Some(80.0)));
    assert_eq!(told, [json!({"SubscriptionType": "SNS", "Address": TOPIC})]);

    // Somebody narrows it and turns its limit; AWS counts. A change of the resource sets right what is Tollway's and keeps the rest.
    account.at_the_console(ACCOUNT, "models", |held| {
        held.budget["BudgetLimit"]["Amount"] = "9.0".into();
        held.budget["CostFilters"] = json!({"Service": ["Amazon Bedrock"]});
        held.budget["CalculatedSpend"] = json!({"ActualSpend": {"Amount": "3.5", "Unit": "USD"}});
        held.alerts[0].1[0]["Address"] = "arn:aws:sns:us-east-1:123456789012:other".into();
    });
    cluster.apply_text(&namespace, &mirrored("team", "2.00"));
    wait::until("the mirror to follow", async || (there().budget["BudgetLimit"]["Amount"] == "2.00").then_some(()))
        .await;
    let read = wait::until("what AWS counted", async || {
        let status = status(cluster, &namespace, "team");
        status["awsBudget"]["actualUsd"].is_string().then_some(status)
    })
    .await;
    assert_eq!(
        (&read["awsBudget"]["actualUsd"], &read["awsBudget"]["differenceUsd"]),
        (&json!("3.50"), &json!("+3.50"))
    );
    assert_eq!(there().budget["CostFilters"], json!({"Service": ["Amazon Bedrock"]}));
    assert_eq!(there().alerts[0].1[0]["Address"], TOPIC);

    // A right that is missing is named, and bears on nothing else.
    account.deny("UpdateBudget", true);
    cluster.apply_text(&namespace, &mirrored("team", "3.00"));
    let (denied, message) = is(cluster, &namespace, "team", "AwsBudgetInSync", "AccessDenied").await;
    assert!(message.contains("budgets:ModifyBudget"), "{message}");
    assert_eq!(
        (condition(&denied, "Ready").0, condition(&denied, "Enforced").0),
        ("True".to_owned(), "True".to_owned())
    );
    account.deny("UpdateBudget", false);
    is(cluster, &namespace, "team", "AwsBudgetInSync", "InSync").await;
    assert_eq!(there().budget["BudgetLimit"]["Amount"], "3.00");

    // Another resource that names the same place neither changes it nor takes it along.
    cluster.apply_text(&namespace, &mirrored("late", "8.00"));
    is(cluster, &namespace, "late", "AwsBudgetInSync", "NotOurs").await;
    cluster.kubectl(["delete", "costbudget", "late", "-n", &namespace]);
    assert_eq!(there().budget["BudgetLimit"]["Amount"], "3.00");

    let measured = wait::until("figures at CloudWatch", async || account.metrics().into_iter().next()).await;
    assert_eq!(measured["Namespace"], "Tollway");
    let limit =
        measured["MetricData"].as_array().unwrap().iter().find(|datum| datum["MetricName"] == "LimitUsd").unwrap();
    assert_eq!(
        limit["Dimensions"],
        json!([{"Name": "Namespace", "Value": namespace}, {"Name": "Budget", "Value": "team"}])
    );
    assert!(limit["Value"].as_f64().is_some_and(|dollars| dollars >= 1.0), "{limit}");

    cluster.kubectl(["delete", "costbudget", "team", "-n", &namespace]);
    assert_eq!(account.budget(ACCOUNT, "models"), None, "kubectl waited for the finalizer");
}

/// Percents of the messages that came since the last call.
async fn percents(queue: &str, moto: &Moto) -> Vec<Option<i64>> {
    let messages = moto.run(TOPIC_SCRIPT, &["drain", queue]).await;
    let percent = |message: &Value| {
        let body: Value =
            message["Message"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        assert_eq!((&body["budget"], &body["limitUsd"]), (&json!("team"), &json!("1.00")), "{message}");
        assert!(message["Subject"].as_str().is_some_and(|subject| subject.contains("of budget team")), "{message}");
        body["percent"].as_i64()
    };
    messages.as_array().into_iter().flatten().map(percent).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crossed_threshold_is_published_once_whoever_leads() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("notify").await;
    let moto = Moto::start().await;
    let made = moto.run(TOPIC_SCRIPT, &["make"]).await;
    let (topic, queue) = (made["topic"].as_str().unwrap(), made["queue"].as_str().unwrap());

    let mut operator = Operator::start_with(cluster, |program| {
        identified(program).arg(format!("--watch-namespace={namespace}")).env("AWS_ENDPOINT_URL", &moto.url)
    })
    .await;
    let notify = format!("[{{notify: {{snsTopicArn: \"{topic}\"}}}}]");
    let thresholds = format!("thresholds:\n- {{percent: 50, actions: {notify}}}\n- {{percent: 80, actions: {notify}}}");
    let place = format!("mode: Observe\nawsBudget: {{accountId: \"{ACCOUNT}\", name: plain}}");
    let plain = budget("plain", "5.00", &place).replace("  mode: Enforce\n", "");
    cluster.apply_text(&namespace, &format!("{ROUTE}{}{plain}", budget("team", "1.00", &thresholds)));
    let proxy = operator.new_proxy(cluster, &namespace, "proxy-0").await;

    for _ in 0..5 {
        proxy.chat("dime", "hello").await.ok();
    }
    let crossed = Instant::now();
    let mut seen = Vec::new();
    wait::until("word of 50 %", async || {
        seen.extend(percents(queue, &moto).await);
        (seen == [Some(50)]).then_some(())
    })
    .await;
    println!(
        "from the crossing to the queue: {} ms, a look at the queue of some 700 ms included",
        crossed.elapsed().as_millis()
    );
    is(cluster, &namespace, "team", "Notified", "Notified").await;

    // The next leader knows from the status what was told: of the next threshold it tells, of the last it does not.
    operator.restart().await;
    operator.leading().await;
    for _ in 0..3 {
        // Until its proxy has found the operator again, a budget that needs a grant answers 503.
        wait::until("an answer", async || proxy.chat("dime", "hello").await.status.is_success().then_some(())).await;
    }
    wait::until("word of 80 %", async || {
        seen.extend(percents(queue, &moto).await);
        (seen == [Some(50), Some(80)]).then_some(())
    })
    .await;

    // moto's own AWS Budgets takes what is sent: made with the resource, and gone with it.
    is(cluster, &namespace, "plain", "AwsBudgetInSync", "InSync").await;
    let budgets = moto.run(TOPIC_SCRIPT, &["budgets", ACCOUNT]).await;
    assert_eq!((&budgets[0]["BudgetName"], &budgets[0]["BudgetLimit"]["Amount"]), (&json!("plain"), &json!("5.00")));
    cluster.kubectl(["delete", "costbudget", "plain", "-n", &namespace]);
    assert_eq!(moto.run(TOPIC_SCRIPT, &["budgets", ACCOUNT]).await, json!([]));
    assert_eq!(percents(queue, &moto).await, []);
}
