"""The payment service: reads the account, asks whether it is fraud, books. 50 ms of its own."""

import http.client
import sys
import time

from service import serve

ADDRESS, LEDGER, FRAUD = sys.argv[1:]


def call(host, method, path):
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def pay(method, path):
    time.sleep(0.020)  # validates
    account = call(LEDGER, "GET", "/accounts/42")
    verdict = call(FRAUD, "POST", "/score")
    time.sleep(0.030)  # books
    accepted = account == 200 and verdict == 200
    return (201 if accepted else 502), {"accepted": accepted}


serve(ADDRESS, pay)
