//! An endpoint's name in; what SageMaker says of it out. It asks; `builder` changes what is there.

use super::clients::{Clients, Regional};
use super::error::{AwsError, AwsErrorKind};
use super::turns::Turns;
use aws_config::{Region, SdkConfig};
use aws_sdk_sagemaker::Client;
use aws_sdk_sagemaker::config::Builder;
use aws_sdk_sagemaker::error::{ProvideErrorMetadata, SdkError};
use std::sync::Arc;
use std::time::Duration;

const DESCRIBE: &str = "sagemaker:DescribeEndpoint";
const DESCRIBE_CONFIG: &str = "sagemaker:DescribeEndpointConfig";
/// A thousand endpoints are looked at within a minute.
const EVERY: Duration = Duration::from_millis(50);

/// Endpoints of an account.
pub trait Endpoints: Send + Sync + 'static {
    /// The region where an endpoint is that names none.
    fn home(&self) -> impl Future<Output = Result<String, AwsError>> + Send;
    /// What is there; `None`: nothing of that name.
    fn observe(&self, region: &str, name: &str) -> impl Future<Output = Result<Option<Endpoint>, AwsError>> + Send;
    /// The instance type of a configuration's variant; `None`: it has no instances, or there is no such variant.
    fn instance_type(
        &self,
        region: &str,
        config: &str,
        variant: &str,
    ) -> impl Future<Output = Result<Option<String>, AwsError>> + Send;
}

/// An endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// AWS's word for its state.
    pub state: String,
    /// Why it failed.
    pub failure: Option<String>,
    /// Its configuration, which never changes: another one has another name.
    pub config: String,
    /// Its variants.
    pub variants: Vec<Variant>,
}

/// One production variant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Instances that run, and that should; absent for one without instances.
    pub instances: Option<(i32, i32)>,
}

/// SageMaker.
#[derive(Debug)]
pub struct SageMaker {
    clients: Arc<Clients>,
    regions: Regional<Client>,
    turns: Turns,
}

impl SageMaker {
    /// Has asked nothing yet.
    pub fn new(clients: Arc<Clients>) -> SageMaker {
        SageMaker { clients, regions: Regional::default(), turns: Turns::each(EVERY) }
    }

    /// Waits for a turn: reads and writes together.
    pub(super) async fn turn(&self) {
        self.turns.turn().await;
    }

    pub(super) async fn client(&self, region: &str) -> Client {
        let make = |config: &SdkConfig, region| Client::from_conf(Builder::from(config).region(region).build());
        self.regions.of(&self.clients, Region::new(region.to_owned()), make).await
    }
}

impl Endpoints for SageMaker {
    async fn home(&self) -> Result<String, AwsError> {
        let region = self.clients.config().await.region().map(ToString::to_string);
        region.ok_or_else(|| AwsError {
            action: DESCRIBE,
            kind: AwsErrorKind::NoCredentials,
            message: "the resource names no region, and the operator has none".to_owned(),
        })
    }

    async fn observe(&self, region: &str, name: &str) -> Result<Option<Endpoint>, AwsError> {
        self.turns.turn().await;
        let said = match self.client(region).await.describe_endpoint().endpoint_name(name).send().await {
            Err(error) if is_missing(&error) => return Ok(None),
            said => said.map_err(|error| AwsError::of(DESCRIBE, &error))?,
        };
        let variants = said.production_variants.unwrap_or_default().into_iter().map(|variant| Variant {
            name: variant.variant_name.unwrap_or_default(),
            instances: variant.current_instance_count.zip(variant.desired_instance_count),
        });
        Ok(Some(Endpoint {
            variants: variants.collect(),
            state: said.endpoint_status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
            failure: said.failure_reason,
            config: said.endpoint_config_name.unwrap_or_default(),
        }))
    }

    async fn instance_type(&self, region: &str, config: &str, variant: &str) -> Result<Option<String>, AwsError> {
        self.turns.turn().await;
        let call = self.client(region).await.describe_endpoint_config().endpoint_config_name(config);
        let said = call.send().await.map_err(|error| AwsError::of(DESCRIBE_CONFIG, &error))?;
        let mut variants = said.production_variants.unwrap_or_default().into_iter();
        let found = variants.find(|held| held.variant_name.as_deref() == Some(variant));
        Ok(found.and_then(|held| held.instance_type).map(|type_| type_.as_str().to_owned()))
    }
}

/// SageMaker has no code of its own for what is not there.
pub(super) fn is_missing<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    let service = error.as_service_error();
    service.and_then(|error| error.message()).is_some_and(|message| message.contains("Could not find"))
}
