"""Talks to Cassandra with DataStax's Python driver, and says what it did.

    cassandra.py PORT [PART...]

The server has the role `cassandra` of a new one; see PARTS for what can be done. Prints one line of JSON
per operation: its name as its span should have it. Drivers ask for more by themselves (`SELECT
system.local` and the like).
"""

import json
import sys

sys.path.pop(0)  # This file has the driver's name.

from cassandra import ConsistencyLevel, InvalidRequest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.policies import WhiteListRoundRobinPolicy
from cassandra.protocol import SyntaxException
from cassandra.query import BatchStatement, SimpleStatement, tuple_factory


ATTRIBUTES = {
    "rows": "db.response.returned_rows",
    "size": "db.operation.batch.size",
    "code": "db.response.status_code",
}


def log(op, name, **more):
    attributes = {ATTRIBUTES[key]: value for key, value in more.items()}
    line = {"op": op, "name": name, "error": more.get("code"), "attributes": attributes}
    print(json.dumps(line), flush=True)


class Session:
    """A connection to control, and one to work with."""

    def __init__(self, port, version=4, password="cassandra", keyspace="shop", **more):
        profile = ExecutionProfile(
            load_balancing_policy=WhiteListRoundRobinPolicy(["127.0.0.1"]),
            consistency_level=ConsistencyLevel.LOCAL_QUORUM,
            row_factory=tuple_factory,
        )
        self.cluster = Cluster(
            ["127.0.0.1"],
            port=port,
            protocol_version=version,
            auth_provider=PlainTextAuthProvider("cassandra", password),
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            schema_metadata_enabled=False,
            token_metadata_enabled=False,
            idle_heartbeat_interval=0,
            compression=False,
            **more,
        )
        self.keyspace = keyspace

    def __enter__(self):
        return self.cluster.connect(self.keyspace)

    def __exit__(self, *_):
        self.cluster.shutdown()


def tables(port):
    with Session(port, keyspace=None) as db:
        db.execute(
            "CREATE KEYSPACE IF NOT EXISTS shop WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        log("create", "CREATE KEYSPACE shop")
        db.execute(
            "CREATE TABLE IF NOT EXISTS shop.orders "
            "(id int PRIMARY KEY, item text, tags map<text, frozen<tuple<int, text>>>)"
        )
        log("create", "CREATE TABLE shop.orders")
        db.execute("TRUNCATE shop.orders")
        log("truncate", "TRUNCATE shop.orders")


def simple(port, version=4):
    with Session(port, version) as db:
        log("use", "USE")
        insert = "INSERT INTO orders (id, item) VALUES (7, 'secret word')"
        db.execute(SimpleStatement(insert, consistency_level=ConsistencyLevel.ONE))
        log("insert", "INSERT orders")
        db.execute("SELECT item, tags FROM orders WHERE id = %s", [7])
        log("query", "SELECT orders", rows=1)
        trace = "/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/"
        db.execute(f"UPDATE orders SET item = 'x' WHERE id = 7 {trace}")
        log("update", "UPDATE orders")
        for text in ("SELECT nothing FROM nowhere", "SELECT FROM"):
            try:
                db.execute(text)
            except InvalidRequest:
                log("error", "SELECT nowhere", code=8704)
            except SyntaxException:
                log("error", "SELECT", code=8192)


def prepared(port, version=4):
    with Session(port, version) as db:
        log("use", "USE")
        insert = db.prepare("INSERT INTO orders (id, item) VALUES (?, ?)")
        futures = [db.execute_async(insert, [id, "item"]) for id in range(12)]
        for future in futures:
            future.result()
            log("insert", "INSERT orders")
        select = db.prepare("SELECT id FROM orders")
        select.fetch_size = 5
        for _ in range(2):
            rows = len(list(db.execute(select)))
            for page in range(0, rows, 5):
                log("select", "SELECT orders", rows=min(5, rows - page))
        try:
            db.prepare("SELECT nothing FROM nowhere")
        except InvalidRequest:
            log("prepare", "SELECT nowhere", code=8704)


def batches(port, version=4):
    with Session(port, version) as db:
        log("use", "USE")
        insert = db.prepare("INSERT INTO orders (id, item) VALUES (?, ?)")
        batch = BatchStatement()
        for id in range(20, 30):
            batch.add(insert, [id, "item"])
        db.execute(batch)
        log("batch", "BATCH INSERT orders", size=10)
        batch = BatchStatement()
        batch.add(insert, [30, "item"])
        batch.add("DELETE FROM orders WHERE id = 31")
        db.execute(batch)
        log("batch", "BATCH orders", size=2)


def large(port, version=4):
    with Session(port, version) as db:
        log("use", "USE")
        db.execute("INSERT INTO orders (id, item) VALUES (99, %s)", ["x" * 200_000])
        log("insert", "INSERT orders")
        db.execute("SELECT id, item FROM orders WHERE id = 99")
        log("query", "SELECT orders", rows=1)
        db.execute("DELETE FROM orders WHERE id = 99")
        log("delete", "DELETE orders")


def five(port):
    for part in (simple, prepared, batches, large):
        part(port, 5)


def refused(port):
    try:
        with Session(port, password="wrong password"):
            pass
    except NoHostAvailable:
        log("login", "connect", code=256)


PARTS = [tables, simple, prepared, batches, large, five, refused]

for part in PARTS:
    if len(sys.argv) == 2 or part.__name__ in sys.argv[2:]:
        part(int(sys.argv[1]))
