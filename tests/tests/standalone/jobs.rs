//! Embedding jobs through the proxy: S3 and SQS are moto's, the endpoint is the simulator's; proxies that are killed, batches that fail, budgets
//! that end and callers who ask for what is not theirs.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tollway_tests::http::{self, Reply};
use tollway_tests::manifests::budget;
use tollway_tests::moto::Moto;
use tollway_tests::process::Proxy;
use tollway_tests::sim::{Config, Corruption, Embeds, Exception, Fault, Model, Point, Price, Rule, Sim, vector};
use tollway_tests::wait;

use super::setup::{folder, with_aws};

const DIMENSIONS: usize = 8;

/// S3 and SQS, the endpoint, and a proxy between them.
struct Stand {
    moto: Moto,
    sim: Sim,
    proxy: Proxy,
    folder: PathBuf,
    queue: String,
}

fn manifests(queue: &str, limit: &str) -> String {
    format!(
        r#"
apiVersion: tollway.dev/v1alpha1
kind: EmbeddingEndpoint
metadata: {{name: vectors}}
spec:
  model: bge
  dimensions: {DIMENSIONS}
  sagemaker: {{endpointName: bge, region: us-east-1}}
  batching: {{maxItems: 4, maxConcurrent: 3}}
  price: {{inputPerMillion: "100"}}
  jobs: {{s3Uri: "s3://tollway-jobs/some/prefix", endpointName: bge-batches, deadLetter: {{sqsQueueUrl: "{queue}"}}}}
---
apiVersion: tollway.dev/v1alpha1
kind: EmbeddingEndpoint
metadata: {{name: plain}}
spec: {{model: plain, dimensions: {DIMENSIONS}, sagemaker: {{endpointName: bge, region: us-east-1}}}}
{}"#,
        budget("team", limit, "")
    )
}

async fn proxy(moto: &Moto, sim: &Sim, folder: &Path) -> Proxy {
    Proxy::standalone_with(folder, |program| {
        let program = with_aws(sim, program);
        program.env("AWS_ENDPOINT_URL_S3", &moto.url).env("AWS_ENDPOINT_URL_SQS", &moto.url)
    })
    .await
}

impl Stand {
    async fn start(limit: &str) -> Stand {
        let moto = Moto::start().await;
        let made = moto.run("moto_jobs.py", &["make", "tollway-jobs", "dead"]).await;
        let queue = made["queue"].as_str().expect("a queue").to_owned();
        let embeds = Embeds { dimensions: DIMENSIONS, most_bytes: 64, ..Embeds::default() };
        let price = Price { input: 100_000_000_000, ..Price::default() };
        let mut config = Config { s3: Some(moto.url.clone()), ..Config::default() };
        config.models.insert("bge-batches".to_owned(), Model { embeds: Some(embeds), ..Model::priced(price) });
        let sim = Sim::start(config).await.expect("a simulator");
        let folder = folder(&manifests(&queue, limit));
        let proxy = proxy(&moto, &sim, &folder).await;
        Stand { moto, sim, proxy, folder, queue }
    }

    fn url(&self, rest: &str) -> String {
        format!("{}/v1/embeddings/jobs{rest}", self.proxy.url)
    }

    async fn give(&self, body: &Value, user: &str) -> Reply {
        http::try_post(&self.url(""), body, &[("x-tollway-user", user)]).await.expect("an answer")
    }

    async fn accepted(&self, texts: &[String]) -> String {
        let answer = self.give(&json!({"model": "bge", "input": texts}), "ann").await;
        assert_eq!(answer.status.as_u16(), 202, "{}", answer.text());
        let job = answer.json();
        assert_eq!((&job["object"], &job["status"]), (&"embedding.job".into(), &"queued".into()), "{job}");
        assert_eq!(job["item_counts"]["total"], texts.len());
        job["id"].as_str().expect("an id").to_owned()
    }

    async fn seen(&self, id: &str) -> Value {
        http::get_as(&self.url(&format!("/{id}")), &[("x-tollway-user", "ann")]).await.ok().json()
    }

    async fn until(&self, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        wait::until(&format!("the job to be {what}"), async || {
            let job = http::get_as(&self.url(&format!("/{id}")), &[("x-tollway-user", "ann")]).await;
            Some(job.json()).filter(|job| holds(job))
        })
        .await
    }

    async fn over(&self, id: &str) -> Value {
        self.until(id, "over", |job| !job["finished_at"].is_null()).await
    }

