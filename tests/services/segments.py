"""Sends HTTP requests over kept connections in ways that make unusual segments of them.

    segments.py WAY URL...

The ways:
  plain      each request in one send
  nagle      head and body in sends of their own, without TCP_NODELAY
  corked     head and body in sends of their own, under TCP_CORK until the request is whole
  bytes      the head byte by byte
  long       with a body of many segments
Prints how many answers were 200.
"""

import socket
import sys
from urllib.parse import urlsplit

LONG = 200_000


def answer(stream):
    """Reads one answer (its length is known) and returns its status."""
    head = b""
    while b"\r\n\r\n" not in head:
        more = stream.recv(65536)
        if not more:
            raise EOFError("the connection ended")
        head += more
    head, _, body = head.partition(b"\r\n\r\n")
    fields = dict(
        line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line
    )
    left = int(fields[b"content-length"]) - len(body)
    while left > 0:
        left -= len(stream.recv(65536))
    return head.split(b" ")[1]


def send(stream, way, url):
    body = b"x" * (LONG if way == "long" else 100)
    head = (
        f"PUT {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    if way in ("plain", "long"):
        stream.sendall(head + body)
    elif way == "bytes":
        for at in range(len(head)):
            stream.sendall(head[at : at + 1])
        stream.sendall(body)
    else:
        if way == "corked":
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        stream.sendall(head[:10])
        stream.sendall(head[10:])
        stream.sendall(body)
        if way == "corked":
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


def main():
    way, urls = sys.argv[1], [urlsplit(url) for url in sys.argv[2:]]
    good = 0
    with socket.create_connection((urls[0].hostname, urls[0].port)) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, way in ("plain", "bytes"))
        for url in urls:
            send(stream, way, url)
            good += answer(stream) == b"200"
    print(good)


main()
