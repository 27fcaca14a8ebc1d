//! The tests: every world holds, reaches what it must, and every mistake is caught.

use super::mistakes::Mistake;
use super::report::run;
use super::setups::{all, named};
use std::io::Write;

fn full() -> bool {
    std::env::var_os("TOLLWAY_PROVE").is_some()
}

fn say(line: &str) {
    if std::env::var_os("TOLLWAY_PROVE").is_some() || std::env::var_os("TOLLWAY_SAY").is_some() {
        writeln!(std::io::stdout().lock(), "{line}").unwrap();
    }
}

#[test]
fn every_world_holds() {
    let only = std::env::var("ONLY").unwrap_or_default();
    for mut setup in all(full()).into_iter().filter(|s| s.name.contains(&only)) {
        for (k, f) in [("REQ", 0), ("CONN", 1), ("REST", 2), ("GONE", 3), ("OPS", 4), ("PROX", 5), ("CAP", 6)] {
            if let Ok(v) = std::env::var(k) {
                let v: u8 = v.parse().unwrap();
                match f { 0 => setup.left.requests = v, 1 => setup.left.connects = v, 2 => setup.left.restarts = v, 3 => setup.left.gone = v, 4 => setup.operators = v.into(), 5 => setup.proxies = v.into(), _ => setup.cap = v.into() }
            }
        }
        let outcome = run(setup, std::env::var("MOST").map_or(usize::MAX, |m| m.parse().unwrap()));
        let setup = &outcome.search.setup;
        say(&format!(
            "{:16} {} states, {} steps, depth {}, {:?} {:?}",
            setup.name, outcome.states, outcome.steps, outcome.depth, outcome.took, cpu()
        ));
        for mark in setup.marks {
            if !outcome.search.marks.reached(*mark) {
                say(&format!("    NOT REACHED {}", mark.in_words()));
            }
        }
        if let Some((rule, story)) = &outcome.caught {
            say(&format!("BROKEN {rule}"));
            story.iter().for_each(|line| say(line));
        }
        say(if outcome.complete { "" } else { "INCOMPLETE" });
    }
}

#[test]
fn every_mistake_is_caught() {
    let only = std::env::var("ONLY").unwrap_or_default();
    for (mistake, about, name) in Mistake::ALL.into_iter().filter(|(m, ..)| format!("{m:?}").contains(&only)) {
        let mut setup = named(name, true);
        setup.mistake = Some(mistake);
        let outcome = run(setup, std::env::var("MOST").map_or(usize::MAX, |m| m.parse().unwrap()));
        match outcome.caught {
            Some((rule, story)) => {
                say(&format!("caught  {about}: {rule} ({} states, {} steps)", outcome.states, story.len()));
                story.iter().for_each(|line| say(line));
            }
            None => say(&format!("MISSED  {about} in {} states {:?}", outcome.states, outcome.took)),
        }
    }
}

fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    f[11].parse::<f64>().unwrap() / 100.0
}
