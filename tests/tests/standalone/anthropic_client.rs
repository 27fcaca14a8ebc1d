//! The anthropic package from PyPI through the proxy to Anthropic's wire, Bedrock's and an OpenAI-compatible server's: answers, streams,
//! tools in a loop, counts, errors, and what it sees when a target fails.

use serde_json::Value;
use tollway_tests::process::Proxy;
use tollway_tests::python;
use tollway_tests::sim::{Block, Config, Exception, Outcome, Point, Reply, Rule, Sim};

use super::setup::proxy;

const SAID: &str = "The toll is paid and the road is open.";
/// Every kind of target: the client's dialect passes through to the first, and is translated for the others.
const MODELS: [&str; 3] = ["claude", "nova", "llama"];

fn manifests(url: &str) -> String {
    let route = |name: &str, target: &str| {
        format!(
            "apiVersion: tollway.dev/v1alpha1\nkind: ModelRoute\nmetadata: {{name: {name}}}\nspec:\n  models: [{name}]\n  \
             targets:\n  - {target}\n  - {{name: spare, bedrock: {{modelId: us.amazon.nova-lite-v1:0, region: us-east-1}}}}\n  \
             rules:\n  - split: [{{target: first, weight: 1}}]\n    fallback: [spare]\n  timeouts: {{firstToken: 2s, idle: 2s}}\n  \
             auth: {{apiKeys: {{secretRef: {{name: clients}}}}}}\n---\n"
        )
    };
    let claude = format!(
        "{{name: first, anthropic: {{model: claude-sonnet-4-5, baseUrl: {url}, apiKey: {{secretRef: {{name: keys}}}}}}, \
         price: {{inputPerMillion: \"3\", outputPerMillion: \"15\"}}}}"
    );
    let nova = "{name: first, bedrock: {modelId: us.amazon.nova-pro-v1:0, region: us-east-1}}";
    let llama = format!(
        "{{name: first, openai: {{model: \"llama3:8b\", baseUrl: {url}/v1}}, price: {{inputPerMillion: \"0\", outputPerMillion: \"0\"}}}}"
    );
    [
        route("claude", &claude),
        route("nova", nova),
        route("llama", &llama),
        "apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {apiKey: key-of-tollway}\n---\n".to_owned(),
        "apiVersion: v1\nkind: Secret\nmetadata: {name: clients}\nstringData: {shop: key-of-shop}\n---\n".to_owned(),
        "apiVersion: tollway.dev/v1alpha1\nkind: CostBudget\nmetadata: {name: team}\nspec:\n  limit: {amount: \"50.00\", currency: USD}\n  \
         period: Monthly\n  mode: Enforce\n"
            .to_owned(),
    ]
    .concat()
}

async fn setup() -> (Sim, Proxy) {
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    let proxy = proxy(&sim, &manifests(&sim.url())).await;
    (sim, proxy)
}

