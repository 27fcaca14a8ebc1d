//! Shares of users and clients in a ledger: each rule by itself.

use super::super::super::window::Window;
use super::super::{DeniedReason, Event, LIFE_MS, ShownGrant, Spent};
use super::*;

const NOW: i64 = 1_000_000;

/// A budget of 1000; 100 for each user, 150 for each client.
fn ledger() -> LedgerState {
    let window = Window { id: "w".into(), start_ms: 0, end_ms: Some(NOW + 10 * LIFE_MS) };
    let mut ledger = LedgerState::new(Nano(1_000), window);
    ledger.step(NOW, &Event::SetShares { per_user: Some(Nano(100)), per_client: Some(Nano(150)) });
    ledger
}

fn of(user: &str, client: &str) -> Subject {
    Subject::new(Some(Some(user)), Some(Some(client)))
}

fn ask(ledger: &mut LedgerState, proxy: &str, subject: Subject, id: u64, amount: u64) -> Transition {
    let (pod, incarnation) = (format!("pod of {proxy}"), proxy.to_owned());
    let (min, want) = (Nano(amount), Nano(amount));
    ledger.step(NOW, &Event::Ask { pod, incarnation, id, min, want, subject })
}

fn granted(transition: &Transition) -> Option<(u64, u64)> {
    transition.effects.iter().find_map(|effect| match effect {
        Effect::Granted { grant, amount, .. } => Some((*grant, amount.0)),
        _ => None,
    })
}

fn denied(transition: &Transition) -> Option<(DeniedReason, u64)> {
    transition.effects.iter().find_map(|effect| match effect {
        Effect::Denied { reason, fits, .. } => Some((*reason, fits.0)),
        _ => None,
    })
}

fn recalled(transition: &Transition) -> Vec<u64> {
    let recalls = transition.effects.iter();
    recalls.filter_map(|effect| if let Effect::Recall { grant, .. } = effect { Some(*grant) } else { None }).collect()
}

fn close(ledger: &mut LedgerState, proxy: &str, grant: u64, spent: u64) {
    let spent = Spent { incarnation: proxy.into(), grant, spent: Nano(spent), ..Spent::default() };
    ledger.step(NOW, &Event::Close(spent));
}

#[test]
fn a_share_holds_across_proxies_and_the_denial_says_whose_it_is_and_what_fits() {
    let mut ledger = ledger();
    assert_eq!(granted(&ask(&mut ledger, "a", of("ann", "x"), 1, 60)), Some((1, 60)));
    close(&mut ledger, "a", 1, 60);
    let over = ask(&mut ledger, "b", of("ann", "x"), 1, 41);
    assert_eq!(denied(&over), Some((DeniedReason::ShareExhausted(Share::User), 40)));
    assert!(!ledger.figures().exhausted, "the budget is not");
    assert!(granted(&ask(&mut ledger, "b", of("ann", "x"), 1, 40)).is_some());
    // Bob's own 100 are there, of which his client has only 50 left.
    let over = ask(&mut ledger, "b", of("bob", "x"), 1, 60);
    assert_eq!(denied(&over), Some((DeniedReason::Contended, 90)), "40 may come back from another proxy");
    assert!(granted(&ask(&mut ledger, "b", of("bob", "y"), 1, 60)).is_some());
}

#[test]
fn what_others_hold_of_the_same_share_is_asked_back_and_nothing_else() {
    let mut ledger = ledger();
    for (id, subject) in [of("ann", "x"), of("bob", "y")].into_iter().enumerate() {
        ask(&mut ledger, "a", subject, id as u64 + 1, 80);
    }
    let contended = ask(&mut ledger, "b", of("ann", "z"), 1, 50);
    assert_eq!((denied(&contended), recalled(&contended)), (Some((DeniedReason::Contended, 100)), vec![1]));
}

#[test]
fn a_burned_and_a_lost_grant_are_charged_to_the_share() {
    let mut state = ledger();
    ask(&mut state, "a", of("ann", "x"), 1, 70);
    state.step(NOW, &Event::PodGone { pod: "pod of a".into() });
    assert_eq!(denied(&ask(&mut state, "b", of("ann", "x"), 1, 31)).unwrap().1, 30);
    let mut state = ledger();
    let (amount, spent, estimated) = (Nano(70), Nano(5), Nano::ZERO);
    let held = vec![ShownGrant { grant: 9, amount, spent, estimated, subject: of("ann", "x") }];
    state.step(NOW, &Event::Hello { pod: "p".into(), incarnation: "a".into(), held, orphans: vec![] });
    assert!(state.frozen.is_some());
    assert_eq!(state.committed_by_place(Share::User, OpenGrant::committed)[&of("ann", "x").user.unwrap()], Nano(70));
}

#[test]
fn the_same_ask_gets_the_same_grant_and_an_obsolete_one_nothing() {
    let mut ledger = ledger();
    assert_eq!(granted(&ask(&mut ledger, "a", of("ann", "x"), 4, 10)), Some((1, 10)));
    assert_eq!(granted(&ask(&mut ledger, "a", of("ann", "x"), 4, 10)), Some((1, 10)));
    assert_eq!(ask(&mut ledger, "a", of("ann", "x"), 3, 10), Transition::default());
    assert_eq!(granted(&ask(&mut ledger, "a", of("ann", "x"), 5, 10)), Some((2, 10)));
    assert_eq!(granted(&ask(&mut ledger, "a", of("bob", "x"), 4, 10)), Some((3, 10)), "each has numbers of its own");
    assert_eq!(ledger.holders.len(), 1, "no holder is kept for a share");
}

