"""The responses API by the openai package; prints as JSON what the application would have seen.

usage: openai_responses.py BASE_URL MODEL plain|stream|tools|stored
"""

import json
import sys

import openai

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def usage(answer):
    return [answer.usage.input_tokens, answer.usage.output_tokens]


def plain(client, model):
    raw = client.responses.with_raw_response.create(model=model, input="Is the road open?", instructions="Be brief.")
    answer = raw.parse()
    return {
        "text": answer.output_text,
        "status": answer.status,
        "store": answer.model_extra.get("store"),
        "usage": usage(answer),
        "cost": raw.headers.get("x-tollway-cost-usd"),
    }


def stream(client, model):
    seen = {"text": "", "events": [], "numbers": []}
    try:
        for event in client.responses.create(model=model, input="Is the road open?", stream=True):
            seen["numbers"].append(event.sequence_number)
            if not seen["events"] or seen["events"][-1] != event.type:
                seen["events"].append(event.type)
            if event.type == "response.output_text.delta":
                seen["text"] += event.delta
            elif event.type == "response.completed":
                seen["whole"] = event.response.output_text
                seen["usage"] = usage(event.response)
            elif event.type == "error":
                seen["broken"] = {"code": event.code, "message": event.message}
    except openai.APIError as error:
        seen["broken"] = {"code": error.code, "message": error.message}
    return seen


def tools(client, model):
    """Calls until the model has an answer, sending back what it said as it said it."""
    items = [{"role": "user", "content": "Weather in Graz?"}]
    calls = []
    for _ in range(3):
        answer = client.responses.create(model=model, input=items, tools=[WEATHER])
        items += answer.output
        asked = [item for item in answer.output if item.type == "function_call"]
        if not asked:
            return {"text": answer.output_text, "calls": calls}
        for call in asked:
            calls.append([call.name, json.loads(call.arguments)])
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": "clear"})
    return {"calls": calls}


def stored(client, model):
    client.responses.create(model=model, input="And now?", previous_response_id="resp_1")


def main():
    base_url, model, what = sys.argv[1:4]
    client = openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0)
    try:
        seen = {"plain": plain, "stream": stream, "tools": tools, "stored": stored}[what](client, model)
    except openai.APIStatusError as error:
        seen = {"error": {"status": error.status_code, "code": error.code, "param": error.param, "message": error.message}}
    print(json.dumps(seen))


main()
