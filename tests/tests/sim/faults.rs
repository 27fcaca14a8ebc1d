//! What goes wrong on purpose, and what it costs: stalls, cuts, refusals, bad bytes, slow tokens, clients that leave.

use super::{LOCAL, start};
use serde_json::{Value, json};
use tollway_tests::http::{get, post, post_stream, try_post};
use tollway_tests::sim::{Corruption, Outcome, Point, Reply, Rule, Sim};
use tollway_tests::wait;

const INPUT: u64 = 6 * 1_000;
const TOKEN: u64 = 2_000;

fn ask(stream: bool) -> Value {
    json!({ "model": LOCAL, "stream": stream, "messages": [{ "role": "user", "content": "12345678" }] })
}

fn chat(sim: &Sim) -> String {
    format!("{}/v1/chat/completions", sim.url())
}

/// The events that arrive whole, and whether the stream ended as it should.
async fn streamed(sim: &Sim) -> (usize, bool) {
    let mut stream = post_stream(&chat(sim), &ask(true)).await.unwrap();
    let mut events = 0;
    loop {
        match stream.next().await {
            Ok(Some(_)) => events += 1,
            Ok(None) => return (events, true),
            Err(_) => return (events, false),
        }
    }
}

async fn with(rule: Rule) -> Sim {
    let sim = start().await;
    sim.script(Rule::reply(Reply::tokens(40)));
    sim.script(rule);
    sim
}

#[tokio::test]
async fn a_cut_in_a_stream_is_charged_up_to_there() {
    let sim = with(Rule::cut(Point::Events(4))).await;
    assert_eq!(streamed(&sim).await, (4, false));
    sim.idle().await;
    let seen = &sim.requests()[0];
    // The start, three pieces, and the fourth that was cut in the middle.
    assert_eq!((seen.outcome, seen.events, seen.nano), (Outcome::Faulted, 4, INPUT + 16 * TOKEN));
    assert_eq!(sim.bill().nano, seen.nano);
}

#[tokio::test]
async fn a_cut_before_the_headers_gives_no_answer() {
    let sim = with(Rule::cut(Point::Headers)).await;
    assert!(try_post(&chat(&sim), &ask(true), &[]).await.is_err());
    sim.idle().await;
    assert_eq!(sim.bill().nano, INPUT);
    // A plain answer was generated before it was lost.
    assert!(try_post(&chat(&sim), &ask(false), &[]).await.is_err());
    sim.idle().await;
    assert_eq!(sim.bill().nano, 2 * INPUT + 40 * TOKEN);
}

#[tokio::test]
async fn a_cut_in_a_plain_body_gives_half_of_it() {
    let sim = with(Rule::cut(Point::Body)).await;
    assert!(try_post(&chat(&sim), &ask(false), &[]).await.is_err());
    sim.idle().await;
    assert_eq!((sim.requests()[0].outcome, sim.bill().nano), (Outcome::Faulted, INPUT + 40 * TOKEN));
}

#[tokio::test]
async fn a_stall_lasts_until_the_client_leaves() {
    let sim = with(Rule::stall(Point::Events(3))).await;
    let mut stream = post_stream(&chat(&sim), &ask(true)).await.unwrap();
    for _ in 0..3 {
        assert!(stream.next().await.unwrap().is_some());
    }
    assert_eq!(sim.in_flight(), 1);
    // The bill counts what is still in flight.
    assert_eq!(sim.bill().nano, INPUT + 8 * TOKEN);
    drop(stream);
    sim.idle().await;
    assert_eq!((sim.requests()[0].outcome, sim.requests()[0].nano), (Outcome::Cancelled, INPUT + 8 * TOKEN));
    assert_eq!(sim.cancelled().len(), 1);

    for at in [Point::Headers, Point::FirstToken] {
        sim.clear_script();
        sim.script(Rule::stall(at));
        let url = chat(&sim);
        let waiting = tokio::spawn(async move { try_post(&url, &ask(true), &[]).await });
        sim.wait_until(|_, in_flight| in_flight == 1).await;
        waiting.abort();
        sim.idle().await;
    }
    assert_eq!(sim.cancelled().len(), 3);
    assert_eq!(sim.bill().nano, 3 * INPUT + 8 * TOKEN);
}

#[tokio::test]
async fn a_pause_ends_by_itself() {
    for at in [Point::Headers, Point::FirstToken, Point::Events(2), Point::Body] {
        let sim = with(Rule::pause(at, 5)).await;
        assert!(streamed(&sim).await.1);
        assert!(post(&chat(&sim), &ask(false)).await.ok().json()["usage"].is_object());
        sim.idle().await;
        assert_eq!(sim.bill().nano, 2 * (INPUT + 40 * TOKEN));
    }
}

#[tokio::test]
async fn bad_bytes_are_bad() {
    let sim = with(Rule::corrupt(Corruption::Checksum, 2)).await;
    let events = post_stream(&chat(&sim), &ask(true)).await.unwrap().rest().await.unwrap();
    let broken: Vec<bool> = events.iter().map(|event| serde_json::from_str::<Value>(event).is_err()).collect();
    assert_eq!(broken, [false, false, true]);
    let reply = post(&chat(&sim), &ask(false)).await;
    assert!(serde_json::from_slice::<Value>(&reply.body).is_err());
}

