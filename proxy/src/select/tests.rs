//! Rules and requests in; the targets they must lead to out.

use super::*;
use http::HeaderValue;
use std::collections::BTreeMap;
use tollway_core::table::Weighted;

fn rule_of(when: Vec<Condition>, split: &[(&str, u32)], fallback: &[&str]) -> Rule {
    Rule {
        name: "r".to_owned(),
        when,
        split: split.iter().map(|(t, w)| Weighted { target: (*t).to_owned(), weight: *w }).collect(),
        fallback: fallback.iter().map(|t| (*t).to_owned()).collect(),
    }
}

fn facts(headers: &HeaderMap) -> Facts<'_> {
    Facts { headers, user: Some("ann"), input_tokens: 100, class: None }
}

#[test]
fn a_model_finds_its_own_route_before_the_wildcard() {
    let models = BTreeMap::from([("a".to_owned(), "one".to_owned()), ("*".to_owned(), "rest".to_owned())]);
    let route_of = || crate::fixture::route(BTreeMap::new(), vec![]);
    let routes = BTreeMap::from([("one".to_owned(), route_of()), ("rest".to_owned(), route_of())]);
    let mut table = Table { models, routes, ..Table::default() };
    assert_eq!(route(&table, "a").map(|r| r.0), Some("one"));
    assert_eq!(route(&table, "b").map(|r| r.0), Some("rest"));
    table.models.remove("*");
    assert!(route(&table, "b").is_none());
}

#[test]
fn every_condition_of_a_rule_must_hold() {
    let mut headers = HeaderMap::new();
    headers.append("x-tier", HeaderValue::from_static("silver"));
    headers.append("x-tier", HeaderValue::from_static("gold"));
    let header = |value: &str| Condition::Header { name: "x-tier".to_owned(), value: value.to_owned() };
    let user = |name: &str| Condition::User(vec!["bob".to_owned(), name.to_owned()]);
    let tokens = |min, max| Condition::InputTokens { min, max };
    for (when, expected) in [
        (vec![], true),
        (vec![header("gold")], true),
        (vec![header("Gold")], false),
        (vec![user("ann")], true),
        (vec![user("eve")], false),
        (vec![tokens(100, 100)], true),
        (vec![tokens(101, 200)], false),
        (vec![header("gold"), user("ann"), tokens(0, 200)], true),
        (vec![header("gold"), user("eve"), tokens(0, 200)], false),
    ] {
        assert_eq!(when.iter().all(|c| holds(c, &facts(&headers))), expected, "{when:?}");
    }
}

#[test]
fn the_first_matching_rule_wins() {
    let headers = HeaderMap::new();
    let mut route = crate::fixture::route(BTreeMap::new(), vec![]);
    route.rules = vec![
        rule_of(vec![Condition::User(vec!["eve".to_owned()])], &[("no", 1)], &[]),
        rule_of(vec![], &[("yes", 1)], &[]),
        rule_of(vec![], &[("late", 1)], &[]),
    ];
    assert_eq!(rule(&route, &facts(&headers)).map(|r| r.split[0].target.as_str()), Some("yes"));
    route.rules.truncate(1);
    assert!(rule(&route, &facts(&headers)).is_none());
}

#[test]
fn draws_follow_the_weights_exactly() {
    let rule = rule_of(vec![], &[("a", 90), ("off", 0), ("b", 10)], &[]);
    let drawn: Vec<_> = (0..1000).map(|draw| order(&rule, draw)[0]).collect();
    let count = |name| drawn.iter().filter(|t| **t == name).count();
    assert_eq!((count("a"), count("off"), count("b")), (900, 0, 100));
}

#[test]
fn fallbacks_follow_in_order_and_no_target_stands_twice() {
    let rule = rule_of(vec![], &[("a", 1)], &["b", "a", "c", "b"]);
    assert_eq!(order(&rule, 7), ["a", "b", "c"]);
}
