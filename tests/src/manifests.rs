//! In: a simulator's address or a few names. Out: manifests as text, for a folder or `kubectl apply`.

/// A Secret with one key.
pub fn secret(name: &str, key: &str, value: &str) -> String {
    format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{{key}: {value}}}\n")
}

/// A route `name` that answers to the model `name` from one Bedrock model, with `more` added to its spec.
pub fn bedrock_route(name: &str, model_id: &str, more: &str) -> String {
    let more = indent(more);
    format!(
        "---\napiVersion: tollway.dev/v1alpha1\nkind: ModelRoute\nmetadata: {{name: {name}}}\nspec:\n  models: [{name}]\n  \
         targets:\n  - name: first\n    bedrock: {{modelId: \"{model_id}\", region: us-east-1}}\n  rules:\n  - split: \
         [{{target: first, weight: 1}}]\n{more}"
    )
}

/// A route `name` with two simulated targets `left` and `right`, whose replies are their names, split by weight.
pub fn split_route(name: &str, left: u32, right: u32) -> String {
    format!(
        "---\napiVersion: tollway.dev/v1alpha1\nkind: ModelRoute\nmetadata: {{name: {name}}}\nspec:\n  models: [{name}]\n  \
         targets:\n  - {{name: left, simulated: {{reply: left}}}}\n  - {{name: right, simulated: {{reply: right}}}}\n  \
         rules:\n  - split: [{{target: left, weight: {left}}}, {{target: right, weight: {right}}}]\n"
    )
}

/// An enforcing budget over everything in its namespace, with `more` added to its spec.
pub fn budget(name: &str, dollars: &str, more: &str) -> String {
    let more = indent(more);
    format!(
        "---\napiVersion: tollway.dev/v1alpha1\nkind: CostBudget\nmetadata: {{name: {name}}}\nspec:\n  limit: {{amount: \
         \"{dollars}\", currency: USD}}\n  period: Monthly\n  mode: Enforce\n{more}"
    )
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
