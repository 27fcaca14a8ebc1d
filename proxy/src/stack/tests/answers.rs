//! What a healthy route answers, and what it says to requests that are wrong.

use super::*;
use crate::source::Secrets;
use crate::stack::Options;
use std::collections::BTreeMap;
use tollway_core::table::Provider;
use tollway_core::table::{Auth, SecretKey};

#[tokio::test]
async fn a_plain_answer_passes_through_byte_for_byte_and_says_where_it_came_from() {
    let (proxy, upstream) = over_one(vec![ok()]).await;
    let answer = proxy.send(proxy.chat(",\"user\":\"ann\",\"made_up\":[1, 2]")).await;
    assert_eq!((answer.status, answer.text()), (OK, completion("hello").as_str()));
    assert_eq!(answer.header("x-tollway-route"), "assistant");
    assert_eq!(answer.header("x-tollway-target"), "first");
    assert_eq!(answer.header("x-tollway-attempts"), "1");
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(!answer.header("x-tollway-request-id").is_empty());
    let seen = &upstream.seen()[0].body;
    assert_eq!((&seen["model"], &seen["max_tokens"]), (&"llama".into(), &4096.into()));
    assert_eq!((&seen["user"], &seen["made_up"]), (&"ann".into(), &serde_json::json!([1, 2])));
}

#[tokio::test]
async fn a_simulated_target_answers_within_its_bound_and_says_what_it_used() {
    let proxy = over(vec![("pretend", simulated("one two three four"))]).await;
    let answer = proxy.send(proxy.chat(",\"max_tokens\":3")).await.json();
    assert_eq!(answer["choices"][0]["message"]["content"], "one two three ");
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["usage"]["completion_tokens"], 3);
    assert_eq!(answer["model"], "assistant");
    let answer = proxy.send(proxy.chat(",\"stream\":true,\"stream_options\":{\"include_usage\":true}")).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(answer.said(), "one two three four");
    assert!(answer.text().contains("\"completion_tokens\":4") && answer.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn the_models_are_the_names_clients_may_send() {
    let mut table = table(assistant(vec![("pretend", simulated("x"))]));
    table.models.insert("*".to_owned(), "assistant".to_owned());
    let proxy = Running::start(table).await;
    let answer = proxy.send(proxy.request("GET", "/v1/models", "")).await.json();
    assert_eq!(answer["data"].as_array().unwrap().len(), 1);
    assert_eq!(answer["data"][0]["id"], "assistant");
}

#[tokio::test]
async fn one_model_is_shown_by_its_name_and_no_other_is() {
    let mut table = table(assistant(vec![("pretend", simulated("x"))]));
    table.models.insert("team/large v1:0".to_owned(), "assistant".to_owned());
    table.models.insert("*".to_owned(), "assistant".to_owned());
    let proxy = Running::start(table).await;
    let get = |path: &'static str| proxy.send(proxy.request("GET", path, ""));
    for path in ["/v1/models/team%2Flarge%20v1%3A0", "/v1/models/team/large%20v1:0"] {
        let answer = get(path).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["id"]),
            (200, &serde_json::json!("team/large v1:0")),
            "{path}"
        );
    }
    for path in ["/v1/models/*", "/v1/models/other", "/v1/models/team%2"] {
        let answer = get(path).await;
        assert_eq!(answer.status.as_u16(), 404, "{path}: {}", answer.text());
    }
    assert_eq!(get("/v1/models/other").await.code(), "model_not_found");
}

#[tokio::test]
async fn without_a_table_nothing_is_ready() {
    let proxy = Running::start_with(None, Secrets::default(), Options::default()).await;
    let answer = proxy.ask().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "not_ready"));
}

