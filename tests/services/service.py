"""A plan service on Python's http.server: one thread, or process, per connection.

Usage: service.py PORT [forking] [everywhere] [streaming | late] [WAY]. It listens on the loopback,
or `everywhere`, for IPv6 too. It makes its calls one after another on the serving thread, or in a
WAY of ways.py; before it answers, or when it has begun to (`streaming`), or when it has (`late`).
Its sockets are blocking.
"""

import itertools
import json
import socket
import sys
import time
from http.server import HTTPServer, ThreadingHTTPServer
from socketserver import ForkingMixIn

import handler
from plan import BODY
from ways import WAYS

NUMBERS = itertools.count()
WAY = next((WAYS[word] for word in sys.argv if word in WAYS), None)


class Handler(handler.Handler):
    def do_GET(self):
        if "streaming" in sys.argv:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(BODY), BODY))
            self.make_calls()
            self.wfile.write(b"0\r\n\r\n")
        elif "late" in sys.argv:
            self.answer_early()
            self.make_calls()
        else:
            self.answer(self.make_calls())

    def answer_early(self):
        """Answers in two writes and in one, whose body begins like a line end, by turns."""
        number = next(NUMBERS)
        if number % 2:
            return self.answer(200)
        # Wherever its words begin, for who looks at a head word by word.
        padding = b"x" * (number // 2 % 8)
        body = b"\n" + BODY
        head = b"HTTP/1.1 200 OK\r\nX-Padding: %b\r\nContent-Length: %d\r\n\r\n"
        self.wfile.write(head % (padding, len(body)) + body)

    def make_calls(self):
        if WAY is None:
            return super().make_calls()
        plan = json.loads(self.headers.get("X-Plan") or "{}")
        time.sleep(plan.get("work_ms", 0) / 1000)
        WAY(plan.get("calls", []))
        return 200


class Threading(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


class Forking(ForkingMixIn, HTTPServer):
    request_queue_size = 1024
    max_children = 1024


server = Forking if "forking" in sys.argv else Threading
address = handler.ADDRESS
if "everywhere" in sys.argv:
    server.address_family = socket.AF_INET6
    address = "::"
server((address, int(sys.argv[1])), Handler).serve_forever()
