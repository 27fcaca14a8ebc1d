//! What the proxy serves while it is measured; `UPSTREAM` stands for the upstream's address.

/// One target that speaks what the client speaks, priced, and no policy.
pub const PLAIN: &str = "apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: bench}
spec:
  models: [bench]
  targets:
  - name: upstream
    openai: {baseUrl: \"http://UPSTREAM/v1\", model: bench, loopback: true}
    price: {inputPerMillion: \"0.80\", outputPerMillion: \"3.20\"}
  rules:
  - split: [{target: upstream, weight: 100}]
";

/// The same with every policy that a route has: who calls, rates, classes, defaults, and a second target to fall back to.
pub const POLICIES: &str = "apiVersion: v1
kind: Secret
metadata: {name: clients}
stringData: {bench: bench-key}
---
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: bench}
spec:
  models: [bench]
  targets:
  - name: upstream
    openai: {baseUrl: \"http://UPSTREAM/v1\", model: bench, loopback: true}
    price: {inputPerMillion: \"0.80\", outputPerMillion: \"3.20\"}
    maxConcurrent: 1000
  - name: second
    openai: {baseUrl: \"http://UPSTREAM/v1\", model: bench, loopback: true}
    price: {inputPerMillion: \"0.80\", outputPerMillion: \"3.20\"}
  rules:
  - when: {prompt: {class: Code}}
    split: [{target: second, weight: 100}]
  - split: [{target: upstream, weight: 100}]
    fallback: [second]
  defaults: {temperature: 0.7, maxTokens: 4096}
  retry: {attempts: 3, backoff: {base: 1s, max: 60s}}
  circuitBreaker: {failures: 5, recovery: 300s}
  rateLimits:
  - {per: Client, requests: 100000000, tokens: 1000000000, window: 1m}
  - {per: Route, requests: 100000000, window: 1m}
  auth: {apiKeys: {secretRef: {name: clients}}}
";

/// A Bedrock target.
pub const BEDROCK: &str = "apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: bench}
spec:
  models: [bench]
  targets:
  - name: nova
    bedrock: {modelId: \"amazon.nova-lite-v1:0\", region: us-east-1}
  rules:
  - split: [{target: nova, weight: 100}]
";

/// The plain target, its streams without an end.
pub fn held() -> String {
    PLAIN.replace("UPSTREAM/v1", "UPSTREAM/hold")
}

/// An embedding endpoint, its vectors checked and scaled, in batches of so many texts.
pub fn embedding(endpoint: &str, max_items: usize) -> String {
    format!(
        "apiVersion: tollway.dev/v1alpha1
kind: EmbeddingEndpoint
metadata: {{name: bench}}
spec:
  model: bench
  dimensions: 1024
  normalize: true
  sagemaker: {{endpointName: {endpoint}, region: us-east-1, payload: OpenAI}}
  batching: {{maxItems: {max_items}, maxWait: 5ms}}
"
    )
}

/// A cap that binds all of it and is never reached.
pub const BUDGET: &str = "apiVersion: tollway.dev/v1alpha1
kind: CostBudget
metadata: {name: bench}
spec:
  limit: {amount: \"100000.00\", currency: USD}
  period: Once
  mode: Enforce
";
