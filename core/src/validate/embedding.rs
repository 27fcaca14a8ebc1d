//! An EmbeddingEndpointSpec in, the model name it claims out, once everything in it is checked.

use super::{
    Errors,
    duration::{HOUR, MINUTE, SECOND},
};
use tollway_crds::{EmbeddingEndpointSpec, embedding_endpoint as spec};

/// A checked EmbeddingEndpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedding {
    /// The model name it claims.
    pub model: String,
}

/// Checks a spec; what is returned means nothing when an error was found.
pub fn check(spec: &EmbeddingEndpointSpec, errors: &mut Errors) -> Embedding {
    let EmbeddingEndpointSpec {
        model,
        dimensions: _,
        normalize: _,
        pooling: _,
        truncate: _,
        sagemaker: _,
        fallback,
        provision: _,
        autoscaling,
        batching,
        cache,
        price,
        latency_target,
        jobs: _,
    } = spec;
    for (at, other) in fallback.iter().enumerate() {
        let fields = [("sagemaker", other.sagemaker.is_some()), ("openai", other.openai.is_some())];
        errors.exactly_one(&format!("spec.fallback[{at}]"), &fields);
    }
    if let Some(scaling) = autoscaling {
        autoscaling_of(scaling, errors);
    }
    if let Some(batching) = batching {
        errors.duration(&batching.max_wait, "spec.batching.maxWait", 5, 0..=10 * SECOND);
    }
    if let Some(cache) = cache {
        errors.duration(&Some(cache.ttl.clone()), "spec.cache.ttl", HOUR, SECOND..=24 * HOUR);
    }
    if let Some(price) = price {
        errors.price(price, "spec.price");
    }
    errors.duration(latency_target, "spec.latencyTarget", SECOND, 1..=10 * MINUTE);
    Embedding { model: model.0.clone() }
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
