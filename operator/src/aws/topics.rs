//! A topic and a message in; published by SNS in the topic's own region out. The only user of `aws_sdk_sns`.

use super::clients::{Clients, Regional};
use super::error::AwsError;
use aws_config::SdkConfig;
use aws_sdk_sns::Client;
use aws_sdk_sns::config::{Builder, Region};
use std::sync::Arc;
use tollway_core::validate::topic_region;

/// What is said to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// At most 100 characters.
    pub subject: String,
    /// JSON.
    pub body: String,
}

/// Where messages go.
pub trait Topics: Send + Sync + 'static {
    /// Publishes once; an error says that it may not have been.
    fn publish(&self, topic: &str, message: &Message) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// SNS, a client a region.
#[derive(Debug)]
pub struct Sns {
    clients: Arc<Clients>,
    regions: Regional<Client>,
}

impl Sns {
    /// No client yet.
    pub fn new(clients: Arc<Clients>) -> Sns {
        Sns { clients, regions: Regional::default() }
    }

    async fn client(&self, topic: &str) -> Client {
        let region = match topic_region(topic) {
            Some(region) => Region::new(region.to_owned()),
            None => self.clients.region().await,
        };
        let make = |config: &SdkConfig, region| Client::from_conf(Builder::from(config).region(region).build());
        self.regions.of(&self.clients, region, make).await
    }
}

impl Topics for Sns {
    async fn publish(&self, topic: &str, message: &Message) -> Result<(), AwsError> {
        let Message { subject, body } = message;
        let call = self.client(topic).await.publish().topic_arn(topic).subject(subject).message(body);
        call.send().await.map(|_| ()).map_err(|error| AwsError::of("sns:Publish", &error))
    }
}
