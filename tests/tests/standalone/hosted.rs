//! SageMaker endpoints, AgentCore's agents and Bedrock's models with bodies of their own behind one base URL, asked as OpenAI's clients do;
//! and the simulator of them asked by boto3, which knows the real wire.

use serde_json::{Value, json};
use tollway_tests::process::Proxy;
use tollway_tests::sim::{Config, Credential, Exception, Rule, Sim};
use tollway_tests::{http, python};

use super::setup::{folder, with_aws};

const SAID: &str = "The toll is paid and the road is open.";
const ROUTES: &str = r#"
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: NAME}
spec:
  models: [NAME]
  targets:
  - name: first
    TARGET
  - name: second
    sagemaker: {endpointName: vllm-chat, region: us-east-1, format: OpenAI}
  rules:
  - split: [{target: first, weight: 1}]
    fallback: [second]
---
"#;
const TARGETS: [(&str, &str, &str); 6] = [
    ("vllm", "sagemaker: {endpointName: vllm-chat, region: us-east-1, format: OpenAI}", "vllm-chat"),
    ("tgi", "sagemaker: {endpointName: codellama-70b, region: us-east-1, format: TGI}", "codellama-70b"),
    ("agent", "agentCore: {runtimeArn: \"arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/helper\"}", "helper"),
    ("titan", "bedrock: {modelId: amazon.titan-text-express-v1, region: us-east-1}", "amazon.titan-text-express-v1"),
    ("jurassic", "bedrock: {modelId: ai21.j2-ultra-v1, region: us-east-1}", "ai21.j2-ultra-v1"),
    ("llama", "bedrock: {modelId: meta.llama2-70b-chat-v1, region: us-east-1}", "meta.llama2-70b-chat-v1"),
];

async fn setup() -> (Sim, Proxy) {
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    let routes: String =
        TARGETS.iter().map(|(name, target, _)| ROUTES.replace("NAME", name).replace("TARGET", target)).collect();
    // One address for every service.
    let change = |program| with_aws(&sim, program).env("AWS_ENDPOINT_URL", sim.url());
    let proxy = Proxy::standalone_with(folder(&routes), change).await;
    (sim, proxy)
}

#[tokio::test]
async fn every_target_answers_plain_and_streamed_with_what_it_used() {
    let (sim, proxy) = setup().await;
    for (name, _, model) in TARGETS {
        let plain = proxy.chat(name, "Is the road open?").await.ok();
        assert_eq!(plain.header("x-tollway-target"), "first", "{name}");
        let plain = plain.json();
        assert_eq!(plain["choices"][0]["message"]["content"], SAID, "{name}");
        // The agent's prompt asks for events; its plain answer was for a client that wanted no stream.
        let mut stream = proxy.chat_stream(name, "Is the road open? Answer in a stream.").await;
        let events = stream.rest().await.expect("a stream that ends well");
        let chunks: Vec<Value> = events.iter().filter_map(|event| serde_json::from_str(event).ok()).collect();
        let text: String = chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!((text.as_str(), events.last().map(String::as_str)), (SAID, Some("[DONE]")), "{name}");
        if name == "agent" {
            continue;
        }
        let bill = &sim.bill().models[model];
        let usage = |from: &Value| (from["prompt_tokens"].as_u64(), from["completion_tokens"].as_u64());
        let (plain, streamed) = (usage(&plain["usage"]), usage(&chunks.last().expect("chunks")["usage"]));
        let sum = |a: Option<u64>, b: Option<u64>| a.unwrap_or(0) + b.unwrap_or(0);
        if name != "vllm" {
            assert_eq!(sum(plain.0, streamed.0), bill.input_tokens, "{name}");
            assert_eq!(sum(plain.1, streamed.1), bill.output_tokens, "{name}");
        }
    }
    assert!(sim.requests().iter().all(|seen| seen.client.as_deref() == Some("AKIASIMULATED0000001")));
}

#[tokio::test]
async fn a_target_that_fails_or_cannot_say_it_hands_over() {
    let (sim, proxy) = setup().await;
    for (name, _, model) in TARGETS.into_iter().skip(1) {
        for exception in [Exception::ModelError, Exception::Throttling, Exception::ServiceUnavailable] {
            sim.script(Rule::error(exception).model(model).times(1));
            let answer = proxy.chat(name, "Is the road open?").await.ok();
            assert_eq!(answer.header("x-tollway-target"), "second", "{name}: {exception:?}");
        }
        sim.clear_script();
        let body = json!({
            "model": name, "messages": [{"role": "user", "content": "look"}],
            "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
        });
        let answer = http::post(&proxy.chat_url(), &body).await.ok();
        assert_eq!(answer.header("x-tollway-target"), "second", "{name} has no tools");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_inside_says_so() {
    let (sim, proxy) = setup().await;
    for (name, model) in [("vllm", "vllm-chat"), ("tgi", "codellama-70b"), ("titan", "amazon.titan-text-express-v1")] {
        sim.script(Rule::stream_error(Exception::ModelStreamError, 3).model(model).stream(true).times(1));
        let mut stream = proxy.chat_stream(name, "Is the road open?").await;
        let events = stream.rest().await.expect("an event that says it");
        let last: Value = serde_json::from_str(events.last().expect("an event")).expect("no done marker");
        assert_eq!(last["error"]["code"], "upstream_unavailable", "{name}: {last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_takes_the_simulator_for_the_services() {
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    sim.script(Rule::error(Exception::ModelError).model("vllm-chat").times(1));
    let credential = Credential::example();
    let program = python::script("hosted_client.py")
        .arg(sim.url())
        .env("AWS_ACCESS_KEY_ID", credential.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", credential.secret_access_key);
    let output = tokio::task::spawn_blocking(move || program.output()).await.expect("the Python program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(seen["failure"], json!({"code": "ModelError", "status": 424}));
    assert_eq!(seen["chat"], SAID);
    assert_eq!(seen["generated"], SAID);
    assert_eq!(seen["streamed"], SAID);
    assert_eq!(seen["agent"], SAID);
}
