//! Each rule of the ledger by itself.

use super::*;
use crate::spend::Window;

const NOW: i64 = 1_000_000;

fn ledger(cap: u64) -> LedgerState {
    LedgerState::new(Nano(cap), Window { id: "w".into(), start_ms: 0, end_ms: Some(NOW + 10 * LIFE_MS) })
}

fn ask(incarnation: &str, id: u64, min: u64, want: u64) -> Event {
    let pod = format!("pod of {incarnation}");
    Event::Ask {
        pod,
        incarnation: incarnation.into(),
        id,
        min: Nano(min),
        want: Nano(want),
        subject: Subject::default(),
    }
}

fn spent(incarnation: &str, grant: u64, amount: u64) -> Spent {
    Spent { incarnation: incarnation.into(), grant, spent: Nano(amount), ..Spent::default() }
}

fn replaced(pod: &str, by: &str) -> Event {
    Event::Replaced { pod: pod.into(), live: vec![by.into()] }
}

fn hello(pod: &str, incarnation: &str, held: Vec<ShownGrant>) -> Event {
    Event::Hello { pod: pod.into(), incarnation: incarnation.into(), held, orphans: vec![] }
}

fn shown(grant: u64, amount: u64, spent: u64) -> ShownGrant {
    ShownGrant { grant, amount: Nano(amount), spent: Nano(spent), estimated: Nano::ZERO, subject: Subject::default() }
}

/// The grant made for an ask: its id and amount.
fn granted(transition: &Transition) -> (u64, u64) {
    let grants = transition.effects.iter().filter_map(|e| match e {
        Effect::Granted { grant, amount, .. } => Some((*grant, amount.0)),
        _ => None,
    });
    let all: Vec<_> = grants.collect();
    assert_eq!(all.len(), 1, "{transition:?}");
    all[0]
}

fn denied(transition: &Transition) -> (DeniedReason, u64) {
    let denials = transition.effects.iter().filter_map(|e| match e {
        Effect::Denied { reason, fits, .. } => Some((*reason, fits.0)),
        _ => None,
    });
    let all: Vec<_> = denials.collect();
    assert_eq!(all.len(), 1, "{transition:?}");
    all[0]
}

fn recalled(transition: &Transition) -> Vec<u64> {
    let recalls = transition.effects.iter().filter_map(|e| match e {
        Effect::Recall { grant, .. } => Some(*grant),
        _ => None,
    });
    recalls.collect()
}

fn tells(transition: &Transition, wanted: &Effect) -> bool {
    transition.effects.contains(wanted)
}

#[test]
fn the_same_ask_gets_the_same_grant_and_a_late_one_nothing() {
    let mut ledger = ledger(100);
    let first = ledger.step(NOW, &ask("a", 1, 10, 20));
    assert!(first.persist);
    let again = ledger.step(NOW + 5, &ask("a", 1, 30, 90));
    assert_eq!((granted(&again), again.persist), (granted(&first), false));
    ledger.step(NOW, &ask("a", 2, 10, 10));
    assert_eq!(ledger.step(NOW, &ask("a", 1, 10, 20)), Transition::default());
    assert_eq!(ledger.grants.len(), 2);
}

#[test]
fn a_grant_is_what_is_free_at_most_and_what_is_needed_at_least() {
    let mut ledger = ledger(100);
    assert_eq!(granted(&ledger.step(NOW, &ask("a", 1, 10, 20))).1, 20, "what it wants, when there is plenty");
    assert_eq!(granted(&ledger.step(NOW, &ask("b", 1, 1, 90))).1, 80 / 3, "a share that leaves as much for each other");
    assert_eq!(granted(&ledger.step(NOW, &ask("c", 1, 50, 90))).1, 50, "what it needs, though that is above its share");
    assert_eq!(ledger.free(), Nano(100 - 20 - 26 - 50));
    let (reason, fits) = denied(&ledger.step(NOW, &ask("d", 1, 101, 200)));
    assert_eq!((reason, fits), (DeniedReason::Exhausted, 100));
}