/// What an application sees. The simulator runs on this test's runtime, so the program waits on another thread.
async fn ask(proxy: &Proxy, model: &str, mode: &str) -> Value {
    let program = python::script("anthropic_messages.py").args([proxy.url.as_str(), model, "Is the road open?", mode]);
    let output = tokio::task::spawn_blocking(move || program.output()).await.expect("the Python program");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_arrives_whole_plain_and_streamed_from_every_kind_of_target() {
    let (sim, proxy) = setup().await;
    for model in MODELS {
        let before = sim.bill();
        let plain = ask(&proxy, model, "--plain").await;
        assert_eq!((&plain["text"], &plain["stop"]), (&SAID.into(), &"end_turn".into()), "{model}: {plain}");
        assert_eq!((&plain["target"], &plain["attempts"]), (&"first".into(), &"1".into()), "{model}: {plain}");
        let cost: tollway_core::spend::Nano = plain["cost-usd"].as_str().unwrap_or_default().parse().expect("a cost");
        assert_eq!(cost.0, sim.bill().nano - before.nano, "{model}");
        let streamed = ask(&proxy, model, "--stream").await;
        for field in ["text", "stop", "usage"] {
            assert_eq!(streamed[field], plain[field], "{model}: {streamed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_in_a_loop_and_signed_thoughts_go_there_and_back() {
    let (sim, proxy) = setup().await;
    for model in MODELS {
        sim.clear_script();
        let call = [
            Block::Reasoning { text: "A clock would help.".to_owned(), signature: Some("c2ln".to_owned()) },
            Block::ToolUse {
                id: "call_1".to_owned(),
                name: "clock".to_owned(),
                input: serde_json::json!({"zone": "UTC"}),
            },
        ];
        sim.script(Rule::reply(Reply::blocks(call)).times(1));
        let seen = ask(&proxy, model, "--tools").await;
        let turns = seen["turns"].as_array().unwrap_or_else(|| panic!("{model}: {seen}"));
        assert_eq!(turns.len(), 2, "{model}: {seen}");
        assert_eq!(turns[0]["calls"], serde_json::json!([["call_1", "clock", {"zone": "UTC"}]]), "{model}: {seen}");
        assert_eq!(turns[0]["stop"], "tool_use", "{model}");
        let signature = if model == "llama" { "" } else { "c2ln" };
        assert_eq!(turns[0]["thinking"], serde_json::json!([["A clock would help.", signature]]), "{model}: {seen}");
        assert_eq!((&turns[1]["text"], &turns[1]["stop"]), (&SAID.into(), &"end_turn".into()), "{model}: {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_counts_tokens_where_it_can() {
    let (sim, proxy) = setup().await;
    let counted = ask(&proxy, "claude", "--count").await;
    // The text in the simulator's tokens of four bytes, and four for the message.
    assert_eq!(counted, serde_json::json!({"input_tokens": 9, "estimated": false}));
    let asked = sim.requests().len();
    let estimated = ask(&proxy, "nova", "--count").await;
    assert_eq!(estimated["estimated"], true, "{estimated}");
    assert!(estimated["input_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{estimated}");
    assert_eq!(sim.requests().len(), asked, "an estimate asks nobody");
    assert_eq!(sim.bill().nano, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_moves_on_before_the_first_byte() {
    for fault in [
        Rule::error(Exception::Throttling),
        Rule::error(Exception::ServiceUnavailable),
        Rule::status(502, "<html>bad gateway</html>"),
        Rule::cut(Point::Headers),
        Rule::stall(Point::Headers),
        // The start of a message says nothing yet: it is held back.
        Rule::cut(Point::Events(2)),
        Rule::stream_error(Exception::ServiceUnavailable, 2),
    ] {
        for mode in ["--plain", "--stream"] {
            let (sim, proxy) = setup().await;
            sim.script(fault.clone().model("claude-sonnet-4-5").times(1));
            let seen = ask(&proxy, "claude", mode).await;
            assert_eq!(seen["text"], SAID, "{:?}, {mode}: {seen}", fault.fault);
            let served = sim
                .requests()
                .into_iter()
                .rev()
                .find(|r| r.outcome == Outcome::Complete)
                .expect("a request that was served");
            assert_eq!(served.model.as_deref(), Some("us.amazon.nova-lite-v1:0"), "{:?}, {mode}", fault.fault);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_dies_is_an_error_event_and_never_an_end() {
    for k in [4, 6] {
        for fault in [
            Rule::cut(Point::Events(k)),
            Rule::stream_error(Exception::ServiceUnavailable, k),
            Rule::stall(Point::Events(k)),
        ] {
            for model in MODELS {
                let (sim, proxy) = setup().await;
                sim.script(fault.clone().stream(true).times(1));
                let seen = ask(&proxy, model, "--stream").await;
                let broken = &seen["broken"];
                assert_eq!(broken["code"], "upstream_unavailable", "{:?}, {model}: {seen}", fault.fault);
                assert!(
                    broken["type"].as_str().is_some_and(|t| t.ends_with("_error")),
                    "{:?}, {model}: {seen}",
                    fault.fault
                );
                assert_eq!(sim.requests().len(), 1, "{model}: what reached the client cannot be asked for again");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_come_in_the_shape_and_class_that_the_package_knows() {
    let (sim, proxy) = setup().await;
    sim.script(Rule::error(Exception::Validation).times(1));
    let seen = ask(&proxy, "claude", "--plain").await;
    assert_eq!(
        (&seen["error"]["kind"], &seen["error"]["type"]),
        (&"BadRequestError".into(), &"invalid_request_error".into())
    );
    let unknown = ask(&proxy, "nothing", "--stream").await;
    assert_eq!(
        (&unknown["error"]["kind"], &unknown["error"]["type"]),
        (&"NotFoundError".into(), &"not_found_error".into())
    );
    assert_eq!(unknown["error"]["code"], "model_not_found", "{unknown}");
    sim.clear_script();
    sim.script(Rule::error(Exception::ServiceUnavailable));
    let down = ask(&proxy, "claude", "--plain").await;
    assert_eq!((&down["error"]["status"], &down["error"]["type"]), (&503.into(), &"overloaded_error".into()), "{down}");
}
