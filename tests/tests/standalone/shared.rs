//! Several proxies as processes and one redis-server: limits that hold over all of them, answers that they share, and what happens when it goes.

use serde_json::{Value, json};
use tollway_tests::http::{self, Reply};
use tollway_tests::process::{PASSWORD, Program, Proxy, Redis};
use tollway_tests::sim::{Answers, Config, Embeds, Model, Price, Sim};
use tollway_tests::wait;

use super::setup::{folder, with_aws};

/// `limits` is what `spec.rateLimits` holds, `cache` what `spec.cache` does.
fn manifests(limits: &str, cache: &str) -> String {
    let part = |name: &str, value: &str| if value.is_empty() { String::new() } else { format!("  {name}: {value}\n") };
    format!(
        "apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {{name: assistant, namespace: team}}
spec:
  models: [assistant]
  targets:
  - name: pretend
    simulated: {{reply: the confidential answer of a model, firstTokenMs: 20}}
  rules:
  - split: [{{target: pretend, weight: 1}}]
{}{}",
        part("rateLimits", limits),
        part("cache", cache)
    )
}

const DAY: &str = "window: 24h, scope: Global";

/// A proxy that waits long for a loaded machine.
async fn proxy(manifests: &str, redis: &Redis) -> Proxy {
    let proxy = Proxy::standalone_with(folder(manifests), |program| sharing(program, redis)).await;
    connected(&proxy).await;
    proxy
}

fn sharing(program: Program, redis: &Redis) -> Program {
    program.env("TOLLWAY_REDIS_URL", redis.url()).arg("--redis-timeout=20000")
}

async fn connected(proxy: &Proxy) {
    wait::until("the proxy to reach Redis", async || metric(proxy, "tollway_redis_up").await.filter(|up| *up == 1))
        .await;
}

/// The sum over all series of a name.
async fn metric(proxy: &Proxy, name: &str) -> Option<u64> {
    let text = proxy.metrics().await;
    let series = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    series.map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).reduce(|a, b| Some(a? + b?)).flatten()
}

fn body(text: &str, max_tokens: u32) -> Value {
    json!({"model": "assistant", "max_tokens": max_tokens, "messages": [{"role": "user", "content": text}]})
}

/// So many requests to each proxy, all at once.
async fn rush(proxies: &[Proxy], each: usize) -> Vec<Reply> {
    let tasks: Vec<_> = (0..each)
        .flat_map(|_| proxies.iter().map(Proxy::chat_url))
        .map(|url| tokio::spawn(async move { http::post(&url, &body("hello", 50)).await }))
        .collect();
    let mut replies = Vec::new();
    for task in tasks {
        replies.push(task.await.expect("a reply"));
    }
    replies
}

