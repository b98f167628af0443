"""Ways of making the calls of a plan, other than one after another on the serving thread."""

import json
import os
import select
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from plan import fetch

_pool = ThreadPoolExecutor(max_workers=256)


def in_threads(calls):
    """A new thread for each call, all at once."""
    threads = [threading.Thread(target=_fetch, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def in_commands(calls):
    """A shell that starts curl for each call, one after another."""
    for call in calls:
        script = 'curl --silent --fail --output /dev/null --header "X-Plan: $1" "$2"; exit $?'
        plan = json.dumps(call.get("plan", {}))
        subprocess.run(["sh", "-c", script, "sh", plan, call["url"]], check=True)


def in_forks(calls):
    """A forked process for each call, one after another."""
    for call in calls:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _fetch(call)
                status = 0
            finally:
                os._exit(status)
        if os.waitpid(child, 0)[1] != 0:
            raise RuntimeError(f"{call['url']} failed")


def in_pool(calls):
    """By a pool that all requests share, and that begins threads as it needs them."""
    for done in [_pool.submit(_fetch, call) for call in calls]:
        done.result()


def together(calls):
    """All from this thread, on connections that do not block, and all under way at once."""
    waiting = {}
    for call in calls:
        parts = urlsplit(call["url"])
        head = (
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
            f"X-Plan: {json.dumps(call.get('plan', {}))}\r\n\r\n"
        )
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex((parts.hostname, parts.port))
        waiting[connection] = [head.encode(), b""]
    while waiting:
        unsent = [connection for connection, (head, _) in waiting.items() if head]
        readable, writable, _ = select.select(list(waiting), unsent, [])
        for connection in writable:
            head = waiting[connection][0]
            waiting[connection][0] = head[connection.send(head) :]
        for connection in readable:
            some = connection.recv(1 << 16)
            waiting[connection][1] += some
            if not some:
                _, answer = waiting.pop(connection)
                connection.close()
                if not answer.startswith(b"HTTP/1.1 200 "):
                    raise RuntimeError(f"answered {answer[:40]!r}")


def _fetch(call):
    fetch(call["url"], call.get("plan", {}))


WAYS = {
    "threads": in_threads,
    "commands": in_commands,
    "forks": in_forks,
    "pool": in_pool,
    "together": together,
}
