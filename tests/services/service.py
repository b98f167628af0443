"""A plan service on Python's http.server: one thread, or process, per connection.

Usage: service.py PORT [forking] [everywhere]. It listens on the loopback, or `everywhere`, for IPv6
too. Its sockets are blocking.
"""

import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from socketserver import ForkingMixIn

from plan import BODY, carry_out


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        carry_out(self.headers.get("X-Plan"), self.headers.get("traceparent"))
        self.send_response(200)
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


class Threading(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


class Forking(ForkingMixIn, HTTPServer):
    request_queue_size = 1024


server = Forking if "forking" in sys.argv else Threading
address = "127.0.0.1"
if "everywhere" in sys.argv:
    server.address_family = socket.AF_INET6
    address = "::"
server((address, int(sys.argv[1])), Handler).serve_forever()
