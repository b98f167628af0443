"""What the demo's Python services share: a threaded HTTP/1.1 server that answers JSON."""

import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def serve(address, answer):
    """Serves at host:port; `answer(method, path)` gives each response's status and content."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self):
            length = int(self.headers.get("Content-Length", 0))
            self.rfile.read(length)
            status, content = answer(self.command, self.path)
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = respond

        def log_message(self, format, *args):
            pass

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    host, port = address.rsplit(":", 1)
    ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
