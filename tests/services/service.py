"""A plan service on Python's http.server: one thread, or process, per connection.

Usage: service.py PORT [forking]. Its sockets are blocking.
"""

import sys
from http.server import HTTPServer, ThreadingHTTPServer
from socketserver import ForkingMixIn

from handler import ADDRESS, Handler


class Threading(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


class Forking(ForkingMixIn, HTTPServer):
    request_queue_size = 1024


server = Forking if "forking" in sys.argv else Threading
server((ADDRESS, int(sys.argv[1])), Handler).serve_forever()
