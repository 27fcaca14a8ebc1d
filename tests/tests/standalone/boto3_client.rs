//! boto3 as a client of the proxy, with nothing changed but its address: every operation, errors as its exception classes, signatures.

use serde_json::{Value, json};
use tollway_core::spend::Nano;
use tollway_tests::http;
use tollway_tests::process::Proxy;
use tollway_tests::python;
use tollway_tests::sim::{Block, Config, Exception, Point, Reply, Rule, Sim};

use super::setup::proxy;

const ROUTES: &str = r#"
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: nova}
spec:
  models: ["us.amazon.nova-pro-v1:0", "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0"]
  targets:
  - {name: pro, bedrock: {modelId: "us.amazon.nova-pro-v1:0", region: us-east-1}}
  - {name: lite, bedrock: {modelId: "us.amazon.nova-lite-v1:0", region: us-east-1}}
  rules:
  - split: [{target: pro, weight: 1}]
    fallback: [lite]
  defaults: {maxTokens: 40}
  timeouts: {firstToken: 2s, idle: 2s}
---
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: families}
spec:
  models: [any, "anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.titan-text-express-v1", "us.meta.llama3-3-70b-instruct-v1:0", "mistral.mistral-large-2402-v1:0"]
  targets:
  - {name: claude, bedrock: {modelId: "anthropic.claude-sonnet-4-5-20250929-v1:0", region: us-east-1}}
  - {name: titan, bedrock: {modelId: "amazon.titan-text-express-v1", region: us-east-1}}
  - {name: llama, bedrock: {modelId: "us.meta.llama3-3-70b-instruct-v1:0", region: us-east-1}}
  - {name: mistral, bedrock: {modelId: "mistral.mistral-large-2402-v1:0", region: us-east-1}}
  rules:
  - split: [{target: claude, weight: 1}]
    fallback: [titan, llama, mistral]
  defaults: {maxTokens: 40}
---
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: pretend}
spec:
  models: [pretend]
  targets:
  - {name: pretend, simulated: {reply: "the road is open"}, price: {inputPerMillion: "1", outputPerMillion: "1"}}
  rules:
  - split: [{target: pretend, weight: 1}]
---
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: mixed}
spec:
  models: [mixed]
  targets:
  - {name: pro, bedrock: {modelId: "us.amazon.nova-pro-v1:0", region: us-east-1}}
  - name: local
    openai: {baseUrl: "SIMULATOR/v1", model: "llama3:8b"}
    price: {inputPerMillion: "0", outputPerMillion: "0"}
  rules:
  - split: [{target: pro, weight: 1}]
    fallback: [local]
---
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: locked}
spec:
  models: [locked]
  targets:
  - {name: pro, bedrock: {modelId: "us.amazon.nova-pro-v1:0", region: us-east-1}}
  rules:
  - split: [{target: pro, weight: 1}]
  auth: {apiKeys: {secretRef: {name: clients}}}
---
apiVersion: v1
kind: Secret
metadata: {name: clients}
stringData: {shop: key-of-shop}
---
apiVersion: tollway.dev/v1alpha1
kind: CostBudget
metadata: {name: team}
spec:
  limit: {amount: "5.00", currency: USD}
  period: Monthly
  mode: Enforce
"#;
const PRO: &str = "us.amazon.nova-pro-v1:0";
const CLAUDE: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const SAID: &str = "The toll is paid and the road is open.";

async fn setup() -> (Sim, Proxy) {
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    let proxy = proxy(&sim, &ROUTES.replace("SIMULATOR", &sim.url())).await;
    (sim, proxy)
}

