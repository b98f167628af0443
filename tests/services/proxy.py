"""A forward proxy with one thread per connection; whatever host it is asked for, it goes to BACKEND.

Usage: proxy.py PORT BACKEND. CONNECT opens a tunnel; an absolute-form request is passed on with
`/proxy` before its path.
"""

import http.client
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

BACKEND = ("127.0.0.1", int(sys.argv[2]))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self):
        with socket.create_connection(BACKEND) as backend:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=pump, args=(backend, self.connection))
            back.start()
            pump(self.connection, backend)
            back.join()
        self.close_connection = True

    def do_GET(self):
        connection = http.client.HTTPConnection(*BACKEND)
        connection.request("GET", "/proxy" + urlsplit(self.path).path)
        response = connection.getresponse()
        body = response.read()
        self.send_response(response.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        connection.close()

    def log_message(self, *_):
        pass


def pump(source, sink):
    while data := source.recv(1 << 16):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)


class Server(ThreadingHTTPServer):
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
