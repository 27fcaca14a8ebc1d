//! SageMaker's endpoints and inference components, and Application Auto Scaling over them, as far as they are looked at and changed.
//!
//! Nothing scales by itself: a test says when copies run.

use super::{Account, Answered, lock};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const VARIANT: &str = "AllTraffic";

/// What an account hosts.
#[derive(Default)]
pub(super) struct Hosting {
    /// Instance type, by endpoint.
    endpoints: BTreeMap<String, String>,
    components: BTreeMap<String, Component>,
    /// Scalable targets and their policies, by resource id.
    targets: BTreeMap<String, Value>,
    policies: BTreeMap<String, Vec<Value>>,
}

struct Component {
    endpoint: String,
    /// Copies that run, and that should.
    copies: (i64, i64),
}

impl Account {
    /// Makes an endpoint of one instance in service.
    pub fn add_endpoint(&self, name: &str, instance_type: &str) {
        lock(&self.state).hosting.endpoints.insert(name.to_owned(), instance_type.to_owned());
    }

    /// Makes an inference component without a copy.
    pub fn add_component(&self, name: &str, endpoint: &str) {
        let component = Component { endpoint: endpoint.to_owned(), copies: (0, 0) };
        lock(&self.state).hosting.components.insert(name.to_owned(), component);
    }

    /// Copies of an inference component that run, and that should.
    #[must_use]
    pub fn copies(&self, name: &str) -> Option<(i64, i64)> {
        lock(&self.state).hosting.components.get(name).map(|component| component.copies)
    }

    /// So many copies run and should.
    pub fn run_copies(&self, name: &str, copies: i64) {
        if let Some(component) = lock(&self.state).hosting.components.get_mut(name) {
            component.copies = (copies, copies);
        }
    }

    /// A scalable target, and its policies.
    #[must_use]
    pub fn scaled(&self, resource_id: &str) -> Option<(Value, Vec<Value>)> {
        let hosting = &lock(&self.state).hosting;
        let target = hosting.targets.get(resource_id)?.clone();
        Some((target, hosting.policies.get(resource_id).cloned().unwrap_or_default()))
    }
}

fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:sagemaker:us-east-1:123456789012:{kind}/{name}")
}

fn missing(kind: &str, name: &str) -> (&'static str, String) {
    ("ValidationException", format!("Could not find {kind} \"{}\".", arn(kind, name)))
}

impl Hosting {
    /// An operation of SageMaker.
    pub(super) fn sagemaker(&mut self, operation: &str, body: &Value) -> Answered {
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        match operation {
            "DescribeEndpoint" => {
                let name = text("EndpointName");
                self.endpoints.get(&name).ok_or_else(|| missing("endpoint", &name))?;
                Ok(json!({
                    "EndpointName": name, "EndpointArn": arn("endpoint", &name), "EndpointConfigName": name, "EndpointStatus": "InService",
                    "CreationTime": 0.0, "LastModifiedTime": 0.0,
                    "ProductionVariants": [{"VariantName": VARIANT, "CurrentInstanceCount": 1, "DesiredInstanceCount": 1}],
                }))
            }
            "DescribeEndpointConfig" => {
                let name = text("EndpointConfigName");
                let type_ = self.endpoints.get(&name).ok_or_else(|| missing("endpoint-config", &name))?;
                Ok(json!({
                    "EndpointConfigName": name, "EndpointConfigArn": arn("endpoint-config", &name), "CreationTime": 0.0,
                    "ProductionVariants": [{"VariantName": VARIANT, "InstanceType": type_, "InitialInstanceCount": 1}],
                }))
            }
            "DescribeInferenceComponent" => {
                let name = text("InferenceComponentName");
                let found = self.components.get(&name).ok_or_else(|| missing("inference-component", &name))?;
                let (current, desired) = found.copies;
                let state = if current == desired { "InService" } else { "Updating" };
                Ok(json!({
                    "InferenceComponentName": name, "InferenceComponentArn": arn("inference-component", &name), "InferenceComponentStatus": state,
                    "EndpointName": found.endpoint, "EndpointArn": arn("endpoint", &found.endpoint), "VariantName": VARIANT,
                    "CreationTime": 0.0, "LastModifiedTime": 0.0,
                    "Specification": {"ComputeResourceRequirements": {"NumberOfAcceleratorDevicesRequired": 1.0, "MinMemoryRequiredInMb": 1024}},
                    "RuntimeConfig": {"CurrentCopyCount": current, "DesiredCopyCount": desired},
                }))
            }
            "UpdateInferenceComponentRuntimeConfig" => {
                let name = text("InferenceComponentName");
                let found = self.components.get_mut(&name).ok_or_else(|| missing("inference-component", &name))?;
                let copies = body["DesiredRuntimeConfig"]["CopyCount"].as_i64();
                found.copies.1 = copies.ok_or(("ValidationException", "CopyCount is missing".to_owned()))?;
                Ok(json!({"InferenceComponentArn": arn("inference-component", &name)}))
            }
            _ => Err(("UnknownOperationException", operation.to_owned())),
        }
    }

    /// An operation of Application Auto Scaling.
    pub(super) fn autoscaling(&mut self, operation: &str, body: &Value) -> Answered {
        let id = body["ResourceId"].as_str().unwrap_or_default().to_owned();
        let gone = |what: &str| ("ObjectNotFoundException", format!("No {what} found for resource ID: {id}"));
        match operation {
            "DescribeScalableTargets" => {
                let asked = body["ResourceIds"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let found: Vec<&Value> = asked.filter_map(|id| self.targets.get(id)).collect();
                Ok(json!({ "ScalableTargets": found }))
            }
            "RegisterScalableTarget" => {
                let (min, max) = (body["MinCapacity"].as_i64(), body["MaxCapacity"].as_i64());
                if min > max {
                    return Err((
                        "ValidationException",
                        "Maximum capacity cannot be less than minimum capacity".to_owned(),
                    ));
                }
                let mut target = body.clone();
                target["CreationTime"] = json!(0.0);
                target["RoleARN"] = json!("arn:aws:iam::123456789012:role/aws-service-role");
                self.targets.insert(id, target);
                Ok(json!({}))
            }
            "DeregisterScalableTarget" => {
                self.policies.remove(&id);
                self.targets.remove(&id).map(|_| json!({})).ok_or_else(|| gone("scalable target"))
            }
            "DescribeScalingPolicies" => {
                Ok(json!({ "ScalingPolicies": self.policies.get(&id).cloned().unwrap_or_default() }))
            }
            "PutScalingPolicy" => {
                if !self.targets.contains_key(&id) {
                    return Err(gone("scalable target"));
                }
                let mut policy = body.clone();
                let arn = format!("arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:{id}");
                (policy["PolicyARN"], policy["CreationTime"]) = (json!(arn), json!(0.0));
                let policies = self.policies.entry(id).or_default();
                policies.retain(|held| held["PolicyName"] != policy["PolicyName"]);
                policies.push(policy);
                Ok(json!({"PolicyARN": arn, "Alarms": []}))
            }
            "DeleteScalingPolicy" => {
                let policies = self.policies.entry(id.clone()).or_default();
                let before = policies.len();
                policies.retain(|held| held["PolicyName"] != body["PolicyName"]);
                if policies.len() < before { Ok(json!({})) } else { Err(gone("scaling policy")) }
            }
            "DescribeScalingActivities" => Ok(json!({"ScalingActivities": []})),
            _ => Err(("UnknownOperationException", operation.to_owned())),
        }
    }
}
