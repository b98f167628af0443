"""A client of Kafka in C (librdkafka, by confluent-kafka): prints one line of JSON per operation.

    kafka_c.py PORT
"""

import json
import sys

from confluent_kafka import Consumer, Producer

TRACE = "2af7651916cd43dd8448eb211c80319c"


def told(op, **fields):
    print(json.dumps({"op": op, **fields}), flush=True)


def main():
    server = {"bootstrap.servers": f"127.0.0.1:{sys.argv[1]}"}
    producer = Producer(server | {"client.id": "c-producer", "acks": "1"})
    for number in range(2):
        parent = f"00-{TRACE}-{number + 1:016x}-01".encode()
        producer.produce("c-orders", b"order", headers=[("traceparent", parent)])
        producer.flush(10)
        told("send", name="send c-orders")
    names = {"client.id": "c-consumer", "group.id": "c-group", "auto.offset.reset": "earliest"}
    names |= {"enable.auto.commit": False}
    consumer = Consumer(server | names)
    consumer.subscribe(["c-orders"])
    got = 0
    while got < 2:
        message = consumer.poll(1)
        if message and not message.error():
            got += 1
            told("poll", partition=message.partition(), offset=message.offset())
    consumer.commit(asynchronous=False)
    told("commit", name="OffsetCommit")
    consumer.poll(1)  # Nothing comes: no span.
    consumer.close()


main()
