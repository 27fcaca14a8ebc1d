//! The corpus under `tests/corpus`: a client's request and an upstream's answer in, the upstream's request and the client's answer out.
//!
//! Each folder is a surface and a provider, each case in it a folder. Written by hand: `request.json`, `case.json` (target
//! and route, optional) and either `upstream-response.json` or the upstream's stream: `upstream-stream.jsonl` (one AWS
//! frame a line: an event or exception with its `payload`, or the container's `text` or model's `chunk` inside one) or `upstream-stream.sse`. Where the two speak the same dialect, the client's bytes pass. Everything else in it is the outcome; after a
//! wanted change, `UPDATE_CORPUS=1 cargo test -p tollway-proxy --test translation` writes it anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tollway_core::table::{Bedrock, Defaults, Guardrail, Template};
use tollway_proxy::chat::{ChatRequest, ChatResponse};
use tollway_proxy::chat::{StreamEvent, UpstreamError};
use tollway_proxy::dialect::{Dialect, explain};
use tollway_proxy::error::ApiError;
use tollway_proxy::provider::bedrock::TextFamily;
use tollway_proxy::provider::openai::Habits;
use tollway_proxy::provider::prompt::Turns;
use tollway_proxy::provider::sagemaker::tgi;
use tollway_proxy::provider::signed::{Format, Reading};
use tollway_proxy::provider::{Decoder, ToolNames, agent_core, anthropic, bedrock, openai};
use tollway_proxy::surface::bedrock::{Api, Splice, splice};
use tollway_proxy::surface::{self, Form, Head, Peek, Renderer};

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Case {
    /// Absent: one that the provider has.
    model: Option<String>,
    /// An OpenAI target is OpenAI's own.
    strict: bool,
    max_tokens: u32,
    defaults: Defaults,
    guardrail: Option<Guardrail>,
    /// How a TGI container is prompted.
    template: Template,
    status: u16,
    error_type: Option<String>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            model: None,
            strict: false,
            max_tokens: 4096,
            defaults: Defaults::default(),
            guardrail: None,
            template: Template::Llama2,
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
    #[serde(default)]
    payload: Value,
    /// Bytes of a container.
    text: Option<String>,
    /// JSON of a model, base64 in a chunk.
    chunk: Option<Value>,
}

