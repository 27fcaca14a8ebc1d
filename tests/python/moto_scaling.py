"""Endpoints and their autoscalers in the account of the environment: made, tampered with and looked at as people do; prints JSON."""

import json
import sys

import boto3

sagemaker = boto3.client("sagemaker")
scaling = boto3.client("application-autoscaling")
DIMENSION = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}


def at(name):
    return {**DIMENSION, "ResourceId": f"endpoint/{name}/variant/AllTraffic"}


def make(name, instance_type):
    role = "arn:aws:iam::123456789012:role/runs-models"
    sagemaker.create_model(ModelName=f"{name}-model", ExecutionRoleArn=role)
    variant = {"VariantName": "AllTraffic", "ModelName": f"{name}-model", "InitialInstanceCount": 1, "InstanceType": instance_type}
    sagemaker.create_endpoint_config(EndpointConfigName=f"{name}-config", ProductionVariants=[variant])
    return sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-config")


def unmake(name):
    return sagemaker.delete_endpoint(EndpointName=name)


def register(name, least, most):
    return scaling.register_scalable_target(**at(name), MinCapacity=int(least), MaxCapacity=int(most))


def look(name):
    targets = scaling.describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[at(name)["ResourceId"]]
    )["ScalableTargets"]
    return {"targets": targets, "policies": scaling.describe_scaling_policies(**at(name))["ScalingPolicies"]}


def tamper(name):
    """Other limits, scaling suspended, and a policy that holds something else."""
    suspended = dict.fromkeys(
        ["DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"], True
    )
    scaling.register_scalable_target(**at(name), MinCapacity=7, MaxCapacity=9, SuspendedState=suspended)
    for policy in look(name)["policies"]:
        held = {**policy["TargetTrackingScalingPolicyConfiguration"], "TargetValue": 1.0}
        scaling.put_scaling_policy(
            **at(name),
            PolicyName=policy["PolicyName"],
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=held,
        )
    return look(name)


def wipe(name):
    for policy in look(name)["policies"]:
        scaling.delete_scaling_policy(**at(name), PolicyName=policy["PolicyName"])
    scaling.deregister_scalable_target(**at(name))
    return look(name)


verbs = {"make": make, "unmake": unmake, "register": register, "look": look, "tamper": tamper, "wipe": wipe}
print(json.dumps(verbs[sys.argv[1]](*sys.argv[2:]), default=str))
