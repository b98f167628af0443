"""A subscriber with redis-py: `redis_pubsub.py PORT [2|3]`. Prints as redis_py.py does."""

import json
import sys

import redis


def op(name):
    print(json.dumps({"op": name, "name": name, "error": None}))


def main():
    port, protocol = int(sys.argv[1]), int((sys.argv[2:] or ["2"])[0])
    publisher = int((sys.argv[3:] or [port])[0])
    client = redis.Redis(port=port, protocol=protocol, maint_notifications_config=None)
    pubsub = client.pubsub()
    pubsub.subscribe("news", "weather")
    op("SUBSCRIBE")
    pubsub.psubscribe("log.*")
    op("PSUBSCRIBE")
    for _ in range(3):
        pubsub.get_message(timeout=1)
    other = redis.Redis(port=publisher)
    other.publish("news", "hello")
    other.publish("log.error", "x" * 10000)
    for _ in range(2):
        pubsub.get_message(timeout=1)
    pubsub.ping()
    pubsub.get_message(timeout=1)
    pubsub.unsubscribe()
    op("UNSUBSCRIBE")
    pubsub.punsubscribe("log.*")
    op("PUNSUBSCRIBE")
    for _ in range(3):
        pubsub.get_message(timeout=1)
    pubsub.close()


main()
