"""Talks to PostgreSQL with psycopg 3, and says what it did.

    postgres.py PORT [PART...]

The server has a database `clew`, a role `clew` that is trusted, a role `scram`, and a table `orders`; see
PARTS for what can be done. Prints one line of JSON per operation: its name as its span should have it.
"""

import json
import sys

import psycopg
from psycopg import sql


def log(op, name, **more):
    print(json.dumps({"op": op, "name": name, "error": more.get("code"), **more}), flush=True)


def connect(port, **more):
    more = {"user": "clew", "autocommit": True, **more}
    return psycopg.connect(host="127.0.0.1", port=port, dbname="clew", sslmode="disable", **more)


def simple(port):
    with connect(port, cursor_factory=psycopg.ClientCursor) as db:
        db.execute("SELECT item FROM orders WHERE id = %s AND item <> %s", [7, "secret word"]).fetchall()
        log("query", "SELECT orders", rows=1)
        db.execute("SELECT 1; SELECT 2")
        log("batch", "BATCH SELECT")
        db.execute("")
        log("empty", "postgresql")
        trace = "/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/"
        db.execute(f"UPDATE orders SET price = 1 WHERE id = 1 {trace}")
        log("update", "UPDATE orders")
        try:
            db.execute("SELECT nothing FROM nowhere")
        except psycopg.Error as error:
            log("error", "SELECT nowhere", code=error.sqlstate)


def extended(port):
    with connect(port) as db:
        db.execute("SELECT item FROM orders WHERE id = %s", [7]).fetchall()
        log("query", "SELECT orders", rows=1)
        for id in (1, 2):
            db.execute("SELECT price FROM orders WHERE id = %s", [id], prepare=True).fetchall()
            log("prepared", "SELECT orders", rows=1)
        try:
            db.execute("SELECT 1 / %s", [0])
        except psycopg.Error as error:
            log("error", "SELECT", code=error.sqlstate)
        with db.transaction():
            log("begin", "BEGIN")
            with db.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO orders (item, price) VALUES (%s, %s)",
                    [("one", 1), ("two", 2), ("three", 3)],
                )
            for _ in range(3):
                log("insert", "INSERT orders")
        log("commit", "COMMIT")


def cursors(port):
    with connect(port, autocommit=False) as db:
        with db.cursor("server_side") as cursor:
            cursor.itersize = 10
            cursor.execute("SELECT id FROM orders WHERE id <= 15")
            log("declare", "DECLARE orders")
            cursor.fetchall()


def pipeline(port):
    with connect(port) as db:
        with db.pipeline() as pipeline:
            for id in (1, 2, 3):
                db.execute("SELECT item FROM orders WHERE id = %s", [id])
                log("pipelined", "SELECT orders", rows=1)
            pipeline.sync()
            db.execute("SELECT id FROM orders WHERE id = 4")
            log("pipelined", "SELECT orders", rows=1)
        try:
            with db.pipeline():
                db.execute("SELECT 1 / %s", [0])
                db.execute("SELECT 2")
        except psycopg.Error as error:
            log("error", "SELECT", code=error.sqlstate)
            # The server passes over what comes before the next Sync.
            log("aborted", "SELECT", code="pipeline_aborted")


def copy(port):
    with connect(port) as db:
        with db.cursor() as cursor:
            with cursor.copy("COPY orders (item, price) FROM STDIN") as rows:
                rows.write_row(("copied", 5))
                rows.write_row(("copied too", 6))
            log("copy in", "COPY orders")
            with cursor.copy("COPY (SELECT id FROM orders WHERE id < 4) TO STDOUT") as rows:
                list(rows)
            log("copy out", "COPY SELECT orders", rows=3)
            try:
                with cursor.copy("COPY orders (item, price) FROM STDIN") as rows:
                    rows.write_row(("never", 1))
                    raise KeyError
            except KeyError:
                log("copy fails", "COPY orders", code="57014")


def large(port):
    with connect(port) as db:
        db.execute("SELECT id, repeat('x', 100) FROM orders ORDER BY id LIMIT 400").fetchall()
        log("large", "SELECT orders", rows=400)
        # It fails when rows have been sent, of which the last part is longer than what is captured of it.
        try:
            late = "SELECT repeat('x', 100), 1 / (400 - n) FROM generate_series(1, 500) AS n"
            db.execute(late).fetchall()
        except psycopg.errors.DivisionByZero:
            log("large fails", "SELECT", code="22012")
        db.execute("SELECT 1").fetchall()
        log("query", "SELECT", rows=1)


def scram(port):
    with connect(port, user="scram", password="hunter2secret") as db:
        db.execute("SELECT count(*) FROM orders").fetchall()
        log("query", "SELECT orders", rows=1)


def refused(port):
    try:
        connect(port, user="scram", password="wrong password")
    except psycopg.OperationalError:
        log("login", "connect clew", code="28P01")


PARTS = [simple, extended, cursors, pipeline, copy, large, scram, refused]

for part in PARTS:
    if len(sys.argv) == 2 or part.__name__ in sys.argv[2:]:
        part(int(sys.argv[1]))
