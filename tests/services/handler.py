"""What the services on Python's http.server have in common."""

import os
from http.server import BaseHTTPRequestHandler

from plan import BODY, carry_out

# Where to listen: the address of the host that the service stands for.
ADDRESS = os.environ.get("SERVICE_ADDRESS", "127.0.0.1")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes; the second would wait for the first one's acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self):
        self.answer(self.make_calls())

    def make_calls(self):
        """Carries the plan out, and gives the status to answer with."""
        return carry_out(self.headers.get("X-Plan"), self.headers.get("traceparent"))

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        while left > 0:
            left -= len(self.rfile.read(min(left, 1 << 16)))
        self.do_GET()

    def log_message(self, *_):
        pass
