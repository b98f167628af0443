"""A load client: sends each request of a list once, from a number of threads, on kept connections.

Usage: load.py THREADS FILE, where a line of the file is a URL, a tab, and the plan as JSON.
"""

import json
import sys
import threading

from plan import fetch

lines = iter(open(sys.argv[2]).read().splitlines())
lock = threading.Lock()
failures = []


def work():
    while True:
        with lock:
            line = next(lines, None)
        if line is None:
            return
        url, plan = line.split("\t")
        try:
            fetch(url, json.loads(plan))
        except Exception as failure:  # a thread must not end without a word
            failures.append(f"{url}: {failure!r}")
            return


threads = [threading.Thread(target=work) for _ in range(int(sys.argv[1]))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit("\n".join(failures) or 0)
