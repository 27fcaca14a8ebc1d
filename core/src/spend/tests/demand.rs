//! Fifty proxies, one dollar, requests of three cents wherever there is room: nearly all of it is spent.

use crate::spend::ledger::{Effect, Event, LedgerState, Spent};
use crate::spend::purse::{Charge, Denied, Granted, In, Out, Purse, Reserve, Ticket};
use crate::spend::{Nano, Window};

const CENT: u64 = 10_000_000;
const LATENCY_MS: i64 = 10;

struct Client {
    purse: Purse,
    in_flight: Vec<(i64, Ticket)>,
    refused: bool,
}

/// Runs until every proxy is told that the budget is exhausted, or the time is over; says what was spent.
fn spend(proxies: usize, cap: u64, worst: u64, cost: impl Fn(u64) -> u64, concurrent: usize, lasts_ms: i64) -> Nano {
    let mut ledger = LedgerState::new(Nano(cap), Window { id: "once".into(), start_ms: 0, end_ms: None });
    let mut clients: Vec<Client> =
        (0..proxies).map(|i| Client { purse: Purse::new(&i.to_string()), in_flight: vec![], refused: false }).collect();
    let mut down: Vec<(i64, usize, In)> = vec![];
    let mut spent = Nano::ZERO;
    let mut requests = 0;
    for now in (0..600_000).step_by(10) {
        let (due, later) = down.into_iter().partition(|(at, ..)| *at <= now);
        down = later;
        for (_, to, message) in due {
            clients[to].purse.take(now, message);
        }
        for (i, client) in clients.iter_mut().enumerate() {
            let (done, running) = std::mem::take(&mut client.in_flight).into_iter().partition(|(at, _)| *at <= now);
            client.in_flight = running;
            for (_, ticket) in done {
                requests += 1;
                let actual = Nano(cost(requests));
                spent = spent.plus(actual);
                client.purse.settle(now, ticket, &Charge { actual, estimated: false, bound_exceeded: None });
            }
            while client.in_flight.len() < concurrent {
                match client.purse.reserve(now, Nano(worst), "model") {
                    Reserve::Reserved(ticket) => {
                        client.refused = false;
                        client.in_flight.push((now + lasts_ms, ticket));
                    }
                    Reserve::NeedsGrant => break,
                    Reserve::Denied(denied) => {
                        assert!(matches!(denied, Denied::Exhausted { .. }));
                        client.refused = true;
                        break;
                    }
                }
            }
            for out in client.purse.poll(now) {
                let incarnation = i.to_string();
                let figures = |s: crate::spend::purse::Spending| Spent {
                    incarnation: incarnation.clone(),
                    grant: s.grant,
                    spent: s.spent,
                    estimated: s.estimated,
                    bound_exceeded: vec![],
                };
                let event = match out {
                    Out::Ask { id, min, want, subject } => {
                        Event::Ask { pod: incarnation.clone(), incarnation, id, min, want, subject }
                    }
                    Out::Report(s) => Event::Report(figures(s)),
                    Out::Close(s) => Event::Close(figures(s)),
                };
                for effect in ledger.step(now, &event).effects {
                    let (to, message) = match effect {
                        Effect::Granted { incarnation, ask, grant, amount, life_end_ms, subject: _ } => {
                            let (to, ledger, window_end_ms) = (incarnation.clone(), "l".to_owned(), i64::MAX);
                            let made = Granted { ledger, grant, incarnation, ask, amount, window_end_ms, life_end_ms };
                            (to, In::Grant(made))
                        }
                        Effect::Denied { incarnation, ask, reason, fits, subject: _ } => {
                            (incarnation.clone(), In::Denied { incarnation, ask, reason, fits })
                        }
                        Effect::Recall { incarnation, grant } => {
                            (incarnation, In::Recall { ledger: "l".into(), grant })
                        }
                        Effect::Closed { incarnation, grant, .. } => {
                            (incarnation, In::Closed { ledger: "l".into(), grant })
                        }
                        _ => continue,
                    };
                    down.push((now + LATENCY_MS, to.parse().unwrap(), message));
                }
            }
        }
        assert!(ledger.committed() <= Nano(cap));
        if clients.iter().all(|c| c.refused && c.in_flight.is_empty()) {
            break;
        }
    }
    spent
}

fn check(proxies: usize, worst: u64, cost: impl Fn(u64) -> u64, concurrent: usize, lasts_ms: i64) {
    let spent = spend(proxies, 100 * CENT, worst, cost, concurrent, lasts_ms);
    assert!(spent >= Nano(90 * CENT), "{proxies} proxies spent only {spent} of 1.00");
    assert!(spent <= Nano(100 * CENT), "{spent} is above the cap");
}

#[test]
fn fifty_proxies_spend_a_dollar_in_three_cent_requests() {
    check(50, 3 * CENT, |_| 3 * CENT, 4, 500);
}

#[test]
fn fifty_proxies_spend_a_dollar_when_requests_cost_less_than_their_bound() {
    check(50, 3 * CENT, |n| CENT / 2 + n % 5 * CENT / 2, 4, 500);
}

#[test]
fn five_proxies_with_hundreds_of_long_streams_spend_a_dollar() {
    check(5, 3 * CENT, |n| CENT / 10 + n % 7 * CENT / 10, 60, 5_000);
}

#[test]
fn one_proxy_spends_a_dollar() {
    check(1, 3 * CENT, |n| CENT / 5 + n % 3 * CENT, 100, 2_000);
}
