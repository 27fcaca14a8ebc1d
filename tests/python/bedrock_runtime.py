"""Calls of the Bedrock runtime by boto3; prints as JSON what the application would have seen, one list entry a call.

usage: bedrock_runtime.py ENDPOINT_URL CALLS, where calls are a JSON list of {"do": operation, ...arguments}
Only the address differs from a program that talks to AWS. "attempts" counts what botocore itself sent.
"""

import json
import sys

import boto3
from botocore.exceptions import ClientError, EventStreamError

client = boto3.client("bedrock-runtime", region_name="eu-west-1", endpoint_url=sys.argv[1])
sent = 0


def count(**_):
    global sent
    sent += 1


client.meta.events.register("before-send.bedrock-runtime.*", count)


def bytes_of(value):
    """Base64 in the calls stands for bytes, as boto3 takes them."""
    if isinstance(value, dict):
        return {k: bytes.fromhex(v) if k == "bytes" else bytes_of(v) for k, v in value.items()}
    return [bytes_of(v) for v in value] if isinstance(value, list) else value


def headers(answer):
    found = answer["ResponseMetadata"]["HTTPHeaders"]
    names = ["target", "cost-usd", "attempts"]
    seen = {name: found.get("x-tollway-" + name) for name in names}
    seen["tokens"] = [found.get(f"x-amzn-bedrock-{way}-token-count") for way in ("input", "output")]
    return seen


def converse(**arguments):
    answer = client.converse(**arguments)
    return {
        "content": answer["output"]["message"]["content"],
        "stop": answer["stopReason"],
        "usage": answer["usage"],
        "latency": answer["metrics"]["latencyMs"],
        "headers": headers(answer),
    }


def converse_stream(**arguments):
    seen = {"text": "", "input": "", "events": [], "stop": None, "usage": None}
    try:
        for event in client.converse_stream(**arguments)["stream"]:
            (kind, said), = event.items()
            if kind not in seen["events"][-1:]:
                seen["events"].append(kind)
            if kind == "contentBlockStart":
                seen["tool"] = said["start"]["toolUse"]["name"]
            if kind == "contentBlockDelta":
                seen["text"] += said["delta"].get("text", "")
                seen["input"] += said["delta"].get("toolUse", {}).get("input", "")
            if kind == "messageStop":
                seen["stop"] = said["stopReason"]
            if kind == "metadata":
                seen["usage"] = said["usage"]
    except EventStreamError as error:
        seen["broken"] = error.response["Error"]["Code"]
    return seen


def invoke_model(body, **arguments):
    answer = client.invoke_model(body=json.dumps(body), **arguments)
    return {"body": json.loads(answer["body"].read()), "headers": headers(answer)}


def invoke_model_with_response_stream(body, **arguments):
    seen = {"chunks": []}
    try:
        answer = client.invoke_model_with_response_stream(body=json.dumps(body), **arguments)
        seen["contentType"] = answer["contentType"]
        for event in answer["body"]:
            seen["chunks"].append(json.loads(event["chunk"]["bytes"]))
    except EventStreamError as error:
        seen["broken"] = error.response["Error"]["Code"]
    return seen


def seen_of(call):
    global sent
    sent = 0
    try:
        seen = globals()[call.pop("do")](**bytes_of(call))
    except ClientError as error:
        meta = error.response["ResponseMetadata"]
        seen = {
            "error": type(error).__name__,
            "code": error.response["Error"]["Code"],
            "message": error.response["Error"]["Message"],
            "status": meta["HTTPStatusCode"],
        }
    return {**seen, "sent": sent}


print(json.dumps([seen_of(call) for call in json.loads(sys.argv[2])]))