fn holds(all: &[u8], text: &str) -> bool {
    all.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_proxies_admit_exactly_one_limit() {
    let redis = Redis::start().await;
    let limited = manifests(&format!("[{{per: Route, requests: 50, {DAY}}}]"), "");
    let proxies = [proxy(&limited, &redis).await, proxy(&limited, &redis).await, proxy(&limited, &redis).await];
    let replies = rush(&proxies, 40).await;
    let admitted = replies.iter().filter(|reply| reply.status == 200).count();
    let refused = replies.iter().filter(|reply| reply.status == 429).count();
    assert_eq!((admitted, refused), (50, 70));
    for proxy in &proxies {
        assert_eq!(metric(proxy, "tollway_redis_limit_fallbacks_total").await, None, "every answer came from Redis");
    }
    let late = replies.iter().find(|reply| reply.status == 429).expect("a refusal");
    assert!(!late.header("retry-after").is_empty() && late.header("x-ratelimit-limit-requests") == "50");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_over_all_proxies_never_pass_the_limit() {
    let redis = Redis::start().await;
    let limited = manifests(&format!("[{{per: Route, tokens: 600, {DAY}}}]"), "");
    let proxies = [proxy(&limited, &redis).await, proxy(&limited, &redis).await];
    let mut used = 0;
    for _ in 0..4 {
        let replies = rush(&proxies, 20).await;
        let served = replies.iter().filter(|reply| reply.status == 200);
        used += served.map(|reply| reply.json()["usage"]["total_tokens"].as_u64().expect("a usage")).sum::<u64>();
    }
    assert!((300..=600).contains(&used), "{used} of 600 tokens");
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_go_on_by_themselves_while_redis_is_gone() {
    let mut redis = Redis::start().await;
    let limited = manifests("[{per: User, requests: 1000, scope: Global}]", "{ttl: 1h, scope: Shared}");
    let proxies = [proxy(&limited, &redis).await, proxy(&limited, &redis).await];
    let ask = async |round: &str| {
        for proxy in &proxies {
            for number in 0..5 {
                let reply = proxy.chat("assistant", &format!("{round} {number}")).await;
                assert_eq!(reply.status, 200, "{round}: {}", reply.text());
            }
        }
    };
    ask("before").await;
    redis.process.kill();
    ask("without").await;
    for proxy in &proxies {
        assert!(metric(proxy, "tollway_redis_limit_fallbacks_total").await.is_some_and(|count| count == 5));
        let page = proxy.status().await;
        assert!(page["redis"]["problem"].is_string(), "{page}");
    }
    redis.restart().await;
    for proxy in &proxies {
        connected(proxy).await;
    }
    ask("again").await;
    for proxy in &proxies {
        assert_eq!(metric(proxy, "tollway_redis_limit_fallbacks_total").await, Some(5), "shared again");
        assert!(!proxy.process.log().contains(PASSWORD));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_refuses_is_as_good_as_none_and_says_so() {
    let redis = Redis::start().await;
    let limited = manifests("[{per: Route, requests: 2, window: 24h, scope: Global}]", "{ttl: 1h, scope: Shared}");
    let wrong = redis.url().replace(PASSWORD, "wr0ng");
    let mut proxy = Proxy::standalone_with(folder(&limited), |program| program.env("TOLLWAY_REDIS_URL", &wrong)).await;
    proxy.process.wait_for_log("Redis is of no use just now").await;
    let mut seen = Vec::new();
    for number in 0..3 {
        seen.push(proxy.chat("assistant", &format!("question {number}")).await.status.as_u16());
    }
    assert_eq!(seen, [200, 200, 429], "the whole limit: how many proxies there are is not known");
    let log = proxy.process.log();
    assert!(!log.contains("wr0ng"), "{log}");
    let page = proxy.status().await;
    assert!(page["redis"]["problem"].as_str().is_some_and(|problem| problem.to_lowercase().contains("auth")), "{page}");
    assert!(!page.to_string().contains("wr0ng"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_address_a_global_limit_is_kept_and_the_route_says_that_it_is_not_shared() {
    let limited = manifests("[{per: Route, requests: 1, window: 24h, scope: Global}]", "");
    let proxy = Proxy::standalone(folder(&limited)).await;
    assert_eq!(proxy.chat("assistant", "one").await.status, 200);
    assert_eq!(proxy.chat("assistant", "two").await.status, 429);
    let told = proxy.process.log().lines().filter(|line| line.contains("--redis-url")).count();
    assert_eq!(told, 1);
    let page = proxy.status().await;
    let notes = page["routes"][0]["notes"].to_string();
    assert!(notes.contains("scope Global") && page["redis"].is_null(), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_shared_under_the_secret_and_nobody_can_read_them() {
    let redis = Redis::start().await;
    let cached = manifests("[{per: User, requests: 100, scope: Global}]", "{ttl: 1h, scope: Shared}");
    let secret = |byte: u8| {
        let key = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [byte; 32]);
        format!("{cached}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: tollway-cache}}\ndata: {{key: {key}}}\n")
    };
    let [one, other, stranger] =
        [proxy(&secret(0xf1), &redis).await, proxy(&secret(0xf1), &redis).await, proxy(&secret(0xf2), &redis).await];
    let ask = async |proxy: &Proxy| {
        let reply = proxy.chat("assistant", "tell me the secret of the recipe").await.ok();
        (reply.header("x-tollway-cache").to_owned(), reply.body)
    };
    let (first, answer) = ask(&one).await;
    assert_eq!(first, "miss");
    let mut link = redis.link().await;
    wait::until("the answer to be stored", async || {
        let keys: Vec<String> = redis::cmd("KEYS").arg("tollway:team:answer:*").query_async(&mut link).await.ok()?;
        (keys.len() == 1).then_some(())
    })
    .await;
    assert_eq!(ask(&other).await, ("hit".to_owned(), answer));
    let shared = other.metrics().await;
    assert!(shared.contains("tollway_cache_requests_total{result=\"shared_hit\",route=\"assistant\"} 1"), "{shared}");
    assert_eq!(ask(&stranger).await.0, "miss", "another key");
    let all = redis.everything().await;
    for text in ["recipe", "confidential", "secret of", "pretend"] {
        assert!(!holds(&all, text), "{text} can be read in Redis");
    }
    assert!(holds(&all, "tollway:team:rate:{assistant}:User:"), "the dump holds what there is");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_reached_over_tls() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let files = tollway_tests::scratch::folder("redis-tls");
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| files.join(name));
    std::fs::write(&cert, made.cert.pem()).expect("a certificate's file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a key's file");
    let port = tollway_tests::process::free_port();
    let redis = Redis::start_with(|program| {
        let program = program.args(["--tls-port", &port.to_string(), "--tls-auth-clients", "no"]);
        program.arg("--tls-cert-file").arg(&cert).arg("--tls-key-file").arg(&key).arg("--tls-ca-cert-file").arg(&cert)
    })
    .await;
    let limited = manifests(&format!("[{{per: Route, requests: 1, {DAY}}}]"), "");
    let url = format!("rediss://:{PASSWORD}@localhost:{port}");
    let over_tls = Proxy::standalone_with(folder(&limited), |program| {
        let program = program.env("TOLLWAY_REDIS_URL", &url).env("SSL_CERT_FILE", &cert);
        program.arg("--redis-timeout=20000")
    })
    .await;
    connected(&over_tls).await;
    let plain = proxy(&limited, &redis).await;
    assert_eq!(over_tls.chat("assistant", "one").await.status, 200);
    assert_eq!(plain.chat("assistant", "two").await.status, 429);
    // Who does not know the certificate does not send the password.
    let mut stranger = Proxy::standalone_with(folder(&limited), |program| program.env("TOLLWAY_REDIS_URL", &url)).await;
    let line = stranger.process.wait_for_log("Redis is of no use just now").await;
    assert!(line.to_lowercase().contains("certificate"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_are_shared_and_only_new_texts_are_sent() {
    let redis = Redis::start().await;
    let mut config = Config::default();
    let embeds = Embeds { answers: Answers::OpenAi, dimensions: 8, ..Embeds::default() };
    config.models.insert("bge".to_owned(), Model { embeds: Some(embeds), ..Model::priced(Price::default()) });
    let sim = Sim::start(config).await.expect("a simulator");
    let manifest = "apiVersion: tollway.dev/v1alpha1\nkind: EmbeddingEndpoint\nmetadata: {name: vectors, namespace: team}\nspec:\n  \
        model: bge\n  dimensions: 8\n  sagemaker: {endpointName: bge, region: us-east-1, payload: OpenAI}\n  \
        cache: {ttl: 1h, scope: Shared}\n";
    let proxy = async || {
        let proxy = Proxy::standalone_with(folder(manifest), |program| with_aws(&sim, sharing(program, &redis))).await;
        connected(&proxy).await;
        proxy
    };
    let embed = async |proxy: &Proxy, texts: &[&str]| {
        let reply = http::post(&format!("{}/v1/embeddings", proxy.url), &json!({"model": "bge", "input": texts})).await;
        let reply = reply.ok();
        (reply.header("x-tollway-cache").to_owned(), reply.json()["data"].clone())
    };
    let [one, other] = [proxy().await, proxy().await];
    let (first, vectors) = embed(&one, &["the recipe", "of the house"]).await;
    assert_eq!(first, "miss");
    let mut link = redis.link().await;
    wait::until("both vectors to be stored", async || {
        let keys: Vec<String> = redis::cmd("KEYS").arg("tollway:team:answer:*").query_async(&mut link).await.ok()?;
        (keys.len() == 2).then_some(())
    })
    .await;
    assert_eq!(embed(&other, &["the recipe", "of the house"]).await, ("hit".to_owned(), vectors));
    assert_eq!(sim.requests().len(), 1);
    assert_eq!(embed(&other, &["of the house", "is new"]).await.0, "partial");
    let sent = sim.requests();
    let last = String::from_utf8_lossy(&sent[1].body).into_owned();
    assert!(sent.len() == 2 && last.contains("is new") && !last.contains("of the house"), "{last}");
    assert!(!holds(&redis.everything().await, "recipe"));
}
