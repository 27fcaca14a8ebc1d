//! What the stack makes of targets that fail before the client has heard anything.

use super::*;

#[tokio::test]
async fn failures_before_the_first_byte_go_to_the_next_target() {
    let faults = [
        Act::Status(408, "{}", vec![]),
        Act::Status(424, "{}", vec![]),
        Act::Status(429, "{}", vec![]),
        Act::Status(500, "oops", vec![]),
        Act::Status(503, "{}", vec![("retry-after", "60")]),
        Act::Status(307, "", vec![("location", "http://127.0.0.1:1/")]),
        Act::Closes,
        Act::Dies(vec![]),
        Act::Sse(vec![]),
        Act::Sse(vec!["data: {\"error\":{\"message\":\"overloaded\"}}\n\n".to_owned()]),
    ];
    for fault in faults {
        let (proxy, upstream) = over_two(vec![fault.clone()]).await;
        let answer = proxy.stream().await;
        assert_eq!(answer.status, OK, "{fault:?}: {}", answer.text());
        assert_eq!((answer.said().as_str(), upstream.requests()), ("from the second", 1), "{fault:?}");
        assert_eq!(answer.header("x-tollway-target"), "second");
        assert_eq!(answer.header("x-tollway-attempts"), "2");
    }
}

#[tokio::test]
async fn the_clients_own_mistakes_stop_and_come_back_in_its_dialect() {
    let body = r#"{"error":{"message":"too long","code":"context_length_exceeded","param":"messages"}}"#;
    for (status, code) in
        [(400, "context_length_exceeded"), (404, "context_length_exceeded"), (422, "context_length_exceeded")]
    {
        let (proxy, _upstream) = over_two(vec![Act::Status(status, body, vec![])]).await;
        let answer = proxy.ask().await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code));
        assert!(answer.text().contains("too long"));
        assert_eq!(answer.header("x-tollway-attempts"), "1");
    }
}

#[tokio::test]
async fn refused_credentials_stop_without_quoting_the_upstream() {
    for status in [401, 403] {
        let body = r#"{"error":{"message":"Incorrect API key: sk-very-secret"}}"#;
        let (proxy, _upstream) = over_two(vec![Act::Status(status, body, vec![])]).await;
        let answer = proxy.ask().await;
        assert_eq!(answer.status.as_u16(), status);
        assert!(!answer.text().contains("very-secret") && answer.text().contains("refused the proxy's credentials"));
    }
}

#[tokio::test]
async fn a_lone_target_is_repeated_until_the_attempts_are_made() {
    let (proxy, upstream) = over_one(vec![Act::Status(500, "", vec![]), Act::Status(502, "", vec![]), ok()]).await;
    let answer = proxy.ask().await;
    assert_eq!((answer.status, answer.header("x-tollway-attempts")), (OK, "3"));
    let (proxy, upstream2) = over_one(vec![Act::Status(503, "", vec![])]).await;
    let answer = proxy.ask().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "upstream_unavailable"));
    assert_eq!((upstream.requests(), upstream2.requests()), (3, 3));
}

#[tokio::test]
async fn a_long_retry_after_is_the_clients_to_wait() {
    let (proxy, upstream) = over_one(vec![Act::Status(429, "{}", vec![("retry-after", "30")])]).await;
    let answer = proxy.ask().await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after"), upstream.requests()), (429, "30", 1));
}

#[tokio::test]
async fn a_silent_target_times_out_and_is_cancelled() {
    for streamed in [true, false] {
        let upstream = Upstream::start(vec![Act::Silent]).await;
        let mut route = assistant(vec![("first", openai(&upstream)), ("second", simulated("from the second"))]);
        route.timeouts.first_token_ms = 50;
        let proxy = Running::start(table(route)).await;
        let answer = if streamed { proxy.stream().await } else { proxy.ask().await };
        assert_eq!((answer.status, answer.header("x-tollway-target")), (OK, "second"));
        upstream.abandoned().await;
    }
}

#[tokio::test]
async fn a_slow_first_token_after_the_head_times_out_and_is_cancelled() {
    let upstream = Upstream::start(vec![Act::Stalls(vec![])]).await;
    let mut route = assistant(vec![("first", openai(&upstream)), ("second", simulated("from the second"))]);
    route.timeouts.first_token_ms = 50;
    let proxy = Running::start(table(route)).await;
    let answer = proxy.stream().await;
    assert_eq!((answer.said().as_str(), answer.header("x-tollway-attempts")), ("from the second", "2"));
    upstream.abandoned().await;
}

#[tokio::test]
async fn the_total_time_ends_the_attempts() {
    let upstream = Upstream::start(vec![Act::Silent]).await;
    let mut route = assistant(vec![("first", openai(&upstream))]);
    route.timeouts.total_ms = 50;
    let proxy = Running::start(table(route)).await;
    let answer = proxy.ask().await;
    assert_eq!((answer.status.as_u16(), answer.header("x-tollway-attempts")), (504, "1"));
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let upstream = Upstream::start(vec![ok()]).await;
    let mut target = openai(&upstream);
    let tollway_core::table::Provider::OpenAi(spec) = &mut target.provider else { panic!("not OpenAI") };
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    spec.base_url = format!("http://127.0.0.1:{port}/v1");
    let proxy = over(vec![("first", target)]).await;
    let answer = proxy.ask().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "upstream_unavailable"));
}

