"""A client of etcd by its gRPC API, version 3: etcd.py PORT. Prints what it did, a line of JSON for each
call.

Needs grpcio. Messages (etcd's rpc.proto) are written by hand, so no code is generated.
"""

import json
import sys
import time

import grpc

KV = "etcdserverpb.KV"
# What a server is to blame for (OpenTelemetry, "Semantic conventions for gRPC").
BLAMED = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}


def varint(number):
    written = b""
    while number > 0x7F:
        written += bytes([number & 0x7F | 0x80])
        number >>= 7
    return written + bytes([number])


def message(*fields):
    """A message of fields, each a number and what is in it: bytes, or a number."""
    written = b""
    for number, value in fields:
        if isinstance(value, int):
            written += varint(number << 3) + varint(value)
        else:
            written += varint(number << 3 | 2) + varint(len(value)) + value
    return written


def log(method, began, status="OK", **attributes):
    attributes = {"rpc.system.name": "grpc", "rpc.method": method, **attributes}
    attributes["rpc.response.status_code"] = status
    line = {
        "name": method,
        "kind": "client",
        "error": status != "OK",
        "server_error": status in BLAMED,
        "attributes": attributes,
        "ms": (time.monotonic() - began) * 1000,
    }
    print(json.dumps(line), flush=True)


def call(channel, method, request):
    began = time.monotonic()
    try:
        answer = channel.unary_unary(f"/{method}")(request, timeout=20)
    except grpc.RpcError as error:
        log(method, began, error.code().name)
        return b""
    log(method, began)
    return answer


def watch(channel, key):
    """Sees a change of the key, and then no longer wants to."""
    method = "etcdserverpb.Watch/Watch"
    began = time.monotonic()
    more = channel.stream_stream(f"/{method}")
    create = message((1, message((1, key))))
    answers = more(asking(create), timeout=20)
    next(answers)
    call(channel, f"{KV}/Put", message((1, key), (2, b"changed")))
    assert b"changed" in next(answers)
    answers.cancel()
    counts = {"clew.rpc.request.message_count": 1, "clew.rpc.response.message_count": 2}
    log(method, began, "CANCELLED", **counts)


def asking(request):
    """One request, and a direction that stays open."""
    yield request
    time.sleep(1)


def main():
    with grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}") as channel:
        key, value = b"a secret key", b"a secret value"
        put = message((1, key), (2, value))
        get = message((1, key))
        call(channel, f"{KV}/Put", put)
        assert value in call(channel, f"{KV}/Range", get)
        # More than what is captured of a chunk, and than a frame of HTTP/2 holds.
        large = b"x" * 60_000
        call(channel, f"{KV}/Put", message((1, b"large"), (2, large)))
        assert large in call(channel, f"{KV}/Range", message((1, b"large")))
        is_value = message((1, 0), (2, 3), (3, key), (7, value))
        change = message((2, message((1, key), (2, b"another"))))
        look = message((1, get))
        swap = message((1, is_value), (2, change), (3, look))
        call(channel, f"{KV}/Txn", swap)
        assert b"another" in call(channel, f"{KV}/Txn", swap)
        watch(channel, key)
        # No key; a lease that there is not; a revision to come; no such method.
        call(channel, f"{KV}/Put", b"")
        call(channel, f"{KV}/Put", message((1, key), (3, 4711)))
        call(channel, f"{KV}/Range", message((1, key), (4, 1 << 40)))
        call(channel, f"{KV}/Nothing", b"")
        call(channel, f"{KV}/DeleteRange", get)


main()