    async fn lines(&self, id: &str) -> Vec<Value> {
        let headers = [("x-tollway-user", "ann"), ("accept", "application/x-ndjson")];
        let answer = http::get_as(&self.url(&format!("/{id}/result")), &headers).await.ok();
        assert_eq!(answer.header("content-type"), "application/x-ndjson");
        answer.text().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Texts of every batch that the endpoint worked on, as often as it did.
    fn worked_on(&self) -> Vec<String> {
        let results = self.sim.requests().into_iter().filter(|seen| seen.path == "result");
        let texts = results.flat_map(|seen| seen.json()["inputs"].as_array().cloned().unwrap_or_default());
        texts.filter_map(|text| text.as_str().map(str::to_owned)).collect()
    }

    async fn spent(&self) -> u64 {
        let status = self.proxy.status().await;
        let budget = status["budgets"].as_array().and_then(|budgets| budgets.first()).cloned().unwrap_or_default();
        let spent = budget["spentUsd"].as_str().and_then(|text| text.parse::<tollway_core::spend::Nano>().ok());
        spent.unwrap_or_else(|| panic!("no budget in {status}")).0
    }

    /// What was spent, as soon as the status tells of so much.
    async fn paid(&self, least: u64) -> u64 {
        wait::until(&format!("{least} nano-dollars in the status"), async || {
            Some(self.spent().await).filter(|spent| *spent >= least)
        })
        .await
    }
}

/// What a proxy reserves for texts of which nobody counts the tokens, at a hundred dollars a million.
fn bound(texts: &[String]) -> u64 {
    texts.iter().map(|text| (text.len() as u64 + 16) * 100_000).sum()
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("text {at}")).collect()
}

