//! What is scaled and how it should be in; calls to Application Auto Scaling, and what it says, out. The only user of `aws_sdk_applicationautoscaling`.

use super::clients::{Clients, Regional};
use super::error::{AwsError, AwsErrorKind};
use super::scaling::{Call, Gauge, Observed, Place, Policy, queues};
use super::turns::Turns;
use aws_config::{Region, SdkConfig};
use aws_sdk_applicationautoscaling::Client;
use aws_sdk_applicationautoscaling::config::Builder;
use aws_sdk_applicationautoscaling::types::{
    CustomizedMetricSpecification, MetricDimension, MetricStatistic, MetricType, PolicyType,
    PredefinedMetricSpecification, ScalableDimension, ScalingPolicy, ServiceNamespace, SuspendedState,
    TargetTrackingScalingPolicyConfiguration,
};
use aws_smithy_types::error::operation::BuildError;
use std::sync::Arc;
use std::time::Duration;
use tollway_core::status::Activity;

const TARGETS: &str = "application-autoscaling:DescribeScalableTargets";
const POLICIES: &str = "application-autoscaling:DescribeScalingPolicies";
const ACTIVITIES: &str = "application-autoscaling:DescribeScalingActivities";
const REGISTER: &str = "application-autoscaling:RegisterScalableTarget";
const PUT: &str = "application-autoscaling:PutScalingPolicy";
const DELETE: &str = "application-autoscaling:DeleteScalingPolicy";
const DEREGISTER: &str = "application-autoscaling:DeregisterScalableTarget";
/// A thousand variants are looked at within two minutes.
const EVERY: Duration = Duration::from_millis(50);
/// The name of our policy on a target.
const POLICY: &str = "tollway";
/// Where SageMaker puts what it measures of instances, and of copies of inference components.
const MEASURED: &str = "/aws/sagemaker/Endpoints";
const OF_COPIES: &str = "/aws/sagemaker/InferenceComponents";
/// Of so many activities the last is sought: AWS does not promise their order.
const RECENT: i32 = 20;

/// Autoscalers of an account.
pub trait Autoscaler: Send + Sync + 'static {
    /// What is there; `None`: the variant is not scaled.
    fn observe(&self, at: &Place) -> impl Future<Output = Result<Option<Observed>, AwsError>> + Send;
    /// Makes one change.
    fn change(&self, at: &Place, call: &Call) -> impl Future<Output = Result<(), AwsError>> + Send;
    /// Takes policy and target away; what is gone already is gone.
    fn remove(&self, at: &Place) -> impl Future<Output = Result<(), AwsError>> + Send;
    /// The last thing the autoscaler did.
    fn last_activity(&self, at: &Place) -> impl Future<Output = Result<Option<Activity>, AwsError>> + Send;
}

/// Application Auto Scaling.
#[derive(Debug)]
pub struct ApplicationAutoScaling {
    clients: Arc<Clients>,
    regions: Regional<Client>,
    turns: Turns,
}

impl ApplicationAutoScaling {
    /// Has asked nothing yet.
    pub fn new(clients: Arc<Clients>) -> ApplicationAutoScaling {
        ApplicationAutoScaling { clients, regions: Regional::default(), turns: Turns::each(EVERY) }
    }

    async fn client(&self, at: &Place) -> Client {
        let make = |config: &SdkConfig, region| Client::from_conf(Builder::from(config).region(region).build());
        self.regions.of(&self.clients, Region::new(at.region.clone()), make).await
    }

    async fn policy(&self, at: &Place) -> Result<Option<Policy>, AwsError> {
        self.turns.turn().await;
        let call = self.client(at).await.describe_scaling_policies().service_namespace(ServiceNamespace::Sagemaker);
        let call = call.resource_id(at.resource_id()).scalable_dimension(dimension(at)).policy_names(POLICY);
        let said = call.send().await.map_err(|error| AwsError::of(POLICIES, &error))?;
        let mut policies = said.scaling_policies.unwrap_or_default().into_iter();
        Ok(policies.find(|policy| policy.policy_name == POLICY).as_ref().and_then(|policy| read(at, policy)))
    }
}

const fn dimension(at: &Place) -> ScalableDimension {
    match at.component {
        Some(_) => ScalableDimension::SageMakerInferenceComponentDesiredCopyCount,
        None => ScalableDimension::SageMakerVariantDesiredInstanceCount,
    }
}

