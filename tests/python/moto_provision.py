"""What SageMaker holds in the account of the environment, and what somebody else makes there; prints JSON."""

import json
import sys

import boto3

sagemaker = boto3.client("sagemaker")


def tags(arn):
    return {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}


def look():
    models = {model["ModelName"]: tags(model["ModelArn"]) for model in sagemaker.list_models()["Models"]}
    configs = {}
    for config in sagemaker.list_endpoint_configs()["EndpointConfigs"]:
        name = config["EndpointConfigName"]
        variant = sagemaker.describe_endpoint_config(EndpointConfigName=name)["ProductionVariants"][0]
        configs[name] = {**tags(config["EndpointConfigArn"]), "variant": variant}
    endpoints = {}
    for endpoint in sagemaker.list_endpoints()["Endpoints"]:
        said = sagemaker.describe_endpoint(EndpointName=endpoint["EndpointName"])
        endpoints[endpoint["EndpointName"]] = {**tags(said["EndpointArn"]), "config": said["EndpointConfigName"]}
    return {"models": models, "configs": configs, "endpoints": endpoints}


def make(name):
    role = "arn:aws:iam::123456789012:role/runs-models"
    sagemaker.create_model(ModelName=f"{name}-model", ExecutionRoleArn=role)
    variant = {"VariantName": "AllTraffic", "ModelName": f"{name}-model", "InitialInstanceCount": 1, "InstanceType": "ml.m5.xlarge"}
    sagemaker.create_endpoint_config(EndpointConfigName=f"{name}-config", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-config")
    return look()


verbs = {"look": look, "make": make}
print(json.dumps(verbs[sys.argv[1]](*sys.argv[2:]), default=str))
