"""One kept connection that is busy before, while and after an agent starts: late.py PROTOCOL PORT FILE.

Says `started` when it is busy. When FILE appears it goes on for LEARN and SURE more turns, and then does what
can be told from all before by its name: of this it prints a line of JSON for each operation. Last comes a
line `before` with how often it did what, all in all and in the SURE turns.
"""

import asyncio
import collections
import json
import os
import sys
import time

sys.path.pop(0)  # Files beside this one have libraries' names.

# In protocols whose answers do not say what they answer, it takes some turns until that is known.
LEARN = 40
SURE = 20
LARGE = "x" * 20_000


def log(name, error=None, **more):
    print(json.dumps({"name": name, "error": error, **more}), flush=True)


class Redis:
    def __init__(self, port):
        import redis

        self.error = redis.ResponseError
        self.client = redis.Redis(port=port, protocol=2, db=3, single_connection_client=True)
        self.client.set("large", LARGE)

    def before(self, turn):
        if turn % 3 == 0:
            self.client.set("small", turn)
            return ["SET"]
        if turn % 3 == 1:
            self.client.get("large")
            return ["GET"]
        with self.client.pipeline(transaction=False) as pipeline:
            for _ in range(5):
                pipeline.incr("counter")
            pipeline.execute()
        return ["INCRBY"] * 5

    def marked(self):
        # Which database it is was said long ago.
        unknown = {"attributes": {"db.namespace": ""}}
        self.client.hset("hash", mapping={"f": "1", "g": "2"})
        log("HSET", **unknown)
        self.client.hgetall("hash")
        log("HGETALL", **unknown)
        try:
            self.client.lpush("hash", "wrong")
        except self.error:
            log("LPUSH", "WRONGTYPE", **unknown)
        with self.client.pipeline(transaction=True) as pipeline:
            pipeline.zadd("sorted", {"x": 1.5, "y": 2})
            pipeline.zrange("sorted", 0, -1, withscores=True)
            pipeline.execute()
        for name in ["MULTI", "ZADD", "ZRANGE", "EXEC"]:
            log(name, **unknown)
        self.client.execute_command("SELECT", 5)
        self.client.exists("hash")
        log("EXISTS", attributes={"db.namespace": "5"})


class Memcached:
    def __init__(self, port):
        from pymemcache.client.base import Client
        from pymemcache.exceptions import MemcacheError

        self.error = MemcacheError
        self.client = Client(("127.0.0.1", port), no_delay=True)
        self.client.set("large", LARGE, noreply=False)

    def before(self, turn):
        if turn % 3 == 0:
            self.client.set("small", str(turn), noreply=True)
            self.client.get("large")
            return ["set", "get"]
        if turn % 3 == 1:
            self.client.get("nothing")
            return ["get"]
        self.client.set("large", LARGE, noreply=False)
        return ["set"]

    def marked(self):
        self.client.add("marked", "1", noreply=False)
        log("add")
        self.client.incr("marked", 4, noreply=False)
        log("incr")
        self.client.gets("marked")
        log("gets")
        self.client.touch("marked", 60, noreply=False)
        log("touch")
        self.client.delete("marked", noreply=False)
        log("delete")
        try:
            self.client.decr("large", 1, noreply=False)
        except self.error:
            log("decr", "CLIENT_ERROR")


class Postgres:
    def __init__(self, port):
        import psycopg

        self.error = psycopg.Error
        self.db = psycopg.connect(
            host="127.0.0.1", port=port, dbname="clew", user="clew", sslmode="disable", autocommit=True
        )
        self.simple = psycopg.ClientCursor(self.db)
        self.run(0)

    def run(self, id):
        self.db.execute("SELECT price FROM orders WHERE id = %s", [id], prepare=True).fetchall()

    def before(self, turn):
        if turn % 3 == 0:
            # What it is was said when it was prepared.
            self.run(turn)
            return ["postgresql"]
        if turn % 3 == 1:
            self.simple.execute("SELECT id, repeat('x', 100) FROM orders LIMIT 300").fetchall()
            return ["SELECT orders"]
        self.db.execute("SELECT id FROM orders WHERE id > %s", [turn], prepare=False).fetchall()
        return ["SELECT orders"]

    def marked(self):
        with self.db.transaction():
            log("BEGIN")
            self.db.execute("UPDATE orders SET price = %s WHERE id = 1", [7], prepare=False)
            log("UPDATE orders")
        log("COMMIT")
        for id in (1, 2):
            self.db.execute("DELETE FROM orders WHERE id = %s", [id], prepare=True)
            log("DELETE orders")
        try:
            self.simple.execute("SELECT nothing FROM nowhere")
        except self.error as error:
            code = {"db.response.status_code": error.sqlstate}
            log("SELECT nowhere", error.sqlstate, attributes=code)
        with self.db.cursor().copy("COPY orders (item, price) FROM STDIN") as rows:
            rows.write_row(("copied", 5))
        log("COPY orders")


