//! The proxy's three streams against an operator played by the test: what is taken, what is refused, what survives which loss.
#![allow(clippy::unwrap_used, clippy::panic)]

mod fake;

use fake::{Operator, Running, Trust, table, table_update, update};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tollway_core::control::watch_up::Message as Answer;
use tollway_core::control::{SecretData, SecretSet, TableUpdate, WatchDown, watch_down};
use tollway_core::spend::Nano;
use tollway_core::table::{Bounds, Provider, Simulated, Target};
use tollway_proxy::ledger::{Ledger, Refusal, Wish, remote};
use tollway_proxy::metrics::{Attempt, Metrics};
use tollway_proxy::observe;
use tollway_proxy::operator::Addresses;
use tollway_proxy::source::channel::ControlChannel;
use tollway_proxy::source::{Health, Live, Secrets, disk};

const CAP: u64 = 1_000;

/// The streams of one proxy process.
struct Proxy {
    live: Live,
    health: watch::Receiver<Health>,
    ledger: Ledger,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    closed: Option<JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Proxy {
    fn start(incarnation: &str, trust: &Trust, operators: &[&Running]) -> Self {
        let urls: Vec<_> = operators.iter().map(|operator| operator.url.clone()).collect();
        let addresses = Addresses::new(&urls, Some(trust.ca.clone()), trust.token.clone()).unwrap();
        let state_dir = trust.dir.path().to_owned();
        let live = Live::default();
        if let Some(serving) = disk::load(&state_dir).unwrap() {
            live.store(Some(Arc::new(serving)));
        }
        let (health, leader, stop) =
            (watch::Sender::new(Health::default()), watch::Sender::new(None), watch::Sender::new(false));
        let (ledger, metrics) = (Ledger::new(incarnation), Metrics::new().unwrap());
        let name = incarnation.to_owned();
        let closed = tokio::spawn(remote::run(
            ledger.clone(),
            Arc::clone(&live),
            name.clone(),
            leader.subscribe(),
            stop.subscribe(),
        ));
        let observing =
            tokio::spawn(observe::run(Arc::clone(&metrics), name.clone(), leader.subscribe(), stop.subscribe()));
        let receiver = health.subscribe();
        let channel = ControlChannel {
            addresses,
            incarnation: name,
            state_dir,
            live: Arc::clone(&live),
            health,
            leader,
            secrets: Arc::new(Secrets::default()),
        };
        let tasks = vec![observing, tokio::spawn(channel.run())];
        Self { live, health: receiver, ledger, metrics, stop, closed: Some(closed), tasks }
    }

    async fn connected(&mut self) {
        self.health.wait_for(|health| health.connected).await.unwrap();
    }

    async fn reserve(&self, worst: u64) -> Result<tollway_proxy::ledger::Reservation, Refusal> {
        let held = self.live.load_full();
        let table = held.map(|serving| serving.table.clone()).unwrap_or_default();
        let (budgets, table, worst) = (&["team".to_owned()][..], &table, Nano(worst));
        let wish = Wish { budgets, table, worst, is_free: false, model: "model", user: None, client: None };
        self.ledger.reserve(&wish).await
    }

    fn namespace(&self) -> String {
        self.live.load_full().map(|serving| serving.table.namespace.clone()).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.tasks.iter().chain(&self.closed).for_each(JoinHandle::abort);
    }
}

/// For what has no event: looks again until it holds.
async fn until(holds: impl Fn() -> bool) {
    let looking = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looking).await.unwrap();
}

