//! The dialect against its own rules: the bound is always in the bytes and never twice, every other byte stays, bad input is one error.

use super::*;
use crate::chat::{BlockStart, Delta, FinishReason, StreamEvent};
use crate::error::{ApiError, Code};
use crate::provider::ToolNames;
use crate::provider::bedrock::Decoder;
use crate::surface::{Form, Peek};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tollway_core::table::{Bedrock, Defaults, Guardrail};

const CONVERSE: &str = "/model/us.amazon.nova-pro-v1%3A0/converse";

fn target(model_id: &str, guardrail: bool) -> Bedrock {
    let guardrail = guardrail.then(|| Guardrail { id: "gr".to_owned(), version: "1".to_owned() });
    Bedrock { model_id: model_id.to_owned(), base_model: None, region: None, role_arn: None, guardrail }
}

fn converse(body: &str, defaults: &Defaults, target: &Bedrock) -> Result<String, ApiError> {
    let peek = peek(CONVERSE, body.as_bytes())?;
    let Form::Converse(spans) = &peek.form else { panic!("a Converse request of another form") };
    let change = Splice { max_tokens: peek.max_tokens.unwrap_or(77), target, defaults };
    let spliced = splice(&Bytes::from(body.to_owned()), spans, &change)?;
    Ok(String::from_utf8(spliced.to_vec()).unwrap())
}

fn invoke(model: &str, body: &Value, target: &str) -> Result<(Peek, Value), ApiError> {
    let path = format!("/model/{model}/invoke");
    let body = Bytes::from(body.to_string());
    let peek = peek(&path, &body)?;
    let Form::Invoke(invoke) = &peek.form else { panic!("an InvokeModel request of another form") };
    let spliced = splice_invoke(&body, invoke, target, peek.max_tokens.unwrap_or(77))?;
    Ok((peek.clone(), serde_json::from_slice(&spliced).unwrap()))
}

