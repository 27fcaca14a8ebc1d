//! An endpoint and a body in; what its container answers out. The only user of `aws_sdk_sagemakerruntime`.

use super::clients::{Clients, Regional};
use super::error::AwsError;
use super::turns::Turns;
use aws_config::{Region, SdkConfig};
use aws_sdk_sagemakerruntime::Client;
use aws_sdk_sagemakerruntime::config::Builder;
use aws_smithy_types::Blob;
use std::sync::Arc;
use std::time::Duration;

const INVOKE: &str = "sagemaker:InvokeEndpoint";
/// What begins together is called one after another.
const EVERY: Duration = Duration::from_millis(50);

/// What is called, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Region.
    pub region: String,
    /// Name of the endpoint.
    pub endpoint: String,
    /// Its variant; absent: SageMaker chooses.
    pub variant: Option<String>,
    /// Its inference component, in place of a variant.
    pub component: Option<String>,
    /// JSON.
    pub body: String,
}

/// Endpoints that can be called.
pub trait Runtime: Send + Sync + 'static {
    /// Calls once.
    fn invoke(&self, what: &Invocation) -> impl Future<Output = Result<Vec<u8>, AwsError>> + Send;
}

/// SageMaker's runtime, a client a region.
#[derive(Debug)]
pub struct SageMakerRuntime {
    clients: Arc<Clients>,
    regions: Regional<Client>,
    turns: Turns,
}

impl SageMakerRuntime {
    /// Has called nothing yet.
    pub fn new(clients: Arc<Clients>) -> SageMakerRuntime {
        SageMakerRuntime { clients, regions: Regional::default(), turns: Turns::each(EVERY) }
    }
}

impl Runtime for SageMakerRuntime {
    async fn invoke(&self, what: &Invocation) -> Result<Vec<u8>, AwsError> {
        let Invocation { region, endpoint, variant, component, body } = what;
        let make = |config: &SdkConfig, region| Client::from_conf(Builder::from(config).region(region).build());
        let client = self.regions.of(&self.clients, Region::new(region.clone()), make).await;
        let variant = variant.clone().filter(|_| component.is_none());
        let call = client.invoke_endpoint().endpoint_name(endpoint).set_target_variant(variant);
        let call = call.set_inference_component_name(component.clone());
        let call = call.content_type("application/json").accept("application/json").body(Blob::new(body.as_bytes()));
        self.turns.turn().await;
        let said = call.send().await.map_err(|error| AwsError::of(INVOKE, &error))?;
        Ok(said.body.map(Blob::into_inner).unwrap_or_default())
    }
}
