//! What docs/install.md says, word for word: from `helm install` to the first answer, and what it cost as kubectl shows it.

use std::time::Instant;

use serde_json::Value;
use tollway_tests::node::Node;
use tollway_tests::wait;

use super::documents;

pub async fn request(node: &Node) {
    let begun = Instant::now();
    documents::run(node, "docs/install.md", "## Operator");
    let answer = documents::run(node, "docs/install.md", "## A first route");
    println!(
        "from `helm install` to the first routed request: {:.1} s (to reach: under 60)",
        begun.elapsed().as_secs_f64()
    );
    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e}: {answer}"));
    let said = answer["choices"][0]["message"]["content"].as_str().unwrap_or_default();
    assert!(said.starts_with("Hello from"), "{answer}");

    // 100 and 1000 dollars a million of the first target's tokens.
    let tokens = |name: &str| answer["usage"][name].as_u64().expect("a count of tokens");
    let cost = (tokens("prompt_tokens") * 100 + tokens("completion_tokens") * 1000) as f64 / 1e6;
    let shown = wait::until("the cost in the budget's status", async || {
        let table = node.run("kubectl -n demo get costbudget one-dollar");
        let mut cells = table.lines().nth(1)?.split_whitespace().skip(3).map(str::to_owned);
        cells.next().filter(|spent| spent.parse().is_ok_and(|spent: f64| spent > 0.0)).map(|spent| (spent, table))
    })
    .await;
    println!("{}", shown.1);
    assert_eq!(shown.0.parse::<f64>().ok(), Some(cost), "{}\n{answer}", shown.1);
}