#[test]
fn a_contended_ask_recalls_the_largest_grants_and_no_more_than_it_needs() {
    let mut ledger = ledger(100);
    for (holder, amount) in [("a", 50), ("b", 30), ("c", 20)] {
        ledger.step(NOW, &ask(holder, 1, amount, amount));
    }
    let contended = ledger.step(NOW, &ask("d", 1, 40, 80));
    assert_eq!(denied(&contended), (DeniedReason::Contended, 100));
    assert_eq!(recalled(&contended), [1]);
    assert!(recalled(&ledger.step(NOW + 100, &ask("e", 1, 40, 80))).is_empty(), "that one is on its way");
    assert_eq!(recalled(&ledger.step(NOW + 2_000, &ask("d", 1, 40, 80))), [2, 3], "it did not come");
    ledger.step(NOW + 2_100, &Event::Close(spent("a", 1, 5)));
    assert_eq!(granted(&ledger.step(NOW + 2_200, &ask("d", 1, 40, 80))).1, 40);
    assert_eq!(ledger.figures().spent, Nano(5));
}

#[test]
fn at_most_four_grants_are_open_for_one_incarnation() {
    let mut ledger = ledger(1_000);
    for id in 1..=4 {
        ledger.step(NOW, &ask("a", id, 1, 1));
    }
    assert_eq!(denied(&ledger.step(NOW, &ask("a", 5, 1, 1))).0, DeniedReason::Contended);
    ledger.step(NOW, &Event::Close(spent("a", 2, 0)));
    assert_eq!(granted(&ledger.step(NOW, &ask("a", 5, 1, 1))).0, 5);
}

#[test]
fn reports_are_cumulative_and_the_largest_counts() {
    let mut ledger = ledger(100);
    ledger.step(NOW, &ask("a", 1, 10, 20));
    assert!(!ledger.step(NOW, &Event::Report(spent("a", 1, 7))).persist, "reports ride along");
    ledger.step(NOW, &Event::Report(spent("a", 1, 3)));
    let figures = ledger.figures();
    assert_eq!((figures.spent, figures.reserved, figures.remaining), (Nano(7), Nano(13), Nano(93)));
    ledger.step(NOW, &Event::Close(spent("a", 1, 6)));
    let figures = ledger.figures();
    assert_eq!((figures.spent, figures.reserved, figures.free), (Nano(7), Nano::ZERO, Nano(93)));
    assert!(
        tells(&ledger.step(NOW, &Event::Close(spent("a", 1, 6))), &settle::closed("a", 1)),
        "a close may be repeated"
    );
    assert_eq!(ledger.figures().spent, Nano(7));
}

#[test]
fn a_newer_incarnation_and_a_lost_pod_burn_but_a_reconnect_does_not() {
    let mut ledger = ledger(100);
    ledger.step(NOW, &ask("a", 1, 10, 20));
    let pod = "pod of a";
    let back = ledger.step(NOW, &hello(pod, "a", vec![shown(1, 20, 4)]));
    assert_eq!((back.persist, ledger.grants.len(), ledger.figures().spent), (false, 1, Nano(4)));

    ledger.step(NOW, &hello(pod, "b", vec![]));
    let both = Event::Replaced { pod: pod.into(), live: vec!["a".into(), "b".into()] };
    assert_eq!(ledger.step(NOW, &both), Transition::default(), "who lives keeps what it holds");
    let burned = ledger.step(NOW, &replaced(pod, "b"));
    let effect = Effect::Burned { pod: pod.into(), incarnation: "a".into(), grant: 1, amount: Nano(16) };
    assert!(burned.persist && tells(&burned, &effect));
    let figures = ledger.figures();
    assert_eq!((figures.spent, figures.burned, figures.open_grants), (Nano(20), Nano(16), 0));
    assert_eq!(denied(&ledger.step(NOW, &ask("a", 2, 10, 20))).0, DeniedReason::Unavailable, "the dead get nothing");
    assert!(tells(&ledger.step(NOW, &Event::Report(spent("a", 1, 9))), &settle::closed("a", 1)));
    assert_eq!(ledger.figures().spent, Nano(20), "what is burned stays burned");

    let Event::Ask { incarnation, id, min, want, subject, .. } = ask("b", 1, 3, 20) else { panic!() };
    let (grant, amount) =
        granted(&ledger.step(NOW, &Event::Ask { pod: pod.into(), incarnation, id, min, want, subject }));
    assert_eq!((grant, amount), (2, 10), "half after one burn");
    ledger.step(NOW, &Event::PodGone { pod: pod.into() });
    assert_eq!((ledger.figures().spent, ledger.pods().len()), (Nano(30), 0));
    let late = ledger.step(NOW, &hello(pod, "a", vec![]));
    assert_eq!(late, Transition::default(), "a late hello of the dead kills nobody");
}

