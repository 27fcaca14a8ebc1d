//! Reservations against a ledger of one's own: waiting, refusing, returning, and never above the cap.

use super::standalone::{Standalone, Terms};
use super::{Ledger, Refusal, Reservation, Wish};
use crate::source::{Live, Serving};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tollway_core::spend::Nano;
use tollway_core::table::{Budget, Mode, OnExhausted, Table};

const CENT: u64 = 10_000_000;

struct Running {
    ledger: Ledger,
    table: Arc<Table>,
    stop: watch::Sender<bool>,
    driver: JoinHandle<()>,
    dir: tempfile::TempDir,
}

fn budget(limit: u64, mode: Mode, on_exhausted: OnExhausted) -> Budget {
    Budget { limit: Nano(limit), mode, on_exhausted, ..Budget::default() }
}

fn wish<'a>(budgets: &'a [String], table: &'a Table, worst: u64) -> Wish<'a> {
    let (is_free, worst) = (worst == 0, Nano(worst));
    Wish { budgets, table, worst, is_free, model: "model", user: None, client: None }
}

fn run(budgets: &[(&str, Budget)], dir: tempfile::TempDir) -> Running {
    let budgets = budgets.iter().map(|(name, budget)| ((*name).to_owned(), budget.clone())).collect();
    let table = Arc::new(Table { namespace: "default".to_owned(), budgets, ..Table::default() });
    let live = Live::default();
    live.store(Some(Arc::new(Serving { table: Table::clone(&table), ..Serving::default() })));
    let ledger = Ledger::new("test");
    let book = Standalone::open(dir.path().to_owned(), "test").unwrap();
    let terms = Terms { table: Arc::clone(&table), adjustments: BTreeMap::new() };
    let standalone = Standalone { ledger: ledger.clone(), live, terms: watch::channel(terms).1, book };
    let (stop, stopped) = watch::channel(false);
    let driver = tokio::spawn(standalone.run(stopped));
    Running { ledger, table, stop, driver, dir }
}

fn start(budgets: &[(&str, Budget)]) -> Running {
    run(budgets, tempfile::tempdir().unwrap())
}

impl Running {
    async fn reserve(&self, budgets: &[&str], worst: u64) -> Result<Reservation, Refusal> {
        let budgets: Vec<_> = budgets.iter().map(|name| (*name).to_owned()).collect();
        self.ledger.reserve(&wish(&budgets, &self.table, worst)).await
    }

    async fn stop(self) -> tempfile::TempDir {
        self.stop.send_replace(true);
        self.driver.await.unwrap();
        self.dir
    }