impl Autoscaler for ApplicationAutoScaling {
    async fn observe(&self, at: &Place) -> Result<Option<Observed>, AwsError> {
        self.turns.turn().await;
        let call = self.client(at).await.describe_scalable_targets().service_namespace(ServiceNamespace::Sagemaker);
        let call = call.resource_ids(at.resource_id()).scalable_dimension(dimension(at));
        let said = call.send().await.map_err(|error| AwsError::of(TARGETS, &error))?;
        let mut targets = said.scalable_targets.unwrap_or_default().into_iter();
        let Some(target) = targets.find(|target| target.resource_id == at.resource_id()) else { return Ok(None) };
        let suspended = target.suspended_state.is_some_and(|state| {
            let SuspendedState {
                dynamic_scaling_in_suspended,
                dynamic_scaling_out_suspended,
                scheduled_scaling_suspended,
                ..
            } = state;
            [dynamic_scaling_in_suspended, dynamic_scaling_out_suspended, scheduled_scaling_suspended]
                .contains(&Some(true))
        });
        Ok(Some(Observed {
            limits: (target.min_capacity, target.max_capacity),
            is_suspended: suspended,
            policy: self.policy(at).await?,
        }))
    }

    async fn change(&self, at: &Place, call: &Call) -> Result<(), AwsError> {
        let client = self.client(at).await;
        match *call {
            Call::Register(min, max) => {
                let working = SuspendedState::builder()
                    .dynamic_scaling_in_suspended(false)
                    .dynamic_scaling_out_suspended(false)
                    .scheduled_scaling_suspended(false);
                let call = client.register_scalable_target().service_namespace(ServiceNamespace::Sagemaker);
                let call = call.resource_id(at.resource_id()).scalable_dimension(dimension(at));
                let call = call.min_capacity(min).max_capacity(max).suspended_state(working.build());
                call.send().await.map(|_| ()).map_err(|error| AwsError::of(REGISTER, &error))
            }
            Call::Put(policy) => {
                let call = client.put_scaling_policy().service_namespace(ServiceNamespace::Sagemaker);
                let call = call.resource_id(at.resource_id()).scalable_dimension(dimension(at)).policy_name(POLICY);
                let call = call.policy_type(PolicyType::TargetTrackingScaling);
                let call = call.target_tracking_scaling_policy_configuration(written(at, policy).map_err(form)?);
                call.send().await.map(|_| ()).map_err(|error| AwsError::of(PUT, &error))
            }
        }
    }

    async fn remove(&self, at: &Place) -> Result<(), AwsError> {
        let client = self.client(at).await;
        let call = client.delete_scaling_policy().service_namespace(ServiceNamespace::Sagemaker);
        let call = call.resource_id(at.resource_id()).scalable_dimension(dimension(at)).policy_name(POLICY);
        gone(call.send().await.map(|_| ()).map_err(|error| AwsError::of(DELETE, &error)))?;
        let call = client.deregister_scalable_target().service_namespace(ServiceNamespace::Sagemaker);
        let call = call.resource_id(at.resource_id()).scalable_dimension(dimension(at));
        gone(call.send().await.map(|_| ()).map_err(|error| AwsError::of(DEREGISTER, &error)))
    }

    async fn last_activity(&self, at: &Place) -> Result<Option<Activity>, AwsError> {
        self.turns.turn().await;
        let call = self.client(at).await.describe_scaling_activities().service_namespace(ServiceNamespace::Sagemaker);
        let call = call.resource_id(at.resource_id()).scalable_dimension(dimension(at)).max_results(RECENT);
        let said = call.send().await.map_err(|error| AwsError::of(ACTIVITIES, &error))?;
        let last = said.scaling_activities.unwrap_or_default().into_iter().max_by_key(|activity| activity.start_time);
        Ok(last.map(|activity| Activity {
            at_ms: activity.start_time.to_millis().unwrap_or_default(),
            reason: match activity.status_message.filter(|_| activity.status_code.as_str() == "Failed") {
                Some(failure) => format!("{}: failed: {failure}", activity.cause),
                None => activity.cause,
            },
        }))
    }
}

/// What is gone already needs no deleting; not every server has a code for that.
fn gone(done: Result<(), AwsError>) -> Result<(), AwsError> {
    match done {
        Err(error) if error.kind == AwsErrorKind::NotFound => Ok(()),
        Err(error) if error.kind == AwsErrorKind::Refused && error.message.contains("found") => Ok(()),
        other => other,
    }
}

fn form(error: BuildError) -> AwsError {
    AwsError { action: PUT, kind: AwsErrorKind::Refused, message: error.to_string() }
}

