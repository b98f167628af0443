"""A plan service of a fixed number of workers, begun beforehand: each accepts a connection, serves
it to its end, and accepts the next. So there must be as many as there are connections.

Usage: accepting.py PORT threads|processes WORKERS. Its sockets are blocking.
"""

import os
import sys
import threading
from http.server import HTTPServer

from handler import ADDRESS, Handler


class Server(HTTPServer):
    request_queue_size = 1024


def work():
    while True:
        connection, address = server.socket.accept()
        try:
            server.finish_request(connection, address)
        except Exception:
            server.handle_error(connection, address)
        finally:
            server.shutdown_request(connection)


server = Server((ADDRESS, int(sys.argv[1])), Handler)
kind, workers = sys.argv[2], int(sys.argv[3])
for _ in range(workers - 1):
    if kind == "threads":
        threading.Thread(target=work, daemon=True).start()
    elif os.fork() == 0:
        break
work()
