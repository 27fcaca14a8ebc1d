//! A step of a provision in; the call to SageMaker that makes it out. Each call may be made twice.

use super::endpoints::{SageMaker, is_missing};
use super::error::{AwsError, AwsErrorKind};
use super::provision::{Found, Owner, Standing, Step, Wanted};
use aws_sdk_sagemaker::Client;
use aws_sdk_sagemaker::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sagemaker::types::{
    BlueGreenUpdatePolicy, ContainerDefinition, DeploymentConfig, ProductionVariant, ProductionVariantInstanceType,
    Tag, TrafficRoutingConfig, TrafficRoutingConfigType, VpcConfig,
};
use tollway_crds::embedding_endpoint::Provision;

/// Tag that says for which resource something was made: its uid.
const OWNER: &str = "tollway.dev/owner";
/// Tag for people: namespace and name.
const RESOURCE: &str = "tollway.dev/resource";
/// Seconds that a new fleet serves before the old one is taken away.
const BAKE: i32 = 60;

/// Makes, rolls and deletes endpoints.
pub trait Builder: Send + Sync + 'static {
    /// What is there under the names of `wanted`.
    fn survey(&self, wanted: &Wanted) -> impl Future<Output = Result<Found, AwsError>> + Send;
    /// The endpoint of that name, and whether it was made for `owner`.
    fn standing(
        &self,
        region: &str,
        endpoint: &str,
        owner: &str,
    ) -> impl Future<Output = Result<Option<Standing>, AwsError>> + Send;
    /// Makes one step towards what is wanted.
    fn build(&self, wanted: &Wanted, step: &Step) -> impl Future<Output = Result<(), AwsError>> + Send;
    /// Makes one step of a deletion; what is not there is deleted.
    fn delete(&self, region: &str, endpoint: &str, step: &Step) -> impl Future<Output = Result<(), AwsError>> + Send;
}

impl Builder for SageMaker {
    async fn survey(&self, wanted: &Wanted) -> Result<Found, AwsError> {
        let client = self.client(&wanted.region).await;
        let owner = wanted.owner.as_str();
        self.turn().await;
        let said = client.describe_model().model_name(wanted.model()).send().await;
        let model = match found("sagemaker:DescribeModel", said)?.and_then(|model| model.model_arn) {
            Some(arn) => Some(self.owner(&client, &arn, owner).await?),
            None => None,
        };
        self.turn().await;
        let said = client.describe_endpoint_config().endpoint_config_name(wanted.config()).send().await;
        let config =
            match found("sagemaker:DescribeEndpointConfig", said)?.and_then(|config| config.endpoint_config_arn) {
                Some(arn) => Some(self.owner(&client, &arn, owner).await?),
                None => None,
            };
        Ok(Found { endpoint: self.standing(&wanted.region, &wanted.endpoint, owner).await?, config, model })
    }

    async fn standing(&self, region: &str, endpoint: &str, owner: &str) -> Result<Option<Standing>, AwsError> {
        let client = self.client(region).await;
        self.turn().await;
        let said = client.describe_endpoint().endpoint_name(endpoint).send().await;
        let Some(said) = found("sagemaker:DescribeEndpoint", said)? else { return Ok(None) };
        let owner = self.owner(&client, said.endpoint_arn.as_deref().unwrap_or_default(), owner).await?;
        Ok(Some(Standing {
            state: said.endpoint_status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
            failure: said.failure_reason,
            config: said.endpoint_config_name.unwrap_or_default(),
            owner,
        }))
    }

