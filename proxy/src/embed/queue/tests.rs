//! Requests of many sizes in; which of their texts go out together, and when, out.

use super::*;
use crate::ledger::{Ledger, Wish};
use std::collections::BTreeMap;
use tokio::sync::mpsc::unbounded_channel;
use tollway_core::spend::{Nano, Price};
use tollway_core::table::Table;

const BATCHING: Batching = Batching { max_items: 4, max_wait_ms: 5, max_concurrent: 2 };

async fn call(id: u64, now: Instant) -> Arc<Call> {
    let (table, worst) = (Table::default(), Nano::ZERO);
    let wish = Wish { budgets: &[], table: &table, worst, is_free: true, model: "m", user: None, client: None };
    let reserved = Ledger::new("t").reserve(&wish).await.unwrap();
    let tab = Tab::new(reserved, Nano::ZERO, Price::default(), None);
    Arc::new(Call { id, tab, answers: unbounded_channel().0, ends: now, cold_until: now })
}

fn items(count: usize) -> VecDeque<Item> {
    (0..count).map(|index| Item { index, text: "x".to_owned(), bound: 1 }).collect()
}

/// Of each batch, who has which texts in it.
fn sent(queue: &mut Queue, now: Instant) -> Option<Vec<(u64, Vec<usize>)>> {
    let Next::Send(parts, _) = queue.next(now) else { return None };
    Some(parts.iter().map(|part| (part.call.id, part.items.iter().map(|item| item.index).collect())).collect())
}

#[tokio::test]
async fn texts_wait_for_each_other_until_the_batch_is_full_or_the_oldest_has_waited() {
    let now = Instant::now();
    let mut queue = Queue::new(BATCHING);
    assert!(matches!(queue.next(now), Next::Rest));
    queue.push(call(1, now).await, items(1), now);
    queue.push(call(2, now).await, items(2), now + Duration::from_millis(3));
    assert!(
        matches!(queue.next(now + Duration::from_millis(4)), Next::Wait(at) if at == now + Duration::from_millis(5))
    );
    assert_eq!(sent(&mut queue, now + Duration::from_millis(5)).unwrap(), [(1, vec![0]), (2, vec![0, 1])]);
    queue.push(call(3, now).await, items(4), now);
    assert_eq!(sent(&mut queue, now).unwrap(), [(3, vec![0, 1, 2, 3])], "a full batch waits for nothing");
}

#[tokio::test]
async fn no_more_batches_are_out_than_may_be() {
    let now = Instant::now();
    let mut queue = Queue::new(BATCHING);
    queue.push(call(1, now).await, items(12), now);
    assert!(sent(&mut queue, now).is_some() && sent(&mut queue, now).is_some());
    assert!(matches!(queue.next(now), Next::Rest));
    queue.over(Turns::begin(1, now), now);
    assert_eq!(sent(&mut queue, now).unwrap(), [(1, vec![8, 9, 10, 11])]);
    queue.over(Turns::begin(1, now), now);
    assert!(matches!(queue.next(now), Next::Rest), "nothing is left");
}

#[tokio::test]
async fn a_large_request_leaves_room_for_small_ones_and_they_leave_room_for_it() {
    let now = Instant::now();
    let mut queue = Queue::new(BATCHING);
    queue.push(call(1, now).await, items(100), now);
    queue.push(call(2, now).await, items(1), now);
    assert_eq!(sent(&mut queue, now).unwrap(), [(1, vec![0, 1, 2]), (2, vec![0])]);
    for id in 3..9 {
        queue.push(call(id, now).await, items(1), now);
    }
    // More requests than places: those in front have their turn, and the large one goes to the back.
    assert_eq!(sent(&mut queue, now).unwrap(), [(1, vec![3]), (3, vec![0]), (4, vec![0]), (5, vec![0])]);
    queue.over(Turns::begin(1, now), now);
    assert_eq!(sent(&mut queue, now).unwrap(), [(6, vec![0]), (7, vec![0]), (8, vec![0]), (1, vec![4])]);
}

#[tokio::test]
async fn who_leaves_takes_its_texts_along() {
    let now = Instant::now();
    let mut queue = Queue::new(BATCHING);
    queue.push(call(1, now).await, items(3), now);
    queue.push(call(2, now).await, items(1), now);
    queue.forget(1);
    assert_eq!(sent(&mut queue, now + Duration::from_secs(1)).unwrap(), [(2, vec![0])]);
    queue.forget(2);
    assert!(matches!(queue.next(now), Next::Rest));
}