/// Files that a case came to, by name.
type Outcome = Vec<(&'static str, String)>;

/// A client's dialect and what answers it.
#[derive(Clone, Copy, Debug)]
struct Pair {
    folder: &'static str,
    dialect: Dialect,
    provider: Provider,
    /// How many cases there are at least.
    least: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Provider {
    Bedrock,
    Anthropic,
    OpenAi,
    /// Bedrock, for clients that speak its dialect.
    Passed,
    /// Bedrock's models with a body of their own; the model says the family.
    Text,
    /// SageMaker with an OpenAI container.
    SageMaker,
    /// SageMaker with a TGI container.
    Tgi,
    Agent,
}

const BEDROCK: Dialect = Dialect::Bedrock(Api::Converse);

const PAIRS: [Pair; 18] = [
    Pair { folder: "openai-to-bedrock", dialect: Dialect::OpenAi, provider: Provider::Bedrock, least: 120 },
    Pair { folder: "anthropic-to-bedrock", dialect: Dialect::Anthropic, provider: Provider::Bedrock, least: 20 },
    Pair { folder: "openai-to-anthropic", dialect: Dialect::OpenAi, provider: Provider::Anthropic, least: 20 },
    Pair { folder: "anthropic-to-openai", dialect: Dialect::Anthropic, provider: Provider::OpenAi, least: 20 },
    Pair { folder: "bedrock-to-openai", dialect: BEDROCK, provider: Provider::OpenAi, least: 40 },
    Pair { folder: "bedrock-to-bedrock", dialect: BEDROCK, provider: Provider::Passed, least: 20 },
    Pair { folder: "responses-to-bedrock", dialect: Dialect::Responses, provider: Provider::Bedrock, least: 20 },
    Pair { folder: "openai-to-bedrock-text", dialect: Dialect::OpenAi, provider: Provider::Text, least: 20 },
    Pair { folder: "anthropic-to-bedrock-text", dialect: Dialect::Anthropic, provider: Provider::Text, least: 4 },
    Pair { folder: "bedrock-to-bedrock-text", dialect: BEDROCK, provider: Provider::Text, least: 4 },
    Pair { folder: "openai-to-sagemaker", dialect: Dialect::OpenAi, provider: Provider::SageMaker, least: 8 },
    Pair { folder: "anthropic-to-sagemaker", dialect: Dialect::Anthropic, provider: Provider::SageMaker, least: 4 },
    Pair { folder: "openai-to-tgi", dialect: Dialect::OpenAi, provider: Provider::Tgi, least: 18 },
    Pair { folder: "anthropic-to-tgi", dialect: Dialect::Anthropic, provider: Provider::Tgi, least: 4 },
    Pair { folder: "bedrock-to-tgi", dialect: BEDROCK, provider: Provider::Tgi, least: 3 },
    Pair { folder: "openai-to-agentcore", dialect: Dialect::OpenAi, provider: Provider::Agent, least: 10 },
    Pair { folder: "anthropic-to-agentcore", dialect: Dialect::Anthropic, provider: Provider::Agent, least: 3 },
    Pair { folder: "responses-to-tgi", dialect: Dialect::Responses, provider: Provider::Tgi, least: 3 },
];

impl Pair {
    fn cases(&self) -> Vec<PathBuf> {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus").join(self.folder);
        let mut cases: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        cases.sort();
        assert!(cases.len() >= self.least, "only {} cases in {}: the corpus is not there", cases.len(), self.folder);
        cases
    }

    fn peek(&self, body: &[u8]) -> Result<Peek, ApiError> {
        self.dialect.peek("/model/assistant/converse", body)
    }

    fn parse(&self, body: &[u8]) -> Result<ChatRequest, ApiError> {
        match self.dialect {
            Dialect::OpenAi => surface::openai::parse(body),
            Dialect::Anthropic => surface::anthropic::parse(body),
            Dialect::Responses | Dialect::Bedrock(_) | Dialect::SageMaker => self.dialect.parse(body, &self.peek(body)?),
        }
    }

    fn renderer(&self, peek: &Peek) -> Renderer {
        self.dialect.renderer(self.head(&peek.model), peek)
    }

    fn head(&self, model: &str) -> Head {
        let id = if self.dialect == Dialect::Responses { "resp_1" } else { "chatcmpl-1" };
        Head { id: id.to_owned(), created: 1_700_000_000, began: None, model: model.to_owned() }
    }

    /// How often a stream says that it broke.
    fn errors(&self, shown: &str) -> usize {
        let mark = match self.dialect {
            Dialect::Responses => "event: error\n",
            Dialect::Bedrock(_) => "{\"exception\":",
            Dialect::OpenAi | Dialect::Anthropic | Dialect::SageMaker => "\"error\":{",
        };
        shown.matches(mark).count()
    }
}

impl Provider {
    fn build(self, request: &ChatRequest, settings: &Case) -> Result<(bytes::Bytes, ToolNames), ApiError> {
        let max_tokens = request.max_tokens.unwrap_or(settings.max_tokens);
        let model = |usual: &str| settings.model.clone().unwrap_or_else(|| usual.to_owned());
        match self {
            Self::Bedrock => {
                let built = bedrock::build(request, &target(settings), &settings.defaults, max_tokens)?;
                Ok((built.body, built.names))
            }
            Self::Anthropic => {
                let built = anthropic::build(request, &model("claude-sonnet-4-5"), &settings.defaults, max_tokens)?;
                Ok((built.body, built.names))
            }
            Self::OpenAi => {
                let habits = Habits { strict: settings.strict };
                let built = openai::build(request, &model("llama3:8b"), habits, &settings.defaults, max_tokens)?;
                Ok((built.body, built.names))
            }
            Self::SageMaker => {
                let built = openai::build(request, "vllm-chat", Habits::default(), &settings.defaults, max_tokens)?;
                Ok((built.body, built.names))
            }
            Self::Tgi => {
                let (body, _) = tgi::build(request, settings.template, &settings.defaults, max_tokens)?;
                Ok((body, ToolNames::default()))
            }
            Self::Text => {
                let built = settings.family().build(request, &settings.defaults, max_tokens)?;
                Ok((built.body, ToolNames::default()))
            }
            Self::Agent => {
                let payload = agent_core::payload(&Turns::of(request)?, request, max_tokens);
                Ok((payload.to_string().into(), ToolNames::default()))
            }
            Self::Passed => panic!("nothing is built where bytes pass"),
        }
    }

    /// How the answers of a target behind AWS's signature are read.
    fn reading(self, names: &ToolNames, settings: &Case) -> Option<Reading> {
        let format = match self {
            Self::SageMaker => Format::Completions(names.clone()),
            Self::Tgi => Format::Tgi,
            Self::Text => Format::Text(settings.family()),
            Self::Agent => Format::Agent,
            Self::Bedrock | Self::Anthropic | Self::OpenAi | Self::Passed => return None,
        };
        let framed = self != Self::Agent && !matches!(format, Format::Text(family) if !family.streams());
        Some(Reading { format, framed })
    }

    fn decode(self, body: &[u8], names: &ToolNames, settings: &Case) -> Result<ChatResponse, UpstreamError> {
        if let Some(reading) = self.reading(names, settings) {
            return reading.decode(&HeaderMap::new(), body);
        }
        match self {
            Self::Bedrock | Self::Passed => bedrock::decode(body, names),
            Self::Anthropic => anthropic::decode(body, names),
            _ => openai::decode(body, names),
        }
    }

    fn decoder(self, names: &ToolNames, settings: &Case) -> Decoder {
        if let Some(reading) = self.reading(names, settings) {
            let events = (http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/event-stream"));
            let headers = if self == Self::Agent { HeaderMap::from_iter([events]) } else { HeaderMap::new() };
            return Decoder::Signed(Box::new(reading.decoder(&headers)));
        }
        match self {
            Self::Bedrock | Self::Passed => Decoder::Bedrock(bedrock::Decoder::new(names.clone())),
            Self::Anthropic => Decoder::Anthropic(anthropic::Decoder::new(names.clone())),
            _ => Decoder::OpenAi(openai::Decoder::new(names.clone())),
        }
    }

    /// The upstream's stream of a case, one event each.
    fn stream(self, case: &Path) -> Option<Vec<Vec<u8>>> {
        if let Some(whole) = read(case, "upstream-whole.json") {
            return Some(vec![whole]);
        }
        if matches!(self, Self::Bedrock | Self::SageMaker | Self::Tgi | Self::Text) {
            return read(case, "upstream-stream.jsonl").map(|lines| frames(&lines));
        }
        let text = String::from_utf8(read(case, "upstream-stream.sse")?).unwrap();
        Some(text.split_inclusive("\n\n").map(|event| event.as_bytes().to_vec()).collect())
    }

    fn events<'a>(
        self,
        names: &ToolNames,
        settings: &Case,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Vec<StreamEvent> {
        let mut decoder = self.decoder(names, settings);
        let mut events: Vec<StreamEvent> = parts.into_iter().flat_map(|part| decoder.feed(part)).collect();
        events.extend(decoder.end());
        events
    }
}

impl Case {
    fn family(&self) -> TextFamily {
        let model = self.model.as_deref().unwrap_or("amazon.titan-text-express-v1");
        TextFamily::of(model).unwrap_or_else(|| panic!("{model} has no body of its own"))
    }
}

fn target(settings: &Case) -> Bedrock {
    Bedrock {
        model_id: settings.model.clone().unwrap_or_else(|| "us.amazon.nova-pro-v1:0".to_owned()),
        base_model: None,
        region: Some("us-east-1".to_owned()),
        role_arn: None,
        guardrail: settings.guardrail.clone(),
    }
}

fn read(case: &Path, name: &str) -> Option<Vec<u8>> {
    fs::read(case.join(name)).ok()
}

fn settings(case: &Path) -> Case {
    read(case, "case.json").map_or_else(Case::default, |json| serde_json::from_slice(&json).unwrap())
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

fn refused(dialect: Dialect, error: &ApiError) -> Outcome {
    let body: Value = serde_json::from_slice(&dialect.error(error)).unwrap();
    let mut seen = json!({"status": dialect.status(error).as_u16(), "body": body});
    if dialect == BEDROCK {
        let mut headers = HeaderMap::new();
        explain(&mut headers, error, dialect);
        seen["type"] = headers["x-amzn-errortype"].to_str().unwrap().into();
    }
    vec![("error.json", pretty(seen.to_string().as_bytes()))]
}

fn failed(error: &UpstreamError) -> (&'static str, String) {
    let UpstreamError { kind, status, name, message } = error;
    let shown = json!({"kind": format!("{kind:?}"), "status": status, "name": name, "message": message});
    ("error.json", pretty(shown.to_string().as_bytes()))
}

fn frame(line: &Line) -> Vec<u8> {
    let text = |name: &'static str, value: String| Header::new(name, HeaderValue::String(value.into()));
    let payload = match (&line.text, &line.chunk) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(chunk)) => json!({ "bytes": STANDARD.encode(chunk.to_string()) }).to_string().into_bytes(),
        (None, None) => line.payload.to_string().into_bytes(),
    };
    let event = match (&line.event, &line.text, &line.chunk) {
        (None, Some(_), _) => Some("PayloadPart".to_owned()),
        (None, _, Some(_)) => Some("chunk".to_owned()),
        (event, ..) => event.clone(),
    };
    let headers = match (&event, &line.exception) {
        (Some(event), None) => vec![text(":message-type", "event".to_owned()), text(":event-type", event.clone())],
        (None, Some(name)) => {
            vec![text(":message-type", "exception".to_owned()), text(":exception-type", name.clone())]
        }
        _ => panic!("a line is either an event or an exception"),
    };
    let message = Message::new_from_parts(headers, payload);
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).unwrap();
    bytes
}

fn frames(lines: &[u8]) -> Vec<Vec<u8>> {
    let lines = std::str::from_utf8(lines).unwrap().lines().filter(|line| !line.is_empty());
    lines.map(|line| frame(&serde_json::from_str(line).unwrap())).collect()
}

/// A rendered stream as text: AWS's frames one a line.
fn shown(dialect: Dialect, bytes: Vec<u8>) -> (&'static str, String) {
    if dialect != BEDROCK {
        return ("response.sse", String::from_utf8(bytes).unwrap());
    }
    let (mut rest, mut lines) = (bytes.as_slice(), String::new());
    while !rest.is_empty() {
        let message = read_message_from(&mut rest).unwrap();
        let header = |name: &str| {
            let found = message.headers().iter().find(|header| header.name().as_str() == name)?;
            Some(found.value().as_string().unwrap().as_str().to_owned())
        };
        let kind = header(":message-type").unwrap();
        let payload = std::str::from_utf8(message.payload()).unwrap();
        let name = header(&format!(":{kind}-type")).unwrap();
        lines.push_str(&format!("{{\"{kind}\":\"{name}\",\"payload\":{payload}}}\n"));
    }
    ("response.jsonl", lines)
}

/// What a target of the client's own dialect gets.
fn passed(pair: Pair, case: &Path) -> Outcome {
    let settings = settings(case);
    let body = bytes::Bytes::from(read(case, "request.json").unwrap());
    let peek = match pair.peek(&body) {
        Ok(peek) => peek,
        Err(error) => return refused(pair.dialect, &error),
    };
    let Form::Converse(spans) = &peek.form else { panic!("a form that does not pass") };
    let max_tokens = peek.max_tokens.unwrap_or(settings.max_tokens);
    let change = Splice { max_tokens, target: &target(&settings), defaults: &settings.defaults };
    // As it is, to the byte.
    vec![("upstream-request.json", String::from_utf8(splice(&body, spans, &change).unwrap().to_vec()).unwrap())]
}

fn run(pair: Pair, case: &Path) -> Outcome {
    if pair.provider == Provider::Passed {
        return passed(pair, case);
    }
    let settings = settings(case);
    let sent = read(case, "request.json").unwrap();
    let (request, peek) = match pair.parse(&sent) {
        Ok(request) => (request, pair.peek(&sent).unwrap()),
        Err(error) => return refused(pair.dialect, &error),
    };
    let (body, names) = match pair.provider.build(&request, &settings) {
        Ok(built) => built,
        Err(error) => return refused(pair.dialect, &error),
    };
    let mut outcome = vec![("upstream-request.json", pretty(&body))];
    if let Some(body) = read(case, "upstream-response.json") {
        let answer = if settings.status == 200 {
            pair.provider.decode(&body, &names, &settings)
        } else {
            let mut headers = HeaderMap::new();
            if let Some(kind) = &settings.error_type {
                headers.insert("x-amzn-errortype", kind.parse().unwrap());
            }
            Err(bedrock::decode_error(settings.status, &headers, &body))
        };
        outcome.push(match answer {
            Ok(answer) => ("response.json", pretty(&pair.dialect.render(&answer, &pair.head(&request.model), &peek))),
            Err(error) => failed(&error),
        });
    }
    if let Some(parts) = pair.provider.stream(case) {
        let mut renderer = pair.renderer(&peek);
        let mut sse = Vec::new();
        for event in pair.provider.events(&names, &settings, parts.iter().map(Vec::as_slice)) {
            renderer.event(&event, &mut sse);
        }
        renderer.end(&mut sse);
        outcome.push(shown(pair.dialect, sse));
    }
    outcome
}

#[test]
fn every_case_comes_to_what_its_folder_says() {
    let update = std::env::var_os("UPDATE_CORPUS").is_some();
    let mut wrong = Vec::new();
    let cases = PAIRS.iter().flat_map(|pair| pair.cases().into_iter().map(move |case| (*pair, case)));
    for (pair, case) in cases {
        let outcome = run(pair, &case);
        for name in ["upstream-request.json", "response.json", "response.sse", "response.jsonl", "error.json"] {
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
    for (pair, case) in PAIRS.iter().flat_map(|pair| pair.cases().into_iter().map(move |case| (*pair, case))) {
        let body = read(&case, "request.json").unwrap();
        let (peek, parsed) = (pair.peek(&body), pair.parse(&body));
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
                let messages = request.messages.len() + usize::from(!request.system.is_empty());
                let counted = (peek.size.tools as usize, peek.size.messages as usize);
                if pair.dialect == BEDROCK {
                    // Its system prompts and cache points are counted one by one.
                    assert!(counted.0 >= request.tools.len() && counted.1 >= messages, "{}", case.display());
                } else {
                    assert_eq!(counted, (request.tools.len(), messages), "{}", case.display());
                }
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

struct Streamed {
    pair: Pair,
    case: PathBuf,
    peek: Peek,
    names: ToolNames,
    settings: Case,
    parts: Vec<Vec<u8>>,
}

fn streams() -> impl Iterator<Item = Streamed> {
    let cases = PAIRS.iter().flat_map(|pair| pair.cases().into_iter().map(move |case| (*pair, case)));
    cases.filter_map(|(pair, case)| {
        let parts = pair.provider.stream(&case).filter(|_| pair.provider != Provider::Passed)?;
        let sent = read(&case, "request.json")?;
        let (request, peek) = (pair.parse(&sent).ok()?, pair.peek(&sent).ok()?);
        let settings = settings(&case);
        let names = pair.provider.build(&request, &settings).ok()?.1;
        Some(Streamed { pair, case, peek, names, settings, parts })
    })
}

#[test]
fn a_stream_says_the_same_however_its_bytes_are_cut() {
    let mut seen = 0;
    for Streamed { pair, case, names, settings, parts, .. } in streams() {
        seen += 1;
        let bytes = parts.concat();
        let whole = pair.provider.events(&names, &settings, [bytes.as_slice()]);
        for size in [1, 2, 3, 7, 16, 100, 1021] {
            let cut = pair.provider.events(&names, &settings, bytes.chunks(size));
            assert_eq!(cut, whole, "{} in chunks of {size}", case.display());
        }
    }
    assert!(seen > 15, "only {seen} streams: the corpus is not there");
}

#[test]
fn a_stream_that_dies_anywhere_is_an_error_and_never_an_end() {
    for Streamed { pair, case, peek, names, settings, parts } in streams() {
        let bytes = parts.concat();
        let whole = pair.provider.events(&names, &settings, [bytes.as_slice()]);
        if matches!(whole.last(), Some(StreamEvent::Error(_))) {
            continue;
        }
        for cut in 0..bytes.len() {
            let events = pair.provider.events(&names, &settings, [&bytes[..cut]]);
            // A server of this dialect may leave out its last words once it has said why the answer ended.
            let finished = events.iter().any(|event| matches!(event, StreamEvent::Finish { .. }));
            // An agent has no last word at all: only its connection says that it broke.
            let forgives = matches!(pair.provider, Provider::OpenAi | Provider::SageMaker | Provider::Text);
            if (forgives && finished) || pair.provider == Provider::Agent {
                continue;
            }
            let errors = events.iter().filter(|event| matches!(event, StreamEvent::Error(_))).count();
            assert_eq!(errors, 1, "{} cut after {cut} bytes: {events:?}", case.display());
            let mut renderer = pair.renderer(&peek);
            let mut sse = Vec::new();
            events.iter().for_each(|event| renderer.event(event, &mut sse));
            renderer.end(&mut sse);
            let (_, shown) = shown(pair.dialect, sse);
            let ends = ["[DONE]", "message_stop", "response.completed", "\"event\":\"metadata\""];
            assert!(!ends.iter().any(|end| shown.contains(end)), "{shown}");
            assert_eq!(pair.errors(&shown), 1, "{shown}");
        }
    }
}

#[test]
fn damaged_bytes_are_an_error_and_never_a_panic() {
    for Streamed { pair, names, settings, parts, .. } in
        streams().filter(|s| s.pair.provider == Provider::Bedrock).take(4)
    {
        let bytes = parts.concat();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            let events = pair.provider.events(&names, &settings, [damaged.as_slice()]);
            assert!(matches!(events.last(), Some(StreamEvent::Error(_))), "byte {at} changed and nobody noticed");
        }
    }
}
