//! `prepend`: the client's bytes and a route's own text in, the same bytes with that text before the conversation out.

use crate::surface::members::{elements, members};
use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;
use tollway_core::table::Prompt;

/// Puts the system sections before the first message and the user's primer before the first one that is not a system message. The client's
/// own bytes stay as they are. `body` is one that `peek` has read.
#[must_use]
pub fn prepend(body: &Bytes, prompt: &Prompt) -> Bytes {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let messages: Vec<&str> = members(text).get("messages").map(|raw| elements(raw)).unwrap_or_default();
    if messages.is_empty() {
        return body.clone();
    }
    let offset = |raw: &str| raw.as_ptr() as usize - text.as_ptr() as usize;
    let is_system = |raw: &str| {
        let role = serde_json::from_str::<Role<'_>>(raw).map(|message| message.role);
        role.is_ok_and(|role| role == "system" || role == "developer")
    };
    let first = messages.first().map_or(0, |raw| offset(raw));
    let mut out = BytesMut::with_capacity(body.len() + prompt.system.iter().map(|s| s.len() + 64).sum::<usize>());
    out.extend_from_slice(&body[..first]);
    if !prompt.system.is_empty() {
        out.extend_from_slice(message("system", &prompt.system.join("\n\n")).as_bytes());
        out.extend_from_slice(b",");
    }
    let Some(primer) = prompt.user.as_ref().map(|text| message("user", text)) else {
        out.extend_from_slice(&body[first..]);
        return out.freeze();
    };
    match messages.iter().find(|raw| !is_system(raw)).map(|raw| offset(raw)) {
        Some(at) => {
            out.extend_from_slice(&body[first..at]);
            out.extend_from_slice(format!("{primer},").as_bytes());
            out.extend_from_slice(&body[at..]);
        }
        None => {
            let end = messages.last().map_or(first, |raw| offset(raw) + raw.len());
            out.extend_from_slice(&body[first..end]);
            out.extend_from_slice(format!(",{primer}").as_bytes());
            out.extend_from_slice(&body[end..]);
        }
    }
    out.freeze()
}

fn message(role: &str, text: &str) -> String {
    json!({ "role": role, "content": text }).to_string()
}

#[derive(Deserialize)]
struct Role<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(system: &[&str], user: Option<&str>) -> Prompt {
        Prompt { system: system.iter().map(|s| (*s).to_owned()).collect(), user: user.map(str::to_owned) }
    }

    fn after(body: &'static str, prompt: &Prompt) -> String {
        String::from_utf8(prepend(&Bytes::from_static(body.as_bytes()), prompt).to_vec()).unwrap()
    }

    #[test]
    fn the_bundle_stands_before_the_conversation_and_nothing_else_moves() {
        let body = r#"{"a": 1,"messages": [ {"role":"user","content":"hi \u00e9"} ], "model":"m"}"#;
        assert_eq!(
            after(body, &prompt(&["be \"kind\"", "rules"], Some("primer"))),
            r#"{"a": 1,"messages": [ {"content":"be \"kind\"\n\nrules","role":"system"},{"content":"primer","role":"user"},{"role":"user","content":"hi \u00e9"} ], "model":"m"}"#
        );
        assert_eq!(
            after(body, &prompt(&["x"], None)),
            r#"{"a": 1,"messages": [ {"content":"x","role":"system"},{"role":"user","content":"hi \u00e9"} ], "model":"m"}"#
        );
    }

    #[test]
    fn the_primer_comes_after_the_clients_own_system_messages() {
        let body = r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}],"model":"m"}"#;
        assert_eq!(
            after(body, &prompt(&[], Some("p"))),
            r#"{"messages":[{"role":"system","content":"s"},{"content":"p","role":"user"},{"role":"user","content":"u"}],"model":"m"}"#
        );
        let body = r#"{"messages":[{"role":"developer","content":"s"}],"model":"m"}"#;
        assert_eq!(
            after(body, &prompt(&["x"], Some("p"))),
            r#"{"messages":[{"content":"x","role":"system"},{"role":"developer","content":"s"},{"content":"p","role":"user"}],"model":"m"}"#
        );
    }
}
