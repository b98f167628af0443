"""Calls a gRPC server in all four ways, with an error, a deadline and a cancellation.

    grpc_client.py PORT [large]

Needs grpcio. Messages are bytes, so no code is generated. Prints a line of JSON for each call: its own
log. The server is grpc_server.py.
"""

import json
import sys

import grpc

SERVICE = "clew.test.Echo"


def log(op, method, status):
    error = status if status != "OK" else None
    line = {"op": op, "name": f"{SERVICE}/{method}", "error": error}
    line["attributes"] = {"rpc.response.status_code": status}
    if status in ("NOT_FOUND", "CANCELLED"):
        # Nothing that a server is at fault for (RPC conventions).
        line["server_error"] = False
    print(json.dumps(line), flush=True)


def main():
    port = int(sys.argv[1])
    # The first request is longer than what is captured of a call, than a frame, and than what Clew needs to
    # know the connection.
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.primary_user_agent", "long")]) as channel:
        for request, method in [(b"x" * 60_000, "Unary"), (b"short", "Unary"), (b"", "Fail")]:
            try:
                channel.unary_unary(f"/{SERVICE}/{method}")(request)
            except grpc.RpcError as error:
                log("error", method, error.code().name)
            else:
                log("unary", method, "OK")
    # One connection, whatever resolver there is.
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        path = f"/{SERVICE}/".__add__
        unary = channel.unary_unary(path("Unary"))
        # A context, as an instrumented client would send it.
        parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        unary(b"one", metadata=[("traceparent", parent)])
        log("unary", "Unary", "OK")
        channel.stream_unary(path("Collect"))(iter([b"a", b"b", b"c"]))
        log("client streaming", "Collect", "OK")
        list(channel.unary_stream(path("Repeat"))(b"x" * 4))
        log("server streaming", "Repeat", "OK")
        list(channel.stream_stream(path("Chat"))(iter([b"p", b"q"])))
        log("both", "Chat", "OK")
        for method, timeout in [("Fail", None), ("Nowhere", None), ("Sleep", 0.3)]:
            try:
                channel.unary_unary(path(method))(b"", timeout=timeout)
            except grpc.RpcError as error:
                log("error", method, error.code().name)
        # Its deadline is not what ends it.
        call = channel.unary_unary(path("Sleep")).future(b"", timeout=60)
        # Something else in the meantime: the cancelled call has been sent by then.
        unary(b"x" * (10_000 if "large" in sys.argv else 100))
        log("unary", "Unary", "OK")
        call.cancel()
        log("cancelled", "Sleep", "CANCELLED")
        unary(b"last")
        log("unary", "Unary", "OK")


main()
