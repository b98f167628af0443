"""A client of MongoDB: mongo.py PORT. Prints what the driver says it did, a line of JSON for each command.

Needs pymongo. Drops the database `shop` first.
"""

import json
import sys

import bson
import pymongo
from pymongo.errors import OperationFailure
from pymongo.monitoring import CommandListener

# What has no span: heartbeats, and what drivers do for themselves.
QUIET = {"hello", "ismaster", "ping", "endSessions"}
# Steps of a login have one where they fail.
LOGIN = {"saslStart", "saslContinue"}
# Of a longer message not all documents are captured, and so they are not counted; but a server says how many
# it has inserted.
COUNTED = 4000
# An error's code that the driver does not tell.
HIDDEN = "hidden"


class Log(CommandListener):
    """What the driver says of each command."""

    def __init__(self):
        self.commands = {}

    def started(self, event):
        self.commands[event.request_id] = dict(event.command), event.database_name

    def succeeded(self, event):
        errors = event.reply.get("writeErrors", [])
        self.did(event, errors[0]["code"] if errors else None, event.reply)

    def failed(self, event):
        # Of logins only the names are shown.
        self.did(event, event.failure.get("code", HIDDEN), {})

    def did(self, event, code, reply):
        command, database = self.commands.pop(event.request_id)
        name = event.command_name
        if name in QUIET or name in LOGIN and code is None:
            return
        target = command.get("collection" if name == "getMore" else name)
        attributes = {
            "db.system.name": "mongodb",
            "db.namespace": database,
            "db.operation.name": name,
        }
        if isinstance(target, str):
            attributes["db.collection.name"] = target
        if code not in (None, HIDDEN):
            attributes["db.response.status_code"] = str(code)
        cursor = reply.get("cursor", {})
        rows = cursor.get("firstBatch", cursor.get("nextBatch"))
        if rows is not None and len(bson.encode(reply)) < COUNTED:
            attributes["db.response.returned_rows"] = len(rows)
        for batch in ("documents", "updates", "deletes"):
            count = len(command.get(batch, []))
            told = batch == "documents" and code is None
            if count >= 2 and (told or len(bson.encode(command)) < COUNTED):
                attributes["db.operation.batch.size"] = count
        line = {
            "name": f"{name} {attributes.get('db.collection.name', database)}",
            "error": code,
            "kind": "client",
            "attributes": attributes,
            "ms": event.duration_micros / 1000,
        }
        print(json.dumps(line), flush=True)


def client(**options):
    return pymongo.MongoClient(
        "127.0.0.1",
        int(sys.argv[1]),
        maxPoolSize=1,
        directConnection=True,
        event_listeners=[Log()],
        **options,
    )


def fails(code, call):
    try:
        call()
    except OperationFailure as error:
        assert error.code == code, error
    else:
        raise AssertionError(f"no error {code}")


def main():
    with client() as mongo:
        mongo.drop_database("shop")
        shop = mongo["shop"]
        orders = shop["orders"]
        orders.insert_one({"_id": 1, "item": "a secret", "count": 1})
        orders.insert_many([{"_id": n, "item": "tea", "count": n} for n in range(2, 8)])
        assert orders.find_one({"item": "a secret"})["_id"] == 1
        assert len(list(orders.find({"item": "tea"}, batch_size=4))) == 6
        # The rest of it is not wanted.
        with orders.find({"item": "tea"}, batch_size=2) as found:
            found.next()
        orders.update_many({"item": "tea"}, {"$set": {"count": 0}})
        orders.find_one_and_update({"_id": 2}, {"$set": {"count": 5}})
        assert orders.count_documents({}) == 7
        assert len(orders.distinct("item")) == 2
        fails(11000, lambda: orders.insert_one({"_id": 1}))
        fails(59, lambda: shop.command("frobnicate", 1))
        shop.command("ping")
        orders.create_index("item")
        shop.list_collection_names()
        # Messages of which only the front is captured.
        large = {"pad": "x" * 20_000}
        orders.insert_many([{"_id": n, **large} for n in range(10, 40)])
        assert len(list(orders.find(large))) == 30
        orders.delete_one({"_id": 3})
        orders.drop()
    # The server takes any password that it is shown, and knows no other way to prove one.
    with client(username="nobody", password="a secret", authMechanism="PLAIN") as mongo:
        mongo["shop"].list_collection_names()
    with client(username="nobody", password="a secret", authMechanism="SCRAM-SHA-256") as mongo:
        fails(18, lambda: mongo["shop"].list_collection_names())


main()