#[test]
fn burns_in_a_row_halve_down_to_what_is_needed_and_a_close_ends_the_row() {
    let mut ledger = ledger(1_000_000);
    let pod = |incarnation: &str, id| Event::Ask {
        pod: "p".into(),
        incarnation: incarnation.into(),
        id,
        min: Nano(30),
        want: Nano(160),
        subject: Subject::default(),
    };
    let mut amounts = vec![];
    for incarnation in ["1", "2", "3", "4", "5"] {
        ledger.step(NOW, &hello("p", incarnation, vec![]));
        ledger.step(NOW, &replaced("p", incarnation));
        amounts.push(granted(&ledger.step(NOW, &pod(incarnation, 1))).1);
    }
    assert_eq!(amounts, [160, 80, 40, 30, 30]);
    ledger.step(NOW, &Event::Close(spent("5", 5, 1)));
    assert_eq!(granted(&ledger.step(NOW, &pod("5", 2))).1, 160);
}

#[test]
fn a_life_that_ended_burns_and_is_an_hour_long() {
    let mut ledger = ledger(100);
    let made = ledger.step(NOW, &ask("a", 1, 10, 20));
    assert!(matches!(made.effects[0], Effect::Granted { life_end_ms, .. } if life_end_ms >= NOW + 3_600_000));
    assert!(!ledger.step(NOW + LIFE_MS - 1, &Event::Tick).persist);
    assert!(ledger.step(NOW + LIFE_MS, &Event::Tick).persist);
    assert_eq!(ledger.figures().burned, Nano(20));
    let again = ledger.step(NOW + LIFE_MS, &ask("a", 1, 10, 20));
    assert_eq!(granted(&again).0, 1, "its holder learns of it, finds it over and closes it");
}

#[test]
fn whoever_holds_nothing_and_is_silent_is_forgotten_after_a_while() {
    let mut ledger = ledger(100);
    ledger.step(NOW, &ask("a", 1, 10, 20));
    ledger.step(NOW, &hello("pod of b", "b", vec![]));
    ledger.step(NOW, &Event::PodGone { pod: "pod of a".into() });
    ledger.step(NOW, &ask("c", 1, 10, 20));
    ledger.step(NOW + 2 * LIFE_MS - 1, &Event::Tick);
    assert_eq!(ledger.holders.len(), 3);
    ledger.step(NOW + 2 * LIFE_MS, &Event::Tick);
    assert_eq!((ledger.holders.len(), ledger.burns.len()), (0, 1), "what c held was burned");
}

#[test]
fn a_lowered_cap_grants_nothing_recalls_and_bounds_by_what_is_committed() {
    let mut ledger = ledger(100);
    ledger.step(NOW, &ask("a", 1, 40, 40));
    ledger.step(NOW, &ask("b", 1, 40, 40));
    let lowered = ledger.step(NOW, &Event::SetCap { cap: Nano(50), observe: false });
    assert_eq!(recalled(&lowered), [1, 2]);
    assert!(lowered.persist && tells(&lowered, &Effect::StateChanged));
    assert_eq!((ledger.committed_at_lowering, ledger.free()), (Nano(80), Nano::ZERO));
    ledger.step(NOW, &Event::Close(spent("a", 1, 40)));
    assert_eq!(denied(&ledger.step(NOW, &ask("c", 1, 20, 20))), (DeniedReason::Exhausted, 10));
    assert_eq!(denied(&ledger.step(NOW, &ask("c", 1, 5, 20))), (DeniedReason::Contended, 10));
    ledger.step(NOW, &Event::SetCap { cap: Nano(200), observe: false });
    assert_eq!((ledger.committed_at_lowering, ledger.free()), (Nano::ZERO, Nano(120)));
    assert!(!ledger.step(NOW, &Event::SetCap { cap: Nano(200), observe: false }).persist);
}

