"""Traffic at a bounded rate, until SIGTERM; then what became of it: two numbers, answered and unanswered.

Usage: client.py NAME WAY RATE THREADS ADDRESS [ADDRESS OF A SERVICE THAT IS CALLED]

Ways: `kept` (500 requests a connection), `fresh` (one), `redis` (500 commands a connection). Paths
are /s/soak-NAME-THREAD-NUMBER.HOP. `answered`: a whole answer has come. `unanswered`: it was sent,
wholly or not, and no answer came. Connections that are refused are tried again later.
"""

import http.client
import json
import os
import signal
import socket
import sys
import threading
import time

NAME, WAY, RATE, THREADS, ADDRESS = sys.argv[1:6]
CALLED = sys.argv[6:]
HOST, PORT = ADDRESS.split(":")
CONNECTION = 1 if WAY == "fresh" else 500
PATIENCE = 30

over = threading.Event()
lock = threading.Lock()
counts = {"answered": 0, "unanswered": 0}


def fail(why):
    """Whatever this is, it is no outcome to be counted."""
    print(why, flush=True)
    os._exit(1)


class Http:
    def __init__(self, thread):
        self.thread = thread
        self.connection = http.client.HTTPConnection(HOST, int(PORT), timeout=PATIENCE)
        self.connection.connect()

    def ask(self, number):
        request = f"soak-{NAME}-{self.thread}-{number}"
        calls = [{"url": f"http://{called}/s/{request}.2"} for called in CALLED]
        plan = json.dumps({"calls": calls})
        self.connection.request("GET", f"/s/{request}.1", headers={"X-Plan": plan})
        response = self.connection.getresponse()
        body = response.read()
        if response.status != 200 or not body:
            fail(f"{request}: status {response.status}")

    def close(self):
        self.connection.close()


class Redis:
    def __init__(self, thread):
        self.socket = socket.create_connection((HOST, int(PORT)), PATIENCE)
        self.answers = self.socket.makefile("rb")

    def ask(self, number):
        words = [b"INCR", b"soak:%d" % (number % 100)]
        parts = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
        self.socket.sendall(b"*%d\r\n%b" % (len(words), parts))
        answer = self.answers.readline()
        if not answer:
            raise ConnectionError("closed")
        if not answer.startswith(b":"):
            fail(f"{answer}")

    def close(self):
        self.answers.close()
        self.socket.close()


def work(thread):
    number = 0
    connection = None
    due = time.monotonic()
    while not over.wait(max(0, due - time.monotonic())):
        # What could not be sent in its time is not sent in a heap afterwards.
        due = max(due + int(THREADS) / float(RATE), time.monotonic() - 1)
        try:
            connection = connection or (Redis if WAY == "redis" else Http)(thread)
        except OSError:
            continue
        number += 1
        try:
            connection.ask(number)
            outcome = "answered"
        except (OSError, http.client.HTTPException):
            outcome = "unanswered"
        with lock:
            counts[outcome] += 1
        if outcome == "unanswered" or number % CONNECTION == 0:
            connection.close()
            connection = None


signal.signal(signal.SIGTERM, lambda *_: over.set())
threads = [threading.Thread(target=work, args=(n,)) for n in range(int(THREADS))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(counts["answered"], counts["unanswered"], flush=True)
