//! The Rust SDK as a client: Converse, ConverseStream, every error type, signatures.

use super::{PRO, start};
use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_sdk_bedrockruntime::config::{BehaviorVersion, Credentials, Region, Token};
use aws_sdk_bedrockruntime::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockruntime::types::{
    ContentBlock, ContentBlockDelta, ContentBlockStart, ConversationRole, ConverseStreamOutput, InferenceConfiguration,
    Message, ReasoningContentBlock, StopReason,
};
use aws_smithy_types::error::metadata::ErrorMetadata;
use serde_json::json;
use tollway_tests::sim::{Block, Config, Corruption, Credential, Exception, Outcome, Point, Reply, Rule, Sim};

fn client_with(sim: &Sim, credential: &Credential) -> Client {
    let Credential { access_key_id, secret_access_key, session_token } = credential.clone();
    let config = aws_sdk_bedrockruntime::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(sim.url())
        .credentials_provider(Credentials::new(access_key_id, secret_access_key, session_token, None, "test"))
        .retry_config(RetryConfig::disabled());
    Client::from_conf(config.build())
}

fn client(sim: &Sim) -> Client {
    client_with(sim, &Credential::example())
}

fn user(text: &str) -> Message {
    Message::builder().role(ConversationRole::User).content(ContentBlock::Text(text.to_owned())).build().unwrap()
}

fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> (Option<&str>, Option<&str>) {
    let meta: &ErrorMetadata = error.as_service_error().expect("an error of the service").meta();
    (meta.code(), meta.message())
}

#[tokio::test]
async fn converse_answers_and_bills() {
    let sim = start().await;
    let answer = client(&sim).converse().model_id(PRO).messages(user("12345678")).send().await.unwrap();
    assert_eq!(answer.stop_reason(), &StopReason::EndTurn);
    let usage = answer.usage().unwrap();
    // 2 tokens of text and 4 for the message; the usual reply is 37 bytes.
    assert_eq!((usage.input_tokens(), usage.output_tokens(), usage.total_tokens()), (6, 10, 16));
    let message = answer.output().unwrap().as_message().unwrap();
    assert_eq!(message.content()[0].as_text().unwrap(), "The toll is paid and the road is open.");
    assert_eq!(sim.bill().nano, 6 * 800 + 10 * 3_200);
    let seen = &sim.requests()[0];
    assert_eq!(
        (seen.outcome, seen.status, seen.client.as_deref()),
        (Outcome::Complete, 200, Some("AKIASIMULATED0000001"))
    );
    assert_eq!(seen.path, "/model/us.amazon.nova-pro-v1%3A0/converse");
}

#[tokio::test]
async fn a_limit_stops_the_answer_and_an_arn_names_the_model() {
    let sim = start().await;
    sim.script(Rule::reply(Reply::tokens(50)));
    let arn = format!("arn:aws:bedrock:us-east-1:123456789012:inference-profile/{PRO}");
    let limit = InferenceConfiguration::builder().max_tokens(7).build();
    let answer =
        client(&sim).converse().model_id(arn).messages(user("hi")).inference_config(limit).send().await.unwrap();
    assert_eq!((answer.stop_reason(), answer.usage().unwrap().output_tokens()), (&StopReason::MaxTokens, 7));
    assert_eq!(sim.requests()[0].model.as_deref(), Some(PRO));
}