#[test]
fn infrastructure_reduces_what_is_granted_and_is_not_spent() {
    let mut ledger = ledger(100);
    // A thousand seconds.
    ledger.step(NOW, &Event::Instances { endpoint: "e".into(), since_ms: Some(0), per_hour: Nano(252) });
    assert_eq!(denied(&ledger.step(NOW, &ask("a", 1, 31, 31))), (DeniedReason::Exhausted, 30));
    let figures = ledger.figures();
    assert_eq!((figures.spent, figures.remaining, figures.infrastructure), (Nano::ZERO, Nano(30), Nano(70)));
}

#[test]
fn an_adjustment_is_applied_once_and_not_again_in_the_next_window() {
    let mut ledger = ledger(100);
    let credit = Event::Adjust { id: "c1".into(), adjustment: Adjustment::Credit(Nano(50)) };
    assert!(ledger.step(NOW, &credit).persist);
    assert!(!ledger.step(NOW, &credit).persist);
    assert_eq!(ledger.effective_cap(), Nano(150));
    let mut next = ledger.successor(Window::default());
    next.step(NOW, &credit);
    assert_eq!(next.effective_cap(), Nano(100));
}

#[test]
fn a_grant_that_was_never_made_freezes_and_is_charged_once_until_an_administrator_resumes() {
    let mut ledger = ledger(1_000);
    ledger.step(NOW, &ask("a", 1, 10, 20));
    let seen = hello("pod of b", "b", vec![shown(7, 100, 30)]);
    let frozen = ledger.step(NOW, &seen);
    assert!(frozen.persist && tells(&frozen, &settle::closed("b", 7)));
    assert!(frozen.effects.iter().any(|e| matches!(e, Effect::Frozen { .. })));
    ledger.step(NOW, &seen);
    let figures = ledger.figures();
    assert_eq!((figures.spent, figures.burned), (Nano(100), Nano(70)));
    assert_eq!(denied(&ledger.step(NOW, &ask("c", 1, 1, 1))).0, DeniedReason::Frozen);
    assert!(!ledger.step(NOW, &Event::Freeze { reason: "later".into() }).persist, "the first reason stays");

    ledger.step(NOW, &Event::Adjust { id: "r".into(), adjustment: Adjustment::Resume });
    assert_eq!(granted(&ledger.step(NOW, &ask("c", 1, 1, 1))).0, 8, "no id that was seen is used again");
    let known = ledger.step(NOW, &hello("pod of c", "c", vec![shown(3, 10, 10)]));
    assert_eq!((ledger.frozen.clone(), tells(&known, &settle::closed("c", 3))), (None, true), "a lower id was closed");
}

#[test]
fn grants_of_a_ledger_that_is_gone_are_charged_in_full() {
    let mut ledger = LedgerState::frozen(Nano(100), Window::default(), "the ledger is gone");
    let orphans = vec![("old-uid".to_owned(), shown(2, 40, 10))];
    let event = Event::Hello { pod: "p".into(), incarnation: "a".into(), held: vec![], orphans };
    for _ in 0..2 {
        let told = ledger.step(NOW, &event);
        let closed = Effect::Closed { incarnation: "a".into(), ledger: Some("old-uid".into()), grant: 2 };
        assert!(tells(&told, &closed));
    }
    assert_eq!((ledger.figures().spent, ledger.frozen.as_deref()), (Nano(40), Some("the ledger is gone")));
}

