"""Stands in for the payment service's database until Clew speaks PostgreSQL's protocol: answers
over HTTP, after 20 ms."""

import sys
import time

from service import serve


def query(method, path):
    time.sleep(0.020)
    return 200, {"account": path.rsplit("/", 1)[-1], "balance": 1000}


serve(sys.argv[1], query)
