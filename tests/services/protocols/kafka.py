"""A client of Kafka (kafka-python): prints one line of JSON per operation.

    kafka.py PORT
"""

import json
import sys

sys.path.pop(0)  # This file has the library's name.
import kafka  # noqa: E402
from kafka.admin import KafkaAdminClient, NewTopic  # noqa: E402

TRACE = "0af7651916cd43dd8448eb211c80319c"


def told(op, **fields):
    print(json.dumps({"op": op, **fields}), flush=True)


def main():
    server = f"127.0.0.1:{sys.argv[1]}"
    admin = KafkaAdminClient(bootstrap_servers=server, client_id="py-admin")
    admin.create_topics([NewTopic("py-orders", 1, 1)])
    told("create", name="CreateTopics")
    try:
        admin.create_topics([NewTopic("py-orders", 1, 1)])
    except kafka.errors.TopicAlreadyExistsError:
        told("create", name="CreateTopics", error="TOPIC_ALREADY_EXISTS")
    admin.close()

    producer = kafka.KafkaProducer(bootstrap_servers=server, client_id="py-producer", acks="all")
    for number in range(3):
        parent = f"00-{TRACE}-{number + 1:016x}-01".encode()
        sent = producer.send("py-orders", b"order", headers=[("traceparent", parent)]).get(10)
        told("send", name="send py-orders", offset=sent.offset, partition=sent.partition)
    producer.send("py-orders", b"x" * 20_000).get(10)
    told("send", name="send py-orders")
    producer.close()

    producer = kafka.KafkaProducer(bootstrap_servers=server, client_id="py-careless", acks=0)
    producer.send("py-orders", b"lost?").get(10)
    told("send", name="send py-orders", acks=0)
    producer.close()

    consumer = kafka.KafkaConsumer(
        "py-orders",
        bootstrap_servers=server,
        client_id="py-consumer",
        group_id="py-group",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    got = 0
    while got < 5:
        for records in consumer.poll(1000).values():
            got += len(records)
            told("poll", name="poll py-orders", count=len(records))
    consumer.commit()
    told("commit", name="OffsetCommit")
    consumer.poll(1000)  # Nothing comes: no span.
    consumer.close()


main()
