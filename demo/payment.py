"""The payment service: reads the account, asks whether it is fraud, books. 50 ms of its own."""

import http.client
import sys
import time

import psycopg

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
    host, port = LEDGER.rsplit(":", 1)
    with psycopg.connect(
        host=host, port=port, dbname="clew", user="clew", autocommit=True
    ) as ledger:
        balance = ledger.execute(
            "SELECT balance FROM accounts WHERE id = %s", (42,)
        ).fetchone()
        verdict = call(FRAUD, "POST", "/score")
        time.sleep(0.030)  # decides
        accepted = balance is not None and verdict == 200
        if accepted:
            ledger.execute("INSERT INTO bookings VALUES (%s, %s)", (42, 7))
    return (201 if accepted else 502), {"accepted": accepted}


serve(ADDRESS, pay)
