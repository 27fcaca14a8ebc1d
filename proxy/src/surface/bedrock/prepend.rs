//! `prepend`: a Converse request and a route's own text in, the same bytes with that text before the conversation out.

use crate::surface::members::{elements, members};
use bytes::Bytes;
use serde_json::json;
use tollway_core::table::Prompt;

/// Puts the system sections first among the system blocks, and the user's primer first into the first user message: turns must alternate here.
#[must_use]
pub fn prepend(body: &Bytes, prompt: &Prompt) -> Bytes {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let fields = members(text);
    let offset = |raw: &str| raw.as_ptr() as usize - text.as_ptr() as usize;
    // From, to, and what stands there instead.
    let mut edits: Vec<(usize, usize, String)> = Vec::new();
    let mut first_in = |array: &str, block: String| {
        let comma = if elements(array).is_empty() { "" } else { "," };
        edits.push((offset(array) + 1, offset(array) + 1, format!("{block}{comma}")));
    };
    let sections = (!prompt.system.is_empty()).then(|| json!({ "text": prompt.system.join("\n\n") }).to_string());
    let system = fields.get("system").copied().filter(|raw| raw.starts_with('['));
    if let (Some(array), Some(sections)) = (system, &sections) {
        first_in(array, sections.clone());
    }
    if let Some(primer) = &prompt.user {
        let messages = fields.get("messages").copied().filter(|raw| raw.starts_with('['));
        let first = messages.and_then(|array| elements(array).first().copied()).map(members);
        let content = first.filter(|message| message.get("role") == Some(&"\"user\""));
        let content = content.and_then(|message| message.get("content").copied()).filter(|raw| raw.starts_with('['));
        match (content, messages) {
            (Some(content), _) => first_in(content, json!({ "text": primer }).to_string()),
            (None, Some(array)) => {
                first_in(array, json!({ "role": "user", "content": [{ "text": primer }] }).to_string())
            }
            (None, None) => {}
        }
    }
    if let (None, Some(sections)) = (system, sections) {
        match fields.get("system") {
            Some(raw) => edits.push((offset(raw), offset(raw) + raw.len(), format!("[{sections}]"))),
            None => {
                let brace = text.find('{').map_or(0, |at| at + 1);
                let comma = if fields.is_empty() { "" } else { "," };
                edits.push((brace, brace, format!("\"system\":[{sections}]{comma}")));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_stands_before_the_conversation_and_turns_alternate() {
        let prompt = Prompt { system: vec!["a".to_owned(), "b".to_owned()], user: Some("p".to_owned()) };
        let after = |body: &'static str| {
            String::from_utf8(prepend(&Bytes::from_static(body.as_bytes()), &prompt).to_vec()).unwrap()
        };
        let hi = r#""messages": [{"role":"user","content":[{"text":"hi"}]}]"#;
        let primed = r#""messages": [{"role":"user","content":[{"text":"p"},{"text":"hi"}]}]"#;
        for (before, expected) in [
            ("{HI}", r#"{"system":[{"text":"a\n\nb"}],HI}"#),
            (r#"{"system":[{"text":"s"}],HI}"#, r#"{"system":[{"text":"a\n\nb"},{"text":"s"}],HI}"#),
            (r#"{HI,"system":[]}"#, r#"{HI,"system":[{"text":"a\n\nb"}]}"#),
            (r#"{HI,"system":null}"#, r#"{HI,"system":[{"text":"a\n\nb"}]}"#),
        ] {
            let body: &'static str = Box::leak(before.replace("HI", hi).into_boxed_str());
            assert_eq!(after(body), expected.replace("HI", primed), "{before}");
        }
    }
}
