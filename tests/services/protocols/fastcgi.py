"""A web server's half of FastCGI: fastcgi.py PORT [SCRIPT]. Prints what it did, a line of JSON for each
operation.

Asks an application on 127.0.0.1: fastcgi.go beside this, or php-fpm with SCRIPT, the path of a PHP file.
"""

import json
import socket
import struct
import sys

BEGIN_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT = 1, 3, 4, 5, 6
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def record(kind, content):
    return struct.pack(">BBHHBx", 1, kind, 1, len(content), 0) + content


def pair(name, value):
    name, value = name.encode(), value.encode()
    lengths = b"".join(
        bytes([len(text)]) if len(text) < 128 else struct.pack(">I", len(text) | 1 << 31)
        for text in (name, value)
    )
    return lengths + name + value


def exactly(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more, "closed too early"
        data += more
    return data


def ask(connection, method, uri, body=b"", script=None):
    """Says with which status it was answered."""
    path, _, query = uri.partition("?")
    params = {
        "REQUEST_METHOD": method,
        "REQUEST_URI": uri,
        "SCRIPT_NAME": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "40000",
        "HTTP_HOST": "shop.example",
        "HTTP_TRACEPARENT": TRACE,
    }
    if script:
        params["SCRIPT_FILENAME"] = script
    pairs = b"".join(pair(*item) for item in params.items())
    connection.sendall(
        record(BEGIN_REQUEST, struct.pack(">HB5x", 1, 1))
        + record(PARAMS, pairs)
        + record(PARAMS, b"")
        + (record(STDIN, body) if body else b"")
        + record(STDIN, b"")
    )
    output = b""
    while True:
        _, kind, _, length, padding = struct.unpack(">BBHHBx", exactly(connection, 8))
        content = exactly(connection, length + padding)[:length]
        if kind == STDOUT:
            output += content
        if kind == END_REQUEST:
            break
    head = output.split(b"\r\n\r\n")[0].decode()
    fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n"))
    return int(fields.get("status", "200")[:3])


def operation(method, uri, status):
    """What its spans must show."""
    shown = {"http.response.status_code": status}
    return {
        "name": method,
        "kind": "client",
        "error": status >= 400,
        "server_error": status >= 500,
        "attributes": shown,
        "server_attributes": shown | {"url.path": uri.partition("?")[0]},
    }


def main():
    script = sys.argv[2] if len(sys.argv) > 2 else None
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        for method, uri, body in [
            ("GET", "/orders?id=1&token=secret", b""),
            ("GET", "/missing", b""),
            ("POST", "/orders", b"item=tea"),
            ("GET", "/orders?fail=1", b""),
        ]:
            status = ask(connection, method, uri, body, script)
            print(json.dumps(operation(method, uri, status)), flush=True)


if __name__ == "__main__":
    main()
