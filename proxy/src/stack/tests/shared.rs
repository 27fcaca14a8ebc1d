//! Two proxies and one redis-server: they admit one limit together, answer for each other, and go on alone when it is gone.

use super::*;
use crate::fixture::{Redis, priced, stream};
use crate::source::Secrets;
use crate::stack::Options;
use crate::upstream::Policy;
use tollway_core::table::{Cache, LimitScope, Per, RateLimit, Route, SharedCache};

fn global(requests: Option<u32>, tokens: Option<u32>) -> RateLimit {
    // So long that nothing comes back while the test runs.
    RateLimit { per: Per::Route, requests, tokens, window_ms: 24 * 3_600_000, scope: LimitScope::Global }
}

async fn proxy(route: &Route, redis: &Redis) -> Running {
    let options = Options { policy: Policy::Loopback, ..Options::default() };
    let table = Some(table(route.clone()));
    let proxy = Running::start_sharing(table, Secrets::default(), options, Some(redis.address())).await;
    proxy.wait_for(connected).await;
    proxy
}

fn connected(proxy: &Running) -> bool {
    metric(proxy, "tollway_redis_up").as_deref() == Some("1")
}

fn metric(proxy: &Running, name: &str) -> Option<String> {
    let text = proxy.proxy.metrics.encode(None, &[]).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))
}

/// Every key with its value, as bytes.
async fn everything(redis: &Redis) -> Vec<u8> {
    let mut link = redis.link().await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut link).await.unwrap();
    let mut all = keys.join("\n").into_bytes();
    for key in keys.iter().filter(|key| !key.ends_with(":proxies")) {
        all.extend(redis::cmd("GET").arg(key).query_async::<Vec<u8>>(&mut link).await.unwrap());
    }
    all
}

