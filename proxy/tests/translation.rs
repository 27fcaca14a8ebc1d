//! The corpus under `tests/corpus/openai-to-bedrock`: a client's request and an upstream's answer in, the upstream's request and the client's answer out.
//!
//! Each case is a folder. Written by hand: `request.json`, `case.json` (target and route, optional) and either
//! `upstream-response.json` or `upstream-stream.jsonl` (one frame a line). Everything else in it is the outcome; after a
//! wanted change, `UPDATE_CORPUS=1 cargo test -p tollway-proxy --test translation` writes it anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tollway_core::table::{Bedrock, Defaults, Guardrail};
use tollway_proxy::chat::{StreamEvent, UpstreamError};
use tollway_proxy::error::ApiError;
use tollway_proxy::provider::bedrock::{self, Decoder, ToolNames};
use tollway_proxy::surface::Head;
use tollway_proxy::surface::openai::{self, StreamRenderer};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Case {
    model: String,
    max_tokens: u32,
    defaults: Defaults,
    guardrail: Option<Guardrail>,
    status: u16,
    error_type: Option<String>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            model: "us.amazon.nova-pro-v1:0".to_owned(),
            max_tokens: 4096,
            defaults: Defaults::default(),
            guardrail: None,
            status: 200,
            error_type: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    event: Option<String>,
    exception: Option<String>,
    payload: Value,
}

/// Files that a case came to, by name.
type Outcome = Vec<(&'static str, String)>;

fn cases() -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/openai-to-bedrock");
    let mut cases: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

fn read(case: &Path, name: &str) -> Option<Vec<u8>> {
    fs::read(case.join(name)).ok()
}

fn head(model: &str) -> Head {
    Head { id: "chatcmpl-1".to_owned(), created: 1_700_000_000, began: None, model: model.to_owned() }
}

/// Indents JSON without touching the order of its members or the spelling of its values.
fn pretty(json: &[u8]) -> String {
    let (mut out, mut depth, mut in_string, mut escaped) = (String::new(), 0_usize, false, false);
    let mut characters = std::str::from_utf8(json).unwrap().chars().peekable();
    while let Some(c) = characters.next() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                if characters.peek().is_some_and(|next| matches!(next, '}' | ']')) {
                    continue;
                }
                depth += 1;
                out.push('\n');
                out.push_str(&"  ".repeat(depth));
            }
            '}' | ']' => {
                if !out.ends_with(['{', '[']) {
                    depth -= 1;
                    out.push('\n');
                    out.push_str(&"  ".repeat(depth));
                }
                out.push(c);
            }
            ',' => {
                out.push_str(",\n");
                out.push_str(&"  ".repeat(depth));
            }
            ':' => out.push_str(": "),
            c if c.is_whitespace() => {}
            c => {
                in_string = c == '"';
                out.push(c);
            }
        }
    }
    out.push('\n');
    out
}

fn refused(error: &ApiError) -> Outcome {
    let body: Value = serde_json::from_slice(&openai::render_error(error)).unwrap();
    vec![("error.json", pretty(json!({"status": error.status.as_u16(), "body": body}).to_string().as_bytes()))]
}

fn failed(error: &UpstreamError) -> (&'static str, String) {
    let UpstreamError { kind, status, name, message } = error;
    let shown = json!({"kind": format!("{kind:?}"), "status": status, "name": name, "message": message});
    ("error.json", pretty(shown.to_string().as_bytes()))
}

fn frame(line: &Line) -> Vec<u8> {
    let text = |name: &'static str, value: String| Header::new(name, HeaderValue::String(value.into()));
    let headers = match (&line.event, &line.exception) {
        (Some(event), None) => vec![text(":message-type", "event".to_owned()), text(":event-type", event.clone())],
        (None, Some(name)) => {
            vec![text(":message-type", "exception".to_owned()), text(":exception-type", name.clone())]
        }
        _ => panic!("a line is either an event or an exception"),
    };
    let message = Message::new_from_parts(headers, line.payload.to_string().into_bytes());
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).unwrap();
    bytes
}

fn frames(lines: &[u8]) -> Vec<Vec<u8>> {
    let lines = std::str::from_utf8(lines).unwrap().lines().filter(|line| !line.is_empty());
    lines.map(|line| frame(&serde_json::from_str(line).unwrap())).collect()
}

fn events<'a>(names: &ToolNames, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<StreamEvent> {
    let mut decoder = Decoder::new(names.clone());
    let mut events: Vec<StreamEvent> = parts.into_iter().flat_map(|part| decoder.feed(part)).collect();
    events.extend(decoder.end());
    events
}

fn run(case: &Path) -> Outcome {
    let settings: Case =
        read(case, "case.json").map_or_else(Case::default, |json| serde_json::from_slice(&json).unwrap());
    let request = match openai::parse(&read(case, "request.json").unwrap()) {
        Ok(request) => request,
        Err(error) => return refused(&error),
    };
    let target = Bedrock {
        model_id: settings.model,
        region: Some("us-east-1".to_owned()),
        role_arn: None,
        guardrail: settings.guardrail,
    };
    let max_tokens = request.max_tokens.unwrap_or(settings.max_tokens);
    let converse = match bedrock::build(&request, &target, &settings.defaults, max_tokens) {
        Ok(converse) => converse,
        Err(error) => return refused(&error),
    };
    let mut outcome = vec![("upstream-request.json", pretty(&converse.body))];
    if let Some(body) = read(case, "upstream-response.json") {
        let mut headers = HeaderMap::new();
        if let Some(kind) = settings.error_type {
            headers.insert("x-amzn-errortype", kind.parse().unwrap());
        }
        let answer = match settings.status {
            200 => bedrock::decode(&body, &converse.names),
            status => Err(bedrock::decode_error(status, &headers, &body)),
        };
        outcome.push(match answer {
            Ok(answer) => ("response.json", pretty(&openai::render(&answer, &head(&request.model)))),
            Err(error) => failed(&error),
        });
    }
    if let Some(lines) = read(case, "upstream-stream.jsonl") {
        let frames = frames(&lines);
        let mut renderer = StreamRenderer::new(head(&request.model), request.stream_options.include_usage);
        let mut sse = Vec::new();
        for event in events(&converse.names, frames.iter().map(Vec::as_slice)) {
            renderer.event(&event, &mut sse);
        }
        renderer.end(&mut sse);
        outcome.push(("response.sse", String::from_utf8(sse).unwrap()));
    }
    outcome
}

