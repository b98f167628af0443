"""What redis-py makes of a Redis server: `redis_py.py PORT [2|3]`, with the version of RESP.

Prints a line of JSON for each command that must be told as a span, in its order on its connection.
"""

import json
import sys

import redis


def op(name, error=None, **more):
    print(json.dumps({"op": name, "name": name, "error": error, **more}))


def main():
    port, protocol = int(sys.argv[1]), int((sys.argv[2:] or ["2"])[0])
    client = redis.Redis(
        port=port,
        protocol=protocol,
        db=3,
        maint_notifications_config=None,
    )
    client.ping()
    client.set("greeting", "hello world")
    op("SET")
    client.get("greeting")
    op("GET")
    client.get("nothing")
    op("GET")
    client.mset({"a": "1", "b": "2", "c": "x" * 30000})
    op("MSET")
    client.mget("a", "b", "c", "d")
    op("MGET")
    client.hset("hash", mapping={"f": "1", "g": "2", "h": "3", "i": "4"})
    op("HSET")
    client.hgetall("hash")
    op("HGETALL")
    try:
        client.lpush("a", "wrong")
    except redis.ResponseError:
        op("LPUSH", "WRONGTYPE")
    with client.pipeline(transaction=False) as pipeline:
        for number in range(3):
            pipeline.incr("counter")
            op("INCRBY")
        pipeline.zadd("sorted", {"x": 1.5, "y": 2})
        op("ZADD")
        pipeline.zrange("sorted", 0, -1, withscores=True)
        op("ZRANGE")
        pipeline.execute()
    with client.pipeline(transaction=True) as pipeline:
        op("MULTI")
        pipeline.set("t", "1")
        op("SET")
        pipeline.incr("t")
        op("INCRBY")
        pipeline.lpush("t", "wrong")
        op("LPUSH")
        op("EXEC", "WRONGTYPE")
        pipeline.execute(raise_on_error=False)
    client.eval("return {1, {2, {3, ARGV[1]}}}", 1, "key", "secret argument")
    op("EVAL")
    sha = client.script_load("return redis.call('GET', KEYS[1])")
    op("SCRIPT LOAD")
    client.evalsha(sha, 1, "greeting")
    op("EVALSHA", procedure=sha)
    try:
        client.evalsha("0" * 40, 0)
    except redis.exceptions.NoScriptError:
        op("EVALSHA", "NOSCRIPT")
    client.config_get("maxmemory*")
    op("CONFIG GET")
    client.xadd("stream", {"field": "value"})
    op("XADD")
    client.xread({"stream": "0"}, count=1, block=50)
    op("XREAD")
    client.blpop(["empty"], timeout=0.05)
    op("BLPOP")
    client.delete("a", "b", "c", "hash", "counter", "sorted", "t", "stream")
    op("DEL")
    client.close()


main()