#[tokio::test]
async fn a_cluster_refuses_loopback_unless_the_target_says_so() {
    let upstream = Upstream::start(vec![ok()]).await;
    let mut target = openai(&upstream);
    let tollway_core::table::Provider::OpenAi(spec) = &mut target.provider else { panic!("not OpenAI") };
    spec.loopback = false;
    let serving = |target: &Target| Some(table(assistant(vec![("first", target.clone())])));
    let options = crate::stack::Options::default();
    let proxy = Running::start_with(serving(&target), Default::default(), options).await;
    let answer = proxy.ask().await;
    assert_eq!(answer.status.as_u16(), 502);
    assert!(answer.text().contains("loopback"), "{}", answer.text());
    // The connection that an allowed target keeps open serves no other policy.
    let allowed = Running::start_with(serving(&openai(&upstream)), Default::default(), options).await;
    assert_eq!(allowed.ask().await.status, OK);
    allowed.proxy.live.store(Some(std::sync::Arc::new(crate::source::Serving {
        revision: 2,
        table: serving(&target).unwrap(),
        ..Default::default()
    })));
    assert_eq!(allowed.ask().await.status.as_u16(), 502);
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn an_open_circuit_passes_the_target_over_and_survives_a_new_table() {
    let upstream = Upstream::start(vec![Act::Status(500, "", vec![])]).await;
    let mut route = assistant(vec![("first", openai(&upstream)), ("second", simulated("x"))]);
    route.circuit_breaker.failures = 2;
    let mut proxy = Running::start(table(route.clone())).await;
    for attempts in ["2", "2", "1"] {
        assert_eq!(proxy.ask().await.header("x-tollway-attempts"), attempts);
    }
    route.timeouts.idle_ms += 1;
    proxy.swap(table(route.clone()));
    assert_eq!((proxy.ask().await.header("x-tollway-attempts"), upstream.requests()), ("1", 2));
    // A target that is gone and comes back starts anew.
    proxy.swap(table(assistant(vec![("second", simulated("x"))])));
    assert_eq!(proxy.ask().await.status, OK);
    proxy.swap(table(route));
    assert_eq!((proxy.ask().await.header("x-tollway-attempts"), upstream.requests()), ("2", 3));
}

#[tokio::test]
async fn throttling_opens_no_circuit() {
    let upstream = Upstream::start(vec![Act::Status(429, "{}", vec![])]).await;
    let mut route = assistant(vec![("first", openai(&upstream)), ("second", simulated("x"))]);
    route.circuit_breaker.failures = 1;
    let proxy = Running::start(table(route)).await;
    for _ in 0..3 {
        assert_eq!(proxy.ask().await.header("x-tollway-attempts"), "2");
    }
}

#[tokio::test]
async fn one_probe_closes_the_circuit_again() {
    let upstream = Upstream::start(vec![Act::Status(500, "", vec![]), ok()]).await;
    let mut route = assistant(vec![("first", openai(&upstream)), ("second", simulated("x"))]);
    (route.circuit_breaker.failures, route.circuit_breaker.recovery_ms) = (1, 0);
    let proxy = Running::start(table(route)).await;
    assert_eq!(proxy.ask().await.header("x-tollway-target"), "second");
    assert_eq!(proxy.ask().await.header("x-tollway-target"), "first");
}

#[tokio::test]
async fn a_full_target_passes_requests_on_and_takes_them_again_when_one_ends() {
    let upstream = Upstream::start(vec![Act::Waits(vec![first_word()], crate::fixture::stream(&[])), ok()]).await;
    let mut first = openai(&upstream);
    first.max_concurrent = Some(1);
    let proxy = over(vec![("first", first), ("second", simulated("x"))]).await;
    let running = proxy.begin(proxy.chat(",\"stream\":true")).await;
    assert_eq!(proxy.ask().await.header("x-tollway-target"), "second");
    upstream.go_on();
    crate::fixture::read(running).await;
    assert_eq!(proxy.ask().await.header("x-tollway-target"), "first");
}

#[tokio::test]
async fn a_simulated_target_fails_as_often_as_it_says() {
    let mut first = simulated("a");
    let tollway_core::table::Provider::Simulated(spec) = &mut first.provider else { panic!("not simulated") };
    spec.fail_every = 3;
    let proxy = over(vec![("first", first), ("second", simulated("b"))]).await;
    let mut targets = Vec::new();
    for _ in 0..6 {
        targets.push(proxy.ask().await.header("x-tollway-target").to_owned());
    }
    assert_eq!(targets, ["first", "first", "second", "first", "first", "second"]);
}

fn first_word() -> String {
    crate::fixture::stream(&["hello"]).remove(0)
}
