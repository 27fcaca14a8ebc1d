//! What waits at the embedding endpoints that scale by it in; CloudWatch's metric that their policies go by out.
//!
//! # Why zeros are told too
//! A policy that hears nothing neither scales out nor in, so an endpoint where nothing waits says so.

use super::Place;
use crate::aws::export::Sender;
use crate::aws::measures::{Measure, Measures};
use std::collections::BTreeMap;
use std::time::Duration;

/// CloudWatch's namespace of the metric.
pub const NAMESPACE: &str = "Tollway/EmbeddingEndpoints";
/// Its name; its dimensions are those of SageMaker's own metrics of a variant.
pub const METRIC: &str = "QueueDepth";
/// A policy is evaluated each minute; three of these are averaged then.
pub const EVERY: Duration = Duration::from_secs(20);

/// What waits at a variant, on each of its instances.
#[derive(Clone, Debug, PartialEq)]
pub struct Depth {
    /// The variant.
    pub place: Place,
    /// Texts and batches.
    pub on_each: f64,
}

/// Tells CloudWatch the depths, where the endpoints are, until it is dropped. What cannot be told is left: the next is newer.
pub async fn tell<M: Measures>(measures: M, every: Duration, depths: impl Fn() -> Vec<Depth> + Send) {
    let mut sender = Sender::new(measures);
    let mut tick = tokio::time::interval(every);
    loop {
        tick.tick().await;
        for (region, all) in measured(depths(), jiff::Timestamp::now().as_millisecond()) {
            sender.send(Some(&region), NAMESPACE, &all).await;
        }
    }
}

/// By region.
fn measured(depths: Vec<Depth>, at_ms: i64) -> BTreeMap<String, Vec<Measure>> {
    let mut regions: BTreeMap<String, Vec<Measure>> = BTreeMap::new();
    for Depth { place, on_each } in depths {
        let of = place.dimensions();
        regions.entry(place.region).or_default().push(Measure {
            name: METRIC,
            of,
            value: on_each,
            is_count: true,
            at_ms,
        });
    }
    regions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_is_measured_where_it_is_also_when_nothing_waits() {
        let depth = |place: &str, on_each| Depth { place: place.parse().unwrap(), on_each };
        let all =
            measured(vec![depth("eu-west-1/a/v", 4.5), depth("us-east-1/b/v", 0.0), depth("eu-west-1/c/v", 0.0)], 7);
        let values = |region: &str| all[region].iter().map(|measure| measure.value).collect::<Vec<_>>();
        assert_eq!((values("eu-west-1"), values("us-east-1")), (vec![4.5, 0.0], vec![0.0]));
        assert_eq!(all["us-east-1"][0].of, [("EndpointName", "b".to_owned()), ("VariantName", "v".to_owned())]);
    }
}
