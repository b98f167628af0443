"""A plan service with OpenTelemetry's own SDK: Flask, instrumented by its library, a thread per
connection.

Usage: sdk_service.py PORT. Writes a line of JSON for each request: its path and its header lines.
"""

import json
import sys

import sdk
from flask import Flask, request
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from plan import BODY
from werkzeug.serving import WSGIRequestHandler, run_simple

sdk.set_up()
application = Flask(__name__)
FlaskInstrumentor().instrument_app(application)


@application.get("/<path:_path>")
def serve(_path):
    sdk.carry_out(request.headers.get("X-Plan"))
    return BODY


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def make_environ(self):
        # WSGI joins header lines of one name; here they are as they came.
        line = {"path": self.path, "headers": self.headers.items()}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        return super().make_environ()

    def log_request(self, *_):
        pass


run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True, request_handler=Handler)
