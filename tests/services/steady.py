"""Connections on which every byte is checked, for as long as it runs.

Usage: steady.py serve PORT
       steady.py ask PORT CONNECTIONS NAME

The server answers with the request as it came, but for an inserted `traceparent`; the client, which
has none of its own, compares. Until SIGTERM; now and then, and at its end, it prints on a line how many
requests were answered so far. Whatever is not as it should be ends it at once with status 1. Paths are
/s/NAME-CONNECTION-NUMBER.1.
"""

import os
import signal
import socket
import sys
import threading

END = b"\r\n\r\n"


def message(connection):
    """The next message: head and body, or nothing at the end of the stream."""
    received = b""
    while END not in received:
        more = connection.recv(1 << 16)
        if not more:
            return None
        received += more
    head, body = received.split(END, 1)
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0
    )
    while len(body) < length:
        more = connection.recv(1 << 16)
        if not more:
            return None
        body += more
    return head, body


def serve(connection):
    while request := message(connection):
        head, body = request
        lines = head.split(b"\r\n")
        own = [line for line in lines if not line.lower().startswith(b"traceparent:")]
        status = b"200 OK" if len(lines) - len(own) < 2 else b"500 Two headers"
        answer = b"\r\n".join(own) + END + body
        connection.sendall(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(answer), answer))
    connection.close()


def ask(address, place, name):
    number = 0
    while not over.wait(0.005):
        # One connection in four is kept for good; the others are renewed.
        if number == 0 or place % 4 and number % 50 == 0:
            connection = socket.create_connection(address)
            connection.settimeout(20)
        number += 1
        body = b"0123456789" * (number % 50)
        request = b"POST /s/%b-%d-%d.1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (
            name.encode(),
            place,
            number,
            len(body),
            body,
        )
        connection.sendall(request)
        answer = message(connection)
        if answer is None or not answer[0].startswith(b"HTTP/1.1 200 ") or answer[1] != request:
            raise RuntimeError(f"{request} was answered with {answer}")
        counts[place] = number


def careful(place):
    try:
        ask(("127.0.0.1", int(sys.argv[2])), place, sys.argv[4])
    except Exception as failure:  # a thread must not end without a word
        print(repr(failure), flush=True)
        os._exit(1)


if sys.argv[1] == "serve":
    listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

over = threading.Event()
counts = [0] * int(sys.argv[3])
signal.signal(signal.SIGTERM, lambda *_: over.set())
threads = [threading.Thread(target=careful, args=(n,)) for n in range(len(counts))]
for thread in threads:
    thread.start()
while not over.wait(0.5):
    print(sum(counts), flush=True)
for thread in threads:
    thread.join()
print(sum(counts))
