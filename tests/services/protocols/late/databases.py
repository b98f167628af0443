"""Databases and caches."""

from telling import LARGE, log


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


class Cassandra:
    """Both ways to frame messages, each with a connection of its own."""

    def __init__(self, port):
        from cassandra import ConsistencyLevel, InvalidRequest
        from cassandra.auth import PlainTextAuthProvider
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
        from cassandra.policies import WhiteListRoundRobinPolicy
        from cassandra.query import BatchStatement

        self.error = InvalidRequest
        self.batch = BatchStatement
        profile = ExecutionProfile(
            load_balancing_policy=WhiteListRoundRobinPolicy(["127.0.0.1"]),
            consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        )
        self.clusters = [
            Cluster(
                ["127.0.0.1"],
                port=port,
                protocol_version=version,
                auth_provider=PlainTextAuthProvider("cassandra", "cassandra"),
                execution_profiles={EXEC_PROFILE_DEFAULT: profile},
                schema_metadata_enabled=False,
                token_metadata_enabled=False,
                idle_heartbeat_interval=0,
                compression=False,
            )
            for version in (4, 5)
        ]
        self.sessions = [cluster.connect() for cluster in self.clusters]
        first = self.sessions[0]
        first.execute(
            "CREATE KEYSPACE shop WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        first.execute("CREATE TABLE shop.orders (id int PRIMARY KEY, item text)")
        self.selects = []
        for session in self.sessions:
            session.execute("USE shop")
            self.selects.append(session.prepare("SELECT id FROM orders WHERE id = ?"))

    def before(self, turn):
        at = turn % 2
        session = self.sessions[at]
        if turn % 3 == 0:
            # What it is was said when it was prepared.
            session.execute(self.selects[at], [turn])
            return ["EXECUTE"]
        if turn % 3 == 1:
            session.execute("INSERT INTO orders (id, item) VALUES (1, %s)", [LARGE])
            session.execute("SELECT id, item FROM orders")
            return ["INSERT orders", "SELECT orders"]
        futures = [session.execute_async("SELECT id FROM orders") for _ in range(3)]
        for future in futures:
            future.result()
        return ["SELECT orders"] * 3

    def marked(self):
        for session in self.sessions:
            session.execute("UPDATE orders SET item = 'x' WHERE id = 7")
            log("UPDATE orders")
            delete = session.prepare("DELETE FROM orders WHERE id = ?")
            for id in (1, 2):
                session.execute(delete, [id])
                log("DELETE orders")
            insert = session.prepare("INSERT INTO orders (id, item) VALUES (?, ?)")
            batch = self.batch()
            for id in range(20, 30):
                batch.add(insert, [id, "item"])
            session.execute(batch)
            log("BATCH INSERT orders", attributes={"db.operation.batch.size": 10})
            try:
                session.execute("SELECT nothing FROM nowhere")
            except self.error:
                log("SELECT nowhere", 8704, attributes={"db.response.status_code": 8704})
        for cluster in self.clusters:
            cluster.shutdown()


class Mongo:
    def __init__(self, port):
        import pymongo
        from pymongo.errors import OperationFailure

        self.error = OperationFailure
        self.client = pymongo.MongoClient("127.0.0.1", port, maxPoolSize=1, directConnection=True)
        self.shop = self.client["shop"]
        self.orders = self.shop["orders"]
        self.orders.insert_many([{"_id": n, "item": "tea"} for n in range(6)])
        self.orders.insert_one({"_id": -1, "item": LARGE})

    def before(self, turn):
        if turn % 3 == 0:
            self.orders.find_one({"_id": turn % 6})
            return ["find orders"]
        if turn % 3 == 1:
            self.orders.replace_one({"_id": -1}, {"item": LARGE + str(turn)})
            self.orders.find_one({"_id": -1})
            return ["update orders", "find orders"]
        assert len(list(self.orders.find({"item": "tea"}, batch_size=4))) == 6
        return ["find orders", "getMore orders"]

    def marked(self):
        marked = self.shop["marked"]
        size = {"attributes": {"db.operation.batch.size": 3}}
        marked.insert_many([{"_id": n} for n in range(3)])
        log("insert marked", **size)
        try:
            marked.insert_one({"_id": 1})
        except self.error:
            log("insert marked", 11000, attributes={"db.response.status_code": "11000"})
        marked.insert_one({"_id": 3, "item": LARGE})
        log("insert marked")
        rows = len(list(marked.find({"_id": {"$lt": 3}})))
        log("find marked", attributes={"db.response.returned_rows": rows})
        marked.count_documents({})
        log("aggregate marked")
        try:
            self.shop.command("frobnicate", 1)
        except self.error:
            log("frobnicate shop", 59, attributes={"db.response.status_code": "59"})
        marked.drop()
        log("drop marked")
        self.client.close()