#[test]
fn usage_above_the_bound_is_charged_and_denies_the_model_until_resumed() {
    let mut ledger = ledger(100);
    ledger.step(NOW, &ask("a", 1, 10, 10));
    let over = Event::Report(Spent { bound_exceeded: vec!["m".into()], ..spent("a", 1, 25) });
    let told = ledger.step(NOW, &over);
    assert!(told.persist && tells(&told, &Effect::StateChanged));
    let figures = ledger.figures();
    assert_eq!((figures.spent, figures.denied_models), (Nano(25), vec!["m".to_owned()]));
    assert_eq!(ledger.committed(), Nano(25));
    ledger.step(NOW, &Event::Adjust { id: "r".into(), adjustment: Adjustment::Resume });
    ledger.step(NOW, &over);
    assert!(ledger.denied_models.is_empty(), "the same report does not undo the administrator's word");
}

#[test]
fn a_window_that_ended_grants_nothing_and_still_settles() {
    let mut ledger = ledger(100);
    let end = NOW + 10 * LIFE_MS;
    ledger.step(end - 1, &ask("a", 1, 10, 20));
    assert_eq!(denied(&ledger.step(end, &ask("b", 1, 1, 1))).0, DeniedReason::Unavailable);
    assert!(!ledger.drained(end));
    ledger.step(end, &Event::Close(spent("a", 1, 15)));
    assert_eq!((ledger.drained(end), ledger.figures().spent), (true, Nano(15)));
}

#[test]
fn observing_never_denies() {
    let mut ledger = ledger(10);
    ledger.step(NOW, &Event::SetCap { cap: Nano(10), observe: true });
    assert_eq!(granted(&ledger.step(NOW, &ask("a", 1, 50, 80))).1, 50);
    ledger.step(NOW, &Event::Close(spent("a", 1, 60)));
    assert_eq!(ledger.figures().percent, 600);
}

#[test]
fn exhausted_means_that_requests_of_the_usual_size_are_refused() {
    let mut ledger = ledger(100);
    ledger.step(NOW, &ask("a", 1, 3, 3));
    ledger.step(NOW, &Event::Close(spent("a", 1, 3)));
    ledger.step(NOW, &ask("a", 2, 99, 99));
    assert!(!ledger.figures().exhausted, "one that is unusually large says nothing of the others");
    ledger.step(NOW, &ask("b", 1, 96, 96));
    ledger.step(NOW, &Event::Close(spent("b", 2, 96)));
    let refused = ledger.step(NOW + 9, &ask("a", 2, 3, 3));
    assert_eq!(denied(&refused), (DeniedReason::Exhausted, 1));
    assert!(tells(&refused, &Effect::StateChanged));
    assert_eq!(ledger.figures().exhausted_at_ms, Some(NOW + 9));
    ledger.step(NOW, &Event::SetCap { cap: Nano(200), observe: false });
    assert!(!ledger.figures().exhausted);
}

#[test]
fn stored_state_takes_reports_from_the_copy_in_memory() {
    let mut stored = ledger(100);
    stored.step(NOW, &ask("a", 1, 10, 20));
    let mut memory = stored.clone();
    memory.step(NOW, &Event::Report(Spent { estimated: Nano(2), ..spent("a", 1, 9) }));
    stored.step(NOW, &ask("b", 1, 10, 20));
    stored.absorb_reports(&memory);
    assert_eq!((stored.figures().spent, stored.figures().estimated), (Nano(9), Nano(2)));
    assert_eq!(stored.grants.len(), 2);
}

#[test]
fn what_is_stored_reads_back_and_is_plain_to_read() {
    let mut ledger = ledger(100);
    ledger.step(NOW, &ask("a", 1, 10, 20));
    ledger.step(NOW, &Event::Freeze { reason: "look".into() });
    let text = serde_json::to_string(&ledger).unwrap();
    assert_eq!(serde_json::from_str::<LedgerState>(&text).unwrap(), ledger);
    for part in ["\"nextGrant\":2", "\"grants\":{\"1\":{", "\"lifeEndMs\"", "\"frozen\":\"look\"", "\"endMs\""] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
