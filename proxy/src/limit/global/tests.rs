//! The scripts at a real redis-server against the model in core: the same sequence gives the same answers.

use super::*;
use crate::fixture::Redis;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::Cell;
use std::collections::BTreeMap;
use tokio::runtime::Runtime;
use tollway_core::rate::Denied;

/// One request: which rates it wants how much of, what of it was used, and microseconds until the next one.
#[derive(Clone, Debug)]
struct Step {
    wants: Vec<(usize, u64, u64)>,
    used: u64,
    pause: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let want = (0_usize..3, 0_u64..40, 0_u64..40).prop_map(|(rate, least, more)| (rate, least, least + more));
    let wants = prop::collection::btree_map(0_usize..3, want, 1..4)
        .prop_map(|wants| wants.into_iter().map(|(rate, (_, least, most))| (rate, least, most)).collect());
    let step = (wants, 0_u64..80, 0_u64..1_500).prop_map(|(wants, used, pause)| Step { wants, used, pause });
    prop::collection::vec(step, 1..25)
}

/// Windows short enough that time passes in a test, and the odd numbers that round worst.
fn rates() -> impl Strategy<Value = [Rate; 3]> {
    let rate = prop_oneof![
        (1_u64..60, 1_000_u64..30_000),
        // As large as they come: products that doubles could not hold.
        (999_999_000_u64..=1_000_000_000, 86_399_999_000_u64..=86_400_000_000),
    ];
    [rate.clone(), rate.clone(), rate].prop_map(|rates| rates.map(|(limit, window)| Rate { limit, window }))
}

/// What the model says to the same request at the same moment.
fn expected(states: &BTreeMap<usize, u64>, rates: &[Rate; 3], step: &Step, now: u64) -> (bool, Vec<Found>) {
    let one = |&(at, least, most): &(usize, u64, u64)| {
        let (rate, state) = (rates[at], states.get(&at).copied().unwrap_or(0));
        let beyond = rate.limit + 1;
        let units = most.min(beyond).min(rate.view(state, now).remaining.max(least.min(beyond)));
        (units, state, rate.take(state, now, units))
    };
    let found: Vec<(u64, u64, Result<u64, Denied>)> = step.wants.iter().map(one).collect();
    let admitted = found.iter().all(|(.., taken)| taken.is_ok());
    let found = found.into_iter().map(|(units, state, taken)| {
        let state = if admitted { taken.unwrap_or(state) } else { state };
        Found { units, state }
    });
    (admitted, found.collect())
}

#[test]
fn the_same_sequence_gives_the_same_answers_as_the_model() {
    let runtime = Runtime::new().unwrap();
    let (redis, link) = runtime.block_on(async {
        let redis = Redis::start().await;
        let link = redis.link().await;
        (redis, link)
    });
    let (case, admissions, denials) = (Cell::new(0_u32), Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) });
    let checked = runner.run(&(rates(), steps()), |(rates, steps)| {
        let mut link = link.clone();
        case.update(|count| count + 1);
        let key = |at: usize| format!("case:{}:{at}", case.get());
        let mut states = BTreeMap::new();
        for step in steps {
            let wants: Vec<Want> = step
                .wants
                .iter()
                .map(|&(at, least, most)| Want { key: key(at), rate: rates[at], least, most })
                .collect();
            let reply = runtime.block_on(take(&wants, &mut link)).unwrap();
            // A state that expired and one in the past are the same.
            let alive = |found: &[Found]| -> Vec<(u64, u64)> {
                found.iter().map(|f| (f.units, f.state.max(reply.now))).collect()
            };
            let (admitted, found) = expected(&states, &rates, &step, reply.now);
            prop_assert_eq!((reply.admitted, alive(&reply.found)), (admitted, alive(&found)), "{:?}", step);
            let counted = if admitted { &admissions } else { &denials };
            counted.update(|count| count + 1);
            if admitted {
                states.extend(step.wants.iter().zip(&found).map(|(want, found)| (want.0, found.state)));
                let by: Vec<(String, i64)> = step
                    .wants
                    .iter()
                    .zip(&found)
                    .map(|(want, found)| (key(want.0), moves(rates[want.0], found.units, step.used)))
                    .collect();
                let corrected = runtime.block_on(correct(&by, &mut link)).unwrap();
                let now = corrected[0];
                for ((want, found), state) in step.wants.iter().zip(&found).zip(&corrected[1..]) {
                    let model = rates[want.0].correct(found.state, now, found.units, step.used);
                    prop_assert_eq!(model.max(now), (*state).max(now), "{:?}", step);
                    states.insert(want.0, model);
                }
            }
            std::thread::sleep(std::time::Duration::from_micros(step.pause));
        }
        Ok(())
    });
    checked.unwrap();
    let (admissions, denials) = (admissions.get(), denials.get());
    assert!(admissions > 50 && denials > 50, "{admissions} admitted, {denials} refused: the sequences say too little");
    drop(redis);
}

#[tokio::test]
async fn what_is_no_state_of_ours_is_no_state_and_everything_expires() {
    let redis = Redis::start().await;
    let mut link = redis.link().await;
    for garbage in ["", "x", "-5", "nan", "1e300", "99999999999999999999", "0x10", " 7"] {
        redis::cmd("SET").arg("k").arg(garbage).exec_async(&mut link).await.unwrap();
        let want = Want { key: "k".to_owned(), rate: by_its_clock(2, 60_000), least: 1, most: 1 };
        let reply = take(std::slice::from_ref(&want), &mut link).await.unwrap();
        assert!(reply.admitted && reply.found[0].state == reply.now + 30_000_000, "{garbage:?}: {reply:?}");
        let left: i64 = redis::cmd("PTTL").arg("k").query_async(&mut link).await.unwrap();
        assert!((1..=30_001).contains(&left), "{left}");
    }
    // Not even text.
    redis::cmd("DEL").arg("k").exec_async(&mut link).await.unwrap();
    redis::cmd("LPUSH").arg("k").arg("x").exec_async(&mut link).await.unwrap();
    let want = Want { key: "k".to_owned(), rate: by_its_clock(2, 60_000), least: 1, most: 1 };
    assert!(take(&[want], &mut link).await.unwrap().admitted);
    // Given back whole, nothing is left to store.
    let by = moves(by_its_clock(2, 60_000), 1, 0);
    correct(&[("k".to_owned(), by)], &mut link).await.unwrap();
    let exists: bool = redis::cmd("EXISTS").arg("k").query_async(&mut link).await.unwrap();
    assert!(!exists);
}
