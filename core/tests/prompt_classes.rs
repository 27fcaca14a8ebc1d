//! The labelled prompts under `corpus`, one a line: how many of each class are met. The figures in docs/prompt-classes.md are these.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::fmt::Write as _;
use tollway_core::{classify::classify, table::PromptClass};

const CORPUS: [(PromptClass, &str); 4] = [
    (PromptClass::Code, include_str!("corpus/code.txt")),
    (PromptClass::Reasoning, include_str!("corpus/reasoning.txt")),
    (PromptClass::Simple, include_str!("corpus/simple.txt")),
    (PromptClass::General, include_str!("corpus/general.txt")),
];

#[test]
fn each_class_is_met_as_often_as_the_docs_say() {
    let judged: Vec<(PromptClass, PromptClass)> =
        CORPUS.iter().flat_map(|(label, prompts)| prompts.lines().map(|prompt| (*label, classify(prompt)))).collect();
    assert!(judged.len() >= 400, "{} prompts", judged.len());
    let mut table = String::from("| class | prompts | recall | precision |\n| --- | --- | --- | --- |\n");
    for (class, _) in CORPUS {
        let count = |holds: &dyn Fn(&(PromptClass, PromptClass)) -> bool| judged.iter().filter(|j| holds(j)).count();
        let (labelled, given) = (count(&|j| j.0 == class), count(&|j| j.1 == class));
        let right = count(&|j| *j == (class, class));
        let share = |of: usize| 100.0 * right as f64 / of as f64;
        writeln!(table, "| {class:?} | {labelled} | {:.1} % | {:.1} % |", share(labelled), share(given)).unwrap();
        assert!(share(labelled) >= 80.0 && share(given) >= 80.0, "{class:?}\n{table}");
    }
    println!("{table}");
    let docs = include_str!("../../docs/prompt-classes.md");
    assert!(docs.contains(&table), "docs/prompt-classes.md must say:\n{table}");
}
