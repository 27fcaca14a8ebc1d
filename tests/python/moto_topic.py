"""A topic with a queue behind it, at the endpoint of the environment: makes both and prints them as JSON, or drains a queue."""

import json
import sys

import boto3

from sqs import drain


def make():
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    topic = sns.create_topic(Name="money")["TopicArn"]
    queue = sqs.create_queue(QueueName="money")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return {"topic": topic, "queue": queue}


def budgets(account):
    return boto3.client("budgets").describe_budgets(AccountId=account)["Budgets"]


print(json.dumps({"make": make, "drain": drain, "budgets": budgets}[sys.argv[1]](*sys.argv[2:]), default=str))
