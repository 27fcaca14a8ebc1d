"""What the scripts for queues have in common."""

import json

import boto3


def drain(queue):
    """Takes every message out of a queue; their bodies, which are JSON."""
    sqs = boto3.client("sqs")
    seen = []
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            seen.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return seen
