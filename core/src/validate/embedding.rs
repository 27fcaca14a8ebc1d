//! An EmbeddingEndpointSpec in, an endpoint whose parts are checked and whose defaults are filled out; Secrets and prices are left to `compile`.

use super::{
    Context, Errors,
    duration::{HOUR, MINUTE, SECOND},
    jobs, provider, route,
};
use crate::{
    snapshot::Mode,
    spend::{Price, PricePart, catalog},
    table::{self, Batching, Embedder, OpenAi, Payload, Pooling, Preprocess, SageMaker, Source},
};
use tollway_crds::{EmbeddingEndpointSpec, embedding_endpoint as spec};

/// Where a health check says how often it is made, and the least milliseconds between two.
const INTERVAL: &str = "spec.healthCheck.interval";
const LEAST_INTERVAL: u64 = 10 * SECOND;

/// A checked EmbeddingEndpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// What the spec says of its price.
    pub price: Option<PricePart>,
    /// The latency it wants to keep, milliseconds; status only.
    pub latency_target_ms: Option<u64>,
    /// Instances that the autoscaler leaves at least; for advice only.
    pub min_instances: Option<u32>,
    /// Everything else; its price, bounds, budgets and what it requires are not settled yet.
    pub table: table::Embedding,
}

/// Names of an endpoint's sources, its own first.
pub fn source_names(fallbacks: usize) -> impl Iterator<Item = String> {
    let fallbacks = (0..fallbacks).map(|at| format!("fallback-{at}"));
    std::iter::once("sagemaker".to_owned()).chain(fallbacks)
}

/// Checks a spec; what is returned means nothing when an error was found.
pub fn check(spec: &EmbeddingEndpointSpec, context: Context<'_>, errors: &mut Errors) -> Embedding {
    let EmbeddingEndpointSpec {
        model,
        dimensions,
        normalize,
        pooling,
        truncate,
        preprocess,
        sagemaker,
        fallback,
        provision,
        autoscaling,
        health_check,
        cold_start,
        batching,
        cache,
        price,
        latency_target,
        jobs,
    } = spec;
    let embedders = fallback.iter().enumerate().map(|(at, other)| {
        let path = format!("spec.fallback[{at}]");
        let fields = [("sagemaker", other.sagemaker.is_some()), ("openai", other.openai.is_some())];
        errors.exactly_one(&path, &fields);
        let openai = other.openai.as_ref().map(|o| Embedder::OpenAi(openai(o, &model.0, &path, context, errors)));
        let sagemaker = other.sagemaker.as_ref().map(|s| Embedder::SageMaker(endpoint(s)));
        // What is neither was told as a mistake.
        openai.or(sagemaker).unwrap_or_else(|| Embedder::SageMaker(endpoint(&spec.sagemaker)))
    });
    let embedders: Vec<Embedder> = embedders.collect();
    let embedders = std::iter::once(Embedder::SageMaker(endpoint(sagemaker))).chain(embedders);
    let sources: Vec<Source> =
        source_names(fallback.len()).zip(embedders).map(|(name, embedder)| Source { name, embedder }).collect();
    if let Some(scaling) = autoscaling {
        autoscaling_of(scaling, errors);
    }
    if let Some(spec::HealthCheck { interval }) = health_check
        && (1..LEAST_INTERVAL).contains(&errors.duration(interval, INTERVAL, 5 * MINUTE, 0..=24 * HOUR))
    {
        errors.wrong(INTERVAL, "give 10s to 24h, or 0s for no calls at all");
    }
    if provision.is_some() && sagemaker.inference_component.is_some() {
        let path = "spec.sagemaker.inferenceComponent";
        errors.wrong(path, "an endpoint that spec.provision makes has no inference components: leave one of them out");
    }
    let max_wait = cold_start.as_ref().and_then(|cold| cold.max_wait.clone());
    let latency_target_ms =
        latency_target.as_ref().map(|_| errors.duration(latency_target, "spec.latencyTarget", SECOND, 1..=10 * MINUTE));
    let jobs = jobs.as_ref().map(|jobs| jobs::check(jobs, &sagemaker.endpoint_name, errors));
    let spec::Preprocess { nfc, whitespace } = preprocess.clone().unwrap_or_default();
    let table = table::Embedding {
        requires: Vec::new(),
        model: model.0.clone(),
        dimensions: *dimensions,
        normalize: *normalize,
        pooling: match pooling {
            None | Some(spec::Pooling::None) => Pooling::None,
            Some(spec::Pooling::Cls) => Pooling::Cls,
            Some(spec::Pooling::Mean) => Pooling::Mean,
        },
        max_tokens: truncate.as_ref().map(|truncate| truncate.max_tokens),
        preprocess: Preprocess { nfc: nfc.unwrap_or_default(), whitespace: whitespace.unwrap_or_default() },
        batching: batches(batching.clone().unwrap_or_default(), errors),
        cold_wait_ms: errors.duration(&max_wait, "spec.coldStart.maxWait", MINUTE, 0..=10 * MINUTE),
        cache: cache.as_ref().map(|cache| route::cached(cache, errors)),
        price: Price::default(),
        bounds: catalog::UNKNOWN,
        // What a ModelRoute does that says nothing.
        retry: route::repeats(Default::default(), sources.len(), errors),
        circuit_breaker: route::circuit(Default::default(), errors),
        timeouts: route::waits(Default::default(), errors),
        budgets: Vec::new(),
        jobs,
        sources,
    };
    let price = price.as_ref().map(|price| errors.price(price, "spec.price"));
    let min_instances = autoscaling.as_ref().map(|scaling| scaling.min_instances);
    Embedding { price, latency_target_ms, min_instances, table }
}

