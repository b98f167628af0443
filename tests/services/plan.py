"""The plan protocol of the test services, for Python.

A request's `X-Plan` header tells the service what to do before it answers:
`{"work_ms": 5, "calls": [{"url": "http://…/s/r.2", "plan": {…}}]}`, calls one after another.
A `traceparent` is passed on as it came, as services do that know nothing of spans.
"""

import http.client
import json
import threading
import time
from urllib.parse import urlsplit

BODY = b"done\n"

_kept = threading.local()


def carry_out(header, traceparent=None):
    """Does what the value of an X-Plan header says."""
    plan = json.loads(header or "{}")
    time.sleep(plan.get("work_ms", 0) / 1000)
    for call in plan.get("calls", []):
        fetch(call["url"], call.get("plan", {}), traceparent)


def fetch(url, plan, traceparent=None):
    """GETs a URL on this thread's kept connection and reads the answer to its end."""
    parts = urlsplit(url)
    connections = _kept.__dict__.setdefault("connections", {})
    connection = connections.get(parts.netloc)
    if connection is None:
        connection = connections[parts.netloc] = http.client.HTTPConnection(parts.netloc)
    headers = {"X-Plan": json.dumps(plan)}
    if traceparent:
        headers["traceparent"] = traceparent
    connection.request("GET", parts.path, headers=headers)
    response = connection.getresponse()
    response.read()
    if response.status != 200:
        raise RuntimeError(f"{url} answered {response.status}")
