"""Embeddings by the openai package; prints as JSON what the application would have seen.

usage: openai_embeddings.py BASE_URL MODEL OPTIONS TEXT...   (OPTIONS: a JSON object of further arguments)
"""

import json
import sys

import openai


def main():
    base_url, model, options = sys.argv[1:4]
    client = openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0)
    try:
        raw = client.embeddings.with_raw_response.create(model=model, input=sys.argv[4:], **json.loads(options))
        answer = raw.parse()
        seen = {
            "first": [item.embedding[0] for item in answer.data],
            "lengths": [len(item.embedding) for item in answer.data],
            "indexes": [item.index for item in answer.data],
            "tokens": answer.usage.prompt_tokens,
            "cost": raw.headers.get("x-tollway-cost-usd"),
            "cache": raw.headers.get("x-tollway-cache"),
            "vectors": [item.embedding for item in answer.data],
        }
    except openai.APIStatusError as error:
        seen = {"error": {"status": error.status_code, "code": error.code, "param": error.param}}
    print(json.dumps(seen))


main()
