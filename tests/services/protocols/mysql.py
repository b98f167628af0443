"""Talks to MySQL or MariaDB with PyMySQL, and says what it did.

    mysql.py PORT [PART...]

A fresh server is enough: root without a password. Prints one line of JSON per span: its name, and its
error's code or null.
"""

import json
import sys
import tempfile

import pymysql
from pymysql.constants import CLIENT


def log(name, error=None, **attributes):
    attributes = {"db.system.name": "mariadb", **attributes}
    if error:
        attributes["db.response.status_code"] = error
    print(json.dumps({"name": name, "error": error, "attributes": attributes}), flush=True)


class Connection(pymysql.connections.Connection):
    """Says what it sends of its own accord."""

    def set_character_set(self, *arguments):
        super().set_character_set(*arguments)
        log("SET")

    def _send_autocommit_mode(self):
        super()._send_autocommit_mode()
        log("SET")


def connect(port, **more):
    more = {"user": "root", "password": "", "autocommit": True, **more}
    return Connection(host="127.0.0.1", port=port, ssl_disabled=True, **more)


def run(db, name, text, values=None):
    with db.cursor() as cursor:
        try:
            cursor.execute(text, values)
            rows = list(cursor.fetchall())
            while cursor.nextset():
                rows.extend(cursor.fetchall())
        except pymysql.MySQLError as error:
            log(name, str(error.args[0]))
            return []
    log(name)
    return rows


def prepare(port):
    db = connect(port)
    run(db, "CREATE DATABASE shop", "CREATE DATABASE IF NOT EXISTS shop")
    db.select_db("shop")
    run(db, "DROP TABLE orders", "DROP TABLE IF EXISTS orders")
    run(db, "CREATE TABLE orders", "CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, item TEXT, price INT)")
    values = ", ".join(f"('item {number}', {number})" for number in range(20))
    run(db, "INSERT orders", f"INSERT INTO orders (item, price) VALUES {values}")
    db.close()


def simple(port):
    db = connect(port, database="shop", client_flag=CLIENT.MULTI_STATEMENTS)
    run(db, "SELECT orders", "SELECT item, price FROM orders WHERE id < %s AND item <> %s", [7, "secret word"])
    run(db, "SELECT orders", "SELECT item FROM orders WHERE id < 0")
    trace = "/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/"
    run(db, "UPDATE orders", f"UPDATE orders SET price = 1 WHERE id = 1 {trace}")
    run(db, "SELECT SELECT orders", "SELECT 1; SELECT id FROM orders WHERE id < 4")
    run(db, "SELECT nowhere", "SELECT nothing FROM nowhere")
    db.ping(reconnect=False)
    db.begin()
    log("BEGIN")
    run(db, "DELETE orders", "DELETE FROM orders WHERE id = 20")
    db.rollback()
    log("ROLLBACK")
    try:
        db.select_db("nothing")
    except pymysql.MySQLError as error:
        log("USE", str(error.args[0]))
    db.close()


def large(port):
    db = connect(port, database="shop")
    run(db, "SELECT orders", "SELECT REPEAT(item, 1000) FROM orders")
    run(db, "SELECT orders", "SELECT item FROM orders WHERE id = 1")
    run(db, "INSERT orders", "INSERT INTO orders (item, price) VALUES (%s, 1)", ["x" * 20000])
    run(db, "SELECT orders", "SELECT item FROM orders WHERE id = 2")
    # It fails when rows have been sent, of which the last part is longer than what is captured of it.
    rows = "(SELECT seq FROM seq_1_to_2 AS two WHERE two.seq > 0 AND many.seq > 399)"
    text = f"SELECT REPEAT('x', 100), {rows} FROM seq_1_to_500 AS many"
    run(db, "SELECT SELECT seq_1_to_2 seq_1_to_500", text)
    db.close()


def infile(port):
    db = connect(port, database="shop", local_infile=True)
    run(db, "SET", "SET GLOBAL local_infile = 1")
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.writelines(f"0,loaded {number},{number}\n" for number in range(50))
        file.flush()
        run(db, "LOAD", f"LOAD DATA LOCAL INFILE '{file.name}' INTO TABLE orders FIELDS TERMINATED BY ','")
    run(db, "SELECT orders", "SELECT COUNT(*) FROM orders")
    db.close()


def refused(port):
    try:
        connect(port, user="nobody", password="wrong")
    except pymysql.MySQLError as error:
        log("connect", str(error.args[0]))


PARTS = {part.__name__: part for part in (prepare, simple, large, infile, refused)}

for part in sys.argv[2:] or PARTS:
    PARTS[part](int(sys.argv[1]))
