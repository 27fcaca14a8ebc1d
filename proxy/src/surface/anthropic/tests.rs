//! The dialect against its own rules: splice against untouched bytes, the meter against any chunking, the readers against any bytes.

use super::*;
use crate::provider::{ToolNames, anthropic as provider, openai};
use crate::surface::Form;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tollway_core::table::Defaults;

fn spans(body: &Bytes) -> Spans {
    match peek(body).unwrap().form {
        Form::Messages(spans) => spans,
        other => panic!("{other:?}"),
    }
}

fn stream() -> String {
    let start = json!({"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1,
        "cache_creation_input_tokens": 30, "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}}}});
    let delta = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}});
    [
        ("message_start", start),
        ("ping", json!({"type": "ping"})),
        ("content_block_start", json!({"index": 0})),
        ("content_block_delta", json!({"index": 0, "delta": {"type": "text_delta", "text": "é\n\n"}})),
        ("message_delta", delta),
        ("message_stop", json!({"type": "message_stop"})),
    ]
    .iter()
    .map(|(name, event)| format!("event: {name}\ndata: {event}\n\n"))
    .collect()
}

#[test]
fn splice_leaves_every_other_byte_alone() {
    let defaults =
        Defaults { temperature: Some(0.5), top_p: Some(0.9), stop: vec!["END".to_owned()], ..Defaults::default() };
    let change = Splice { model: "up", max_tokens: Some(7), defaults: Some(&defaults) };
    let after = |body: &'static str| {
        let body = Bytes::from_static(body.as_bytes());
        String::from_utf8(splice(&body, &spans(&body), &change).to_vec()).unwrap()
    };
    assert_eq!(
        after(r#"{"model": "m","max_tokens" :5, "messages":[{"role":"user","content":"x"}],"new":1e2}"#),
        r#"{"temperature":0.5,"stop_sequences":["END"],"model": "up","max_tokens" :7, "messages":[{"role":"user","content":"x"}],"new":1e2}"#
    );
    assert_eq!(
        after(r#"{"model":"m","top_p":0.1,"stop_sequences":["x"],"messages":[{"role":"user","content":"x"}]}"#),
        r#"{"max_tokens":7,"model":"up","top_p":0.1,"stop_sequences":["x"],"messages":[{"role":"user","content":"x"}]}"#,
        "temperature and top_p do not go together"
    );
}

#[test]
fn what_no_price_covers_is_named() {
    let unpriced = |more: Value| {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spans(&Bytes::from(body.to_string())).unpriced
    };
    assert_eq!(
        unpriced(json!({"tools": [{"name": "a"}, {"type": "custom", "name": "b"}, {"type": "bash_20250124"}]})),
        None
    );
    assert_eq!(unpriced(json!({"service_tier": "auto", "mcp_servers": [], "speed": null})), None);
    assert_eq!(
        unpriced(json!({"tools": [{"name": "a"}, {"type": "web_search_20250305"}]})).as_deref(),
        Some("tools[1]")
    );
    assert_eq!(unpriced(json!({"speed": "fast"})).as_deref(), Some("speed"));
}

#[test]
fn pictures_are_counted_and_not_read() {
    let data = "A".repeat(4000);
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}});
    let body = json!({"model": "m", "system": "s", "messages": [
        {"role": "user", "content": [image, {"type": "tool_result", "tool_use_id": "a", "content": [image]}]},
        {"role": "user", "content": [{"type": "document", "source": {"type": "base64", "data": "AAAA"}}]},
    ]})
    .to_string();
    let size = peek(body.as_bytes()).unwrap().size;
    assert_eq!((size.messages, size.images, size.unbounded), (3, 2, 1));
    assert_eq!(size.text_bytes, body.len() as u64 - 2 * (data.len() as u64 + 2));
}

#[test]
fn nothing_goes_out_before_the_model_speaks() {
    let text = stream();
    let speaks = text.find("event: content_block_start").unwrap();
    let mut meter = Meter::default();
    assert!(meter.feed(&text.as_bytes()[..speaks]).is_empty());
    let mut broken = Meter::default();
    broken.feed(&text.as_bytes()[..speaks]);
    assert!(
        broken
            .feed(b"event: error\ndata: {\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n")
            .is_empty()
    );
    assert!(broken.error().is_some_and(|error| error.kind.falls_back()));
    assert_eq!(meter.feed(&text.as_bytes()[speaks..]).len(), text.len());
}

proptest! {
    #[test]
    fn the_meter_passes_everything_on_however_it_is_cut(cuts in prop::collection::vec(1_usize..60, 0..40)) {
        let text = stream();
        let (mut meter, mut out, mut rest) = (Meter::default(), Vec::new(), text.as_bytes());
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            out.extend_from_slice(&meter.feed(now));
            prop_assert!(out.is_empty() || out.ends_with(b"\n\n"), "half an event went out");
            rest = later;
        }
        out.extend_from_slice(&meter.feed(rest));
        out.extend_from_slice(&meter.end());
        prop_assert_eq!(String::from_utf8(out).unwrap(), text);
        let tokens = meter.usage().unwrap().tokens;
        prop_assert_eq!((tokens.input, tokens.output, tokens.cache_write, tokens.cache_write_1h), (5, 9, 10, 20));
        prop_assert!(meter.is_done());
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = (peek(&bytes), parse(&bytes), usage_of(&bytes));
        let mut meter = Meter::default();
        meter.feed(&bytes);
        meter.end();
        let names = ToolNames::default();
        let _ = (provider::decode(&bytes, &names), openai::decode(&bytes, &names));
        provider::Decoder::new(names.clone()).feed(&bytes);
        openai::Decoder::new(names).feed(&bytes);
    }
}