    async fn build(&self, wanted: &Wanted, step: &Step) -> Result<(), AwsError> {
        let client = self.client(&wanted.region).await;
        let Provision { image, model_data_url, instance_type, execution_role_arn, vpc, kms_key_id } = &wanted.provision;
        let tags = [
            Tag::builder().key(OWNER).value(&wanted.owner).build(),
            Tag::builder().key(RESOURCE).value(wanted.resource.to_string()).build(),
        ];
        self.turn().await;
        match step {
            Step::CreateModel => {
                let container = ContainerDefinition::builder().image(image).set_model_data_url(model_data_url.clone());
                let network = vpc.as_ref().map(|vpc| {
                    VpcConfig::builder()
                        .set_subnets(Some(vpc.subnets.clone()))
                        .set_security_group_ids(Some(vpc.security_groups.clone()))
                        .build()
                });
                let call = client.create_model().model_name(wanted.model()).execution_role_arn(&execution_role_arn.0);
                let call =
                    call.primary_container(container.build()).set_vpc_config(network).set_tags(Some(tags.into()));
                made("sagemaker:CreateModel", call.send().await)
            }
            Step::CreateConfig => {
                let variant = ProductionVariant::builder()
                    .variant_name(&wanted.variant)
                    .model_name(wanted.model())
                    .initial_instance_count(wanted.instances)
                    .instance_type(ProductionVariantInstanceType::from(instance_type.as_str()))
                    .build();
                let call = client.create_endpoint_config().endpoint_config_name(wanted.config());
                let call = call.production_variants(variant).set_kms_key_id(kms_key_id.clone());
                made("sagemaker:CreateEndpointConfig", call.set_tags(Some(tags.into())).send().await)
            }
            Step::CreateEndpoint => {
                let call = client.create_endpoint().endpoint_name(&wanted.endpoint);
                let call = call.endpoint_config_name(wanted.config()).set_tags(Some(tags.into()));
                made("sagemaker:CreateEndpoint", call.send().await)
            }
            Step::UpdateEndpoint => {
                let routing = TrafficRoutingConfig::builder()
                    .r#type(TrafficRoutingConfigType::AllAtOnce)
                    .wait_interval_in_seconds(BAKE)
                    .build();
                let policy = BlueGreenUpdatePolicy::builder().traffic_routing_configuration(routing).build();
                let call =
                    client.update_endpoint().endpoint_name(&wanted.endpoint).endpoint_config_name(wanted.config());
                // The new fleet has as many instances as the old one was scaled to.
                let call = call.retain_all_variant_properties(true);
                let call = call.deployment_config(DeploymentConfig::builder().blue_green_update_policy(policy).build());
                call.send().await.map(|_| ()).map_err(|error| AwsError::of("sagemaker:UpdateEndpoint", &error))
            }
            _ => Ok(()),
        }
    }

    async fn delete(&self, region: &str, endpoint: &str, step: &Step) -> Result<(), AwsError> {
        let client = self.client(region).await;
        self.turn().await;
        match step {
            Step::DeleteEndpoint => {
                let call = client.delete_endpoint().endpoint_name(endpoint);
                found("sagemaker:DeleteEndpoint", call.send().await).map(|_| ())
            }
            Step::DeleteConfig(name) => {
                let call = client.delete_endpoint_config().endpoint_config_name(name);
                found("sagemaker:DeleteEndpointConfig", call.send().await).map(|_| ())
            }
            Step::DeleteModel(name) => {
                let call = client.delete_model().model_name(name);
                found("sagemaker:DeleteModel", call.send().await).map(|_| ())
            }
            _ => Ok(()),
        }
    }
}

impl SageMaker {
    async fn owner(&self, client: &Client, arn: &str, owner: &str) -> Result<Owner, AwsError> {
        self.turn().await;
        let said = client.list_tags().resource_arn(arn).send().await;
        let said = said.map_err(|error| AwsError::of("sagemaker:ListTags", &error))?;
        let tags = said.tags.unwrap_or_default();
        let ours = tags.iter().any(|tag| tag.key() == Some(OWNER) && tag.value() == Some(owner));
        Ok(if ours { Owner::Us } else { Owner::Others })
    }
}

/// What a call gave; `None` when it speaks of what is not there.
fn found<T, E, R>(action: &'static str, said: Result<T, SdkError<E, R>>) -> Result<Option<T>, AwsError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match said {
        Ok(said) => Ok(Some(said)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(AwsError::of(action, &error)),
    }
}

/// Whether it is there now: a call that was made before and not answered made it.
fn made<T, E, R>(action: &'static str, said: Result<T, SdkError<E, R>>) -> Result<(), AwsError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match said {
        Ok(_) => Ok(()),
        Err(error) => {
            let error = AwsError::of(action, &error);
            let is_there = error.message.to_lowercase().contains("already exist");
            if is_there && error.kind != AwsErrorKind::AccessDenied { Ok(()) } else { Err(error) }
        }
    }
}