#[tokio::test]
async fn a_stream_has_every_kind_of_event_in_order() {
    let sim = start().await;
    let blocks = [
        Block::Reasoning { text: "let me see".to_owned(), signature: Some("signed".to_owned()) },
        Block::Text("It is noon, I would say.".to_owned()),
        Block::ToolUse { id: "t1".to_owned(), name: "clock".to_owned(), input: json!({ "zone": "Europe/Zürich" }) },
    ];
    sim.script(Rule::reply(Reply { cache_read: 3, ..Reply::blocks(blocks.clone()) }));
    let mut stream =
        client(&sim).converse_stream().model_id(PRO).messages(user("what time is it?")).send().await.unwrap().stream;
    let (mut order, mut text, mut thought, mut input, mut usage) =
        (Vec::new(), String::new(), String::new(), String::new(), None);
    while let Some(event) = stream.recv().await.unwrap() {
        order.push(match event {
            ConverseStreamOutput::MessageStart(start) => {
                assert_eq!(start.role(), &ConversationRole::Assistant);
                "messageStart"
            }
            ConverseStreamOutput::ContentBlockStart(start) => {
                let Some(ContentBlockStart::ToolUse(tool)) = start.start() else { panic!("{start:?}") };
                assert_eq!((start.content_block_index(), tool.tool_use_id(), tool.name()), (2, "t1", "clock"));
                "start"
            }
            ConverseStreamOutput::ContentBlockDelta(delta) => {
                match delta.delta().unwrap() {
                    ContentBlockDelta::Text(piece) => text += piece,
                    ContentBlockDelta::ToolUse(piece) => input += piece.input(),
                    ContentBlockDelta::ReasoningContent(piece) => {
                        thought += piece.as_text().map_or("", |t| t);
                        thought += &piece.as_signature().map_or(String::new(), |s| format!("/{s}"));
                    }
                    other => panic!("{other:?}"),
                }
                "delta"
            }
            ConverseStreamOutput::ContentBlockStop(_) => "stop",
            ConverseStreamOutput::MessageStop(stop) => {
                assert_eq!(stop.stop_reason(), &StopReason::ToolUse);
                "messageStop"
            }
            ConverseStreamOutput::Metadata(metadata) => {
                usage = metadata.usage().cloned();
                "metadata"
            }
            other => panic!("{other:?}"),
        });
    }
    order.dedup();
    let want = ["messageStart", "delta", "stop", "delta", "stop", "start", "delta", "stop", "messageStop", "metadata"];
    assert_eq!(order, want);
    assert_eq!((text.as_str(), thought.as_str()), ("It is noon, I would say.", "let me see/signed"));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&input).unwrap(), json!({ "zone": "Europe/Zürich" }));
    // 4 tokens of text and 4 for the message, 3 of them read from the cache.
    let usage = usage.unwrap();
    assert_eq!((usage.input_tokens(), usage.cache_read_input_tokens()), (5, Some(3)));

    // The same, plain.
    sim.script(Rule::reply(Reply::blocks(blocks)));
    let plain = client(&sim).converse().model_id(PRO).messages(user("what time is it?")).send().await.unwrap();
    assert_eq!(plain.usage().unwrap().output_tokens(), usage.output_tokens());
    let content = plain.output().unwrap().as_message().unwrap().content().to_vec();
    assert!(
        matches!(&content[0], ContentBlock::ReasoningContent(ReasoningContentBlock::ReasoningText(t)) if t.signature() == Some("signed"))
    );
    assert_eq!(content[2].as_tool_use().unwrap().name(), "clock");
}

#[tokio::test]
async fn every_error_before_the_stream_has_its_type() {
    let sim = start().await;
    let client = client(&sim);
    for exception in Exception::ALL {
        let (name, status, message) = exception.wire();
        sim.script(Rule::error_retry_after(exception, 3).times(2));
        let plain = client.converse().model_id(PRO).messages(user("hi")).send().await.unwrap_err();
        assert_eq!(code(&plain), (Some(name), Some(message)));
        let raw = plain.raw_response().unwrap();
        assert_eq!((raw.status().as_u16(), raw.headers().get("retry-after")), (status, Some("3")));
        let streamed = client.converse_stream().model_id(PRO).messages(user("hi")).send().await.unwrap_err();
        assert_eq!(code(&streamed), (Some(name), Some(message)));
    }
    assert_eq!(sim.bill().nano, 0);
    assert!(sim.requests().iter().all(|seen| seen.outcome == Outcome::Refused));
    // The SDK knows these by type, not only by name.
    sim.script(Rule::error(Exception::ModelNotReady).times(1));
    let error = client.converse().model_id(PRO).messages(user("hi")).send().await.unwrap_err();
    assert!(error.into_service_error().is_model_not_ready_exception());
}