#[tokio::test]
async fn texts_that_are_too_large_together_go_apart() {
    let now = Instant::now();
    let mut queue = Queue::new(BATCHING);
    let large = |index| Item { index, text: "x".repeat(MOST_BYTES - 1), bound: 1 };
    queue.push(call(1, now).await, [large(0), large(1)].into(), now);
    let later = now + Duration::from_secs(1);
    assert_eq!(sent(&mut queue, later).unwrap(), [(1, vec![0])]);
    assert_eq!(sent(&mut queue, later).unwrap(), [(1, vec![1])]);
}

#[tokio::test]
async fn a_batch_that_would_wait_elsewhere_waits_here_for_others() {
    let now = Instant::now();
    let at = |ms| now + Duration::from_millis(ms);
    let mut queue = Queue::new(BATCHING);
    // Two at the same time, one of which waited for the other.
    queue.push(call(1, now).await, items(8), now);
    let Next::Send(_, first) = queue.next(now) else { panic!("a full batch waits for nothing") };
    let Next::Send(_, second) = queue.next(now) else { panic!("a full batch waits for nothing") };
    queue.over(first, at(40));
    queue.push(call(2, now).await, items(4), at(41));
    let Next::Send(_, third) = queue.next(at(41)) else { panic!("a full batch waits for nothing") };
    queue.over(second, at(80));
    queue.push(call(3, now).await, items(1), at(85));
    assert!(matches!(queue.next(at(91)), Next::Wait(until) if until == at(170)), "the third is under way");
    queue.push(call(4, now).await, items(1), at(92));
    queue.over(third, at(120));
    assert_eq!(sent(&mut queue, at(120)).unwrap(), [(3, vec![0]), (4, vec![0])], "nothing is before it any more");
    queue.push(call(5, now).await, items(1), at(121));
    assert!(sent(&mut queue, at(205)).is_none());
    assert_eq!(sent(&mut queue, at(206)).unwrap(), [(5, vec![0])], "and never longer than two batches take");
}

/// How long 64 callers of one text each wait whose next text comes up to so many milliseconds after an answer, at an endpoint that takes
/// 40 ms for a batch: 99 of 100 waits, in milliseconds, and texts in a batch.
async fn simulated(takes_turns: bool, jitter: u64) -> (u128, usize) {
    #[derive(Clone)]
    enum Event {
        Asks(u64),
        Answered(Vec<u64>, Turn),
        Rings,
    }
    const BATCH: Duration = Duration::from_millis(40);
    let start = Instant::now();
    let mut calls = Vec::new();
    for id in 0..64 {
        calls.push(call(id, start).await);
    }
    let mut random = fastrand::Rng::with_seed(jitter);
    let mut pause = move || Duration::from_micros(random.u64(0..=jitter * 1000));
    let mut queue = Queue::new(Batching { max_items: 32, max_wait_ms: 5, max_concurrent: 8 });
    let mut events = BTreeMap::new();
    let mut number = 0_u64;
    let mut plan = |events: &mut BTreeMap<(Instant, u64), Event>, at, event| {
        number += 1;
        events.insert((at, number), event);
    };
    for id in 0..64 {
        plan(&mut events, start + pause(), Event::Asks(id));
    }
    let (mut asked, mut waits, mut batches, mut free) = ([start; 64], Vec::new(), 0, start);
    while waits.len() < 64 * 200 {
        let ((now, _), event) = events.pop_first().unwrap();
        match event {
            Event::Asks(id) => {
                asked[usize::try_from(id).unwrap()] = now;
                queue.push(Arc::clone(&calls[usize::try_from(id).unwrap()]), items(1), now);
            }
            Event::Answered(ids, turn) => {
                queue.over(turn, now);
                for id in ids {
                    waits.push((now - asked[usize::try_from(id).unwrap()]).as_millis());
                    plan(&mut events, now + pause(), Event::Asks(id));
                }
            }
            Event::Rings => {}
        }
        loop {
            match queue.next(now) {
                Next::Send(parts, turn) => {
                    batches += 1;
                    free = if takes_turns { free.max(now) + BATCH } else { now + BATCH };
                    let ids = parts.iter().map(|part| part.call.id).collect();
                    plan(&mut events, free, Event::Answered(ids, turn));
                }
                Next::Wait(at) => {
                    plan(&mut events, at, Event::Rings);
                    break;
                }
                Next::Rest => break,
            }
        }
    }
    waits.sort_unstable();
    (waits[waits.len() * 99 / 100], waits.len() / batches)
}

#[tokio::test]
async fn callers_wait_for_no_more_batches_than_their_texts_fill() {
    for jitter in [0, 2, 8, 15] {
        let (wait, texts) = simulated(true, jitter).await;
        assert!(wait < 120 && texts >= 30, "{wait} ms, {texts} texts a batch, when callers pause up to {jitter} ms");
        let (wait, _) = simulated(false, jitter).await;
        assert!(wait <= 45, "{wait} ms, all batches at once, when callers pause up to {jitter} ms");
    }
}
