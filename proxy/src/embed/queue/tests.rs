//! Requests of many sizes in; which of their texts go out together, and when, out.

use super::*;
use crate::ledger::{Ledger, Wish};
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
    let Next::Send(parts) = queue.next(now) else { return None };
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
    queue.over();
    assert_eq!(sent(&mut queue, now).unwrap(), [(1, vec![8, 9, 10, 11])]);
    queue.over();
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
    queue.over();
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
