"""A plan service that hands requests on: one thread reads those of all connections, and a pool of
workers carries them out and answers. A request's way to its worker is a pipe.

Usage: handing.py PORT WORKERS.
"""

import os
import selectors
import socket
import struct
import sys
import threading
import traceback

from handler import ADDRESS
from plan import BODY, carry_out

ANSWER = b"HTTP/1.1 %d Done\r\nContent-Length: %d\r\n\r\n" + BODY

# A pipe keeps what is written in one piece together (up to PIPE_BUF): one number is one request.
NUMBER = struct.Struct("=I")
ready, hand_over = os.pipe()

connections = {}
requests = {}


def head_of(head, name):
    """The value of a header; None where there is none."""
    for line in head.split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return None


def work():
    while True:
        (number,) = NUMBER.unpack(os.read(ready, NUMBER.size))
        head = requests.pop(number)
        try:
            status = carry_out(head_of(head, "x-plan"), head_of(head, "traceparent"))
        except Exception:
            traceback.print_exc()
            status = 500
        connections[number].sendall(ANSWER % (status, len(BODY)))


def read(number):
    """Reads what has come; hands on the request that is complete by it. They have no bodies."""
    received = connections[number].recv(1 << 16)
    if not received:
        selector.unregister(connections[number])
        connections.pop(number).close()
        parts.pop(number, None)
        return
    parts[number] = parts.get(number, b"") + received
    if parts[number].endswith(b"\r\n\r\n"):
        requests[number] = parts.pop(number).decode("latin-1")
        os.write(hand_over, NUMBER.pack(number))


parts = {}
listener = socket.create_server((ADDRESS, int(sys.argv[1])), backlog=1024)
selector = selectors.DefaultSelector()
selector.register(listener, selectors.EVENT_READ)
for _ in range(int(sys.argv[2])):
    threading.Thread(target=work, daemon=True).start()
while True:
    for key, _ in selector.select():
        if key.fileobj is listener:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connections[connection.fileno()] = connection
            selector.register(connection, selectors.EVENT_READ)
        else:
            read(key.fd)
