"""A client of Kafka in C (librdkafka, by confluent-kafka): prints one line of JSON per operation.

    kafka_c.py PORT
"""

import json
import sys

from confluent_kafka import Consumer, Producer

TRACE = "2af7651916cd43dd8448eb211c80319c"

# A broker sends messages from its files (sendfile), where they are not seen.
SERVED = {"messaging.destination.name": "c-orders"}


def at(offset):
    return {
        "messaging.destination.name": "c-orders",
        "messaging.destination.partition.id": 0,
        "messaging.kafka.offset": offset,
    }


def told(op, **fields):
    print(json.dumps({"op": op, **fields}), flush=True)


def main():
    server = {"bootstrap.servers": f"127.0.0.1:{sys.argv[1]}"}
    producer = Producer(server | {"client.id": "c-producer", "acks": "1"})
    for number in range(2):
        context = f"{TRACE}-{number + 1:016x}"
        headers = [("traceparent", f"00-{context}-01".encode())]
        # Both to one partition, so that one fetch brings both.
        producer.produce("c-orders", b"order", partition=0, headers=headers)
        producer.flush(10)
        told("send", name="send c-orders", kind="producer", attributes=at(number), contexts=[context])
    names = {"client.id": "c-consumer", "group.id": "c-group", "auto.offset.reset": "earliest"}
    names |= {"enable.auto.commit": False}
    consumer = Consumer(server | names)
    consumer.subscribe(["c-orders"])
    got = 0
    while got < 2:
        message = consumer.poll(1)
        if message and not message.error():
            got += 1
    contexts = [f"{TRACE}-{number + 1:016x}" for number in range(2)]
    found = at(0) | {"messaging.batch.message_count": 2}
    told(
        "poll",
        name="poll c-orders",
        kind="client",
        attributes=found,
        server_attributes=SERVED,
        contexts=contexts,
    )
    consumer.commit(asynchronous=False)
    told("commit", name="OffsetCommit")
    consumer.poll(1)  # Nothing comes: no span.
    consumer.close()


main()
