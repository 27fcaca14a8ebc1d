"""One request by the anthropic package; prints as JSON what the application would have seen.

usage: anthropic_messages.py BASE_URL MODEL PROMPT [--stream | --tools | --count]
"""

import json
import sys

import anthropic

CLOCK = {"name": "clock", "description": "Tells the time.", "input_schema": {"type": "object", "properties": {"zone": {"type": "string"}}}}


def told(message):
    return {
        "text": "".join(block.text for block in message.content if block.type == "text"),
        "thinking": [[block.thinking, block.signature] for block in message.content if block.type == "thinking"],
        "calls": [[block.id, block.name, block.input] for block in message.content if block.type == "tool_use"],
        "stop": message.stop_reason,
        "usage": [message.usage.input_tokens, message.usage.output_tokens],
    }


def plain(client, request):
    answer = client.messages.with_raw_response.create(**request)
    headers = {name: answer.headers.get(f"x-tollway-{name}") for name in ("target", "attempts", "cost-usd")}
    return {**told(answer.parse()), **headers}


def streamed(client, request):
    seen = {"text": ""}
    try:
        with client.messages.stream(**request) as stream:
            for text in stream.text_stream:
                seen["text"] += text
            seen = told(stream.get_final_message())
    except anthropic.APIStatusError as error:
        if error.status_code != 200:
            raise
        seen["broken"] = failed(error)
    except anthropic.APIError as error:
        seen["broken"] = failed(error)
    return seen


def tools(client, request):
    """Calls the tool as long as the model wants it."""
    request = {**request, "tools": [CLOCK]}
    turns = []
    while len(turns) < 5:
        with client.messages.stream(**request) as stream:
            message = stream.get_final_message()
        turns.append(told(message))
        if message.stop_reason != "tool_use":
            break
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": [{"type": "text", "text": "12:00"}]}
            for block in message.content
            if block.type == "tool_use"
        ]
        content = [block.model_dump(exclude_none=True) for block in message.content]
        history = [{"role": "assistant", "content": content}, {"role": "user", "content": results}]
        request["messages"] = request["messages"] + history
    return {"turns": turns}


def count(client, request):
    request.pop("max_tokens")
    answer = client.messages.count_tokens(**request)
    return {"input_tokens": answer.input_tokens, "estimated": bool(answer.model_extra.get("estimated"))}


def failed(error):
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error") or {}
    return {
        "kind": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "type": inner.get("type"),
        "code": inner.get("code"),
        "message": inner.get("message"),
    }


def main():
    base_url, model, prompt = sys.argv[1:4]
    client = anthropic.Anthropic(base_url=base_url, api_key="key-of-shop", max_retries=0)
    request = {"model": model, "max_tokens": 200, "messages": [{"role": "user", "content": prompt}]}
    modes = {"--stream": streamed, "--tools": tools, "--count": count}
    mode = modes.get(sys.argv[4], plain) if len(sys.argv) > 4 else plain
    try:
        seen = mode(client, request)
    except anthropic.APIStatusError as error:
        seen = {"error": failed(error)}
    print(json.dumps(seen))


main()
