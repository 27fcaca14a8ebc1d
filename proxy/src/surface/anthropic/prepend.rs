//! `prepend`: the client's bytes and a route's own text in, the same bytes with that text before the conversation out.

use crate::surface::members::{elements, members};
use bytes::Bytes;
use serde_json::json;
use tollway_core::table::Prompt;

/// Puts the system sections first in the system prompt and the user's primer first into the first user message. The
/// client's own bytes stay as they are. `body` is one that `peek` has read.
#[must_use]
pub fn prepend(body: &Bytes, prompt: &Prompt) -> Bytes {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let fields = members(text);
    let offset = |raw: &str| raw.as_ptr() as usize - text.as_ptr() as usize;
    // From, to, and what stands there instead.
    let mut edits: Vec<(usize, usize, String)> = Vec::new();
    if !prompt.system.is_empty() {
        let sections = block(&prompt.system.join("\n\n"));
        match fields.get("system") {
            Some(raw) => edits.push((offset(raw), offset(raw) + raw.len(), before(&sections, raw))),
            None => {
                let brace = text.find('{').map_or(0, |at| at + 1);
                edits.push((brace, brace, format!("\"system\":[{sections}],")));
            }
        }
    }
    let messages = fields.get("messages").copied().unwrap_or_default();
    if let Some((primer, first)) = prompt.user.as_ref().zip(elements(messages).first().copied()) {
        let primer = block(primer);
        let message = members(first);
        match message.get("content").filter(|_| message.get("role") == Some(&"\"user\"")) {
            Some(raw) => edits.push((offset(raw), offset(raw) + raw.len(), before(&primer, raw))),
            None => {
                let turn = format!("{{\"role\":\"user\",\"content\":[{primer}]}},");
                edits.push((offset(first), offset(first), turn));
            }
        }
    }
    edits.sort();
    let (mut out, mut at) = (String::with_capacity(text.len() + 256), 0);
    for (from, to, new) in edits {
        out.push_str(&text[at..from]);
        out.push_str(&new);
        at = to;
    }
    out.push_str(&text[at..]);
    out.into()
}

fn block(text: &str) -> String {
    json!({ "type": "text", "text": text }).to_string()
}

/// Content that begins with `block` and goes on with what `raw` holds: a text, blocks, or nothing.
fn before(block: &str, raw: &str) -> String {
    if raw.starts_with('"') && raw != "\"\"" {
        return format!("[{block},{{\"type\":\"text\",\"text\":{raw}}}]");
    }
    let rest = elements(raw);
    if rest.is_empty() { format!("[{block}]") } else { format!("[{block},{}", &raw[1..]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_stands_before_the_conversation_and_nothing_else_moves() {
        let prompt = Prompt { system: vec!["a".to_owned(), "b".to_owned()], user: Some("p".to_owned()) };
        let after = |body: String| String::from_utf8(prepend(&Bytes::from(body), &prompt).to_vec()).unwrap();
        let said = |text: &str| format!(r#"{{"text":"{text}","type":"text"}}"#);
        let (sections, primer) = (said("a\\n\\nb"), said("p"));
        let own = |text: &str| format!(r#"{{"type":"text","text":"{text}"}}"#);
        let hi = r#""messages": [{"role":"user","content":"hi \u00e9"}]"#;
        let primed = format!(r#""messages": [{{"role":"user","content":[{primer},{}]}}]"#, own("hi \\u00e9"));
        for (body, expected) in [
            ("{HI}".to_owned(), format!(r#"{{"system":[{sections}],HI}}"#)),
            (r#"{"system":"s",HI}"#.to_owned(), format!(r#"{{"system":[{sections},{}],HI}}"#, own("s"))),
            (r#"{HI,"system":[ ]}"#.to_owned(), format!(r#"{{HI,"system":[{sections}]}}"#)),
            (format!(r#"{{HI,"system":[{}]}}"#, own("s")), format!(r#"{{HI,"system":[{sections},{}]}}"#, own("s"))),
            (r#"{"system":null,HI}"#.to_owned(), format!(r#"{{"system":[{sections}],HI}}"#)),
        ] {
            assert_eq!(after(body.replace("HI", hi)), expected.replace("HI", &primed), "{body}");
        }
        let prefilled = r#"{"system":"","messages":[{"role":"assistant","content":"x"}]}"#;
        let expected = format!(
            r#"{{"system":[{sections}],"messages":[{{"role":"user","content":[{primer}]}},{{"role":"assistant","content":"x"}}]}}"#
        );
        assert_eq!(after(prefilled.to_owned()), expected);
    }
}