#[test]
fn every_case_comes_to_what_its_folder_says() {
    let update = std::env::var_os("UPDATE_CORPUS").is_some();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 40, "only {} cases: the corpus is not there", cases.len());
    for case in &cases {
        let outcome = run(case);
        for name in ["upstream-request.json", "response.json", "response.sse", "error.json"] {
            let got = outcome.iter().find(|(file, _)| *file == name).map(|(_, text)| text.clone());
            let file = case.join(name);
            let wanted = fs::read_to_string(&file).ok();
            if got == wanted {
                continue;
            }
            match (&got, update) {
                (Some(text), true) => fs::write(&file, text).unwrap(),
                (None, true) => fs::remove_file(&file).unwrap(),
                _ => wrong.push(format!(
                    "{}\n--- wanted\n{}\n--- got\n{}",
                    file.display(),
                    wanted.unwrap_or_default(),
                    got.unwrap_or_default()
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n\nUPDATE_CORPUS=1 writes the outcomes anew", wrong.join("\n\n"));
}

#[test]
fn peek_says_what_a_full_parse_says() {
    for case in cases() {
        let body = read(&case, "request.json").unwrap();
        let (peek, parsed) = (openai::peek(&body), openai::parse(&body));
        match (peek, parsed) {
            (Ok(peek), Ok(request)) => {
                let wanted = (request.model, request.stream, request.stream_options.include_usage, request.max_tokens);
                assert_eq!(
                    (peek.model, peek.stream, peek.include_usage, peek.max_tokens),
                    wanted,
                    "{}",
                    case.display()
                );
                assert_eq!((peek.n, peek.user), (request.n, request.user), "{}", case.display());
                assert_eq!(peek.size.tools as usize, request.tools.len(), "{}", case.display());
                assert_eq!(peek.size.messages as usize, request.messages.len(), "{}", case.display());
            }
            // What only a translation has to understand, only a parse refuses.
            (Ok(_), Err(error)) => assert_eq!(error.status, 400, "{}", case.display()),
            (Err(peek), Err(parse)) => {
                assert_eq!((peek.code, peek.status), (parse.code, parse.status), "{}", case.display())
            }
            (Err(error), Ok(_)) => panic!("{}: only peek refuses: {error}", case.display()),
        }
    }
}

fn streams() -> impl Iterator<Item = (PathBuf, ToolNames, Vec<Vec<u8>>)> {
    cases().into_iter().filter_map(|case| {
        let lines = read(&case, "upstream-stream.jsonl")?;
        let settings: Case =
            read(&case, "case.json").map_or_else(Case::default, |json| serde_json::from_slice(&json).unwrap());
        let request = openai::parse(&read(&case, "request.json")?).ok()?;
        let target = Bedrock { model_id: settings.model, region: None, role_arn: None, guardrail: None };
        let names = bedrock::build(&request, &target, &settings.defaults, 4096).ok()?.names;
        Some((case, names, frames(&lines)))
    })
}

#[test]
fn a_stream_says_the_same_however_its_bytes_are_cut() {
    let mut seen = 0;
    for (case, names, frames) in streams() {
        seen += 1;
        let bytes = frames.concat();
        let whole = events(&names, [bytes.as_slice()]);
        for size in [1, 2, 3, 7, 16, 100, 1021] {
            assert_eq!(events(&names, bytes.chunks(size)), whole, "{} in chunks of {size}", case.display());
        }
    }
    assert!(seen > 5, "only {seen} streams: the corpus is not there");
}

#[test]
fn a_stream_that_dies_anywhere_is_an_error_and_never_an_end() {
    for (case, names, frames) in streams() {
        let bytes = frames.concat();
        let whole = events(&names, [bytes.as_slice()]);
        if matches!(whole.last(), Some(StreamEvent::Error(_))) {
            continue;
        }
        for cut in 0..bytes.len() {
            let events = events(&names, [&bytes[..cut]]);
            let errors = events.iter().filter(|event| matches!(event, StreamEvent::Error(_))).count();
            assert_eq!(errors, 1, "{} cut after {cut} bytes: {events:?}", case.display());
            let mut renderer = StreamRenderer::new(head("m"), true);
            let mut sse = Vec::new();
            events.iter().for_each(|event| renderer.event(event, &mut sse));
            renderer.end(&mut sse);
            let sse = String::from_utf8(sse).unwrap();
            assert!(!sse.contains("[DONE]") && sse.matches("\"error\"").count() == 1, "{sse}");
        }
    }
}

#[test]
fn damaged_bytes_are_an_error_and_never_a_panic() {
    for (_, names, frames) in streams().take(4) {
        let bytes = frames.concat();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            let events = events(&names, [damaged.as_slice()]);
            assert!(matches!(events.last(), Some(StreamEvent::Error(_))), "byte {at} changed and nobody noticed");
        }
    }
}