class Mariadb:
    def __init__(self, port):
        import pymysql
        from pymysql.constants import CLIENT

        self.error = pymysql.MySQLError
        self.db = pymysql.connect(
            host="127.0.0.1",
            port=port,
            user="root",
            autocommit=True,
            ssl_disabled=True,
            client_flag=CLIENT.MULTI_STATEMENTS,
        )
        self.run("CREATE DATABASE shop")
        self.db.select_db("shop")
        self.run("CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, item TEXT)")
        self.run("INSERT INTO orders (item) VALUES ('one'), ('two'), ('three')")

    def run(self, text):
        with self.db.cursor() as cursor:
            cursor.execute(text)
            cursor.fetchall()
            while cursor.nextset():
                cursor.fetchall()

    def before(self, turn):
        if turn % 3 == 0:
            self.run("SELECT REPEAT(item, 3000) FROM orders")
            return ["SELECT orders"]
        if turn % 3 == 1:
            self.run(f"INSERT INTO orders (item) VALUES ('{LARGE}')")
            self.run("DELETE FROM orders WHERE id > 3")
            return ["INSERT orders", "DELETE orders"]
        self.db.ping(reconnect=False)
        self.run(f"SELECT item FROM orders WHERE id = {turn}")
        return ["SELECT orders"]

    def marked(self):
        self.db.begin()
        log("BEGIN")
        self.run("UPDATE orders SET item = 'four' WHERE id = 1")
        log("UPDATE orders")
        self.db.commit()
        log("COMMIT")
        try:
            self.run("SELECT nothing FROM nowhere")
        except self.error as error:
            code = str(error.args[0])
            log("SELECT nowhere", code, attributes={"db.response.status_code": code})
        self.run("SELECT 1; SELECT id FROM orders")
        log("SELECT SELECT orders")
        self.run("CREATE TABLE marked (id INT)")
        log("CREATE TABLE marked")


class Nats:
    def __init__(self, port):
        self.loop = asyncio.new_event_loop()
        self.got = asyncio.Queue()
        self.loop.run_until_complete(self.connect(port))

    async def connect(self, port):
        import nats

        self.connection = await nats.connect(
            f"nats://127.0.0.1:{port}", user="tester", password="secret", allow_reconnect=False
        )

        async def answers(message):
            await message.respond(b"answer")

        await self.connection.subscribe("late.told.*", cb=self.got.put)
        await self.connection.subscribe("late.asked.*", cb=answers)

    async def tell(self, subject, content):
        await self.connection.publish(subject, content)
        await asyncio.wait_for(self.got.get(), 5)

    async def ask(self, subject):
        await self.connection.request(subject, b"question", timeout=5)

    def before(self, turn):
        if turn % 3 == 2:
            self.loop.run_until_complete(self.ask("late.asked.before"))
            return ["request late.asked.before", "process late.asked.before"]
        content = LARGE.encode() if turn % 3 == 1 else b"small"
        self.loop.run_until_complete(self.tell("late.told.before", content))
        return ["publish late.told.before", "process late.told.before"]

    def marked(self):
        for content in [b"one", LARGE.encode(), b"three"]:
            self.loop.run_until_complete(self.tell("late.told.marked", content))
            log("publish late.told.marked")
            log("process late.told.marked", served=False)
        self.loop.run_until_complete(self.ask("late.asked.marked"))
        log("request late.asked.marked")
        log("process late.asked.marked", served=False)
        try:
            self.loop.run_until_complete(self.ask("late.nobody"))
        except Exception:
            log("request late.nobody", "503")


