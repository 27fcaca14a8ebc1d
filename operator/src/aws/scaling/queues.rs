//! What waits at the embedding endpoints that scale by it in; CloudWatch's metric that their policies go by out.
//!
//! # Why zeros are told too
//! A policy that hears nothing neither scales out nor in, so an endpoint where nothing waits says so.

use super::Place;
use crate::aws::clients::{Clients, Regional};
use crate::aws::error::{AwsError, AwsErrorKind};
use aws_config::{Region, SdkConfig};
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::Builder;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// CloudWatch's namespace of the metric.
pub const NAMESPACE: &str = "Tollway/EmbeddingEndpoints";
/// Its name; its dimensions are those of SageMaker's own metrics of a variant.
pub const METRIC: &str = "QueueDepth";
/// A policy is evaluated each minute; three of these are averaged then.
const EVERY: Duration = Duration::from_secs(20);
/// What CloudWatch takes in one call.
const MOST: usize = 1_000;

/// What waits at a variant, on each of its instances.
#[derive(Clone, Debug, PartialEq)]
pub struct Depth {
    /// The variant.
    pub place: Place,
    /// Texts and batches.
    pub on_each: f64,
}

/// CloudWatch, where the endpoints are.
#[derive(Debug)]
pub struct Queues {
    clients: Arc<Clients>,
    regions: Regional<Client>,
}

impl Queues {
    /// No client yet.
    pub fn new(clients: Arc<Clients>) -> Queues {
        Queues { clients, regions: Regional::default() }
    }

    /// Tells the depths until it is dropped. What cannot be told is logged and left: the next is newer.
    pub async fn tell(self, depths: impl Fn() -> Vec<Depth> + Send) {
        let mut last: BTreeMap<String, AwsErrorKind> = BTreeMap::new();
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            let mut regions: BTreeMap<String, Vec<MetricDatum>> = BTreeMap::new();
            for depth in depths() {
                regions.entry(depth.place.region.clone()).or_default().push(datum(&depth));
            }
            for (region, data) in regions {
                match self.put(&region, data).await {
                    Ok(()) => drop(last.remove(&region)),
                    Err(error) if last.insert(region.clone(), error.kind) != Some(error.kind) => {
                        let trouble = error.trouble().message;
                        tracing::error!(
                            region,
                            "QueueDepth not sent to CloudWatch, and nothing scales by it: {trouble}"
                        );
                    }
                    Err(_) => {}
                }
            }
        }
    }

    async fn put(&self, region: &str, data: Vec<MetricDatum>) -> Result<(), AwsError> {
        let make = |config: &SdkConfig, region| Client::from_conf(Builder::from(config).region(region).build());
        let client = self.regions.of(&self.clients, Region::new(region.to_owned()), make).await;
        for part in data.chunks(MOST) {
            let call = client.put_metric_data().namespace(NAMESPACE).set_metric_data(Some(part.to_vec()));
            call.send().await.map_err(|error| AwsError::of("cloudwatch:PutMetricData", &error))?;
        }
        Ok(())
    }
}

fn datum(depth: &Depth) -> MetricDatum {
    let dimension = |name, value: &str| Dimension::builder().name(name).value(value).build();
    MetricDatum::builder()
        .metric_name(METRIC)
        .dimensions(dimension("EndpointName", &depth.place.endpoint))
        .dimensions(dimension("VariantName", &depth.place.variant))
        .unit(StandardUnit::Count)
        .value(depth.on_each)
        .build()
}
