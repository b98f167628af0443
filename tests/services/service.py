"""A plan service on Python's http.server: one thread, or process, per connection.

Usage: service.py PORT [forking] [everywhere] [streaming | late] [WAY]. It listens on the loopback,
or `everywhere`, for IPv6 too. It makes its calls one after another on the serving thread, or in a
WAY of ways.py; before it answers, or when it has begun to (`streaming`), or when it has (`late`).
Its sockets are blocking.
"""

import json
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from socketserver import ForkingMixIn

from plan import BODY, carry_out
from ways import WAYS

WAY = next((WAYS[word] for word in sys.argv if word in WAYS), None)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if "streaming" in sys.argv:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(BODY), BODY))
            self.make_calls()
            self.wfile.write(b"0\r\n\r\n")
            return
        if "late" not in sys.argv:
            self.make_calls()
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)
        if "late" in sys.argv:
            self.make_calls()

    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        while left > 0:
            left -= len(self.rfile.read(min(left, 1 << 16)))
        self.do_GET()

    def make_calls(self):
        header = self.headers.get("X-Plan")
        if WAY is None:
            return carry_out(header, self.headers.get("traceparent"))
        plan = json.loads(header or "{}")
        time.sleep(plan.get("work_ms", 0) / 1000)
        WAY(plan.get("calls", []))

    def log_message(self, *_):
        pass


class Threading(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


class Forking(ForkingMixIn, HTTPServer):
    request_queue_size = 1024
    max_children = 1024


server = Forking if "forking" in sys.argv else Threading
address = "127.0.0.1"
if "everywhere" in sys.argv:
    server.address_family = socket.AF_INET6
    address = "::"
server((address, int(sys.argv[1])), Handler).serve_forever()
