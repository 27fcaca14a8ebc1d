"""A bucket and a queue at the endpoint of the environment: makes both, prints the bucket's keys, or drains the queue; all as JSON."""

import json
import sys

import boto3

from sqs import drain


def make(bucket, queue):
    boto3.client("s3").create_bucket(Bucket=bucket)
    return {"queue": boto3.client("sqs").create_queue(QueueName=queue)["QueueUrl"]}


def keys(bucket):
    pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [found["Key"] for page in pages for found in page.get("Contents", [])]


print(json.dumps({"make": make, "keys": keys, "drain": drain}[sys.argv[1]](*sys.argv[2:])))
