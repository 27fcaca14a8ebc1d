"""In: the address of a Bedrock runtime as AWS_ENDPOINT_URL_BEDROCK_RUNTIME, keys, and a model id. Out: what boto3 made of it, as JSON.

Walks into the errors that the caller scripted before and inside streams, then drives Converse and ConverseStream as an application would.
"""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

model = sys.argv[1]
client = boto3.client("bedrock-runtime", region_name="us-east-1", config=Config(retries={"total_max_attempts": 1}))
hello = [{"role": "user", "content": [{"text": "what time is it?"}]}]


def plain(**more):
    return client.converse(modelId=model, messages=hello, **more)


def streamed():
    events = []
    try:
        for event in client.converse_stream(modelId=model, messages=hello)["stream"]:
            events.append(event)
    except EventStreamError as error:
        return events, error.response["Error"]["Code"]
    return events, None


def failure():
    try:
        plain()
    except ClientError as error:
        return {
            "code": error.response["Error"]["Code"],
            "status": error.response["ResponseMetadata"]["HTTPStatusCode"],
            "type": type(error).__name__,
        }
    return None


failures = [failure() for _ in range(int(sys.argv[2]))]
in_stream = [streamed()[1] for _ in range(int(sys.argv[3]))]
answer = plain(inferenceConfig={"maxTokens": 100})
answer.pop("ResponseMetadata")
events, error = streamed()
assert error is None, error
print(json.dumps({"plain": answer, "events": events, "failures": failures, "inStream": in_stream}))
