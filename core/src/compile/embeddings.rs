//! A checked embedding endpoint and the facts in, its place in the table out: Secrets looked up, price and bounds settled.

use super::{
    Verdict,
    routes::{keyed, missing},
};
use crate::{
    snapshot::Facts,
    spend::catalog,
    table::{self, Bounds, Embedder},
    validate::Embedding,
    wire,
};

/// Tokens that a model adds to each text (begin, end, a prefix of the tokenizer's own) at most.
const PER_TEXT: u32 = 16;

/// The compiled endpoint; a source whose Secret is missing stays, for the proxy skips it while the Secret is not at hand.
pub fn compile(endpoint: &Embedding, facts: &Facts, verdict: &mut Verdict) -> table::Embedding {
    let Embedding { price, latency_target_ms, min_instances: _, table } = endpoint;
    verdict.latency_target_ms = *latency_target_ms;
    for (at, source) in table.sources.iter().enumerate() {
        if let Embedder::OpenAi(table::OpenAi { api_key: Some(key), .. }) = &source.embedder {
            // The endpoint itself is the first source.
            let path = format!("spec.fallback[{}].openai.apiKey.secretRef", at.saturating_sub(1));
            verdict.unresolved.extend(missing(facts, &key.name, Some(&key.key), path));
        }
    }
    let known = facts.catalog.lookup(&table.model);
    let price = match (price, &known) {
        (Some(stated), Some(model)) => stated.raise(&model.price),
        (Some(stated), None) => stated.alone(),
        (None, Some(model)) => model.price,
        // Its instances cost by the hour, whatever they are asked.
        (None, None) => crate::spend::Price::default(),
    };
    // No tokenizer makes more tokens of a text than it has bytes.
    let unknown = Bounds { per_request: PER_TEXT, ..catalog::UNKNOWN };
    table::Embedding {
        requires: requires(table),
        price,
        bounds: known.map_or(unknown, |model| model.bounds),
        cache: table.cache.clone().map(|cache| keyed(cache, facts, verdict)),
        ..table.clone()
    }
}

fn requires(table: &table::Embedding) -> Vec<String> {
    let is_component = |source: &table::Source| matches!(&source.embedder, Embedder::SageMaker(target) if target.inference_component.is_some());
    let components = table.sources.iter().any(is_component).then_some(wire::INFERENCE_COMPONENTS);
    std::iter::once(wire::EMBEDDINGS).chain(components).map(str::to_owned).collect()
}
