//! The environment in, by AWS's default chain; configured clients out. Nothing is read, and nothing asked, before the first call.

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};

/// Where calls go when nothing says a region: services without regions have their one endpoint there.
const FALLBACK: Region = Region::from_static("us-east-1");
/// Longest wait for a connection, and for a whole call.
const CONNECT: Duration = Duration::from_secs(5);
const CALL: Duration = Duration::from_secs(20);

/// What every client is made from.
#[derive(Debug, Default)]
pub struct Clients {
    config: OnceCell<SdkConfig>,
}

impl Clients {
    /// Credentials, endpoints and region; without retries, for every loop here has a back-off of its own.
    pub async fn config(&self) -> &SdkConfig {
        let load = || async {
            let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(CALL).build();
            let defaults = aws_config::defaults(BehaviorVersion::latest());
            defaults.retry_config(RetryConfig::disabled()).timeout_config(timeouts).load().await
        };
        self.config.get_or_init(load).await
    }

    /// The region of the environment.
    pub async fn region(&self) -> Region {
        self.config().await.region().cloned().unwrap_or(FALLBACK)
    }
}

/// Clients of one service, one a region, each with connections that it keeps.
#[derive(Debug)]
pub struct Regional<C>(Mutex<HashMap<String, C>>);

impl<C> Default for Regional<C> {
    fn default() -> Self {
        Regional(Mutex::default())
    }
}

impl<C: Clone> Regional<C> {
    /// The region's client, made from the configuration when it is asked for first.
    pub async fn of(&self, clients: &Clients, region: Region, make: impl FnOnce(&SdkConfig, Region) -> C) -> C {
        let mut held = self.0.lock().await;
        if let Some(client) = held.get(region.as_ref()) {
            return client.clone();
        }
        let client = make(clients.config().await, region.clone());
        held.insert(region.to_string(), client.clone());
        client
    }
}
