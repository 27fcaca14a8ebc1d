//! Each rule of the purse by itself.

use super::super::ledger::LIFE_MS;
use super::*;

const NOW: i64 = 1_000_000;
const MODEL: &str = "model";

fn grant(ask: u64, grant: u64, amount: u64, now: i64) -> In {
    In::Grant(Granted {
        ledger: "l".into(),
        grant,
        incarnation: "me".into(),
        ask,
        amount: Nano(amount),
        window_end_ms: NOW + 100 * LIFE_MS,
        life_end_ms: now + LIFE_MS,
    })
}

fn denied(ask: u64, reason: DeniedReason, fits: u64) -> In {
    In::Denied { incarnation: "me".into(), ask, reason, fits: Nano(fits) }
}

fn closed(grant: u64) -> In {
    In::Closed { ledger: "l".into(), grant }
}

fn ticket(reserve: Reserve) -> Ticket {
    match reserve {
        Reserve::Reserved(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

fn spent(actual: u64) -> Charge {
    Charge { actual: Nano(actual), ..Charge::default() }
}

/// The ask among what is due: id, min, want.
fn asked(due: &[Out]) -> Option<(u64, u64, u64)> {
    due.iter().find_map(|out| match out {
        Out::Ask { id, min, want, .. } => Some((*id, min.0, want.0)),
        _ => None,
    })
}

fn closes(due: &[Out]) -> Vec<(u64, u64)> {
    let closes = due.iter().filter_map(|out| match out {
        Out::Close(s) => Some((s.grant, s.spent.0)),
        _ => None,
    });
    closes.collect()
}

fn reports(due: &[Out]) -> Vec<(u64, u64, u64)> {
    let reports = due.iter().filter_map(|out| match out {
        Out::Report(s) => Some((s.grant, s.spent.0, s.estimated.0)),
        _ => None,
    });
    reports.collect()
}

/// A purse that asked once and was granted.
fn holding(amount: u64) -> Purse {
    let mut purse = Purse::new("me");
    assert_eq!(purse.reserve(NOW, Nano(1), MODEL), Reserve::NeedsGrant);
    assert!(asked(&purse.poll(NOW)).is_some());
    assert_eq!(purse.take(NOW, grant(1, 1, amount, NOW)), Wake::Waiting);
    purse
}

/// The next grant, however large the held ones are.
fn another(purse: &mut Purse, now: i64, ask: u64, id: u64, amount: u64) {
    assert_eq!(purse.reserve(now, Nano(u64::MAX), MODEL), Reserve::NeedsGrant);
    assert_eq!(asked(&purse.poll(now)).map(|a| a.0), Some(ask));
    assert_eq!(purse.take(now, grant(ask, id, amount, now)), Wake::Waiting);
}

#[test]
fn a_request_that_a_grant_carries_never_waits_and_one_it_does_not_carry_asks() {
    let mut purse = holding(10);
    let first = ticket(purse.reserve(NOW, Nano(6), MODEL));
    assert_eq!(purse.reserve(NOW, Nano(5), MODEL), Reserve::NeedsGrant);
    purse.settle(NOW, first, &spent(2));
    assert_eq!(ticket(purse.reserve(NOW, Nano(8), MODEL)).amount(), Nano(8));
    assert_eq!(purse.reserve(NOW, Nano(1), MODEL), Reserve::NeedsGrant);
}

#[test]
fn an_ask_is_repeated_as_it_is_until_it_is_answered() {
    let mut purse = Purse::new("me");
    purse.reserve(NOW, Nano(5), MODEL);
    let first = asked(&purse.poll(NOW));
    assert_eq!(first, Some((1, 5, 40)), "the smallest that waits, and some more like it");
    purse.reserve(NOW, Nano(500), MODEL);
    assert_eq!(asked(&purse.poll(NOW + 999)), None);
    assert_eq!(asked(&purse.poll(NOW + 1_000)), first);
    purse.hello();
    assert_eq!(asked(&purse.poll(NOW + 1_001)), first, "and at once on a new connection");
    purse.take(NOW + 1_002, grant(1, 1, 40, NOW));
    assert_eq!(asked(&purse.poll(NOW + 5_000)), None);
}

#[test]
fn it_asks_for_all_that_wait_and_counts_each_once() {
    let mut purse = Purse::new("me");
    for _ in 0..20 {
        purse.reserve(NOW, Nano(10), MODEL);
    }
    purse.take(NOW, In::State(State { window_end_ms: i64::MAX, ..State::default() }));
    for _ in 0..20 {
        purse.reserve(NOW, Nano(10), MODEL);
    }
    assert_eq!(asked(&purse.poll(NOW)), Some((1, 10, 200)));
}

#[test]
fn what_it_wants_covers_five_minutes_of_burn_and_doubles_when_that_was_too_little() {
    let mut purse = holding(1_000);
    for second in 0..40 {
        let ticket = ticket(purse.reserve(NOW + second * 1_000, Nano(20), MODEL));
        purse.settle(NOW + second * 1_000, ticket, &spent(10));
    }
    purse.reserve(NOW + 40_000, Nano(900), MODEL);
    let (_, _, want) = asked(&purse.poll(NOW + 40_000)).unwrap();
    assert!(want >= 2_000, "{want} is less than twice the grant that lasted 40 s");
    purse.take(NOW + 40_000, grant(2, 2, 1_000, NOW));
    let later = NOW + 40_000 + 400_000;
    purse.reserve(later, Nano(2_000), MODEL);
    let (_, _, want) = asked(&purse.poll(later)).unwrap();
    assert!((2_000..=4_000).contains(&want), "{want} for 5 minutes of 10 a second");
}

#[test]
fn requests_that_never_end_get_ever_larger_grants_so_that_four_carry_ten_thousand() {
    let (mut purse, worst) = (Purse::new("me"), Nano(10));
    let mut tickets = vec![];
    for number in 1..=4 {
        assert_eq!(purse.reserve(NOW, worst, MODEL), Reserve::NeedsGrant, "grant {number}");
        let (ask, min, want) = asked(&purse.poll(NOW)).unwrap();
        assert_eq!((ask, min), (number, worst.0));
        purse.take(NOW, grant(number, number, want, NOW));
        while let Reserve::Reserved(ticket) = purse.reserve(NOW, worst, MODEL) {
            tickets.push(ticket);
        }
    }
    assert!(tickets.len() > 10_000, "{}", tickets.len());
    assert_eq!(asked(&purse.poll(NOW)), None, "four are open");
    let later = NOW + 2 * WAIT_MS;
    assert_eq!(purse.reserve(later, worst, MODEL), Reserve::NeedsGrant);
    assert_eq!(asked(&purse.poll(later)), None);
    let (reason, _) = purse.last_denial(later).unwrap();
    assert_eq!(reason, DeniedReason::Contended, "a ledger would answer, and is not asked");
}

#[test]
fn only_a_grant_for_this_incarnation_and_this_ask_is_accepted() {
    let mut purse = Purse::new("me");
    purse.take(NOW, grant(1, 1, 40, NOW));
    assert_eq!(purse.held(), 0, "nothing was asked");
    purse.reserve(NOW, Nano(5), MODEL);
    purse.poll(NOW);
    let In::Grant(made) = grant(1, 1, 40, NOW) else { panic!() };
    purse.take(NOW, In::Grant(Granted { incarnation: "my predecessor".into(), ..made }));
    purse.take(NOW, grant(2, 1, 40, NOW));
    assert_eq!(purse.held(), 0);
    purse.take(NOW, grant(1, 1, 40, NOW));
    purse.take(NOW, grant(1, 1, 40, NOW));
    assert_eq!(purse.held(), 1, "once");
}

#[test]
fn a_grant_that_was_given_back_is_not_taken_again() {
    let mut purse = holding(10);
    purse.retire();
    assert_eq!(closes(&purse.poll(NOW)), [(1, 0)]);
    purse.take(NOW, closed(1));
    purse.take(NOW, grant(1, 1, 10, NOW));
    assert_eq!(purse.held(), 0);
}

#[test]
fn a_second_grant_for_an_answered_ask_goes_back_untouched() {
    let mut purse = holding(10);
    let ticket = ticket(purse.reserve(NOW, Nano(3), MODEL));
    purse.settle(NOW, ticket, &spent(3));
    assert_eq!(purse.take(NOW, grant(1, 9, 50, NOW)), Wake::Nobody);
    assert_eq!(purse.reserve(NOW, Nano(20), MODEL), Reserve::NeedsGrant);
    assert_eq!(closes(&purse.poll(NOW)), [(9, 0)]);
}

#[test]
fn a_denial_is_believed_for_what_does_not_fit_until_something_changes() {
    let mut purse = Purse::new("me");
    purse.reserve(NOW, Nano(50), MODEL);
    purse.poll(NOW);
    assert_eq!(purse.take(NOW, denied(1, DeniedReason::Exhausted, 20)), Wake::Waiting);
    let exhausted = Reserve::Denied(Denied::Exhausted { fits: Nano(20) });
    assert_eq!(purse.reserve(NOW + 9_000, Nano(21), MODEL), exhausted);
    assert_eq!(asked(&purse.poll(NOW + 9_000)), None);
    assert_eq!(purse.reserve(NOW + 9_000, Nano(20), MODEL), Reserve::NeedsGrant);
    assert_eq!(asked(&purse.poll(NOW + 9_000)).map(|a| (a.0, a.1)), Some((1, 20)));
    let state =
        |remaining| In::State(State { remaining: Nano(remaining), window_end_ms: i64::MAX, ..State::default() });
    purse.take(NOW + 9_000, state(20));
    assert_eq!(purse.reserve(NOW + 9_000, Nano(21), MODEL), exhausted);
    purse.take(NOW + 9_000, state(30));
    assert_eq!(purse.reserve(NOW + 9_000, Nano(21), MODEL), Reserve::NeedsGrant);
}

#[test]
fn a_denial_is_doubted_after_ten_seconds() {
    let mut purse = Purse::new("me");
    purse.reserve(NOW, Nano(50), MODEL);
    purse.poll(NOW);
    purse.take(NOW, denied(1, DeniedReason::Exhausted, 20));
    assert_eq!(purse.reserve(NOW + 10_000, Nano(50), MODEL), Reserve::NeedsGrant);
}

#[test]
fn who_waits_while_others_use_up_what_is_granted_is_told_so() {
    let mut purse = holding(10);
    assert_eq!(purse.reserve(NOW, Nano(50), MODEL), Reserve::NeedsGrant);
    assert_eq!(purse.last_denial(NOW + WAIT_MS).map(|(reason, _)| reason), Some(DeniedReason::Contended));
    assert_eq!(purse.last_denial(NOW + WAIT_MS + 1), None, "no ledger answered for as long as a request waits");
}

#[test]
fn a_contended_ask_is_made_again_while_somebody_waits_and_useless_grants_go_back() {
    let mut purse = holding(10);
    purse.reserve(NOW, Nano(50), MODEL);
    purse.poll(NOW);
    assert_eq!(purse.take(NOW, denied(2, DeniedReason::Contended, 80)), Wake::Nobody);
    assert_eq!(purse.last_denial(NOW), Some((DeniedReason::Contended, Nano(80))));
    let due = purse.poll(NOW + 99);
    assert_eq!((asked(&due), closes(&due)), (None, vec![(1, 0)]));
    assert_eq!(asked(&purse.poll(NOW + 100)).map(|a| (a.0, a.1)), Some((2, 50)));
    purse.take(NOW + 100, denied(2, DeniedReason::Contended, 80));
    assert_eq!(asked(&purse.poll(NOW + WAIT_MS)), None, "nobody waits any more");
}

#[test]
fn frozen_and_denied_models_deny_at_once_until_resumed() {
    let mut purse = holding(100);
    let state = |frozen, models: &[&str]| {
        let denied_models = models.iter().map(|m| (*m).to_owned()).collect();
        In::State(State { frozen, denied_models, window_end_ms: i64::MAX, ..State::default() })
    };
    purse.take(NOW, state(true, &[]));
    assert_eq!(purse.reserve(NOW, Nano(1), MODEL), Reserve::Denied(Denied::Frozen));
    purse.take(NOW, state(false, &[]));
    let over = ticket(purse.reserve(NOW, Nano(1), MODEL));
    purse.settle(NOW, over, &Charge { bound_exceeded: Some(MODEL.into()), ..spent(60) });
    assert_eq!(purse.reserve(NOW, Nano(1), MODEL), Reserve::Denied(Denied::ModelDenied));
    assert!(matches!(purse.reserve(NOW, Nano(1), "another"), Reserve::Reserved(_)));
    let due = purse.poll(NOW);
    assert!(matches!(&due[..], [Out::Report(s)] if s.bound_exceeded == [MODEL] && s.spent == Nano(60)), "{due:?}");
    purse.take(NOW, state(false, &[MODEL]));
    assert_eq!(purse.reserve(NOW, Nano(1), MODEL), Reserve::Denied(Denied::ModelDenied));
    purse.take(NOW, state(false, &[]));
    assert_eq!(purse.reserve(NOW, Nano(1), MODEL), Reserve::NeedsGrant, "on another grant, so that it is told again");
}

#[test]
fn a_newer_grant_retires_the_older_which_drains_closes_and_is_forgotten() {
    let mut purse = holding(10);
    let old = ticket(purse.reserve(NOW, Nano(4), MODEL));
    another(&mut purse, NOW, 2, 2, 30);
    let new = ticket(purse.reserve(NOW, Nano(5), MODEL));
    assert_eq!(closes(&purse.poll(NOW)), [], "something is in flight on it");
    purse.settle(NOW, old, &spent(3));
    purse.settle(NOW, new, &spent(5));
    let due = purse.poll(NOW);
    assert_eq!((closes(&due), reports(&due)), (vec![(1, 3)], vec![(2, 5, 0)]));
    assert_eq!(closes(&purse.poll(NOW + 999)), []);
    assert_eq!(closes(&purse.poll(NOW + 1_000)), [(1, 3)], "until it is on record");
    purse.take(NOW, closed(1));
    assert_eq!((closes(&purse.poll(NOW + 3_000)), purse.held()), (vec![], 1));
}

#[test]
fn with_four_grants_the_retired_ones_serve_again_but_never_after_a_close() {
    let mut purse = holding(100);
    let mut tickets = vec![ticket(purse.reserve(NOW, Nano(40), MODEL))];
    for id in 2..=4 {
        another(&mut purse, NOW, id, id, 10);
        tickets.push(ticket(purse.reserve(NOW, Nano(10), MODEL)));
    }
    assert_eq!(asked(&purse.poll(NOW)), None, "four are open");
    tickets.push(ticket(purse.reserve(NOW, Nano(50), MODEL)));
    for ticket in tickets {
        purse.settle(NOW, ticket, &spent(1));
    }
    let mut gone = closes(&purse.poll(NOW));
    gone.sort_unstable();
    assert_eq!(gone, [(1, 2), (2, 1), (3, 1)]);
    assert_eq!(purse.reserve(NOW, Nano(10), MODEL), Reserve::NeedsGrant, "what is closed is closed");
}

#[test]
fn an_idle_grant_goes_back_after_a_minute() {
    let mut purse = holding(10);
    let busy = ticket(purse.reserve(NOW, Nano(1), MODEL));
    assert_eq!(closes(&purse.poll(NOW + 3 * IDLE_MS)), []);
    purse.settle(NOW + 3 * IDLE_MS, busy, &spent(1));
    assert_eq!(closes(&purse.poll(NOW + 3 * IDLE_MS)), [(1, 1)]);
}

#[test]
fn nothing_is_admitted_from_the_end_of_the_window_or_near_the_end_of_the_life() {
    for (window_end_ms, life_end_ms) in [(NOW + 500, NOW + LIFE_MS), (NOW + 2 * LIFE_MS, NOW + 500 + LIFE_MARGIN_MS)] {
        let mut purse = Purse::new("me");
        purse.reserve(NOW, Nano(1), MODEL);
        purse.poll(NOW);
        let In::Grant(made) = grant(1, 1, 10, NOW) else { panic!() };
        purse.take(NOW, In::Grant(Granted { window_end_ms, life_end_ms, ..made }));
        let before = ticket(purse.reserve(NOW + 499, Nano(1), MODEL));
        assert_eq!(purse.reserve(NOW + 500, Nano(1), MODEL), Reserve::NeedsGrant);
        assert_eq!(closes(&purse.poll(NOW + 500)), []);
        purse.settle(NOW + 900, before, &spent(1));
        assert_eq!(closes(&purse.poll(NOW + 900)), [(1, 1)]);
    }
}

#[test]
fn a_recalled_grant_still_serves_the_request_that_asked_for_it() {
    let recall = || In::Recall { ledger: "l".into(), grant: 1 };
    let mut purse = holding(10);
    purse.take(NOW, recall());
    let turned_away = ticket(purse.reserve(NOW, Nano(2), MODEL));
    purse.release(NOW, turned_away);
    assert_eq!(closes(&purse.poll(NOW)), [], "another budget had nothing for it yet");
    let first = ticket(purse.reserve(NOW, Nano(2), MODEL));
    assert_eq!(purse.reserve(NOW, Nano(2), MODEL), Reserve::NeedsGrant, "but no other");
    purse.settle(NOW, first, &spent(2));
    assert_eq!(closes(&purse.poll(NOW)), [(1, 2)]);

    let mut unused = holding(10);
    unused.take(NOW, recall());
    assert_eq!(closes(&unused.poll(NOW + WAIT_MS)), [(1, 0)]);
}

#[test]
fn a_grant_that_the_ledger_closed_is_gone_and_what_was_in_flight_on_it_is_charged_there() {
    let mut purse = holding(10);
    let lost = ticket(purse.reserve(NOW, Nano(4), MODEL));
    purse.take(NOW, closed(1));
    purse.settle(NOW, lost, &spent(4));
    assert_eq!((purse.held(), purse.poll(NOW)), (0, vec![]));
    assert_eq!(purse.reserve(NOW, Nano(1), MODEL), Reserve::NeedsGrant);
}

#[test]
fn estimates_and_releases_are_told_apart() {
    let mut purse = holding(20);
    let (sent, refused) = (ticket(purse.reserve(NOW, Nano(8), MODEL)), ticket(purse.reserve(NOW, Nano(8), MODEL)));
    purse.settle(NOW, sent, &Charge { estimated: true, ..spent(8) });
    purse.release(NOW, refused);
    assert_eq!(reports(&purse.poll(NOW)), [(1, 8, 8)]);
    assert_eq!(ticket(purse.reserve(NOW, Nano(12), MODEL)).amount(), Nano(12));
}

#[test]
fn what_costs_nothing_needs_no_grant() {
    let mut purse = Purse::new("me");
    let free = ticket(purse.reserve(NOW, Nano::ZERO, MODEL));
    purse.settle(NOW, free, &spent(0));
    assert_eq!(purse.poll(NOW), []);
}

#[test]
fn observing_admits_everything_and_tells_it_with_the_next_grant() {
    let mut purse = Purse::new("me");
    purse.observe(true);
    let early = ticket(purse.reserve(NOW, Nano(5), MODEL));
    purse.settle(NOW, early, &spent(4));
    assert_eq!(asked(&purse.poll(NOW)).map(|a| a.0), Some(1));
    purse.take(NOW, grant(1, 1, 40, NOW));
    assert_eq!(reports(&purse.poll(NOW)), [(1, 4, 0)]);
}

#[test]
fn a_hello_shows_every_grant_and_starts_the_messages_anew() {
    let mut purse = holding(10);
    let used = ticket(purse.reserve(NOW, Nano(4), MODEL));
    purse.settle(NOW, used, &spent(3));
    purse.retire();
    assert_eq!(closes(&purse.poll(NOW)), [(1, 3)]);
    let shown =
        ShownGrant { grant: 1, amount: Nano(10), spent: Nano(3), estimated: Nano::ZERO, subject: Subject::default() };
    assert_eq!(purse.hello(), [("l".to_owned(), shown)]);
    assert_eq!(closes(&purse.poll(NOW + 1)), [(1, 3)]);
}

#[test]
fn the_successor_of_a_dropped_purse_takes_nothing_that_was_meant_for_it() {
    let whole = Purse::new("me");
    let subject = Subject::new(Some(Some("ann")), None);
    let begin = |after: u64| {
        let mut purse = whole.for_shares(subject, after);
        assert_eq!(purse.reserve(NOW, Nano(5), MODEL), Reserve::NeedsGrant);
        let (id, ..) = asked(&purse.poll(NOW)).unwrap();
        assert_eq!(purse.take(NOW, grant(id, id, 100, NOW)), Wake::Waiting);
        (purse, id)
    };
    let (mut first, id) = begin(0);
    let late = ticket(first.reserve(NOW, Nano(5), MODEL));
    assert!(!first.is_idle(NOW + WAIT_MS));
    // Burned while something was in flight: it holds nothing any more.
    first.take(NOW, closed(id));
    assert!(first.is_idle(NOW + WAIT_MS));
    let (mut second, next) = begin(first.reached());
    assert!(next > id, "its asks have numbers of their own");
    let own = ticket(second.reserve(NOW, Nano(5), MODEL));
    second.settle(NOW, late, &spent(3));
    second.retire();
    assert!(closes(&second.poll(NOW)).is_empty(), "its own attempt is still in flight");
    second.settle(NOW, own, &spent(4));
    assert_eq!(closes(&second.poll(NOW + 1)), [(next, 4)]);
}