    /// What the ledger on disk says was spent, once everything is returned.
    async fn spent(self, name: &str) -> (Nano, Nano) {
        let budget = self.table.budgets[name].clone();
        let dir = self.stop().await;
        let again = run(&[(name, budget)], dir);
        // The first reservation makes the driver read the book.
        let _ = again.reserve(&[name], 1).await.map(Reservation::release);
        let view = again.ledger.budgets().into_iter().find(|view| view.name == name).unwrap();
        again.stop().await;
        (view.spent, view.burned.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_is_spent_and_a_clean_stop_burns_nothing() {
    let running = start(&[("team", budget(100 * CENT, Mode::Enforce, OnExhausted::Block))]);
    running.reserve(&["team"], 10 * CENT).await.unwrap().settle(Nano(3 * CENT));
    running.reserve(&["team"], 10 * CENT).await.unwrap().release();
    running.reserve(&["team"], 5 * CENT).await.unwrap().settle_in_full();
    drop(running.reserve(&["team"], 4 * CENT).await.unwrap());
    assert_eq!(running.spent("team").await, (Nano(12 * CENT), Nano::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_grant_can_carry_is_refused_with_what_fits() {
    let running = start(&[("team", budget(10 * CENT, Mode::Enforce, OnExhausted::Block))]);
    let refusal = running.reserve(&["team"], 11 * CENT).await.unwrap_err();
    assert_eq!(refusal, Refusal::Exceeded { budget: "team".to_owned(), fits: Nano(10 * CENT) });
    running.reserve(&["team"], 10 * CENT).await.unwrap().release();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_budgets_or_none() {
    let wide = budget(100 * CENT, Mode::Enforce, OnExhausted::Block);
    let narrow = budget(CENT, Mode::Enforce, OnExhausted::Block);
    let running = start(&[("wide", wide), ("narrow", narrow)]);
    let refusal = running.reserve(&["wide", "narrow"], 2 * CENT).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Exceeded { budget, .. } if budget == "narrow"));
    assert_eq!(running.spent("wide").await, (Nano::ZERO, Nano::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observed_budget_counts_and_never_denies() {
    let running = start(&[("team", budget(CENT, Mode::Observe, OnExhausted::Block))]);
    for _ in 0..3 {
        running.reserve(&["team"], 50 * CENT).await.unwrap().settle(Nano(CENT));
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn free_targets_pass_an_exhausted_budget_only_where_it_says_so() {
    let limit = 10 * CENT;
    for (on_exhausted, passes) in [(OnExhausted::Block, false), (OnExhausted::FreeOnly, true)] {
        let running = start(&[("team", budget(limit, Mode::Enforce, on_exhausted))]);
        running.reserve(&["team"], limit).await.unwrap().settle(Nano(limit));
        assert!(running.reserve(&["team"], CENT).await.is_err());
        assert_eq!(running.reserve(&["team"], 0).await.map(Reservation::release).is_ok(), passes, "{on_exhausted:?}");
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_above_the_bound_is_charged_and_denies_the_model() {
    let running = start(&[("team", budget(100 * CENT, Mode::Enforce, OnExhausted::Block))]);
    running.reserve(&["team"], CENT).await.unwrap().bound_exceeded(Nano(2 * CENT));
    let refusal = running.reserve(&["team"], CENT).await.unwrap_err();
    assert_eq!(refusal, Refusal::ModelDenied { budget: "team".to_owned(), model: "model".to_owned() });
    assert_eq!(running.spent("team").await.0, Nano(2 * CENT));
}

#[tokio::test]
async fn without_a_ledger_a_request_waits_its_time_and_is_told_so() {
    let table = Table::default();
    let refusal = Ledger::new("test").reserve(&wish(&["team".to_owned()], &table, 1)).await.unwrap_err();
    assert_eq!(refusal, Refusal::Unavailable { budget: "team".to_owned() });
    assert!(Ledger::new("test").reserve(&wish(&[], &table, 1)).await.is_ok());
}

/// Many requests at once, some settled, some lost, with a cap that cannot carry them all: whatever the order, what was
/// charged stays within the cap and the ledger agrees with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_never_spends_above_the_cap() {
    let cap = 200 * CENT;
    let running = start(&[("team", budget(cap, Mode::Enforce, OnExhausted::Block))]);
    let charged = Arc::new(AtomicU64::new(0));
    let crowd = (0..64_u64).map(|seed| {
        let (ledger, table, charged) = (running.ledger.clone(), Arc::clone(&running.table), Arc::clone(&charged));
        tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(seed);
            for _ in 0..20 {
                let worst = random.u64(1..=4 * CENT);
                let Ok(held) = ledger.reserve(&wish(&["team".to_owned()], &table, worst)).await else {
                    continue;
                };
                tokio::task::yield_now().await;
                match random.u8(0..4) {
                    0 => held.release(),
                    1 => {
                        charged.fetch_add(worst, Ordering::Relaxed);
                        drop(held);
                    }
                    _ => {
                        let actual = random.u64(0..=worst);
                        charged.fetch_add(actual, Ordering::Relaxed);
                        held.settle(Nano(actual));
                    }
                }
            }
        })
    });
    for one in crowd.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    let charged = charged.load(Ordering::Relaxed);
    assert!(charged > cap / 2 && charged <= cap, "charged {charged} of {cap}");
    assert_eq!(running.spent("team").await, (Nano(charged), Nano::ZERO));
}