async fn answers(operator: &Operator, count: usize) -> Vec<Answer> {
    operator.answers.subscribe().wait_for(|all| all.len() >= count).await.unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_acknowledged_kept_and_not_sent_twice() {
    let trust = Trust::new();
    let operator = Operator::new(CAP, table_update(5, &table("team-a", CAP)));
    let running = operator.start(&trust);
    let proxy = Proxy::start("one", &trust, &[&running]);
    let Answer::Ack(ack) = &answers(&operator, 1).await[0] else { panic!("not acknowledged") };
    assert_eq!((ack.revision, proxy.namespace().as_str()), (5, "team-a"));
    let digest = ack.digest.clone();
    drop(proxy);

    // A new process has the table before it has a connection, and says so.
    operator.down.send_replace(update(TableUpdate { revision: 6, digest: digest.clone(), ..TableUpdate::default() }));
    let proxy = Proxy::start("two", &trust, &[&running]);
    assert_eq!(proxy.namespace(), "team-a");
    let Answer::Ack(ack) = answers(&operator, 2).await.remove(1) else { panic!("not acknowledged") };
    assert_eq!((ack.revision, &ack.digest), (6, &digest));
    let hello = operator.hellos.borrow().last().unwrap().clone();
    assert_eq!((hello.incarnation.as_str(), hello.revision, hello.digest), ("two", 5, digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_or_damaged_table_is_refused_and_the_one_in_force_stays() {
    let trust = Trust::new();
    let operator = Operator::new(CAP, table_update(5, &table("team-a", CAP)));
    let running = operator.start(&trust);
    let proxy = Proxy::start("one", &trust, &[&running]);
    answers(&operator, 1).await;

    operator.down.send_replace(table_update(4, &table("older", CAP)));
    let Answer::Nack(nack) = answers(&operator, 2).await.remove(1) else { panic!("an older table was taken") };
    assert!(nack.reason.contains("older") && proxy.namespace() == "team-a", "{nack:?}");

    let damaged = TableUpdate { revision: 6, digest: "0".to_owned(), table: b"{}".to_vec(), resync: false };
    operator.down.send_replace(update(damaged));
    let Answer::Nack(nack) = answers(&operator, 3).await.remove(2) else { panic!("a damaged table was taken") };
    assert!(nack.reason.contains("digest") && proxy.namespace() == "team-a", "{nack:?}");

    let WatchDown { message: Some(watch_down::Message::Table(older)) } = table_update(3, &table("resync", CAP)) else {
        panic!("not a table")
    };
    operator.down.send_replace(update(TableUpdate { resync: true, ..older }));
    assert!(matches!(answers(&operator, 4).await[3], Answer::Ack(_)));
    assert_eq!(proxy.namespace(), "resync");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_does_not_lead_is_passed_over() {
    let trust = Trust::new();
    let leader = Operator::new(CAP, table_update(5, &table("team-a", CAP)));
    let follower = Operator { leads: false, ..Operator::new(CAP, table_update(9, &table("wrong", CAP))) };
    let (first, second) = (follower.start(&trust), leader.start(&trust));
    let mut proxy = Proxy::start("one", &trust, &[&first, &second]);
    proxy.connected().await;
    answers(&leader, 1).await;
    assert_eq!(proxy.namespace(), "team-a");
    assert!(follower.hellos.borrow().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_rotated_is_read_again() {
    let trust = Trust::new();
    std::fs::write(&trust.token, "expired").unwrap();
    let operator = Operator::new(CAP, table_update(5, &table("team-a", CAP)));
    let running = operator.start(&trust);
    let mut proxy = Proxy::start("one", &trust, &[&running]);
    let told = |health: &Health| health.problems.iter().any(|problem| problem.contains("--token-file"));
    proxy.health.wait_for(told).await.unwrap();
    std::fs::write(&trust.token, fake::TOKEN).unwrap();
    proxy.connected().await;
    assert!(proxy.health.borrow().problems.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_rotated_is_read_again() {
    let trust = Trust::new();
    let right = std::fs::read(&trust.ca).unwrap();
    let other = Trust::new();
    std::fs::copy(&other.ca, &trust.ca).unwrap();
    let operator = Operator::new(CAP, table_update(5, &table("team-a", CAP)));
    let running = operator.start(&trust);
    let mut proxy = Proxy::start("one", &trust, &[&running]);
    proxy.health.wait_for(|health| !health.problems.is_empty()).await.unwrap();
    assert!(operator.hellos.borrow().is_empty(), "an operator of another authority was trusted");
    std::fs::write(&trust.ca, right).unwrap();
    proxy.connected().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_come_and_go_beside_the_table() {
    let trust = Trust::new();
    let operator = Operator::new(CAP, table_update(5, &table("team-a", CAP)));
    let running = operator.start(&trust);
    let proxy = Proxy::start("one", &trust, &[&running]);
    answers(&operator, 1).await;
    let held = || proxy.live.load_full().unwrap().secrets.get("openai", "apiKey").map(str::to_owned);
    for value in [Some("sk-very-secret"), None] {
        let data = |value: &str| SecretData { data: [("apiKey".to_owned(), value.as_bytes().to_vec())].into() };
        let secrets = value.map(|value| ("openai".to_owned(), data(value))).into_iter().collect();
        operator.down.send_replace(WatchDown { message: Some(watch_down::Message::Secrets(SecretSet { secrets })) });
        until(|| held().as_deref() == value).await;
    }
    for entry in std::fs::read_dir(trust.dir.path()).unwrap() {
        let text = String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()).into_owned();
        assert!(!text.contains("very-secret"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn held_grants_carry_on_without_the_operator_and_are_shown_to_the_next() {
    let trust = Trust::new();
    let operator = Operator::new(CAP, table_update(5, &table("team-a", CAP)));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let running = operator.serve(&trust, listener);
    let mut proxy = Proxy::start("one", &trust, &[&running]);
    proxy.connected().await;
    proxy.reserve(100).await.unwrap().settle(Nano(40));

    drop(running);
    proxy.health.wait_for(|health| !health.connected).await.unwrap();
    proxy.reserve(60).await.unwrap().settle(Nano(30));

    let listener = TcpListener::bind(address).unwrap();
    let running = operator.serve(&trust, listener);
    proxy.connected().await;
    operator.shown.subscribe().wait_for(|all| all.len() == 2).await.unwrap();
    assert_eq!(operator.shown.borrow()[1], ("one".to_owned(), 1), "the grant held is shown");

    // A clean stop returns what is left, so nothing is burned.
    proxy.stop.send_replace(true);
    proxy.closed.take().unwrap().await.unwrap();
    let figures = operator.ledger.lock().unwrap().figures();
    assert_eq!((figures.spent, figures.burned, figures.open_grants), (Nano(70), Nano::ZERO, 0));
    drop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cap_holds_across_processes_and_a_dead_one_is_burned() {
    let trust = Trust::new();
    let operator = Operator::new(CAP, table_update(5, &table("team-a", CAP)));
    let running = operator.start(&trust);
    let mut killed = Proxy::start("one", &trust, &[&running]);
    killed.connected().await;
    let held = killed.reserve(CAP).await.unwrap();
    let refusal = killed.reserve(1).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Held { .. }), "{refusal:?}");
    drop(killed);
    std::mem::forget(held);

    let mut next = Proxy::start("two", &trust, &[&running]);
    next.connected().await;
    let refusal = next.reserve(1).await.unwrap_err();
    assert_eq!(refusal, Refusal::Exceeded { budget: "team".to_owned(), fits: Nano::ZERO });
    assert_eq!(operator.ledger.lock().unwrap().figures().burned, Nano(CAP));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_operator_the_last_good_table_serves_and_budgets_deny() {
    let trust = Trust::new();
    let gone = Operator::new(CAP, table_update(5, &table("team-a", CAP))).start(&trust);
    let first = Proxy::start("one", &trust, &[&gone]);
    let mut kept = first.health.clone();
    kept.wait_for(|health| health.connected).await.unwrap();
    until(|| disk::load(trust.dir.path()).unwrap().is_some()).await;
    let url = Running::detached(&gone);
    drop((first, gone));

    let proxy = Proxy::start("two", &trust, &[&url]);
    assert_eq!(proxy.namespace(), "team-a");
    assert_eq!(proxy.reserve(1).await.unwrap_err(), Refusal::Unavailable { budget: "team".to_owned() });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_reaches_the_operator() {
    let trust = Trust::new();
    let operator = Operator::new(CAP, table_update(5, &table("team-a", CAP)));
    let running = operator.start(&trust);
    let mut proxy = Proxy::start("one", &trust, &[&running]);
    proxy.connected().await;
    let simulated = Simulated { reply: String::new(), first_token_ms: 0, tokens_per_second: 0, fail_every: 0 };
    let target = Target {
        provider: Provider::Simulated(simulated),
        price: None,
        bounds: Bounds {
            context_window: 1,
            tokens_per_kilobyte: None,
            per_request: 0,
            per_message: 0,
            per_tool: 0,
            per_image: 0,
        },
        max_concurrent: None,
    };
    let meter = proxy.metrics.target("chat", "pretend", &target);
    meter.attempt(Attempt::Ok, Duration::from_millis(70));
    meter.attempt(Attempt::Failed, Duration::from_millis(700));
    meter.cost(Nano(5), false);
    let mut observed = operator.observed.subscribe();
    let seen = observed.wait_for(|seen| seen.as_ref().is_some_and(|seen| seen.targets[0].requests == 2)).await.unwrap();
    let seen = seen.as_ref().unwrap();
    let one = &seen.targets[0];
    assert_eq!((seen.incarnation.as_str(), one.route.as_str(), one.target.as_str()), ("one", "chat", "pretend"));
    assert_eq!((one.errors, one.cost, one.latency_buckets.iter().sum::<u64>()), (1, 5, 2));
}
