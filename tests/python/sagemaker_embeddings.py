"""InvokeEndpoint by boto3 with nothing changed but its address; prints as JSON what the application would have seen.

usage: sagemaker_embeddings.py ENDPOINT_URL ENDPOINT_NAME BODY
"""

import json
import sys

import boto3
import botocore.config
import botocore.exceptions


def main():
    endpoint_url, name, body = sys.argv[1:4]
    client = boto3.client(
        "sagemaker-runtime",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="an-application",
        aws_secret_access_key="its-own-secret",
        config=botocore.config.Config(retries={"max_attempts": 0}),
    )
    try:
        answer = client.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=body)
        seen = {"answer": json.loads(answer["Body"].read()), "variant": answer["InvokedProductionVariant"]}
    except botocore.exceptions.ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        seen = {"error": {"status": status, "code": error.response["Error"]["Code"], "message": error.response["Error"]["Message"]}}
    print(json.dumps(seen))


main()
