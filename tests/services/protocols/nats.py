"""A client of NATS (nats-py): prints one line of JSON per operation.

    nats.py PORT
"""

import asyncio
import json
import sys

sys.path.pop(0)  # This file has the library's name.
import nats  # noqa: E402

TRACE = "0af7651916cd43dd8448eb211c80319c"


def told(op, **fields):
    print(json.dumps({"op": op, **fields}), flush=True)


async def main():
    connection = await nats.connect(
        f"nats://127.0.0.1:{sys.argv[1]}", user="tester", password="secret", allow_reconnect=False
    )
    got = asyncio.Queue()

    async def answers(message):
        await message.respond(b"answer to " + message.data)

    await connection.subscribe("py.orders.*", cb=got.put)
    await connection.subscribe("py.questions", queue="workers", cb=answers)
    await connection.publish("py.orders.new", b"order 1")
    told("publish", name="publish py.orders.new")
    headers = {"traceparent": f"00-{TRACE}-0000000000000001-01"}
    await connection.publish("py.orders.new", b"order 2", headers=headers)
    told("publish", name="publish py.orders.new")
    await connection.publish("py.orders.new", b"x" * 20_000)
    told("publish", name="publish py.orders.new")
    for _ in range(3):
        message = await asyncio.wait_for(got.get(), 5)
        told("process", name="process py.orders.new", length=len(message.data))
    answer = await connection.request("py.questions", b"question", timeout=5)
    told("request", name="request py.questions", answer=answer.data.decode())
    told("process", name="process py.questions")
    try:
        await connection.request("py.nobody", b"question", timeout=5)
    except nats.errors.NoRespondersError:
        told("request", name="request py.nobody", error="503")
    try:
        # Two at once, answered in any order.
        both = [connection.request("py.questions", b"%d" % n, timeout=5) for n in range(2)]
        await asyncio.gather(*both)
        for _ in both:
            told("request", name="request py.questions")
            told("process", name="process py.questions")
    finally:
        await connection.drain()


asyncio.run(main())