fn endpoint(spec: &spec::SageMakerEmbeddings) -> SageMaker {
    let spec::SageMakerEmbeddings { endpoint_name, variant, inference_component, region, payload } = spec;
    SageMaker {
        endpoint_name: endpoint_name.clone(),
        variant: variant.clone(),
        inference_component: inference_component.clone(),
        region: region.as_ref().map(|region| region.0.clone()),
        payload: match payload {
            None | Some(spec::Payload::Inputs) => Payload::Inputs,
            Some(spec::Payload::Tei) => Payload::Tei,
            Some(spec::Payload::OpenAI) => Payload::OpenAi,
        },
    }
}

fn openai(spec: &spec::OpenAiEmbeddings, own: &str, path: &str, context: Context<'_>, errors: &mut Errors) -> OpenAi {
    let spec::OpenAiEmbeddings { base_url, model, api_key } = spec;
    provider::address(base_url, &format!("{path}.openai.baseUrl"), context.mode == Mode::Standalone, errors);
    OpenAi {
        base_url: base_url.trim_end_matches('/').to_owned(),
        model: Some(model.as_ref().map_or_else(|| own.to_owned(), |model| model.0.clone())),
        api_key: api_key.as_ref().map(provider::key_of),
        loopback: false,
    }
}

fn batches(spec: spec::Batching, errors: &mut Errors) -> Batching {
    let spec::Batching { max_items, max_wait, max_concurrent } = spec;
    Batching {
        max_items: max_items.unwrap_or(32),
        max_wait_ms: errors.duration(&max_wait, "spec.batching.maxWait", 5, 0..=10 * SECOND),
        max_concurrent: max_concurrent.unwrap_or(8),
    }
}

fn autoscaling_of(scaling: &spec::Autoscaling, errors: &mut Errors) {
    let spec::Autoscaling { min_instances, max_instances, target, scale_in_cooldown, scale_out_cooldown } = scaling;
    if min_instances > max_instances {
        errors.wrong(
            "spec.autoscaling.minInstances",
            format!("{min_instances} is above maxInstances {max_instances}: swap them"),
        );
    }
    if target.metric == spec::Metric::Utilization && target.value > 100 {
        errors.wrong("spec.autoscaling.target.value", format!("{} is no percentage: give 1 to 100", target.value));
    }
    errors.duration(scale_in_cooldown, "spec.autoscaling.scaleInCooldown", 300 * SECOND, 0..=24 * HOUR);
    errors.duration(scale_out_cooldown, "spec.autoscaling.scaleOutCooldown", 60 * SECOND, 0..=24 * HOUR);
}
