"""Calls of the SageMaker and AgentCore runtimes by boto3; prints as JSON what the application would have seen.

usage: hosted_client.py ENDPOINT_URL
"""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

config = Config(retries={"total_max_attempts": 1}, region_name="us-east-1")
sagemaker = boto3.client("sagemaker-runtime", endpoint_url=sys.argv[1], config=config)
agents = boto3.client("bedrock-agentcore", endpoint_url=sys.argv[1], config=config)
CHAT = {"messages": [{"role": "user", "content": "hello"}], "model": "vllm-chat", "max_tokens": 64}
PROMPT = {"inputs": "[INST] hello [/INST]", "parameters": {"max_new_tokens": 64, "details": True}}


def invoke(name, body):
    answer = sagemaker.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=json.dumps(body))
    return json.loads(answer["Body"].read())


def main():
    seen = {}
    try:
        invoke("vllm-chat", CHAT)
    except ClientError as error:
        seen["failure"] = {"code": error.response["Error"]["Code"], "status": error.response["ResponseMetadata"]["HTTPStatusCode"]}
    seen["chat"] = invoke("vllm-chat", CHAT)["choices"][0]["message"]["content"]
    seen["generated"] = invoke("codellama-70b", PROMPT)[0]["generated_text"]
    answer = sagemaker.invoke_endpoint_with_response_stream(
        EndpointName="codellama-70b", ContentType="application/json", Body=json.dumps({**PROMPT, "stream": True})
    )
    lines = b"".join(part["PayloadPart"]["Bytes"] for part in answer["Body"]).decode().split("\n\n")
    events = [json.loads(line.removeprefix("data:")) for line in lines if line]
    seen["streamed"] = "".join(event["token"]["text"] for event in events if not event["token"]["special"])
    answer = agents.invoke_agent_runtime(
        agentRuntimeArn="arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/helper",
        runtimeSessionId="s" * 33,
        payload=json.dumps({"prompt": "hello"}),
    )
    seen["agent"] = json.loads(answer["response"].read())["result"]
    print(json.dumps(seen))


main()