#[test]
fn whoever_does_not_say_whose_share_it_is_gets_nothing_but_where_it_is_only_counted() {
    let mut ledger = ledger();
    let nobody = Subject::default();
    assert_eq!(denied(&ask(&mut ledger, "old", nobody, 1, 10)).unwrap().0, DeniedReason::Unavailable);
    ledger.step(NOW, &Event::SetCap { cap: Nano(1_000), observe: true });
    assert!(granted(&ask(&mut ledger, "old", nobody, 1, 10)).is_some());
    assert!(granted(&ask(&mut ledger, "a", of("ann", "x"), 1, 400)).is_some(), "observing denies nobody");
}

#[test]
fn a_lowered_share_asks_back_what_is_above_it_and_a_raised_one_is_there_at_once() {
    let mut ledger = ledger();
    ask(&mut ledger, "a", of("ann", "x"), 1, 80);
    ask(&mut ledger, "a", of("bob", "y"), 1, 30);
    let lowered = ledger.step(NOW, &Event::SetShares { per_user: Some(Nano(50)), per_client: None });
    assert_eq!((recalled(&lowered), lowered.persist), (vec![1], true));
    assert!(lowered.effects.contains(&Effect::StateChanged));
    assert!(denied(&ask(&mut ledger, "b", of("ann", "x"), 1, 1)).is_some());
    ledger.step(NOW, &Event::SetShares { per_user: Some(Nano(200)), per_client: None });
    assert!(granted(&ask(&mut ledger, "b", of("ann", "x"), 1, 120)).is_some());
}

#[test]
fn the_next_window_has_the_same_limits_and_nothing_spent() {
    let mut ledger = ledger();
    ask(&mut ledger, "a", of("ann", "x"), 1, 100);
    close(&mut ledger, "a", 1, 100);
    let mut next = ledger.successor(Window { id: "next".into(), ..ledger.window.clone() });
    assert!(granted(&ask(&mut next, "a", of("ann", "x"), 2, 100)).is_some());
    assert!(denied(&ask(&mut next, "b", of("ann", "x"), 1, 1)).is_some());
}

#[test]
fn latecomers_share_places_keep_theirs_and_the_object_stays_small() {
    let mut ledger = ledger();
    ledger.cap = Nano(u64::MAX >> 1);
    ledger.clients.limit = None;
    for name in 0..MOST {
        ledger.settle(Subject::new(Some(Some(&name.to_string())), None), Nano(90));
    }
    let known = Subject::new(Some(Some("7")), None);
    assert_eq!(denied(&ask(&mut ledger, "a", known, 1, 11)), Some((DeniedReason::ShareExhausted(Share::User), 10)));
    for name in 0..3 * BUCKETS {
        let late = Subject::new(Some(Some(&format!("late {name}"))), None);
        ledger.settle(late, Nano(50));
    }
    let places = &ledger.users.settled;
    assert!(places.len() <= MOST + usize::try_from(BUCKETS).unwrap());
    let late = Subject::new(Some(Some("late 0")), None);
    assert!(denied(&ask(&mut ledger, "a", late, 1, 51)).is_some(), "what others of its place spent counts as well");
    // Both kinds at their fullest, and as many grants as may be open.
    ledger.clients = ledger.users.clone();
    ledger.users.limit = None;
    ledger.clients.limit = None;
    for id in 0..MOST_OPEN {
        ask(&mut ledger, &format!("{:036}", id % 50), Subject::new(Some(Some(&id.to_string())), Some(None)), 1, 5);
    }
    let stored = serde_json::to_string(&ledger).unwrap();
    assert!(stored.len() < 1_200_000, "{} bytes of the 1.5 MiB that etcd takes", stored.len());
    let back: LedgerState = serde_json::from_str(&stored).unwrap();
    assert_eq!(back, ledger);
}

#[test]
fn one_grant_too_many_makes_room_by_asking_the_oldest_back() {
    let mut ledger = ledger();
    let user = |name: usize| Subject::new(Some(Some(&name.to_string())), Some(Some(&name.to_string())));
    ledger.cap = Nano(1_000_000);
    for name in 0..MOST_OPEN {
        assert!(granted(&ask(&mut ledger, "a", user(name), 1, 5)).is_some(), "{name}");
    }
    let full = ask(&mut ledger, "a", user(MOST_OPEN), 1, 5);
    assert_eq!(denied(&full).unwrap().0, DeniedReason::Contended);
    assert_eq!(recalled(&full), (1..=MAKE_ROOM as u64).collect::<Vec<_>>());
    assert!(recalled(&ask(&mut ledger, "a", user(MOST_OPEN), 1, 5)).is_empty(), "they are on their way");
    close(&mut ledger, "a", 1, 0);
    assert!(granted(&ask(&mut ledger, "a", user(MOST_OPEN), 1, 5)).is_some());
}
