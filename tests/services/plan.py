"""The plan protocol of the test services, for Python.

A request's `X-Plan` header tells the service what to do before it answers:
`{"work_ms": 5, "calls": [{"url": "http://…/s/r.2", "plan": {…}}]}`, calls one after another.

- `"at_once": "task"`: one thread sends all calls, then reads their answers (where a runtime has no
  means for that: as it usually makes calls at once). `"threads"`: each call on a thread begun for it.
- `"status": 503`: what the service answers, after its calls; without it 200.
- `"retry": {"url": …, "plan": …}` in a call: what is called when the answer to it is no 200.

A `traceparent` is passed on as it came, as services do that know nothing of spans.
"""

import http.client
import json
import select
import threading
import time
from collections import defaultdict
from urllib.parse import urlsplit

BODY = b"done\n"

# Kept connections by host and port, for whichever thread needs one next.
_idle = defaultdict(list)


def carry_out(header, traceparent=None):
    """Does what the value of an X-Plan header says; returns the status to answer with."""
    plan = json.loads(header or "{}")
    time.sleep(plan.get("work_ms", 0) / 1000)
    calls = plan.get("calls", [])
    match plan.get("at_once"):
        case "task":
            sent = [_send(call["url"], call.get("plan", {}), traceparent) for call in calls]
            for call, request in zip(calls, sent):
                _finish(call, _receive(request), traceparent)
        case "threads":
            _on_threads(calls, traceparent)
        case _:
            for call in calls:
                _call(call, traceparent)
    return plan.get("status", 200)


def fetch(url, plan, traceparent=None):
    """GETs a URL and reads the answer to its end."""
    _call({"url": url, "plan": plan}, traceparent)


def _call(call, traceparent):
    _finish(call, _receive(_send(call["url"], call.get("plan", {}), traceparent)), traceparent)


def _finish(call, status, traceparent):
    if status != 200 and "retry" in call:
        _call(call["retry"], traceparent)
    elif status != 200:
        raise RuntimeError(f"{call['url']} answered {status}")


def _on_threads(calls, traceparent):
    failures = []

    def run(call):
        try:
            _call(call, traceparent)
        except Exception as failure:  # raised by the thread that waits
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _send(url, plan, traceparent):
    parts = urlsplit(url)
    connection = _connection(parts.netloc)
    headers = {"X-Plan": json.dumps(plan, separators=(",", ":"))}
    if traceparent:
        headers["traceparent"] = traceparent
    connection.request("GET", parts.path, headers=headers)
    return parts.netloc, connection


def _receive(sent):
    netloc, connection = sent
    response = connection.getresponse()
    response.read()
    if connection.sock:  # else the server has asked for it to be closed
        _idle[netloc].append(connection)
    return response.status


def _connection(netloc):
    """A kept connection that its server has not closed, or a new one."""
    idle = _idle[netloc]
    while True:
        try:
            connection = idle.pop()
        except IndexError:
            return http.client.HTTPConnection(netloc)
        readable = select.poll()
        readable.register(connection.sock, select.POLLIN)
        # Nothing was asked for: what there is to read is the end.
        if not readable.poll(0):
            return connection
        connection.close()
