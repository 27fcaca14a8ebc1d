//! Measurements of budgets and of queues in; CloudWatch's custom metrics out. The only user of `aws_sdk_cloudwatch`.

use super::clients::{Clients, Regional};
use super::error::AwsError;
use aws_config::{Region, SdkConfig};
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::Builder;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use std::sync::Arc;
use tollway_core::spend::Nano;
use tollway_core::spend::nano::NANOS_PER_DOLLAR;

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Name of the metric.
    pub name: &'static str,
    /// What it is a figure of: names and values.
    pub of: Vec<(&'static str, String)>,
    /// The figure.
    pub value: f64,
    /// It counts things; else it is an amount.
    pub is_count: bool,
    /// When it was so, Unix milliseconds.
    pub at_ms: i64,
}

/// Where measurements go.
pub trait Measures: Send + Sync + 'static {
    /// Puts them, at most [`MOST`] at once; `region` absent: that of the environment.
    fn put(
        &self,
        region: Option<&str>,
        namespace: &str,
        measures: &[Measure],
    ) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// What CloudWatch takes in one call.
pub const MOST: usize = 1_000;

/// CloudWatch.
#[derive(Debug)]
pub struct CloudWatch {
    clients: Arc<Clients>,
    regions: Regional<Client>,
}

impl CloudWatch {
    /// No client yet.
    pub fn new(clients: Arc<Clients>) -> CloudWatch {
        CloudWatch { clients, regions: Regional::default() }
    }
}

impl Measures for CloudWatch {
    async fn put(&self, region: Option<&str>, namespace: &str, measures: &[Measure]) -> Result<(), AwsError> {
        let region = match region {
            Some(region) => Region::new(region.to_owned()),
            None => self.clients.region().await,
        };
        let make = |config: &SdkConfig, region| Client::from_conf(Builder::from(config).region(region).build());
        let client = self.regions.of(&self.clients, region, make).await;
        let data = measures.iter().map(datum).collect();
        let call = client.put_metric_data().namespace(namespace).set_metric_data(Some(data));
        call.send().await.map(|_| ()).map_err(|error| AwsError::of("cloudwatch:PutMetricData", &error))
    }
}

fn datum(measure: &Measure) -> MetricDatum {
    let Measure { name, of, value, is_count, at_ms } = measure;
    let dimensions = of.iter().map(|(name, value)| Dimension::builder().name(*name).value(value).build());
    MetricDatum::builder()
        .metric_name(*name)
        .set_dimensions(Some(dimensions.collect()))
        .timestamp(DateTime::from_millis(*at_ms))
        .unit(if *is_count { StandardUnit::Count } else { StandardUnit::None })
        .value(*value)
        .build()
}

/// CloudWatch takes floating point only; nothing here is computed with afterwards.
pub fn dollars(amount: Nano) -> f64 {
    amount.0 as f64 / NANOS_PER_DOLLAR as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_in_dollars() {
        assert!((dollars(Nano(1_250_000_000)) - 1.25).abs() < f64::EPSILON);
    }
}
