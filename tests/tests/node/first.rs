//! What docs/install.md says, word for word: from `helm install` to the first answer, and what it cost as kubectl shows it.

use std::time::Instant;

use serde_json::Value;
use tollway_core::spend::Nano;
use tollway_tests::node::Node;
use tollway_tests::wait;

use super::documents::Pages;

pub async fn request(node: &Node, pages: &mut Pages<'_>) {
    let begun = Instant::now();
    pages.run("docs/install.md", "## Operator");
    let answer = pages.run("docs/install.md", "## A first route");
    println!(
        "from `helm install` to the first routed request: {:.1} s (to reach: under 60)",
        begun.elapsed().as_secs_f64()
    );
    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e}: {answer}"));
    let said = answer["choices"][0]["message"]["content"].as_str().unwrap_or_default();
    assert!(said.starts_with("Hello from"), "{answer}");

    let shown = wait::until("the cost in the budget's status", async || {
        let table = node.run("kubectl -n demo get costbudget one-dollar");
        let mut cells = table.lines().nth(1)?.split_whitespace().skip(3).map(str::to_owned);
        cells.next().filter(|spent| spent.parse().is_ok_and(|spent: Nano| spent > Nano(0))).map(|spent| (spent, table))
    })
    .await;
    println!("{}", shown.1);
    assert_eq!(shown.0.parse::<Nano>().ok(), Some(Nano(cost(&answer))), "{}\n{answer}", shown.1);
}

/// What an answer of the example's first target costs in nano-dollars: 100 dollars a million tokens of input, 1000 of output.
pub fn cost(answer: &Value) -> u64 {
    let tokens = |name: &str| answer["usage"][name].as_u64().unwrap_or_else(|| panic!("no count of tokens: {answer}"));
    tokens("prompt_tokens") * 100_000 + tokens("completion_tokens") * 1_000_000
}