fn written(at: &Place, policy: Policy) -> Result<TargetTrackingScalingPolicyConfiguration, BuildError> {
    let Policy { gauge, value, cooldowns: (scale_in, scale_out) } = policy;
    let held = TargetTrackingScalingPolicyConfiguration::builder().target_value(value);
    let held = held.scale_in_cooldown(scale_in).scale_out_cooldown(scale_out).disable_scale_in(false);
    let held = match metric(gauge) {
        Metric::Predefined(type_) => {
            let predefined = PredefinedMetricSpecification::builder().predefined_metric_type(type_);
            held.predefined_metric_specification(predefined.build()?)
        }
        Metric::Customized(namespace, name, unit) => {
            let mut measured = CustomizedMetricSpecification::builder().namespace(namespace).metric_name(name);
            for (name, value) in at.dimensions() {
                measured = measured.dimensions(MetricDimension::builder().name(name).value(value).build()?);
            }
            held.customized_metric_specification(measured.statistic(MetricStatistic::Average).unit(unit).build())
        }
    };
    held.build()
}

/// The policy, when it has just the form that is put.
fn read(at: &Place, policy: &ScalingPolicy) -> Option<Policy> {
    let held = policy.target_tracking_scaling_policy_configuration.as_ref()?;
    let cooldowns = held.scale_in_cooldown.zip(held.scale_out_cooldown)?;
    let candidates = GAUGES.map(|gauge| Policy { gauge, value: held.target_value, cooldowns });
    // AWS may leave out what is false anyway.
    let mut said = held.clone();
    said.disable_scale_in = Some(said.disable_scale_in.unwrap_or(false));
    candidates.into_iter().find(|candidate| written(at, *candidate).is_ok_and(|written| written == said))
}

const GAUGES: [Gauge; 7] =
    [Gauge::Invocations, Gauge::Cpu, Gauge::Gpu, Gauge::Queue, Gauge::CopyInvocations, Gauge::CopyCpu, Gauge::CopyGpu];

enum Metric {
    /// AWS knows what it is.
    Predefined(MetricType),
    /// Namespace, name and unit.
    Customized(&'static str, &'static str, &'static str),
}

const fn metric(gauge: Gauge) -> Metric {
    match gauge {
        Gauge::Invocations => Metric::Predefined(MetricType::SageMakerVariantInvocationsPerInstance),
        Gauge::CopyInvocations => Metric::Predefined(MetricType::SageMakerInferenceComponentInvocationsPerCopy),
        Gauge::Cpu => Metric::Customized(MEASURED, "CPUUtilization", "Percent"),
        Gauge::Gpu => Metric::Customized(MEASURED, "GPUUtilization", "Percent"),
        Gauge::CopyCpu => Metric::Customized(OF_COPIES, "CPUUtilizationNormalized", "Percent"),
        Gauge::CopyGpu => Metric::Customized(OF_COPIES, "GPUUtilizationNormalized", "Percent"),
        Gauge::Queue => Metric::Customized(queues::NAMESPACE, queues::METRIC, "Count"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        "eu-west-1/e/v".parse().unwrap()
    }

    fn held(configuration: TargetTrackingScalingPolicyConfiguration) -> ScalingPolicy {
        let policy = ScalingPolicy::builder().policy_arn("a").policy_name(POLICY).resource_id("r");
        let policy = policy.service_namespace(ServiceNamespace::Sagemaker).scalable_dimension(dimension(&place()));
        let policy = policy.policy_type(PolicyType::TargetTrackingScaling);
        let policy = policy.creation_time(aws_smithy_types::DateTime::from_secs(0));
        policy.target_tracking_scaling_policy_configuration(configuration).build().unwrap()
    }

    #[test]
    fn a_policy_is_read_as_it_was_written_and_any_other_as_none() {
        for gauge in GAUGES {
            let policy = Policy { gauge, value: 70.0, cooldowns: (300, 60) };
            let mut configuration = written(&place(), policy).unwrap();
            assert_eq!(read(&place(), &held(configuration.clone())), Some(policy));
            configuration.disable_scale_in = None;
            assert_eq!(read(&place(), &held(configuration.clone())), Some(policy));
            configuration.disable_scale_in = Some(true);
            assert_eq!(read(&place(), &held(configuration)), None);
        }
        let mut configuration = written(&place(), Policy { gauge: Gauge::Cpu, value: 1.0, cooldowns: (0, 0) }).unwrap();
        configuration.customized_metric_specification.as_mut().unwrap().metric_name = Some("Other".to_owned());
        assert_eq!(read(&place(), &held(configuration)), None);
    }

    #[test]
    fn what_is_gone_needs_no_deleting() {
        let error = |kind, message: &str| Err(AwsError { action: DELETE, kind, message: message.to_owned() });
        assert!(gone(error(AwsErrorKind::NotFound, "")).is_ok());
        assert!(gone(error(AwsErrorKind::Refused, "No scalable target found for it")).is_ok());
        assert!(gone(error(AwsErrorKind::Refused, "bad name")).is_err());
        assert!(gone(error(AwsErrorKind::AccessDenied, "role not found")).is_err());
    }
}
