//! An endpoint's name, or an inference component's, in; what SageMaker says of it, and as many copies as are wanted, out. `builder` makes endpoints.

use super::clients::{Clients, Regional};
use super::error::{AwsError, AwsErrorKind};
use super::turns::Turns;
use aws_config::{Region, SdkConfig};
use aws_sdk_sagemaker::Client;
use aws_sdk_sagemaker::config::Builder;
use aws_sdk_sagemaker::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sagemaker::types::InferenceComponentRuntimeConfig;
use std::sync::Arc;
use std::time::Duration;

const DESCRIBE: &str = "sagemaker:DescribeEndpoint";
const DESCRIBE_CONFIG: &str = "sagemaker:DescribeEndpointConfig";
const DESCRIBE_COMPONENT: &str = "sagemaker:DescribeInferenceComponent";
const SET_COPIES: &str = "sagemaker:UpdateInferenceComponentRuntimeConfig";
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
    /// An inference component; `None`: nothing of that name.
    fn component(&self, region: &str, name: &str) -> impl Future<Output = Result<Option<Component>, AwsError>> + Send;
    /// Has so many copies of an inference component run.
    fn set_copies(&self, region: &str, name: &str, copies: i32) -> impl Future<Output = Result<(), AwsError>> + Send;
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

/// An inference component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Component {
    /// AWS's word for its state.
    pub state: String,
    /// Why it failed.
    pub failure: Option<String>,
    /// The endpoint it is of.
    pub endpoint: String,
    /// Copies that run, and that should.
    pub copies: (i32, i32),
    /// Each copy has a GPU.
    pub on_gpu: bool,
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

    async fn component(&self, region: &str, name: &str) -> Result<Option<Component>, AwsError> {
        self.turns.turn().await;
        let call = self.client(region).await.describe_inference_component().inference_component_name(name);
        let said = match call.send().await {
            Err(error) if is_missing(&error) => return Ok(None),
            said => said.map_err(|error| AwsError::of(DESCRIBE_COMPONENT, &error))?,
        };
        let copies = said.runtime_config.map(|config| config.current_copy_count.zip(config.desired_copy_count));
        let needs = said.specification.and_then(|specification| specification.compute_resource_requirements);
        let gpus = needs.and_then(|needs| needs.number_of_accelerator_devices_required);
        Ok(Some(Component {
            state: said.inference_component_status.map(|state| state.as_str().to_owned()).unwrap_or_default(),
            failure: said.failure_reason,
            endpoint: said.endpoint_name.unwrap_or_default(),
            copies: copies.flatten().unwrap_or_default(),
            on_gpu: gpus.is_some_and(|gpus| gpus > 0.0),
        }))
    }

    async fn set_copies(&self, region: &str, name: &str, copies: i32) -> Result<(), AwsError> {
        self.turns.turn().await;
        let config = InferenceComponentRuntimeConfig::builder().copy_count(copies).build();
        let call = self.client(region).await.update_inference_component_runtime_config();
        let call = call.inference_component_name(name).desired_runtime_config(config);
        call.send().await.map(|_| ()).map_err(|error| AwsError::of(SET_COPIES, &error))
    }
}

/// SageMaker has no code of its own for what is not there.
pub(super) fn is_missing<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    let service = error.as_service_error();
    service.and_then(|error| error.message()).is_some_and(|message| message.contains("Could not find"))
}
