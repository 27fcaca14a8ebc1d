//! The dialect against its own rules: splice against untouched bytes, the meter against any chunking, everything against any bytes.

use super::wire::Field;
use super::*;
use crate::error::{ApiError, Code};
use crate::surface::{Form, Peek};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tollway_core::table::Defaults;

fn spliced(body: &Bytes, peek: &Peek, change: &Splice<'_>) -> Bytes {
    let Form::ChatCompletions(spans) = &peek.form else { panic!("another surface's form") };
    splice(body, peek, spans, change)
}

#[test]
fn fields_stand_in_the_order_of_their_names() {
    let fields = [
        (Field::Model, "model"),
        (Field::Stop, "stop"),
        (Field::Messages, "messages"),
        (Field::TopK, "top_k"),
        (Field::Prediction, "prediction"),
    ];
    for (field, name) in fields {
        assert_eq!(field.name(), name);
    }
    assert_eq!(Field::Stop as usize, Field::SPLICED - 1);
    assert_eq!(Field::Prediction as usize, Field::COUNT - 1);
}

#[test]
fn pictures_are_counted_and_not_read() {
    let url = format!("data:image/png;base64,{}", "A".repeat(4000));
    let body = json!({"model": "m", "tools": [{}, {}], "messages": [
        {"role": "system", "content": "x"},
        {"role": "user", "content": [{"type": "text", "text": "y"}, {"image_url": {"url": url}, "type": "image_url"}]},
        {"role": "user", "content": [{"type": "file", "file": {}}]},
    ]})
    .to_string();
    let size = peek(body.as_bytes()).unwrap().size;
    assert_eq!((size.messages, size.tools, size.images, size.unbounded), (3, 2, 1, 1));
    assert_eq!(size.text_bytes, body.len() as u64 - url.len() as u64 - 2);
}

