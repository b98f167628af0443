"""What Python's clients make of a Memcached server: `memcached_py.py PORT pymemcache|pylibmc|meta`.

Prints a line of JSON for each command that must be told as a span, in its order.
"""

import json
import socket
import sys


def op(name, status=None, error=None):
    print(json.dumps({"op": name, "name": name, "status": status, "error": error}))


def with_pymemcache(port):
    from pymemcache.client.base import Client
    from pymemcache.exceptions import MemcacheError

    client = Client(("127.0.0.1", port), no_delay=True)
    client.set("greeting", b"hello world", noreply=False)
    op("set")
    client.get("greeting")
    op("get")
    client.get("nothing")
    op("get")
    client.set("large", b"x" * 30000, noreply=False)
    op("set")
    client.set("quiet", b"1", noreply=True)
    op("set")
    client.get("large")
    op("get")
    client.get_many(["greeting", "large", "nothing"])
    op("get")
    client.add("greeting", b"again", noreply=False)
    op("add", "NOT_STORED")
    client.replace("greeting", b"other", noreply=False)
    op("replace")
    client.append("greeting", b"!", noreply=False)
    op("append")
    _, cas = client.gets("greeting")
    op("gets")
    client.cas("greeting", b"new", cas, noreply=False)
    op("cas")
    client.cas("greeting", b"newer", cas, noreply=False)
    op("cas", "EXISTS")
    client.set("number", b"1", noreply=False)
    op("set")
    client.incr("number", 4, noreply=False)
    op("incr")
    client.decr("nothing", 4, noreply=False)
    op("decr", "NOT_FOUND")
    client.touch("number", 60, noreply=False)
    op("touch")
    client.delete("number", noreply=False)
    op("delete")
    client.version()
    client.stats()
    op("stats")
    # It closes the connection after an error.
    try:
        client.incr("greeting", 1, noreply=False)
    except MemcacheError:
        op("incr", "CLIENT_ERROR", "CLIENT_ERROR")
    client.close()


def with_pylibmc(port):
    import pylibmc

    client = pylibmc.Client([f"127.0.0.1:{port}"], binary=False)
    client.set("a", "1")
    op("set")
    client.get("a")
    op("get")
    client.set_multi({"b": "2", "c": "3"})
    op("set")
    op("set")
    client.get_multi(["a", "b", "c", "d"])
    op("get")
    client.delete("a")
    op("delete")
    client.disconnect_all()


def with_meta(port):
    """No client is at hand that speaks the meta commands; these are its documentation's."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        answers = connection.makefile("rb")

        def say(text, lines):
            connection.sendall(text)
            for _ in range(lines):
                answers.readline()

        say(b"ms meta 5 T60\r\nhello\r\n", 1)
        op("ms")
        say(b"mg meta v t\r\n", 2)
        op("mg")
        say(b"mg nothing v\r\n", 1)
        op("mg", "EN")
        say(b"ma number N60 J5 v\r\n", 2)
        op("ma")
        say(b"mg meta v q O1 k\r\nmg no v q O2 k\r\nmg number v q O3 k\r\nmn\r\n", 5)
        op("mg")
        op("mg")
        op("mg")
        say(b"md meta q\r\nmd meta q\r\nmn\r\n", 1)
        op("md")
        op("md")
        say(b"me number\r\n", 1)
        op("me")
        say(b"quit\r\n", 0)
        # Whatever is still on its way has come before the server closes.
        answers.read()


{"pymemcache": with_pymemcache, "pylibmc": with_pylibmc, "meta": with_meta}[sys.argv[2]](
    int(sys.argv[1])
)