#[tokio::test]
async fn a_wrong_request_gets_one_clear_error_in_the_dialect() {
    let proxy = over(vec![("pretend", simulated("x"))]).await;
    let post = |body: &'static str| proxy.request("POST", "/v1/chat/completions", body);
    let typed = |mut request: http::Request<_>, value: &'static str| {
        request.headers_mut().insert("content-type", value.parse().unwrap());
        request
    };
    let good = r#"{"model":"assistant","messages":[{"role":"user","content":"hi"}]}"#;
    let cases = [
        (post("{"), 400, "invalid_request"),
        (post(""), 400, "invalid_request"),
        (post(r#"{"model":"assistant"}"#), 400, "invalid_request"),
        (post(r#"{"model":"nobody","messages":[{"role":"user","content":"hi"}]}"#), 404, "model_not_found"),
        (proxy.chat(",\"max_tokens\":-1"), 400, "invalid_request"),
        (proxy.chat(",\"n\":2"), 400, "unsupported_field"),
        (typed(post(good), "text/plain"), 415, "invalid_request"),
        (proxy.request("GET", "/v1/chat/completions", ""), 405, "invalid_request"),
        (proxy.request("POST", "/v1/nothing", good), 404, "invalid_request"),
    ];
    for (request, status, code) in cases {
        let shown = format!("{request:?}");
        let answer = proxy.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{shown}: {}", answer.text());
        assert!(!answer.json()["error"]["message"].as_str().unwrap().is_empty());
    }
    let answer = proxy.send(typed(post(good), "Application/JSON; charset=utf-8")).await;
    assert_eq!(answer.status, OK);
}

#[tokio::test]
async fn an_unserved_route_says_why_and_others_serve() {
    let proxy = over(vec![("pretend", simulated("x"))]).await;
    let serving = crate::source::Serving {
        table: tollway_core::table::Table {
            models: BTreeMap::from([("assistant".to_owned(), "assistant".to_owned())]),
            ..Default::default()
        },
        unserved: BTreeMap::from([("assistant".to_owned(), "it needs jwt".to_owned())]),
        ..Default::default()
    };
    proxy.proxy.live.store(Some(std::sync::Arc::new(serving)));
    let answer = proxy.ask().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "not_ready"));
    assert!(answer.text().contains("it needs jwt"));
}

#[tokio::test]
async fn a_gateway_has_no_route_that_asks_nobody_who_they_are() {
    let options = Options { gateway: true, ..Options::default() };
    let open = table(assistant(vec![("pretend", simulated("x"))]));
    let proxy = Running::start_with(Some(open), Secrets::default(), options).await;
    let answer = proxy.ask().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "model_not_found"));
    assert_eq!(proxy.send(proxy.request("GET", "/v1/models", "")).await.json()["data"], serde_json::json!([]));
}

#[tokio::test]
async fn api_keys_open_a_route_and_never_reach_the_upstream() {
    let upstream = Upstream::start(vec![ok()]).await;
    let mut target = openai(&upstream);
    let Provider::OpenAi(openai) = &mut target.provider else { panic!("not OpenAI") };
    openai.api_key = Some(SecretKey { name: "vendor".to_owned(), key: "apiKey".to_owned() });
    let mut route = assistant(vec![("first", target)]);
    route.auth = Some(Auth::ApiKeys { secret: "clients".to_owned(), trust_user_header: false });
    let secret = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let clients = ("clients".to_owned(), secret("shop", "key-of-shop"));
    let vendor = ("vendor".to_owned(), secret("apiKey", "sk-vendor"));
    let all = Secrets::new(BTreeMap::from([clients.clone(), vendor.clone()]));
    let options = Options { policy: crate::upstream::Policy::Loopback, ..Options::default() };
    let with_key = |proxy: &Running, key: &str| {
        let mut request = proxy.chat("");
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        request
    };

    let proxy = Running::start_with(Some(table(route.clone())), all, options).await;
    assert_eq!(proxy.ask().await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(proxy.send(with_key(&proxy, "sk-vendor")).await.code(), "invalid_api_key");
    assert_eq!(proxy.send(proxy.request("GET", "/v1/models", "")).await.json()["data"], serde_json::json!([]));
    assert_eq!(proxy.send(with_key(&proxy, "key-of-shop")).await.status, OK);
    assert_eq!(upstream.seen()[0].headers["authorization"], "Bearer sk-vendor");

    // A target whose Secret is not at hand is passed over; a route whose keys are not at hand is not served.
    let only_clients = Secrets::new(BTreeMap::from([clients]));
    let proxy = Running::start_with(Some(table(route.clone())), only_clients, options).await;
    assert_eq!(proxy.send(with_key(&proxy, "key-of-shop")).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let proxy = Running::start_with(Some(table(route)), Secrets::new(BTreeMap::from([vendor])), options).await;
    assert_eq!(proxy.send(with_key(&proxy, "key-of-shop")).await.code(), "not_ready");
    assert_eq!(upstream.requests(), 1);
}