#[test]
fn what_peek_refuses_names_the_field() {
    let with = |field: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],{field}}}"#);
    let cases = [
        (with(r#""max_tokens":-1"#), Some("max_tokens")),
        (with(r#""n":1000"#), Some("n")),
        (with(r#""temperature":"hot""#), Some("temperature")),
        (with(r#""max_tokens":1,"max_\u0074okens":9"#), Some("max_tokens")),
        (r#"{"model":"m","messages":[{"role":"wizard"}]}"#.to_owned(), Some("messages")),
        (r#"{"model":"m","messages":[]}"#.to_owned(), Some("messages")),
        (r#"{"model":"m","messages":null}"#.to_owned(), Some("messages")),
        (r#"{"model":"m""#.to_owned(), None),
    ];
    for (body, param) in cases {
        let error = peek(body.as_bytes()).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Code::InvalidRequest, param), "{body}: {}", error.message);
    }
}

#[test]
fn errors_have_the_shape_that_openai_clients_read() {
    let error = ApiError::new(Code::BudgetExceeded, "nothing is left").param("model");
    let body: Value = serde_json::from_slice(&render_error(&error)).unwrap();
    assert_eq!(
        body,
        json!({"error": {"message": "nothing is left", "type": "insufficient_quota", "param": "model", "code": "budget_exceeded"}})
    );
    let event = render_stream_error(&error);
    assert!(event.starts_with(b"data: {\"error\":") && event.ends_with(b"}\n\n"));
}

#[test]
fn models_are_listed_in_their_order() {
    let body: Value = serde_json::from_slice(&render_models(["b", "a"], 7)).unwrap();
    let model = |id: &str| json!({"id": id, "object": "model", "created": 7, "owned_by": "tollway"});
    assert_eq!(body, json!({"object": "list", "data": [model("b"), model("a")]}));
}

/// A request as text, with any spacing and spelling, and the same after a splice.
#[derive(Clone, Debug)]
struct Spelled {
    members: Vec<(String, String)>,
    space: String,
}

impl Spelled {
    fn text(&self) -> String {
        let Self { members, space } = self;
        let members: Vec<String> =
            members.iter().map(|(key, value)| format!("{space}\"{key}\"{space}:{space}{value}{space}")).collect();
        format!("{space}{{{}}}{space}", members.join(","))
    }

    fn set(&mut self, key: &str, value: &str) {
        if let Some(member) = self.members.iter_mut().find(|(name, _)| name == key) {
            value.clone_into(&mut member.1);
        }
    }

    fn has(&self, key: &str) -> bool {
        self.members.iter().any(|(name, value)| name == key && value != "null")
    }
}

fn spelled() -> impl Strategy<Value = Spelled> {
    let optional = [
        ("max_tokens", vec!["null", "17", "4096"]),
        ("max_completion_tokens", vec!["null", "99"]),
        ("temperature", vec!["null", "0.50", "1e0"]),
        ("stop", vec!["null", "\"x\"", "[\"a\",\"b\"]"]),
        (
            "stream_options",
            vec!["null", "{}", "{ \"include_usage\" : false }", "{\"other\":[1,2],\"include_usage\":null}"],
        ),
        ("frobnicate", vec!["{\"model\":\"inner\",\"max_tokens\":1.50}", "[1.0,1e5,\"\\u00e9\\/\"]"]),
    ];
    let picks: Vec<_> = optional
        .into_iter()
        .map(|(key, values)| {
            prop::option::of(prop::sample::select(values)).prop_map(move |v| v.map(|v| (key.to_owned(), v.to_owned())))
        })
        .collect();
    (picks, prop::sample::select(vec!["", " ", "\n\t"]), any::<u64>()).prop_map(|(picks, space, seed)| {
        let mut members: Vec<(String, String)> = vec![
            ("model".to_owned(), "\"assist\\u0061nt\"".to_owned()),
            ("messages".to_owned(), "[ {\"role\":\"user\",\"content\":\"{\\\"model\\\":1}\"} ]".to_owned()),
            ("stream".to_owned(), "true".to_owned()),
        ];
        members.extend(picks.into_iter().flatten());
        let turn = usize::try_from(seed % members.len() as u64).unwrap();
        members.rotate_left(turn);
        Spelled { members, space: space.to_owned() }
    })
}

proptest! {
    #[test]
    fn splice_leaves_every_other_byte_alone(request in spelled(), bound in 1_u32..9999) {
        let body = Bytes::from(request.text());
        let seen = peek(&body).unwrap();
        let defaults = Defaults { temperature: Some(0.7), stop: vec!["E\"".to_owned()], ..Defaults::default() };
        let change =
            Splice { model: Some("up\"stream"), max_tokens: Some(bound), include_usage: true, defaults: Some(&defaults), ..Splice::default() };
        let spliced = spliced(&body, &seen, &change);

        let mut wanted = request.clone();
        let bound = bound.to_string();
        wanted.set("model", "\"up\\\"stream\"");
        let mut added = Vec::new();
        match (request.has("max_tokens"), request.has("max_completion_tokens")) {
            (false, false) if request.members.iter().any(|(key, _)| key == "max_tokens") => wanted.set("max_tokens", &bound),
            (false, false) => added.push(format!("\"max_tokens\":{bound}")),
            (a, b) => {
                if a { wanted.set("max_tokens", &bound) }
                if b { wanted.set("max_completion_tokens", &bound) }
            }
        }
        let options = request.members.iter().find(|(key, _)| key == "stream_options").map(|(_, value)| value.as_str());
        match options {
            None => added.push("\"stream_options\":{\"include_usage\":true}".to_owned()),
            Some("null") => wanted.set("stream_options", "{\"include_usage\":true}"),
            Some("{}") => wanted.set("stream_options", "{\"include_usage\":true}"),
            Some("{ \"include_usage\" : false }") => wanted.set("stream_options", "{ \"include_usage\" : true }"),
            Some(_) => wanted.set("stream_options", "{\"other\":[1,2],\"include_usage\":true}"),
        }
        for (key, value) in [("temperature", "0.7"), ("stop", "[\"E\\\"\"]")] {
            if request.members.iter().any(|(name, _)| name == key) {
                if !request.has(key) { wanted.set(key, value) }
            } else {
                added.push(format!("\"{key}\":{value}"));
            }
        }
        let mut text = wanted.text();
        if !added.is_empty() {
            let brace = text.find('{').unwrap() + 1;
            text.insert_str(brace, &(added.join(",") + ","));
        }
        prop_assert_eq!(std::str::from_utf8(&spliced).unwrap(), text.as_str());
        let again = peek(&spliced).unwrap();
        prop_assert!(again.include_usage && again.max_tokens == Some(bound.parse().unwrap()) && again.model == "up\"stream");
    }

    #[test]
    fn a_splice_that_changes_nothing_copies_nothing(request in spelled()) {
        let body = Bytes::from(request.text());
        let same = spliced(&body, &peek(&body).unwrap(), &Splice { model: Some("assistant"), ..Splice::default() });
        prop_assert_eq!(same.as_ptr(), body.as_ptr());
    }

    #[test]
    fn peek_agrees_with_a_whole_parse_of_the_json(request in spelled()) {
        let text = request.text();
        let value: Value = serde_json::from_str(&text).unwrap();
        let seen = peek(text.as_bytes()).unwrap();
        prop_assert_eq!(Some(seen.model.as_str()), value["model"].as_str());
        prop_assert_eq!(Some(seen.stream), value["stream"].as_bool());
        prop_assert_eq!(seen.include_usage, value["stream_options"]["include_usage"].as_bool().unwrap_or(false));
        let bounds = [&value["max_tokens"], &value["max_completion_tokens"]].map(Value::as_u64);
        prop_assert_eq!(seen.max_tokens.map(u64::from), bounds.into_iter().flatten().min());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[{}\\[\\]\":,a-z0-9\\\\]{0,60}") {
        let _ = (peek(&bytes), parse(&bytes), usage_of(&bytes));
        let _ = (peek(text.as_bytes()), parse(text.as_bytes()), usage_of(text.as_bytes()));
        let wrapped = format!("{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}],{text}}}");
        if let (Ok(seen), body) = (peek(wrapped.as_bytes()), Bytes::from(wrapped.clone())) {
            let _ = spliced(&body, &seen, &Splice { max_tokens: Some(1), include_usage: true, ..Splice::default() });
        }
        let mut meter = Meter::new(true);
        meter.feed(&Bytes::from(bytes));
        meter.feed(&Bytes::from(text));
        meter.end();
    }
}

const USAGE: &str = r#"data: {"id":"c","choices":[],"usage":{"prompt_tokens":30,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":10}}}"#;

fn upstream(end: &str) -> String {
    let chunk = |rest: &str| {
        format!(
            "data: {{\"id\":\"c\",\"choices\":[{{\"delta\":{{\"content\":\"\\\"usage\\\":{{}} é\"}},{rest}}}],\"usage\":null}}{end}{end}"
        )
    };
    let events = [
        format!(": comment{end}{end}"),
        format!("data: {{\"choices\":[],\"prompt_filter_results\":[]}}{end}{end}"),
        chunk("\"finish_reason\":null"),
        chunk("\"finish_reason\": \"stop\""),
        format!("{USAGE}{end}{end}"),
        format!("data: [DONE]{end}{end}"),
    ];
    events.concat()
}

fn metered(text: &str, strip: bool, sizes: &[usize]) -> (Meter, String) {
    let (mut meter, mut out, mut rest) = (Meter::new(strip), Vec::new(), Bytes::from(text.to_owned()));
    let mut sizes = sizes.iter().copied().cycle();
    while !rest.is_empty() {
        let part = rest.split_to(sizes.next().unwrap_or(usize::MAX).clamp(1, rest.len()));
        out.extend_from_slice(&meter.feed(&part));
    }
    out.extend_from_slice(&meter.end());
    (meter, String::from_utf8(out).unwrap())
}

proptest! {
    #[test]
    fn the_meter_reads_and_strips_however_the_bytes_are_cut(
        sizes in prop::collection::vec(1_usize..90, 1..20), crlf in any::<bool>(), strip in any::<bool>(),
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let text = upstream(end);
        let (meter, out) = metered(&text, strip, &sizes);
        let wanted = if strip { text.replace(&format!("{USAGE}{end}{end}"), "") } else { text };
        prop_assert_eq!(out, wanted);
        let tokens = meter.usage().unwrap().tokens;
        prop_assert_eq!((tokens.input, tokens.cache_read, tokens.output), (20, 10, 7));
        prop_assert!(meter.is_done() && meter.is_finished() && meter.error().is_none());
    }

    #[test]
    fn a_stream_cut_before_its_marker_is_not_done(cut in 0_usize..1000) {
        let text = upstream("\n");
        let marker = text.find("[DONE]").unwrap();
        let (meter, _) = metered(&text[..text.floor_char_boundary(cut.min(marker + 5))], true, &[64]);
        prop_assert!(!meter.is_done());
    }
}

#[test]
fn a_line_without_end_is_passed_on_and_not_kept() {
    let mut meter = Meter::new(true);
    let part = Bytes::from(vec![b'x'; 40 * 1024]);
    let passed: usize = (0..10).map(|_| meter.feed(&part).len()).sum();
    assert!(passed >= 9 * part.len(), "{passed} bytes of {} were passed on", 10 * part.len());
    let rest = Bytes::from(format!("\n\n{USAGE}\n\ndata: [DONE]\n\n"));
    assert_eq!(meter.feed(&rest), "\n\ndata: [DONE]\n\n");
    assert!(meter.is_done() && meter.usage().is_some());
}

#[test]
fn an_error_inside_a_stream_is_seen_and_passed_on() {
    let text = "data: {\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\",\"code\":500}}\n\n";
    let (meter, out) = metered(text, true, &[usize::MAX]);
    assert_eq!(out, text);
    assert_eq!(meter.error().unwrap().to_string(), "server_error: out of memory");
}

#[test]
fn a_usage_without_counts_is_no_usage() {
    assert_eq!(usage_of(br#"{"usage":{}}"#), None);
    assert_eq!(usage_of(br#"{"usage":{"prompt_tokens":3}}"#), None);
    assert_eq!(usage_of(br#"{"usage":{"prompt_tokens":3,"completion_tokens":-4}}"#), None);
    assert_eq!(usage_of(br#"{"usage":null}"#), None);
    let usage =
        usage_of(br#"{"usage":{"prompt_tokens":3,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":9}}}"#);
    let tokens = usage.unwrap().tokens;
    assert_eq!((tokens.input, tokens.cache_read, tokens.output), (0, 3, 4));
}

#[test]
fn reasoning_is_output_and_counted_once() {
    let usage = usage_of(
        br#"{"usage":{"prompt_tokens":3,"completion_tokens":9,"completion_tokens_details":{"reasoning_tokens":7}}}"#,
    )
    .unwrap();
    assert_eq!((usage.tokens.output, usage.reasoning, usage.tokens.tokens()), (9, 7, 12));
}
