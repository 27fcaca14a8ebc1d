//! The tests: every world holds as far as it is searched, reaches what it must, and every mistake is caught. `make prove` searches further.

use super::mistakes::Mistake;
use super::report::{Outcome, run};
use super::setups::{all, named};
use std::io::Write;

/// Steps of one world that `make test` has the time for.
const QUICK: usize = 6_000;
/// Steps of one world under `make prove`.
const FULL: usize = 1_500_000;
/// Steps within which every mistake is caught; the slowest one needs about a hundred thousand.
const MISTAKE: usize = 600_000;

fn full() -> bool {
    std::env::var_os("TOLLWAY_PROVE").is_some()
}

fn say(line: &str) {
    if full() {
        writeln!(std::io::stdout().lock(), "{line}").unwrap();
    }
}

fn describe(outcome: &Outcome) -> String {
    let Outcome { search, states, steps, depth, took, complete, .. } = outcome;
    let reach =
        if *complete { "every interleaving".to_owned() } else { format!("breadth first down to depth {depth}") };
    let setup = &search.setup;
    format!(
        "{:15} {states} states, {steps} steps, {:.0} s, {reach}\n    {}",
        setup.name,
        took.as_secs_f64(),
        setup.about
    )
}

#[test]
fn every_world_holds() {
    for setup in all(full()) {
        let outcome = run(setup, if full() { FULL } else { QUICK });
        say(&describe(&outcome));
        let setup = &outcome.search.setup;
        if let Some((rule, story)) = &outcome.caught {
            panic!("{}: broken is: {rule}\n{}", setup.name, story.join("\n"));
        }
        for mark in setup.marks.iter().filter(|_| full()) {
            let reached = outcome.search.marks.reached(*mark);
            say(&format!("    {} {}", if reached { "reached:    " } else { "NOT REACHED:" }, mark.in_words()));
            assert!(reached, "{} never reached: {}", setup.name, mark.in_words());
        }
    }
}

#[test]
fn every_mistake_is_caught() {
    // The quick ones; all of them under `make prove`.
    let quick = [Mistake::SendBeforePersist, Mistake::SameAskTwice, Mistake::TakesAnothersGrant];
    for (mistake, about, name) in Mistake::ALL.into_iter().filter(|(m, ..)| full() || quick.contains(m)) {
        let mut setup = named(name, true);
        setup.mistake = Some(mistake);
        let outcome = run(setup, MISTAKE);
        let Some((rule, story)) = outcome.caught else {
            panic!("{about}: nobody noticed in {} states of {name:?}", outcome.states);
        };
        say(&format!("caught: {about}\n    by: {rule} ({} states)", outcome.states));
        story.iter().for_each(|line| say(&format!("    {line}")));
    }
}
