"""Reads the bodies of OTLP requests in a folder with OpenTelemetry's own messages; prints their spans as JSON.

usage: read_spans.py FOLDER
"""

import json
import pathlib
import sys

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def attributes(of):
    value = lambda any_value: getattr(any_value, any_value.WhichOneof("value"))
    return {attribute.key: value(attribute.value) for attribute in of}


spans = []
for file in sorted(pathlib.Path(sys.argv[1]).iterdir(), key=lambda file: int(file.name)):
    request = ExportTraceServiceRequest.FromString(file.read_bytes())
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                spans.append({
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": Span.SpanKind.Name(span.kind),
                    "nanos": span.end_time_unix_nano - span.start_time_unix_nano,
                    "status": span.status.code,
                    "attributes": attributes(span.attributes),
                    "resource": attributes(resource.resource.attributes),
                    "scope": scope.scope.name,
                })
print(json.dumps(spans))
