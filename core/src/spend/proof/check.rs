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
    for setup in all(full()).into_iter().filter(|s| s.name.contains(&only)) {
        let outcome = run(setup, std::env::var("MOST").map_or(usize::MAX, |m| m.parse().unwrap()));
        let setup = &outcome.search.setup;
        say(&format!(
            "{:16} {} states, {} steps, depth {}, {:?}",
            setup.name, outcome.states, outcome.steps, outcome.depth, outcome.took
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
    for (mistake, about, name) in Mistake::ALL {
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