/// What the calls saw, by a client with these environment variables.
async fn as_client(proxy: &Proxy, calls: Value, environment: &[(&str, &str)]) -> Vec<Value> {
    let calls = calls.to_string();
    let mut program = python::script("bedrock_runtime.py").args([proxy.url.as_str(), calls.as_str()]);
    for (name, value) in environment {
        program = program.env(name, value);
    }
    // The simulator runs on this test's runtime, so the program waits on another thread.
    let output = tokio::task::spawn_blocking(move || program.output()).await.expect("the Python program");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

async fn ask(proxy: &Proxy, calls: Value) -> Vec<Value> {
    let keys = [("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")];
    as_client(proxy, calls, &keys).await
}

fn hello() -> Value {
    json!([{"role": "user", "content": [{"text": "Is the road open?"}]}])
}

fn cost(seen: &Value) -> u64 {
    let cost = seen["headers"]["cost-usd"].as_str().unwrap_or_default();
    cost.parse::<Nano>().unwrap_or_else(|_| panic!("no cost: {seen}")).0
}

#[tokio::test(flavor = "multi_thread")]
async fn converse_passes_plain_and_streamed_by_id_and_by_arn() {
    let (sim, proxy) = setup().await;
    let arn = format!("arn:aws:bedrock:us-east-1:123456789012:inference-profile/{PRO}");
    let seen = ask(
        &proxy,
        json!([
            {"do": "converse", "modelId": PRO, "messages": hello()},
            {"do": "converse_stream", "modelId": PRO, "messages": hello()},
            {"do": "converse", "modelId": arn, "messages": hello(), "inferenceConfig": {"temperature": 0.5}},
        ]),
    )
    .await;
    for seen in [&seen[0], &seen[2]] {
        assert_eq!((&seen["content"][0]["text"], &seen["stop"]), (&SAID.into(), &"end_turn".into()), "{seen}");
        assert_eq!(seen["headers"]["target"], "pro");
    }
    assert_eq!(seen[1]["text"], SAID);
    let events = ["messageStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"];
    assert_eq!(seen[1]["events"], json!(events));
    assert_eq!(seen[1]["usage"], seen[0]["usage"]);
    let bill = sim.bill();
    assert_eq!(bill.nano, 2 * cost(&seen[0]) + cost(&seen[2]), "a stream costs what the plain answer does");
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_and_pictures_go_both_ways() {
    let (sim, proxy) = setup().await;
    let call = Block::ToolUse { id: "t1".to_owned(), name: "toll".to_owned(), input: json!({"road": "A1"}) };
    sim.script(Rule::reply(Reply::blocks([call])).times(2));
    let tools = json!({"tools": [{"toolSpec": {"name": "toll", "inputSchema": {"json": {"type": "object"}}}}]});
    let picture = json!({"image": {"format": "png", "source": {"bytes": "89504e470d0a1a0a"}}});
    let asked = json!({"role": "user", "content": [{"text": "What does it cost?"}, picture]});
    let first = ask(
        &proxy,
        json!([
            {"do": "converse", "modelId": PRO, "messages": [asked], "toolConfig": tools},
            {"do": "converse_stream", "modelId": PRO, "messages": [asked], "toolConfig": tools},
        ]),
    )
    .await;
    assert_eq!(first[0]["stop"], "tool_use", "{}", first[0]);
    assert_eq!(first[0]["content"][0]["toolUse"]["input"], json!({"road": "A1"}));
    assert_eq!((&first[1]["tool"], &first[1]["stop"]), (&"toll".into(), &"tool_use".into()), "{}", first[1]);
    assert_eq!(first[1]["input"], r#"{"road":"A1"}"#);
    let result = json!({"toolResult": {"toolUseId": "t1", "content": [{"json": {"euro": 2}}]}});
    let turns =
        json!([asked, {"role": "assistant", "content": first[0]["content"]}, {"role": "user", "content": [result]}]);
    let last = ask(&proxy, json!([{"do": "converse", "modelId": PRO, "messages": turns, "toolConfig": tools}])).await;
    assert_eq!(last[0]["content"][0]["text"], SAID, "{}", last[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_bounded_and_charged_as_billed() {
    let (sim, proxy) = setup().await;
    sim.script(Rule::reply(Reply::blocks([Block::Tokens(5_000)])));
    let messages = json!([{"role": "user", "content": "Is the road open?"}]);
    let claude = |max: Value| {
        let mut body = json!({"anthropic_version": "bedrock-2023-05-31", "messages": messages});
        if !max.is_null() {
            body["max_tokens"] = max;
        }
        body
    };
    let calls = [
        (CLAUDE, claude(json!(30)), 30),
        (CLAUDE, claude(Value::Null), 40),
        ("any", claude(Value::Null), 40),
        (PRO, json!({"messages": hello()}), 40),
        (PRO, json!({"messages": hello(), "inferenceConfig": {"maxTokens": 20}}), 20),
        ("us.meta.llama3-3-70b-instruct-v1:0", json!({"prompt": "open?"}), 40),
        ("mistral.mistral-large-2402-v1:0", json!({"prompt": "open?", "max_tokens": 9}), 9),
        ("amazon.titan-text-express-v1", json!({"inputText": "open?", "textGenerationConfig": {"topP": 0.5}}), 40),
    ];
    let plain = calls.iter().map(|(id, body, _)| json!({"do": "invoke_model", "modelId": id, "body": body}));
    let plain = ask(&proxy, plain.collect()).await;
    let (mut costs, mut tokens) = (0, 0);
    for (seen, (id, body, bound)) in plain.iter().zip(&calls) {
        assert_eq!(seen["headers"]["tokens"][1], bound.to_string(), "{id} {body}: {seen}");
        costs += cost(seen);
        tokens += bound;
    }
    assert_eq!(sim.bill().nano, costs);
    let before = sim.bill();
    let streams = calls
        .iter()
        .map(|(id, body, _)| json!({"do": "invoke_model_with_response_stream", "modelId": id, "body": body}));
    for (seen, (id, _, bound)) in ask(&proxy, streams.collect()).await.iter().zip(&calls) {
        let last = seen["chunks"].as_array().and_then(|chunks| chunks.last()).unwrap_or_else(|| panic!("{id}: {seen}"));
        assert_eq!(&last["amazon-bedrock-invocationMetrics"]["outputTokenCount"], bound, "{id}: {seen}");
        assert_eq!(seen["contentType"], "application/json");
    }
    let after = sim.bill();
    let output = |bill: &tollway_tests::sim::Bill| bill.models.values().map(|model| model.output_tokens).sum::<u64>();
    assert_eq!(output(&after) - output(&before), tokens);
    assert_eq!(after.nano, 2 * costs);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_moves_on_and_a_stream_that_dies_says_so() {
    let (sim, proxy) = setup().await;
    let converse = |kind: &str| json!([{"do": kind, "modelId": PRO, "messages": hello()}]);
    for fault in [Rule::error(Exception::Throttling), Rule::error(Exception::ModelError), Rule::cut(Point::Headers)] {
        sim.script(fault.clone().model(PRO).times(2));
        let seen = ask(&proxy, json!([converse("converse")[0], converse("converse_stream")[0]])).await;
        assert_eq!(seen[0]["headers"]["target"], "lite", "{fault:?}: {}", seen[0]);
        assert_eq!(seen[1]["text"], SAID, "{fault:?}: {}", seen[1]);
        assert_eq!([&seen[0]["sent"], &seen[1]["sent"]], [1, 1]);
    }
    for fault in
        [Rule::cut(Point::Events(3)), Rule::stream_error(Exception::ModelStreamError, 3), Rule::stall(Point::Events(3))]
    {
        // Each with a circuit of its own.
        let (sim, proxy) = setup().await;
        sim.script(fault.clone().model(PRO).stream(true).times(1));
        let seen = ask(&proxy, converse("converse_stream")).await;
        assert!(seen[0]["broken"].as_str().is_some_and(|code| code.ends_with("Exception")), "{fault:?}: {}", seen[0]);
        assert!(SAID.starts_with(seen[0]["text"].as_str().unwrap_or("?")), "{}", seen[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_boto3_exceptions() {
    let (_sim, proxy) = setup().await;
    let too_many = json!({"maxTokens": 0});
    let text = json!({"prompt": "open?"});
    let unbounded = json!({"max_gen_len": 9000});
    let calls = json!([
        {"do": "converse", "modelId": "nobody", "messages": hello()},
        {"do": "converse", "modelId": PRO, "messages": hello(), "inferenceConfig": {"temperature": 0.5}, "additionalModelRequestFields": unbounded},
        {"do": "converse", "modelId": PRO, "messages": hello(), "performanceConfig": {"latency": "optimized"}},
        {"do": "converse", "modelId": PRO, "messages": []},
        {"do": "invoke_model", "modelId": PRO, "body": text},
        {"do": "invoke_model", "modelId": "pretend", "body": text},
        {"do": "invoke_model", "modelId": "any", "body": too_many},
        {"do": "invoke_model", "modelId": PRO, "body": {"messages": hello()}, "performanceConfigLatency": "optimized"},
    ]);
    let seen = ask(&proxy, calls).await;
    let errors: Vec<_> = seen.iter().map(|seen| (seen["error"].as_str(), seen["status"].as_u64())).collect();
    let invalid = (Some("ValidationException"), Some(400));
    let missing = (Some("ResourceNotFoundException"), Some(404));
    assert_eq!(errors, [missing, invalid, invalid, invalid, invalid, invalid, invalid, invalid], "{seen:?}");
    let says = |at: usize, words: &str| {
        let message = seen[at]["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "{message:?} does not say {words:?}");
    };
    says(0, "nobody");
    says(1, "additionalModelRequestFields.max_gen_len");
    says(2, "performanceConfig.latency");
    says(5, "Converse");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_target_speaks_converse() {
    let (_sim, proxy) = setup().await;
    let calls = json!([
        {"do": "converse", "modelId": "pretend", "messages": hello()},
        {"do": "converse_stream", "modelId": "pretend", "messages": hello()},
    ]);
    let seen = ask(&proxy, calls).await;
    assert_eq!(seen[0]["content"], json!([{"text": "the road is open"}]), "{}", seen[0]);
    assert!(seen[0]["latency"].is_u64());
    assert_eq!(seen[1]["text"], "the road is open", "{}", seen[1]);
    assert_eq!((&seen[1]["stop"], &seen[1]["usage"]), (&"end_turn".into(), &seen[0]["usage"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_of_another_dialect_takes_over() {
    let (sim, proxy) = setup().await;
    sim.script(Rule::error(Exception::ServiceUnavailable).model(PRO));
    let call = Block::ToolUse { id: "t1".to_owned(), name: "toll".to_owned(), input: json!({"road": "A1"}) };
    let tools = json!({"tools": [{"toolSpec": {"name": "toll", "inputSchema": {"json": {"type": "object"}}}}]});
    let calls = || {
        json!([
            {"do": "converse", "modelId": "mixed", "messages": hello(), "toolConfig": tools},
            {"do": "converse_stream", "modelId": "mixed", "messages": hello(), "toolConfig": tools},
            {"do": "invoke_model", "modelId": "mixed", "body": {"messages": hello()}},
        ])
    };
    let seen = ask(&proxy, calls()).await;
    assert_eq!(
        (&seen[0]["content"][0]["text"], &seen[0]["headers"]["target"]),
        (&SAID.into(), &"local".into()),
        "{}",
        seen[0]
    );
    assert_eq!((&seen[1]["text"], &seen[1]["stop"]), (&SAID.into(), &"end_turn".into()), "{}", seen[1]);
    assert_eq!(seen[1]["usage"], seen[0]["usage"]);
    assert_eq!(seen[2]["error"], "ServiceUnavailableException", "no other target knows Nova's words: {}", seen[2]);
    sim.script(Rule::reply(Reply::blocks([call])).model("llama3:8b"));
    let seen = ask(&proxy, calls()).await;
    assert_eq!(seen[0]["stop"], "tool_use", "{}", seen[0]);
    assert_eq!(seen[0]["content"][0]["toolUse"]["input"], json!({"road": "A1"}), "{}", seen[0]);
    assert_eq!((&seen[1]["tool"], &seen[1]["stop"]), (&"toll".into(), &"tool_use".into()), "{}", seen[1]);
    assert_eq!(seen[1]["input"], r#"{"road":"A1"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_budget_is_asked_once() {
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    let proxy = proxy(&sim, &ROUTES.replace("SIMULATOR", &sim.url()).replace("\"5.00\"", "\"0.0000001\"")).await;
    let calls = json!([
        {"do": "converse", "modelId": PRO, "messages": hello()},
        {"do": "converse_stream", "modelId": PRO, "messages": hello()},
        {"do": "invoke_model", "modelId": PRO, "body": {"messages": hello()}},
    ]);
    for seen in ask(&proxy, calls).await {
        assert_eq!((&seen["error"], &seen["status"]), (&"ServiceQuotaExceededException".into(), &400.into()), "{seen}");
        assert_eq!(seen["sent"], 1, "boto3 does not retry it: {seen}");
    }
    assert_eq!(sim.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_names_the_client_where_the_route_asks() {
    let (sim, proxy) = setup().await;
    let calls = || {
        json!([
            {"do": "converse", "modelId": "locked", "messages": hello()},
            {"do": "converse_stream", "modelId": "locked", "messages": hello()},
            {"do": "invoke_model", "modelId": "locked", "body": {"messages": hello()}},
        ])
    };
    let keys = |id, secret| [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)];
    let seen = as_client(&proxy, calls(), &keys("shop", "key-of-shop")).await;
    assert_eq!(seen[0]["content"][0]["text"], SAID, "{}", seen[0]);
    assert_eq!(seen[1]["text"], SAID, "{}", seen[1]);
    assert_eq!(seen[2]["headers"]["target"], "pro", "{}", seen[2]);
    // What goes on is signed afresh: the client's own key would be unknown there.
    assert!(sim.requests().iter().all(|seen| seen.client.as_deref() == Some("AKIASIMULATED0000001")));
    let served = sim.requests().len();
    for (id, secret, code) in
        [("shop", "another", "InvalidSignatureException"), ("nobody", "key-of-shop", "UnrecognizedClientException")]
    {
        for seen in as_client(&proxy, calls(), &keys(id, secret)).await {
            assert_eq!(
                (&seen["code"], &seen["status"], &seen["sent"]),
                (&code.into(), &403.into(), &1.into()),
                "{seen}"
            );
        }
    }
    // botocore sends Bedrock's API keys only over TLS; other clients are less strict.
    for (key, status) in [("key-of-shop", 200), ("another", 403)] {
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let url = format!("{}/model/locked/converse", proxy.url);
        let reply = http::post_raw(&url, &headers, json!({"messages": hello()}).to_string()).await.expect("a reply");
        assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
    }
    assert_eq!(sim.requests().len(), served + 1);
}
