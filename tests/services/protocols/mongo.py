"""A client of MongoDB: mongo.py PORT. Prints what it did, a line of JSON for each operation.

Needs pymongo. Drops the database `shop` first.
"""

import json
import sys

import pymongo
from pymongo.errors import OperationFailure


def did(op, name, **more):
    print(json.dumps({"op": op, "name": name, **more}), flush=True)


def failing(op, name, call):
    try:
        call()
    except OperationFailure as error:
        did(op, name, error=str(error.code))
    else:
        raise AssertionError(f"{op} did not fail")


def main():
    client = pymongo.MongoClient(
        "127.0.0.1", int(sys.argv[1]), maxPoolSize=1, directConnection=True
    )
    client.drop_database("shop")
    did("dropDatabase", "dropDatabase shop")
    shop = client["shop"]
    orders = shop["orders"]
    orders.insert_one({"_id": 1, "item": "a secret", "count": 1})
    did("insert", "insert orders")
    orders.insert_many([{"_id": n, "item": "tea", "count": n} for n in range(2, 8)])
    did("insert", "insert orders", batch=6)
    assert orders.find_one({"item": "a secret"})["_id"] == 1
    did("find", "find orders", rows=1)
    assert len(list(orders.find({"item": "tea"}, batch_size=4))) == 6
    did("find", "find orders", rows=4)
    did("getMore", "getMore orders", rows=2)
    orders.update_many({"item": "tea"}, {"$set": {"count": 0}})
    did("update", "update orders")
    orders.find_one_and_update({"_id": 2}, {"$set": {"count": 5}})
    did("findAndModify", "findAndModify orders")
    assert orders.count_documents({}) == 7
    did("aggregate", "aggregate orders", rows=1)
    assert len(orders.distinct("item")) == 2
    did("distinct", "distinct orders")
    failing("insert", "insert orders", lambda: orders.insert_one({"_id": 1}))
    failing("frobnicate", "frobnicate shop", lambda: shop.command("frobnicate", 1))
    shop.command("ping")
    orders.create_index("item")
    did("createIndexes", "createIndexes orders")
    shop.list_collection_names()
    did("listCollections", "listCollections shop")
    orders.delete_one({"_id": 3})
    did("delete", "delete orders")
    orders.drop()
    did("drop", "drop orders")
    client.close()


main()
