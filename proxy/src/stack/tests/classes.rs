//! Rules by the class of a prompt.

use super::*;
use tollway_core::table::{Condition, PromptClass, Rule, Weighted};

#[tokio::test]
async fn the_class_of_the_last_message_chooses_the_rule() {
    let mut route = assistant(vec![("general", simulated("g")), ("coder", simulated("c"))]);
    let split = vec![Weighted { target: "coder".to_owned(), weight: 1 }];
    let when = vec![Condition::Prompt(PromptClass::Code)];
    route.rules.insert(0, Rule { name: "code".to_owned(), when, split, fallback: vec![] });
    let proxy = Running::start(table(route)).await;
    let asked = |text: &str| {
        let body = serde_json::json!({"model": "assistant", "messages": [
            {"role": "user", "content": "Write a Python function that sorts a list."},
            {"role": "assistant", "content": "def f(): pass"},
            {"role": "user", "content": text},
        ]});
        proxy.send(proxy.request("POST", "/v1/chat/completions", body.to_string()))
    };
    assert_eq!(asked("Now write a poem about the sea.").await.header("x-tollway-target"), "general");
    assert_eq!(asked("Refactor this code: `let x = f();`").await.header("x-tollway-target"), "coder");
}