fn holds(all: &[u8], text: &str) -> bool {
    all.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_proxies_admit_one_limit_together() {
    let redis = Redis::start().await;
    let mut route = assistant(vec![("pretend", simulated("hello"))]);
    route.rate_limits = vec![global(Some(3), None)];
    let (one, other) = (proxy(&route, &redis).await, proxy(&route, &redis).await);
    let mut left = Vec::new();
    for proxy in [&one, &other, &one] {
        let answer = proxy.ask().await;
        assert_eq!((answer.status, answer.header("x-ratelimit-limit-requests")), (OK, "3"));
        left.push(answer.header("x-ratelimit-remaining-requests").to_owned());
    }
    assert_eq!(left, ["2", "1", "0"]);
    for proxy in [&one, &other] {
        let answer = proxy.ask().await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (429, "rate_limited"));
        assert!(answer.text().contains("the limit of 3 requests in 24h0m0s is reached"), "{}", answer.text());
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((28_000..=28_800).contains(&wait), "{wait}");
        assert_eq!(metric(proxy, "tollway_redis_limit_fallbacks_total{route=\"assistant\"}"), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_corrected_for_all() {
    let redis = Redis::start().await;
    let mut route = assistant(vec![("pretend", simulated("hello"))]);
    route.rate_limits = vec![global(None, Some(1_000))];
    let (one, other) = (proxy(&route, &redis).await, proxy(&route, &redis).await);
    let limited = ",\"max_tokens\":900";
    let first = one.send(one.chat(limited)).await;
    assert_eq!(first.status, OK, "{}", first.text());
    let used = first.json()["usage"]["total_tokens"].as_u64().unwrap();
    // Until the correction is there, the other proxy finds the reservation in its way.
    let next = async {
        loop {
            let answer = other.send(other.chat(limited)).await;
            if answer.status == OK {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let next = tokio::time::timeout(std::time::Duration::from_secs(20), next).await.expect("the correction arrived");
    let left: u64 = next.header("x-ratelimit-remaining-tokens").parse().unwrap();
    assert!(left + 900 + used <= 1_000 && left + 900 + used > 950, "{left} left after {used} were used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_user_has_a_limit_of_their_own_and_no_name_is_stored() {
    let redis = Redis::start().await;
    let mut route = assistant(vec![("pretend", simulated("hello"))]);
    route.rate_limits = vec![RateLimit { per: Per::User, ..global(Some(1), None) }];
    let (one, other) = (proxy(&route, &redis).await, proxy(&route, &redis).await);
    let ask = async |proxy: &Running, user: &str| proxy.send(proxy.chat(&format!(",\"user\":\"{user}\""))).await.status;
    assert_eq!(ask(&one, "ann-the-user").await, OK);
    assert_eq!(ask(&other, "ann-the-user").await.as_u16(), 429);
    assert_eq!(ask(&other, "bob-the-user").await, OK);
    let all = everything(&redis).await;
    assert!(holds(&all, "tollway:team:rate:{assistant}:User:") && !holds(&all, "the-user"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_each_proxy_admits_its_share_and_with_it_all_again() {
    let mut redis = Redis::start().await;
    let mut route = assistant(vec![("pretend", simulated("hello"))]);
    route.rate_limits = vec![global(Some(4), None)];
    let proxies = [proxy(&route, &redis).await, proxy(&route, &redis).await];
    // The second one counted both, and the first one hears of it at the next count.
    for proxy in &proxies {
        proxy.wait_for(|proxy| metric(proxy, "tollway_redis_proxies").as_deref() == Some("2")).await;
    }
    redis.kill();
    for proxy in &proxies {
        let mut statuses = Vec::new();
        for _ in 0..3 {
            let answer = proxy.ask().await;
            statuses.push((answer.status.as_u16(), answer.header("x-ratelimit-limit-requests").to_owned()));
        }
        assert_eq!(statuses, [200, 200, 429].map(|status| (status, "2".to_owned())));
        let fallbacks = metric(proxy, "tollway_redis_limit_fallbacks_total{route=\"assistant\"}");
        assert_eq!(fallbacks.as_deref(), Some("3"));
    }
    redis.restart().await;
    let [one, _] = &proxies;
    one.wait_for(connected).await;
    assert_eq!(one.ask().await.header("x-ratelimit-limit-requests"), "4");
}

fn sharing(upstream: &Upstream) -> Route {
    let mut route = assistant(vec![("first", priced(openai(upstream)))]);
    route.cache = Some(Cache { ttl_ms: 3_600_000, shared: Some(SharedCache { key: None }) });
    route
}

/// Waits until an answer is at Redis: nobody waits for that on the request's way.
async fn stored(redis: &Redis, count: usize) -> Vec<String> {
    let mut link = redis.link().await;
    let look = async {
        loop {
            let keys: Vec<String> =
                redis::cmd("KEYS").arg("tollway:team:answer:*").query_async(&mut link).await.unwrap();
            if keys.len() == count {
                return keys;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), look).await.expect("the answer was stored")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_one_proxy_is_another_ones_and_unreadable_in_between() {
    let redis = Redis::start().await;
    let upstream = Upstream::start(vec![Act::Json(completion("a very private answer"))]).await;
    let route = sharing(&upstream);
    let (one, other) = (proxy(&route, &redis).await, proxy(&route, &redis).await);
    let first = one.ask().await;
    assert_eq!(first.header("x-tollway-cache"), "miss");
    let keys = stored(&redis, 1).await;
    let second = other.ask().await;
    assert_eq!((second.header("x-tollway-cache"), second.header("x-tollway-cost-usd")), ("hit", "0"));
    assert_eq!((second.header("x-tollway-target"), &second.body, upstream.requests()), ("first", &first.body, 1));
    other.ask().await;
    let hits = |result: &str| {
        metric(&other, &format!("tollway_cache_requests_total{{result=\"{result}\",route=\"assistant\"}}"))
    };
    assert_eq!((hits("shared_hit").as_deref(), hits("hit").as_deref()), (Some("1"), Some("1")));
    let all = everything(&redis).await;
    for text in ["private", "answer\"", "content", "assistant", "first"] {
        assert!(!holds(&all, text), "{text} can be read");
    }
    let left: i64 = redis::cmd("PTTL").arg(&keys[0]).query_async(&mut redis.link().await).await.unwrap();
    assert!((1..=3_600_000).contains(&left), "{left}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_one_proxy_is_another_ones_stream() {
    let redis = Redis::start().await;
    let upstream = Upstream::start(vec![Act::Sse(stream(&["one ", "two"]))]).await;
    let route = sharing(&upstream);
    let (one, other) = (proxy(&route, &redis).await, proxy(&route, &redis).await);
    let first = one.stream().await;
    stored(&redis, 1).await;
    let second = other.stream().await;
    assert_eq!((second.header("x-tollway-cache"), second.header("content-type")), ("hit", "text/event-stream"));
    assert_eq!((second.said().as_str(), upstream.requests()), ("one two", 1));
    assert_eq!(second.body, first.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_was_changed_moved_or_made_elsewhere_is_a_miss() {
    let redis = Redis::start().await;
    let mut link = redis.link().await;
    let upstream = Upstream::start(vec![ok()]).await;
    let route = sharing(&upstream);
    let one = proxy(&route, &redis).await;
    one.ask().await;
    let [key] = stored(&redis, 1).await.try_into().unwrap();
    let value: Vec<u8> = redis::cmd("GET").arg(&key).query_async(&mut link).await.unwrap();
    let mut flipped = value.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let foreign = [flipped, vec![], b"{}".to_vec(), value[..value.len() / 2].to_vec(), vec![1; 3 * 1024 * 1024]];
    for (at, bad) in foreign.into_iter().enumerate() {
        redis::cmd("SET").arg(&key).arg(&bad).arg("PX").arg(600_000).exec_async(&mut link).await.unwrap();
        let fresh = proxy(&route, &redis).await;
        let answer = fresh.ask().await;
        assert_eq!((answer.status, answer.header("x-tollway-cache")), (OK, "miss"), "value {at}");
        assert_eq!(upstream.requests(), at + 2);
        // It put its own answer there instead.
        loop {
            let now: Vec<u8> = redis::cmd("GET").arg(&key).query_async(&mut link).await.unwrap();
            if now.len() == value.len() && now != bad {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
    // Not even text; and a value without an end is not ours.
    redis::cmd("DEL").arg(&key).exec_async(&mut link).await.unwrap();
    redis::cmd("LPUSH").arg(&key).arg("x").exec_async(&mut link).await.unwrap();
    assert_eq!(proxy(&route, &redis).await.ask().await.header("x-tollway-cache"), "miss");
    redis::cmd("SET").arg(&key).arg(&value).exec_async(&mut link).await.unwrap();
    assert_eq!(proxy(&route, &redis).await.ask().await.header("x-tollway-cache"), "miss");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_wants_kept_by_nobody_reaches_no_redis_and_redis_gone_is_a_miss() {
    let mut redis = Redis::start().await;
    let upstream = Upstream::start(vec![ok()]).await;
    let one = proxy(&sharing(&upstream), &redis).await;
    let mut request = one.chat("");
    request.headers_mut().insert("cache-control", http::HeaderValue::from_static("no-store"));
    assert_eq!(one.send(request).await.header("x-tollway-cache"), "off");
    // A later answer is there and the one before is not: nothing of it was on its way.
    one.send(one.chat(",\"user\":\"ann\"")).await;
    assert_eq!(stored(&redis, 1).await.len(), 1);
    redis.kill();
    let answer = one.ask().await;
    assert_eq!((answer.status, answer.header("x-tollway-cache")), (OK, "miss"));
    assert_eq!(one.ask().await.header("x-tollway-cache"), "hit", "memory still works");
}
