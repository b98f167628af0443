"""The plan protocol with OpenTelemetry's own SDK: requests, instrumented by its library.

Where the spans go, and which are sampled, is told by OpenTelemetry's environment variables.
"""

import json
import threading
import time

import requests
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

_kept = threading.local()


def set_up():
    """Installs the SDK; to be called once, before the first request. Returns its provider."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    RequestsInstrumentor().instrument()
    return provider


def carry_out(header):
    """Does what the value of an X-Plan header says."""
    plan = json.loads(header or "{}")
    time.sleep(plan.get("work_ms", 0) / 1000)
    for call in plan.get("calls", []):
        fetch(call["url"], call.get("plan", {}))


def fetch(url, plan):
    """GETs a URL on this thread's kept connections."""
    if not hasattr(_kept, "session"):
        _kept.session = requests.Session()
    response = _kept.session.get(url, headers={"X-Plan": json.dumps(plan)})
    response.raise_for_status()
