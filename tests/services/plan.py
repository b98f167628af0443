"""The plan protocol of the test services, for Python.

A request's `X-Plan` header tells the service what to do before it answers:
`{"work_ms": 5, "calls": [{"url": "http://…/s/r.2", "plan": {…}}]}`, calls one after another.
"""

import http.client
import json
import threading
import time
from urllib.parse import urlsplit

BODY = b"done\n"

_kept = threading.local()


def carry_out(header):
    """Does what the value of an X-Plan header says."""
    plan = json.loads(header or "{}")
    time.sleep(plan.get("work_ms", 0) / 1000)
    for call in plan.get("calls", []):
        fetch(call["url"], call.get("plan", {}))


def fetch(url, plan):
    """GETs a URL on this thread's kept connection and reads the answer to its end."""
    parts = urlsplit(url)
    connections = _kept.__dict__.setdefault("connections", {})
    connection = connections.get(parts.netloc)
    if connection is None:
        connection = connections[parts.netloc] = http.client.HTTPConnection(parts.netloc)
    connection.request("GET", parts.path, headers={"X-Plan": json.dumps(plan)})
    response = connection.getresponse()
    response.read()
    if response.status != 200:
        raise RuntimeError(f"{url} answered {response.status}")