#[track_caller]
fn assert_vector(value: &Value, text: &str) {
    let numbers: Vec<f32> =
        value.as_array().into_iter().flatten().filter_map(Value::as_f64).map(|number| number as f32).collect();
    let expected = vector(text, DIMENSIONS);
    let near = numbers.len() == expected.len() && numbers.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(near, "{text}: {value}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_gives_every_vector_in_order_and_only_to_its_caller() {
    let stand = Stand::start("1.00").await;
    let texts = texts(30);
    let id = stand.accepted(&texts).await;
    let job = stand.over(&id).await;
    assert_eq!((&job["status"], &job["item_counts"]["completed"]), (&"completed".into(), &30.into()), "{job}");
    assert!(job["usage"]["prompt_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{job}");

    let lines = stand.lines(&id).await;
    assert_eq!(lines.len(), 31);
    for (at, line) in lines.iter().take(30).enumerate() {
        assert_eq!(line["index"], at);
        assert_vector(&line["embedding"], &texts[at]);
    }
    assert_eq!(lines[30]["usage"], job["usage"]);
    let list = http::get_as(&stand.url(&format!("/{id}/result")), &[("x-tollway-user", "ann")]).await.ok().json();
    assert_eq!((&list["object"], &list["model"], &list["failed"]), (&"list".into(), &"bge".into(), &json!([])));
    for (at, item) in list["data"].as_array().expect("a list").iter().enumerate() {
        assert_eq!((&item["object"], &item["index"]), (&"embedding".into(), &at.into()));
        assert_vector(&item["embedding"], &texts[at]);
    }

    // Every item was sent once, in batches of four at most, and paid once.
    let worked_on = stand.worked_on();
    assert_eq!(worked_on.len(), 30);
    assert_eq!(worked_on.iter().collect::<BTreeSet<_>>().len(), 30);
    let charged = stand.sim.bill().nano;
    assert!(charged > 0 && charged <= bound(&texts));
    assert_eq!(stand.paid(bound(&texts)).await, bound(&texts), "each item is paid once");
    assert_eq!(job["cost_usd"], tollway_core::spend::Nano(bound(&texts)).to_string());
    let invoked = stand.sim.requests().into_iter().filter(|seen| seen.path.ends_with("/async-invocations"));
    let invoked: Vec<_> = invoked.collect();
    assert_eq!(invoked.len(), 8);
    assert_eq!(invoked[0].client.as_deref(), Some("AKIASIMULATED0000001"));

    // Nobody else sees it.
    for user in [Some("bob"), None] {
        let headers: Vec<(&str, &str)> = user.iter().map(|user| ("x-tollway-user", *user)).collect();
        for rest in [format!("/{id}"), format!("/{id}/result")] {
            let answer = http::get_as(&stand.url(&rest), &headers).await;
            assert_eq!(answer.status.as_u16(), 404, "{}", answer.text());
        }
        assert_eq!(http::delete(&stand.url(&format!("/{id}")), &headers).await.status.as_u16(), 404);
        assert_eq!(http::get_as(&stand.url(""), &headers).await.ok().json()["data"], json!([]));
    }
    let mine = http::get_as(&stand.url(""), &[("x-tollway-user", "ann")]).await.ok().json();
    assert_eq!((&mine["data"][0]["id"], &mine["has_more"]), (&id.as_str().into(), &false.into()), "{mine}");
    // What is over leaves no mark for proxies to look at.
    let keys = stand.moto.run("moto_jobs.py", &["keys", "tollway-jobs"]).await;
    let keys: Vec<&str> = keys.as_array().expect("keys").iter().filter_map(Value::as_str).collect();
    assert!(keys.iter().all(|key| !key.contains("/open/")), "{keys:?}");
    assert!(keys.iter().all(|key| !key.contains("ann")), "what a user is called is in no key: {keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_proxy_goes_on_for_one_that_is_killed_and_neither_sends_nor_pays_anything_twice() {
    let mut stand = Stand::start("1.00").await;
    stand.sim.hold_results(true);
    let texts = texts(22);
    let id = stand.accepted(&texts).await;
    // Three batches are with the endpoint, and the manifest says so.
    let job = stand.until(&id, "under way", |job| job["item_counts"]["in_flight"] == 12).await;
    assert_eq!(job["status"], "running", "{job}");
    stand.sim.wait_until(|started, _| started >= 6).await;
    // The word of where the results come is written before anything else is done.
    wait::until("the manifest to know all places", async || {
        let keys = stand.moto.run("moto_jobs.py", &["keys", "tollway-jobs"]).await;
        let key =
            keys.as_array()?.iter().filter_map(Value::as_str).find(|key| key.ends_with("manifest.json"))?.to_owned();
        let kept = stand.moto.object(&format!("tollway-jobs/{key}")).await.ok().json();
        let sent = kept["batches"].as_object()?.values().filter(|batch| batch["state"] == "sent").count();
        (sent == 3).then_some(())
    })
    .await;
    // Another proxy, with a ledger of its own, finds the job in the first one's hands.
    let another = proxy(&stand.moto, &stand.sim, &stand.folder).await;
    stand.proxy.process.kill();
    stand.proxy = another;
    stand.sim.hold_results(false);
    let job = stand.over(&id).await;
    assert_eq!((&job["status"], &job["item_counts"]["completed"]), (&"completed".into(), &22.into()), "{job}");
    let lines = stand.lines(&id).await;
    for (at, text) in texts.iter().enumerate() {
        assert_eq!(lines[at]["index"], at);
        assert_vector(&lines[at]["embedding"], text);
    }
    let worked_on = stand.worked_on();
    assert_eq!(worked_on.len(), 22, "each item once: {worked_on:?}");
    // Who only collects what another has sent pays nothing for it.
    assert_eq!(stand.paid(bound(&texts[12..])).await, bound(&texts[12..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_killed_while_it_sends_pays_for_what_it_may_have_sent() {
    let mut stand = Stand::start("10.00").await;
    stand.sim.script(Rule::pace(200, 0));
    let texts = texts(30);
    let id = stand.accepted(&texts).await;
    // Somebody has sent a batch, and perhaps nobody knows yet where its result comes.
    stand.sim.wait_until(|started, _| started >= 1).await;
    stand.proxy.restart().await;
    let job = stand.over(&id).await;
    assert_eq!((&job["status"], &job["item_counts"]["completed"]), (&"completed".into(), &30.into()), "{job}");
    let lines = stand.lines(&id).await;
    for (at, text) in texts.iter().enumerate() {
        assert_eq!(lines[at]["index"], at);
        assert_vector(&lines[at]["embedding"], text);
    }
    // At most what was on its way is sent once more, and all of it is paid.
    stand.sim.idle().await;
    let worked_on = stand.worked_on();
    assert!((30..=42).contains(&worked_on.len()), "{worked_on:?}");
    stand.paid(bound(&worked_on)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_texts_are_done_once_each() {
    let stand = Stand::start("100.00").await;
    let manifests = manifests(&stand.queue, "100.00").replace("maxItems: 4", "maxItems: 64");
    std::fs::write(stand.folder.join("tollway.yaml"), manifests).expect("a manifest");
    wait::until("larger batches", async || {
        stand.proxy.table().await.to_string().contains("\"maxItems\":64").then_some(())
    })
    .await;
    let (texts, began) = (texts(5_000), Instant::now());
    let id = stand.accepted(&texts).await;
    let accepted = began.elapsed();
    let job = stand.over(&id).await;
    println!("5,000 texts: accepted in {accepted:?}, done in {:?}", began.elapsed());
    assert_eq!(job["item_counts"]["completed"], 5_000, "{job}");
    let lines = stand.lines(&id).await;
    for (at, text) in texts.iter().enumerate() {
        assert_eq!(lines[at]["index"], at);
        assert_vector(&lines[at]["embedding"], text);
    }
    assert_eq!(stand.worked_on().len(), 5_000);
    assert_eq!(stand.paid(bound(&texts)).await, bound(&texts));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_good_goes_to_the_dead_letter_queue_and_its_neighbours_do_not() {
    let stand = Stand::start("1.00").await;
    let mut texts = texts(8);
    // Longer than the container takes: found by halving.
    texts[5] = "x".repeat(100);
    let id = stand.accepted(&texts).await;
    let job = stand.over(&id).await;
    let counts = &job["item_counts"];
    assert_eq!(
        (&job["status"], &counts["completed"], &counts["failed"]),
        (&"completed".into(), &7.into(), &1.into()),
        "{job}"
    );
    let lines = stand.lines(&id).await;
    assert!(
        lines[5]["error"]["message"].as_str().is_some_and(|words| words.contains("less than 64 bytes")),
        "{}",
        lines[5]
    );
    assert_vector(&lines[4]["embedding"], &texts[4]);
    let letters = stand.moto.run("moto_jobs.py", &["drain", &stand.queue]).await;
    let letters = letters.as_array().expect("letters");
    assert_eq!(letters.len(), 1, "{letters:?}");
    let letter = &letters[0];
    assert_eq!(
        (&letter["job"], &letter["index"], &letter["text"]),
        (&id.as_str().into(), &5.into(), &texts[5].as_str().into())
    );
    assert!(letter["error"].as_str().is_some_and(|words| words.contains("less than 64 bytes")), "{letter}");
    assert!(letter["inputLocation"].as_str().is_some_and(|uri| uri.starts_with("s3://tollway-jobs/some/prefix/")));
    let list = http::get_as(&stand.url(&format!("/{id}/result")), &[("x-tollway-user", "ann")]).await.ok().json();
    assert_eq!((list["data"].as_array().map(Vec::len), &list["failed"][0]["index"]), (Some(7), &5.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_fails_is_sent_again_and_what_may_have_been_answered_is_paid() {
    let stand = Stand::start("1.00").await;
    for rule in [
        Rule::error(Exception::ModelError),
        Rule::error(Exception::Throttling),
        Rule::cut(Point::Headers),
        Rule::corrupt(Corruption::Dimensions, 0),
    ] {
        let (before, spent) = (stand.sim.bill().nano, stand.spent().await);
        stand.sim.script(rule.clone().times(1));
        let id = stand.accepted(&texts(12)).await;
        let job = stand.over(&id).await;
        assert_eq!(
            (&job["status"], &job["item_counts"]["completed"]),
            (&"completed".into(), &12.into()),
            "{rule:?}: {job}"
        );
        stand.sim.idle().await;
        let charged = stand.sim.bill().nano - before;
        // A batch that may have been answered is paid beside its next try.
        let tries = if matches!(&rule.fault, Some(Fault::Cut { .. } | Fault::Corrupt { .. })) { 16 } else { 12 };
        let least = bound(&texts(12)) * tries / 12 - 12 * 100_000;
        let paid = stand.paid(spent + least).await - spent;
        assert!(
            paid >= charged && paid <= bound(&texts(12)) * tries / 12 + 12 * 100_000,
            "{rule:?}: {paid} for {charged}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_budget_pauses_a_job_and_more_money_lets_it_go_on() {
    // A batch of four such texts is bounded by some 40 tokens each, 0.0096 dollars.
    let stand = Stand::start("0.03").await;
    let texts = texts(40);
    let id = stand.accepted(&texts).await;
    let job =
        stand.until(&id, "paused", |job| !job["status_reason"].is_null() && job["item_counts"]["in_flight"] == 0).await;
    assert_eq!(job["status_reason"]["code"], "budget_exceeded", "{job}");
    assert!(job["status_reason"]["message"].as_str().is_some_and(|words| words.contains("team")), "{job}");
    assert!(job["finished_at"].is_null(), "{job}");
    stand.sim.idle().await;
    let charged = stand.sim.bill().nano;
    let spent = stand.paid(charged).await;
    assert!(charged > 0 && charged <= spent && spent <= 30_000_000, "{spent} for {charged}");
    std::fs::write(stand.folder.join("tollway.yaml"), manifests(&stand.queue, "1.00")).expect("a manifest");
    let job = stand.over(&id).await;
    assert_eq!((&job["item_counts"]["completed"], &job["status_reason"]), (&40.into(), &Value::Null), "{job}");
    assert_eq!(stand.worked_on().len(), 40);
    assert_eq!(stand.lines(&id).await.len(), 41);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sent_is_cancelled() {
    let stand = Stand::start("1.00").await;
    stand.sim.hold_results(true);
    let id = stand.accepted(&texts(40)).await;
    stand.until(&id, "under way", |job| job["item_counts"]["in_flight"] == 12).await;
    let headers = [("x-tollway-user", "ann")];
    let early = http::get_as(&stand.url(&format!("/{id}/result")), &headers).await;
    assert_eq!(early.status.as_u16(), 409, "{}", early.text());
    let cancelled = http::delete(&stand.url(&format!("/{id}")), &headers).await.ok().json();
    assert_eq!(
        (&cancelled["status"], &cancelled["item_counts"]["cancelled"]),
        (&"cancelling".into(), &28.into()),
        "{cancelled}"
    );
    stand.sim.hold_results(false);
    let job = stand.over(&id).await;
    assert_eq!((&job["status"], &job["item_counts"]["completed"]), (&"cancelled".into(), &12.into()), "{job}");
    assert_eq!(stand.worked_on().len(), 12);
    let lines = stand.lines(&id).await;
    assert_eq!((lines.len(), &lines[12]["error"]["message"]), (41, &"cancelled".into()));
    // Once more says the same.
    let again = http::delete(&stand.url(&format!("/{id}")), &headers).await.ok().json();
    assert_eq!(again, stand.seen(&id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said() {
    let stand = Stand::start("1.00").await;
    for (body, status, param) in [
        (json!({"model": "bge", "input": []}), 400, Some("input")),
        (json!({"model": "bge", "input": ["a", ""]}), 400, Some("input[1]")),
        (json!({"model": "bge", "input": [[1, 2]]}), 400, Some("input[0]")),
        (json!({"model": "bge", "input": vec!["x"; 100_001]}), 400, Some("input")),
        (json!({"model": "bge", "input": "a", "dimensions": 256}), 400, Some("dimensions")),
        (json!({"model": "bge"}), 400, Some("input")),
        (json!({"model": "plain", "input": "a"}), 400, Some("model")),
        (json!({"model": "other", "input": "a"}), 404, Some("model")),
        (json!("text"), 400, None),
    ] {
        let answer = stand.give(&body, "ann").await;
        let error = answer.json();
        assert_eq!((answer.status.as_u16(), error["error"]["param"].as_str()), (status, param), "{error}");
    }
    let malformed =
        http::post_raw(&stand.url(""), &[("content-type", "application/json")], "{").await.expect("an answer");
    assert_eq!(malformed.status.as_u16(), 400);
    let huge = http::post_raw(&stand.url(""), &[("content-type", "application/json")], vec![b'x'; 21 << 20]).await;
    assert_eq!(huge.expect("an answer").status.as_u16(), 413);
    let number = "0".repeat(44);
    for id in [
        "x",
        "embjob-x-vectors",
        &format!("embjob-{number}-vectors"),
        &format!("embjob-{number}-other"),
        &format!("embjob-{number}-plain"),
        "..%2F..%2Fx",
    ] {
        for rest in ["", "/result"] {
            let answer = http::get(&stand.url(&format!("/{id}{rest}"))).await;
            assert_eq!(answer.status.as_u16(), 404, "{id}: {}", answer.text());
        }
    }
    for query in ["?limit=0", "?limit=x", "?after=x", "?other=1"] {
        assert_eq!(http::get(&stand.url(query)).await.status.as_u16(), 400, "{query}");
    }
    assert_eq!(http::delete(&stand.url(""), &[]).await.status.as_u16(), 405);
    assert!(stand.sim.requests().is_empty());
    // Without S3 nothing is promised.
    let id = stand.accepted(&texts(1)).await;
    stand.over(&id).await;
    let Stand { moto, proxy, .. } = stand;
    drop(moto);
    let answer = http::post(&format!("{}/v1/embeddings/jobs", proxy.url), &json!({"model": "bge", "input": "a"})).await;
    assert_eq!(answer.status.as_u16(), 503, "{}", answer.text());
}
