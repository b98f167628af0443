"""An HTTP server that looks a name up before it answers, as many at once as are asked.

Usage: resolving.py PORT. `GET /s/<request>.<hop>?NAME` asks the system's resolver (getaddrinfo) for NAME,
on the thread that serves the request.
"""

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        _, _, name = self.path.partition("?")
        found = socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)
        body = f"{found[0][4][0]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