class Kafka:
    def __init__(self, port):
        import kafka

        self.producer = kafka.KafkaProducer(bootstrap_servers=f"127.0.0.1:{port}")
        self.send("late-before", b"first")

    def send(self, topic, value):
        self.producer.send(topic, value).get(10)

    def before(self, turn):
        self.send("late-before", LARGE.encode() if turn % 3 == 1 else b"small")
        return ["send late-before"]

    def marked(self):
        for value in [b"one", LARGE.encode(), b"three"]:
            self.send("late-marked", value)
            log("send late-marked", kind="producer")
        self.producer.close()


class Http1:
    def __init__(self, port):
        import http.client

        self.base = f"http://127.0.0.1:{port}"
        self.connection = http.client.HTTPConnection("127.0.0.1", port)

    def ask(self, method, path, body=None):
        self.connection.request(method, path, body)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status

    def before(self, turn):
        self.ask("GET", f"/before/{turn}")
        return ["GET"]

    def marked(self):
        for method, path, body in [
            ("POST", "/one", "small"),
            ("PUT", "/two", LARGE),
            ("DELETE", "/three", None),
            ("PATCH", "/four", "x"),
        ]:
            status = self.ask(method, path, body)
            shown = {"http.response.status_code": status}
            log(
                method,
                attributes=shown | {"url.full": self.base + path},
                server_attributes=shown | {"url.path": path},
            )


class Http2:
    """By h2, over a connection that is its own."""

    def __init__(self, port):
        import socket

        import h2.connection

        self.authority = f"127.0.0.1:{port}"
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.http = h2.connection.H2Connection()
        self.http.initiate_connection()
        self.socket.sendall(self.http.data_to_send())

    def ask(self, method, path, body=None):
        import h2.events

        stream = self.http.get_next_available_stream_id()
        head = [(":method", method), (":path", path), (":scheme", "http")]
        head += [(":authority", self.authority), ("user-agent", "late")]
        self.http.send_headers(stream, head, end_stream=body is None)
        if body is not None:
            self.http.send_data(stream, body.encode(), end_stream=True)
        self.socket.sendall(self.http.data_to_send())
        status, ended = None, False
        while not ended:
            for event in self.http.receive_data(self.socket.recv(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    length = event.flow_controlled_length
                    self.http.acknowledge_received_data(length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    ended = True
            self.socket.sendall(self.http.data_to_send())
        return status

    def before(self, turn):
        self.ask("GET", f"/before/{turn % 5}")
        return ["GET"]

    def marked(self):
        for method, path, body in [
            ("DELETE", "/one", None),
            ("DELETE", "/missing", None),
            ("PUT", "/three", "small"),
            ("POST", "/upload", "x"),
        ]:
            status = self.ask(method, path, body)
            shown = {"http.response.status_code": status}
            log(
                method,
                status if status >= 400 else None,
                server_error=status >= 500,
                attributes=shown,
                server_attributes=shown | {"url.path": path},
            )


class Grpc:
    SERVICE = "clew.test.Echo"

    def __init__(self, port):
        import grpc

        self.grpc = grpc
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.unary = self.channel.unary_unary(f"/{self.SERVICE}/Unary")

    def before(self, turn):
        self.unary(b"x" * (10_000 if turn % 3 == 0 else 10))
        # Which method it is was said long ago.
        return ["grpc"]

    def marked(self):
        path = f"/{self.SERVICE}/".__add__
        for _ in range(2):
            self.channel.stream_unary(path("Collect"))(iter([b"a", b"b", b"c"]))
            log(f"{self.SERVICE}/Collect")
            list(self.channel.unary_stream(path("Repeat"))(b"x" * 4))
            log(f"{self.SERVICE}/Repeat")
            try:
                self.channel.unary_unary(path("Fail"))(b"")
            except self.grpc.RpcError as error:
                log(f"{self.SERVICE}/Fail", error.code().name, server_error=False)


PROTOCOLS = [Redis, Memcached, Postgres, Mariadb, Nats, Kafka, Http1, Http2, Grpc]


def main():
    name, port, told = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    client = next(each for each in PROTOCOLS if each.__name__.lower() == name)(port)
    done, sure = collections.Counter(), collections.Counter()
    turn, last = 0, 0
    while last < LEARN + SURE:
        last += last > 0 or os.path.exists(told)
        names = client.before(turn)
        done.update(names)
        if last > LEARN:
            sure.update(names)
        if turn == 50:
            print("started", flush=True)
        turn += 1
        time.sleep(0.003)
    client.marked()
    before = {name: [count, sure[name]] for name, count in done.items()}
    print("before", json.dumps(before), flush=True)


main()