#[test]
fn the_bound_is_written_where_there_is_none_and_nothing_else_changes() {
    let nova = target("us.amazon.nova-pro-v1:0", false);
    let none = Defaults::default();
    for (body, wanted) in [
        ("{}", r#"{"inferenceConfig":{"maxTokens":77}}"#),
        (r#"{ "messages":[ ] }"#, r#"{"inferenceConfig":{"maxTokens":77}, "messages":[ ] }"#),
        (r#"{"inferenceConfig": null, "messages":[]}"#, r#"{"inferenceConfig": {"maxTokens":77}, "messages":[]}"#),
        (r#"{"inferenceConfig":{"topP":1e-1}}"#, r#"{"inferenceConfig":{"maxTokens":77,"topP":1e-1}}"#),
        (r#"{"inferenceConfig":{"maxTokens":null}}"#, r#"{"inferenceConfig":{"maxTokens":77}}"#),
        (r#"{"inferenceConfig":{"maxTokens":5 }}"#, r#"{"inferenceConfig":{"maxTokens":5 }}"#),
        (r#"{"inference\u0043onfig":{"max\u0054okens":5}}"#, r#"{"inference\u0043onfig":{"max\u0054okens":5}}"#),
    ] {
        assert_eq!(converse(body, &none, &nova).unwrap(), wanted, "{body}");
    }
}

#[test]
fn defaults_fill_what_is_open_and_the_guardrail_of_the_route_holds() {
    let defaults = Defaults {
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(7),
        stop: vec!["END".to_owned()],
        ..Defaults::default()
    };
    let read = |body: &str, model| -> Value {
        serde_json::from_str(&converse(body, &defaults, &target(model, true)).unwrap()).unwrap()
    };
    let guardrail = json!({"guardrailIdentifier": "gr", "guardrailVersion": "1"});
    let sent = read(
        r#"{"guardrailConfig":{"guardrailIdentifier":"mine"},"inferenceConfig":{"topP":0.1}}"#,
        "amazon.nova-pro-v1:0",
    );
    assert_eq!(sent["guardrailConfig"], guardrail);
    assert_eq!(
        sent["inferenceConfig"],
        json!({"maxTokens": 77, "temperature": 0.5, "topP": 0.1, "stopSequences": ["END"]})
    );
    assert_eq!(sent["additionalModelRequestFields"], json!({"inferenceConfig": {"topK": 7}}));
    // Claude's newer models take one of the two.
    let sent =
        read(r#"{"inferenceConfig":{"topP":0.1},"additionalModelRequestFields":{"top_k":3}}"#, "anthropic.claude-x");
    assert_eq!(sent["inferenceConfig"], json!({"maxTokens": 77, "topP": 0.1, "stopSequences": ["END"]}));
    assert_eq!(sent["additionalModelRequestFields"], json!({"top_k": 3}));
}

#[test]
fn what_would_escape_the_cap_is_refused_by_name() {
    for (body, code, param) in [
        (r#"{"inferenceConfig":{"maxTokens":0}}"#, Code::InvalidRequest, "inferenceConfig.maxTokens"),
        (r#"{"inferenceConfig":{"maxTokens":1.5}}"#, Code::InvalidRequest, "inferenceConfig.maxTokens"),
        (r#"{"inferenceConfig":{"maxTokens":99999999999}}"#, Code::InvalidRequest, "inferenceConfig.maxTokens"),
        (r#"{"inferenceConfig":{},"inferenceConfig":{}}"#, Code::InvalidRequest, "inferenceConfig"),
        (r#"{"inferenceConfig":{"maxTokens":1,"maxTokens":2}}"#, Code::InvalidRequest, "maxTokens"),
        (r#"{"inferenceConfig":[]}"#, Code::InvalidRequest, "inferenceConfig"),
        (
            r#"{"additionalModelRequestFields":{"max_tokens":9}}"#,
            Code::UnsupportedField,
            "additionalModelRequestFields.max_tokens",
        ),
        (
            r#"{"additionalModelRequestFields":{"inferenceConfig":{"max_new_tokens":9}}}"#,
            Code::UnsupportedField,
            "additionalModelRequestFields.inferenceConfig.max_new_tokens",
        ),
        (r#"{"additionalModelRequestFields":{"n":2}}"#, Code::UnsupportedField, "additionalModelRequestFields.n"),
        (r#"{"performanceConfig":{"latency":"optimized"}}"#, Code::UnsupportedField, "performanceConfig.latency"),
        (r#"{"serviceTier":{"type":"priority"}}"#, Code::UnsupportedField, "serviceTier.type"),
        (
            r#"{"toolConfig":{"tools":[{"toolSpec":{}},{"systemTool":{"name":"nova_grounding"}}]}}"#,
            Code::UnsupportedField,
            "toolConfig.tools[1].systemTool",
        ),
        ("[]", Code::InvalidRequest, "the body"),
        ("", Code::InvalidRequest, "the body"),
        ("{}{}", Code::InvalidRequest, "the body"),
    ] {
        let error = peek(CONVERSE, body.as_bytes()).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (code, Some(param)), "{body}: {error}");
    }
}

#[test]
fn what_is_not_text_is_counted_apart() {
    let body = json!({
        "system": [{"text": "s"}],
        "messages": [
            {"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": "AAAABBBB"}}}, {"text": "x"}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [
                {"image": {"format": "png", "source": {"bytes": "CCCC"}}}, {"json": {}}]}}]},
        ],
        "toolConfig": {"tools": [{"toolSpec": {}}, {"cachePoint": {"type": "default"}}]},
    });
    let text = body.to_string();
    let size = peek(CONVERSE, text.as_bytes()).unwrap().size;
    assert_eq!((size.messages, size.images, size.tools, size.unbounded), (3, 2, 2, 0));
    assert_eq!(size.text_bytes, text.len() as u64 - 10 - 6, "two quoted texts of base64");
    for kind in ["document", "video", "audio", "guardContent", "searchResult", "somethingNew"] {
        let body = json!({"messages": [{"role": "user", "content": [{kind: {}}]}]}).to_string();
        assert_eq!(peek(CONVERSE, body.as_bytes()).unwrap().size.unbounded, 1, "{kind}");
    }
}

#[test]
fn what_only_bedrock_has_is_kept_apart_and_never_dropped() {
    let body =
        br#"{"messages":[],"guardrailConfig":{},"promptVariables":null,"futureField":[1],"serviceTier":{"type":"flex"},
        "additionalModelRequestFields":{"top_k":3,"anthropic_beta":[]}}"#;
    let request = parse(body, &peek(CONVERSE, body).unwrap()).unwrap();
    let kept: Vec<&str> = request.dialect_only.keys().map(String::as_str).collect();
    assert_eq!(kept, ["additionalModelRequestFields.anthropic_beta", "futureField", "guardrailConfig"]);
    assert_eq!(request.sampling.top_k, Some(3));
}

#[test]
fn every_family_has_its_bound_under_its_own_name() {
    for (model, body, wanted) in [
        ("anthropic.claude-x", json!({"messages": []}), json!({"messages": [], "max_tokens": 77})),
        ("us.anthropic.claude-x", json!({"messages": [], "max_tokens": 5}), json!({"messages": [], "max_tokens": 5})),
        ("anthropic.claude-v2", json!({"prompt": ""}), json!({"prompt": "", "max_tokens_to_sample": 77})),
        (
            "amazon.nova-pro-v1:0",
            json!({"messages": []}),
            json!({"messages": [], "inferenceConfig": {"maxTokens": 77}}),
        ),
        (
            "amazon.nova-lite-v1:0",
            json!({"messages": [], "inferenceConfig": {"max_new_tokens": 9, "topP": 1}}),
            json!({"messages": [], "inferenceConfig": {"max_new_tokens": 9, "topP": 1}}),
        ),
        (
            "amazon.titan-text-express-v1",
            json!({"inputText": ""}),
            json!({"inputText": "", "textGenerationConfig": {"maxTokenCount": 77}}),
        ),
        ("eu.meta.llama3-2-1b-instruct-v1:0", json!({"prompt": ""}), json!({"prompt": "", "max_gen_len": 77})),
        ("mistral.mistral-7b", json!({"prompt": ""}), json!({"prompt": "", "max_tokens": 77})),
        ("cohere.command-r-v1:0", json!({"message": ""}), json!({"message": "", "max_tokens": 77})),
        ("ai21.jamba-1-5-mini-v1:0", json!({"messages": []}), json!({"messages": [], "max_tokens": 77})),
        ("ai21.j2-mid-v1", json!({"prompt": ""}), json!({"prompt": "", "maxTokens": 77})),
        ("us.deepseek.r1-v1:0", json!({"prompt": ""}), json!({"prompt": "", "max_tokens": 77})),
        ("openai.gpt-oss-120b-1:0", json!({"messages": []}), json!({"messages": [], "max_completion_tokens": 77})),
        (
            "openai.gpt-oss-120b-1:0",
            json!({"messages": [], "max_tokens": 3, "max_completion_tokens": 9}),
            json!({"messages": [], "max_tokens": 3, "max_completion_tokens": 3}),
        ),
    ] {
        assert_eq!(invoke(model, &body, model).unwrap().1, wanted, "{model}");
        // A name that is no model's stands for whichever its targets are.
        assert_eq!(invoke("alias", &body, model).unwrap().1, wanted, "{model}");
        let arn = format!("arn:aws:bedrock:us-east-1:1:inference-profile/{model}");
        assert_eq!(invoke(&arn, &body, &arn).unwrap().1, wanted, "{arn}");
    }
}

#[test]
fn what_is_reserved_never_exceeds_what_a_model_takes() {
    let said = |body: Value, max| {
        let path = "/model/meta.llama3-8b/invoke";
        let body = Bytes::from(body.to_string());
        let Form::Invoke(invoke) = peek(path, &body).unwrap().form else { panic!("another form") };
        let spliced = splice_invoke(&body, &invoke, "meta.llama3-8b", max).unwrap();
        serde_json::from_slice::<Value>(&spliced).unwrap()["max_gen_len"].clone()
    };
    assert_eq!(said(json!({"prompt": ""}), 4096), 2048);
    assert_eq!(said(json!({"prompt": "", "max_gen_len": null}), 4096), 2048);
    assert_eq!(said(json!({"prompt": "", "max_gen_len": 4096}), 4096), 4096, "what the client says, the model judges");
}

#[test]
fn bodies_without_a_bound_that_is_known_are_refused() {
    let text = json!({"prompt": ""});
    for (model, body, target) in [
        ("alias", json!({"inputText": ""}), "amazon.titan-embed-text-v2:0"),
        ("stability.sd3-large-v1:0", json!({"mode": "x"}), "stability.sd3-large-v1:0"),
        ("amazon.nova-canvas-v1:0", json!({"taskType": "x"}), "amazon.nova-canvas-v1:0"),
        ("meta.llama3-8b", json!({"messages": []}), "meta.llama3-8b"),
        ("meta.llama3-8b", text.clone(), "mistral.mistral-7b"),
        ("alias", text.clone(), "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc123"),
        ("meta.llama3-8b", json!({"prompt": "", "max_gen_len": -1}), "meta.llama3-8b"),
        ("meta.llama3-8b", json!([]), "meta.llama3-8b"),
    ] {
        let error = invoke(model, &body, target).unwrap_err();
        assert_eq!(status(&error), 400, "{model} {body}");
    }
}

#[test]
fn answers_and_pictures_of_a_family_count() {
    let (peek, _) =
        invoke("cohere.command-text-v14", &json!({"prompt": "", "num_generations": 5}), "cohere.command-text-v14")
            .unwrap();
    assert_eq!(peek.n, 5);
    let unbounded = |content: Value| {
        let body = json!({"messages": [{"role": "user", "content": content}]});
        invoke("anthropic.claude-x", &body, "anthropic.claude-x").unwrap().0.size.unbounded
    };
    assert_eq!(unbounded(json!("text")), 0);
    assert_eq!(unbounded(json!([{"type": "text", "text": ""}, {"type": "tool_result", "content": "x"}])), 0);
    assert_eq!(unbounded(json!([{"type": "image", "source": {}}])), 1);
    assert_eq!(unbounded(json!([{"type": "tool_result", "content": [{"type": "document"}]}])), 1);
}

#[test]
fn errors_have_the_status_that_the_service_model_gives_their_type() {
    let seen = |error: &ApiError| {
        let mut headers = http::HeaderMap::new();
        explain(&mut headers, error);
        (status(error).as_u16(), headers["x-amzn-errortype"].to_str().unwrap().to_owned())
    };
    for (code, status, kind) in [
        (Code::BudgetExceeded, 400, "ServiceQuotaExceededException"),
        (Code::BudgetUnavailable, 503, "ServiceUnavailableException"),
        (Code::PriceUnknown, 403, "AccessDeniedException"),
        (Code::RateLimited, 429, "ThrottlingException"),
        (Code::ModelNotFound, 404, "ResourceNotFoundException"),
        (Code::InvalidRequest, 400, "ValidationException"),
        (Code::UnsupportedField, 400, "ValidationException"),
        (Code::InvalidApiKey, 403, "UnrecognizedClientException"),
        (Code::PayloadTooLarge, 413, "ValidationException"),
        (Code::UpstreamUnavailable, 503, "ServiceUnavailableException"),
        (Code::NotReady, 503, "ServiceUnavailableException"),
    ] {
        assert_eq!(seen(&ApiError::new(code, "")), (status, kind.to_owned()), "{code:?}");
    }
    for (from, to, kind) in [
        (502_u16, 500, "InternalServerException"),
        (503, 503, "ServiceUnavailableException"),
        (504, 408, "ModelTimeoutException"),
        (401, 403, "AccessDeniedException"),
    ] {
        let error = ApiError::upstream(http::StatusCode::from_u16(from).unwrap(), "");
        assert_eq!(seen(&error), (to, kind.to_owned()));
    }
}

#[test]
fn a_rendered_stream_reads_back_as_it_was() {
    let events = [
        StreamEvent::Start { id: None, model: None },
        StreamEvent::BlockStart { index: 0, block: BlockStart::Text },
        StreamEvent::BlockDelta { index: 0, delta: Delta::Text("hé".to_owned()) },
        StreamEvent::BlockStop { index: 0 },
        StreamEvent::BlockStart { index: 1, block: BlockStart::ToolUse { id: "t".to_owned(), name: "now".to_owned() } },
        StreamEvent::BlockDelta { index: 1, delta: Delta::ToolInput("{}".to_owned()) },
        StreamEvent::BlockStop { index: 1 },
        StreamEvent::Finish { reason: FinishReason::ToolUse, stop_sequence: None },
        StreamEvent::Usage(crate::chat::Usage::default()),
    ];
    let mut renderer = StreamRenderer::new(None);
    let mut out = Vec::new();
    events.iter().for_each(|event| renderer.event(event, &mut out));
    renderer.end(&mut out);
    let mut decoder = Decoder::new(ToolNames::default());
    assert_eq!(decoder.feed(&out), events);
    assert!(decoder.is_complete());
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\",:a-z0-9 ]{0,80}") {
        for path in [CONVERSE, "/model/x/invoke"] {
            for body in [bytes.as_slice(), text.as_bytes()] {
                if let Ok(peek) = peek(path, body) {
                    let _ = parse(body, &peek);
                }
            }
        }
    }
}