#[tokio::test]
async fn the_port_refuses_and_takes_again() {
    let sim = with(Rule::default()).await;
    sim.refuse().await;
    let error = try_post(&chat(&sim), &ask(false), &[]).await.unwrap_err();
    assert!(format!("{error:?}").contains("Connect"), "{error:?}");
    sim.accept().await;
    post(&chat(&sim), &ask(false)).await.ok();

    sim.clear_script();
    sim.script(Rule::refuse(20).times(1));
    assert!(try_post(&chat(&sim), &ask(false), &[]).await.is_err());
    sim.accept().await;
    post(&chat(&sim), &ask(false)).await.ok();
}

#[tokio::test]
async fn slow_tokens_are_charged_as_they_come() {
    let sim = start().await;
    sim.script(Rule::reply(Reply::tokens(8_000)));
    sim.script(Rule::pace(0, 400));
    let mut stream = post_stream(&chat(&sim), &ask(true)).await.unwrap();
    // The start and two pieces have come; at 400 tokens a second the last of 8,000 is far off.
    for _ in 0..3 {
        stream.next().await.unwrap();
    }
    drop(stream);
    sim.idle().await;
    let charged = sim.bill().models[LOCAL].output_tokens;
    assert!((8..8_000).contains(&charged), "{charged} tokens");
    // A plain answer takes its time too, and all of it is charged.
    sim.clear_script();
    sim.script(Rule::reply(Reply::tokens(4)));
    sim.script(Rule::pace(10, 1_000));
    post(&chat(&sim), &ask(false)).await.ok();
    sim.idle().await;
    assert_eq!(sim.bill().models[LOCAL].output_tokens, charged + 4);
    let last = sim.requests().pop().unwrap();
    assert!(last.ended_ms - last.started_ms >= 10, "ended before the first token was due");
}

#[tokio::test]
async fn scripts_bill_and_log_are_pages_too() {
    let sim = start().await;
    let page = |name: &str| format!("{}/_sim/{name}", sim.url());
    let rules =
        json!([{ "model": LOCAL, "when": { "times": 1 }, "fault": { "error": { "name": "ThrottlingException" } } }]);
    assert_eq!(post(&page("script"), &rules).await.ok().json().as_array().unwrap().len(), 1);
    assert_eq!(post(&chat(&sim), &ask(false)).await.status.as_u16(), 429);
    assert_eq!(get(&page("script")).await.json(), json!([]));
    post(&chat(&sim), &ask(false)).await.ok();
    sim.idle().await;
    assert_eq!(get(&page("bill")).await.json(), json!(sim.bill()));
    let log = get(&page("requests")).await.json();
    assert_eq!((&log[0]["outcome"], &log[1]["outcome"]), (&json!("refused"), &json!("complete")));
    assert_eq!(get(&page("gauge")).await.json()["started"], 2);
    let wrong = post(&page("script"), &json!({ "fault": { "eror": {} } })).await;
    assert!(wrong.status.as_u16() == 400 && wrong.text().contains("eror"), "{}", wrong.text());
}

/// Hundreds at once, some cut, some left: the bill is the sum of the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bill_is_the_sum_of_the_log_under_load() {
    let sim = with(Rule::stall(Point::Events(6)).every(5)).await;
    sim.script(Rule::cut(Point::Events(5)).probability(0.2, 1));
    sim.script(Rule::pace(1, 2_000));
    let clients: Vec<_> = (0..300)
        .map(|_| {
            let url = chat(&sim);
            tokio::spawn(async move { post_stream(&url, &ask(true)).await?.rest().await.map_err(anyhow::Error::from) })
        })
        .collect();
    // Every fifth stalls; once all others have ended, their clients leave.
    sim.wait_until(|started, in_flight| started == 300 && in_flight == 60).await;
    let ended: u64 = sim.requests().iter().map(|seen| seen.nano).sum();
    wait::until("the sixty to reach where they stall", async || {
        (sim.bill().nano == ended + 60 * (INPUT + 20 * TOKEN)).then_some(())
    })
    .await;
    clients.iter().for_each(tokio::task::JoinHandle::abort);
    sim.idle().await;
    let (log, bill) = (sim.requests(), sim.bill());
    assert_eq!(log.len(), 300);
    assert_eq!(log.iter().map(|seen| seen.nano).sum::<u64>(), bill.nano);
    let ends = |outcome| log.iter().filter(|seen| seen.outcome == outcome).count();
    assert_eq!(ends(Outcome::Cancelled), 60);
    let cut = ends(Outcome::Faulted);
    assert!((24..=72).contains(&cut), "{cut} of 240 cut");
    for seen in &log {
        let tokens = match seen.outcome {
            Outcome::Complete => 40,
            _ => 20,
        };
        assert_eq!((seen.output_tokens, seen.nano), (tokens, INPUT + tokens * TOKEN), "{seen:?}");
    }
}
