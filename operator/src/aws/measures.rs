//! Measurements of budgets in; CloudWatch's custom metrics out. The only user of `aws_sdk_cloudwatch`.

use super::clients::Clients;
use super::error::AwsError;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::Builder;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use std::sync::Arc;
use tokio::sync::OnceCell;
use tollway_core::spend::Nano;
use tollway_core::spend::nano::NANOS_PER_DOLLAR;

/// One figure of one budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Name of the metric.
    pub name: &'static str,
    /// The budget's namespace.
    pub namespace: String,
    /// The budget's name.
    pub budget: String,
    /// The amount.
    pub amount: Nano,
    /// When it was so, Unix milliseconds.
    pub at_ms: i64,
}

/// Where measurements go.
pub trait Measures: Send + Sync + 'static {
    /// Puts them, at most [`MOST`] at once.
    fn put(&self, namespace: &str, measures: &[Measure]) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// What CloudWatch takes in one call.
pub const MOST: usize = 1_000;

/// CloudWatch, in the region of the environment.
#[derive(Debug)]
pub struct CloudWatch {
    clients: Arc<Clients>,
    client: OnceCell<Client>,
}

impl CloudWatch {
    /// No client yet.
    pub fn new(clients: Arc<Clients>) -> CloudWatch {
        CloudWatch { clients, client: OnceCell::new() }
    }

    async fn client(&self) -> &Client {
        let make = || async {
            let config = Builder::from(self.clients.config().await).region(self.clients.region().await);
            Client::from_conf(config.build())
        };
        self.client.get_or_init(make).await
    }
}

impl Measures for CloudWatch {
    async fn put(&self, namespace: &str, measures: &[Measure]) -> Result<(), AwsError> {
        let data = measures.iter().map(datum).collect();
        let call = self.client().await.put_metric_data().namespace(namespace).set_metric_data(Some(data));
        call.send().await.map(|_| ()).map_err(|error| AwsError::of("cloudwatch:PutMetricData", &error))
    }
}

fn datum(measure: &Measure) -> MetricDatum {
    let dimension = |name, value: &str| Dimension::builder().name(name).value(value).build();
    MetricDatum::builder()
        .metric_name(measure.name)
        .dimensions(dimension("Namespace", &measure.namespace))
        .dimensions(dimension("Budget", &measure.budget))
        .timestamp(DateTime::from_millis(measure.at_ms))
        .unit(StandardUnit::None)
        .value(dollars(measure.amount))
        .build()
}

/// CloudWatch takes floating point only; nothing here is computed with afterwards.
fn dollars(amount: Nano) -> f64 {
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
