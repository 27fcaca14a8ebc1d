//! The simulator's own pages under `/_sim/`: bill, log, gauge and script as JSON.

use super::script::Rule;
use super::serve::{Body, whole};
use super::server::State;
use http::request::Parts;
use http::{Method, Response};
use serde_json::{Value, json};
use std::sync::Arc;

/// The rules a JSON text holds: one, or a list of them.
pub fn rules(text: &[u8]) -> Result<Vec<Rule>, serde_json::Error> {
    let value: Value = serde_json::from_slice(text)?;
    if value.is_array() { serde_json::from_value(value) } else { Ok(vec![serde_json::from_value(value)?]) }
}

pub(super) fn handle(state: &Arc<State>, parts: &Parts, body: &[u8]) -> Response<Body> {
    let answer = match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/_sim/bill") => json!(state.book.bill()),
        (&Method::GET, "/_sim/requests") => json!(state.book.requests()),
        (&Method::GET, "/_sim/gauge") => {
            let cancelled = state.book.cancelled();
            json!({ "started": state.book.started(), "inFlight": state.book.in_flight(),
                "cancelled": cancelled.len(), "cancelledMs": cancelled })
        }
        (&Method::GET, "/_sim/script") => json!(state.script().rules()),
        (&Method::DELETE, "/_sim/script") => {
            state.script().clear();
            json!([])
        }
        (&Method::POST, "/_sim/script") => match rules(body) {
            Ok(rules) => {
                let mut script = state.script();
                rules.into_iter().for_each(|rule| script.push(rule));
                json!(script.rules())
            }
            Err(e) => return whole(400, "application/json", json!({ "error": e.to_string() }).to_string()),
        },
        _ => {
            let known = "GET /_sim/bill, /_sim/requests, /_sim/gauge; GET, POST, DELETE /_sim/script";
            return whole(
                404,
                "application/json",
                json!({ "error": format!("no such page; there are: {known}") }).to_string(),
            );
        }
    };
    whole(200, "application/json", answer.to_string())
}
