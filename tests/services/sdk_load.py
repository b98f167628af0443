"""A load client with OpenTelemetry's own SDK: sends each request of a list once, then exports.

Usage: sdk_load.py THREADS FILE, see load.py.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import sdk

provider = sdk.set_up()


def send(line):
    url, plan = line.split("\t")
    sdk.fetch(url, json.loads(plan))


with ThreadPoolExecutor(int(sys.argv[1])) as pool:
    # A list, because a failure shows where its result is asked for.
    list(pool.map(send, open(sys.argv[2]).read().splitlines()))
provider.shutdown()
