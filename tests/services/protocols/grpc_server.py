"""The server for grpc_client.py and grpc_go.

    grpc_server.py PORT

Needs grpcio.
"""

import sys
import time
from concurrent import futures

import grpc


def fail(_, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")


def sleep(_, context):
    while context.is_active():
        time.sleep(0.05)
    return b""


def main():
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
        "Collect": grpc.stream_unary_rpc_method_handler(lambda all, _: b"".join(all)),
        "Repeat": grpc.unary_stream_rpc_method_handler(
            lambda request, _: (request[:1] for _ in request)
        ),
        "Chat": grpc.stream_stream_rpc_method_handler(lambda all, _: all),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
    }
    server = grpc.server(futures.ThreadPoolExecutor(8))
    handler = grpc.method_handlers_generic_handler("clew.test.Echo", handlers)
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


main()