#[tokio::test]
async fn every_error_inside_the_stream_has_its_type() {
    let sim = start().await;
    let client = client(&sim);
    for exception in Exception::IN_STREAM {
        sim.script(Rule::stream_error(exception, 3).times(1));
        let mut stream = client.converse_stream().model_id(PRO).messages(user("hi")).send().await.unwrap().stream;
        let mut events = 0;
        let error = loop {
            match stream.recv().await {
                Ok(Some(_)) => events += 1,
                Ok(None) => panic!("no error in the stream"),
                Err(error) => break error,
            }
        };
        // Inside a stream the SDK fills in the type, not the code.
        let kind = format!("{:?}", error.as_service_error().unwrap());
        assert!(kind.starts_with(exception.wire().0), "{kind}");
        assert_eq!((events, code(&error).1), (3, Some(exception.wire().2)));
    }
    // Three events: the start and two pieces of four tokens. Each request read 5 tokens.
    assert_eq!(sim.bill().nano, 5 * (5 * 800 + 8 * 3_200));
}

#[tokio::test]
async fn spoilt_frames_are_errors_and_not_events() {
    let sim = start().await;
    let spoilt =
        [Rule::corrupt(Corruption::Checksum, 2), Rule::corrupt(Corruption::Garbage, 2), Rule::cut(Point::Events(2))];
    for rule in spoilt {
        sim.script(rule.clone().times(1));
        let mut stream = client(&sim).converse_stream().model_id(PRO).messages(user("hi")).send().await.unwrap().stream;
        assert!(stream.recv().await.unwrap().unwrap().is_message_start());
        assert!(stream.recv().await.unwrap().unwrap().is_content_block_delta());
        let error = stream.recv().await.expect_err("the third event");
        assert!(error.as_service_error().is_none(), "{rule:?}: {error:?}");
    }
    sim.idle().await;
    // The second piece was generated although it did not arrive whole.
    assert_eq!(sim.bill().nano, 3 * (5 * 800 + 8 * 3_200));
}

#[tokio::test]
async fn keys_are_checked() {
    let temporary = Credential {
        access_key_id: "ASIATEMPORARY".to_owned(),
        secret_access_key: "other".to_owned(),
        session_token: Some("token/with+signs==".to_owned()),
    };
    let mut config = Config::default();
    config.credentials.push(temporary.clone());
    let sim = Sim::start(config).await.unwrap();
    let ask = async |credential: &Credential| {
        let sent = client_with(&sim, credential).converse().model_id(PRO).messages(user("hi")).send().await;
        sent.map(|_| ()).map_err(|e| {
            assert_eq!(e.raw_response().unwrap().status().as_u16(), 403);
            code(&e).0.unwrap_or_default().to_owned()
        })
    };
    assert_eq!(ask(&Credential::example()).await, Ok(()));
    assert_eq!(ask(&temporary).await, Ok(()));
    let wrong = Credential { secret_access_key: "wrong".to_owned(), ..Credential::example() };
    assert_eq!(ask(&wrong).await, Err("InvalidSignatureException".to_owned()));
    let without = Credential { session_token: None, ..temporary };
    assert_eq!(ask(&without).await, Err("UnrecognizedClientException".to_owned()));

    let bearer = |token: &str| {
        let config = aws_sdk_bedrockruntime::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(sim.url())
            .token_provider(Token::new(token, None))
            .retry_config(RetryConfig::disabled());
        Client::from_conf(config.build())
    };
    let known = bearer("bedrock-api-key-simulated");
    assert!(known.converse().model_id(PRO).messages(user("hi")).send().await.is_ok());
    let error = bearer("unknown").converse().model_id(PRO).messages(user("hi")).send().await.unwrap_err();
    assert!(error.into_service_error().is_access_denied_exception());
}

#[tokio::test]
async fn what_bedrock_would_not_take_is_a_validation_exception() {
    let sim = start().await;
    let client = client(&sim);
    let refused = async |model: &str, messages: Vec<Message>| {
        let error = client
            .converse()
            .model_id(model)
            .set_messages(Some(messages))
            .send()
            .await
            .unwrap_err()
            .into_service_error();
        assert!(error.is_validation_exception(), "{error:?}");
        error.meta().message().unwrap_or_default().to_owned()
    };
    assert!(refused("no.such-model", vec![user("hi")]).await.contains("model identifier is invalid"));
    assert!(refused(PRO, vec![]).await.contains("must start with a user message"));
    assert!(refused(PRO, vec![user("a"), user("b")]).await.contains("alternate"));
    assert!(refused(PRO, vec![user(" ")]).await.contains("blank"));
}
