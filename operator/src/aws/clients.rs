//! The environment in, by AWS's default chain; configured clients out. Nothing is read, and nothing asked, before the first call.

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use std::time::Duration;
use tokio::sync::OnceCell;

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
