"""One chat completion by the openai package; prints as JSON what the application would have seen.

usage: openai_chat.py BASE_URL MODEL PROMPT [--stream]
"""

import json
import sys

import openai


def plain(client, request):
    answer = client.chat.completions.with_raw_response.create(**request)
    headers = answer.headers
    answer = answer.parse()
    choice = answer.choices[0]
    return {
        "text": choice.message.content,
        "finish": choice.finish_reason,
        "usage": [answer.usage.prompt_tokens, answer.usage.completion_tokens],
        "target": headers.get("x-tollway-target"),
        "attempts": headers.get("x-tollway-attempts"),
        "cost": headers.get("x-tollway-cost-usd"),
    }


def streamed(client, request):
    seen = {"text": "", "finish": None, "usage": None}
    chunks = client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **request)
    try:
        for chunk in chunks:
            if chunk.usage:
                seen["usage"] = [chunk.usage.prompt_tokens, chunk.usage.completion_tokens]
            for choice in chunk.choices:
                seen["text"] += choice.delta.content or ""
                seen["finish"] = choice.finish_reason or seen["finish"]
    except openai.APIError as error:
        seen["broken"] = {"kind": type(error).__name__, "code": error.code, "message": error.message}
    return seen


def main():
    base_url, model, prompt = sys.argv[1:4]
    client = openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0)
    request = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    try:
        seen = (streamed if "--stream" in sys.argv else plain)(client, request)
    except openai.APIStatusError as error:
        seen = {"error": {"kind": type(error).__name__, "status": error.status_code, "code": error.code, "message": error.message}}
    print(json.dumps(seen))


main()
