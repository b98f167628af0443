"""A client of Kafka (kafka-python): prints one line of JSON per operation.

    kafka.py PORT
"""

import json
import sys
import time

sys.path.pop(0)  # This file has the library's name.
import kafka  # noqa: E402
from kafka.admin import KafkaAdminClient, NewTopic  # noqa: E402

TRACE = "0af7651916cd43dd8448eb211c80319c"

# A broker sends messages from its files (sendfile), where they are not seen.
SERVED = {"messaging.destination.name": "py-orders"}


def told(op, **fields):
    print(json.dumps({"op": op, **fields}), flush=True)


def attributes(topic, partition, offset, count=None):
    found = {
        "messaging.system": "kafka",
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": partition,
        "messaging.kafka.offset": offset,
    }
    return found if count is None else found | {"messaging.batch.message_count": count}


def main():
    server = f"127.0.0.1:{sys.argv[1]}"
    admin = KafkaAdminClient(bootstrap_servers=server, client_id="py-admin")
    admin.create_topics([NewTopic("py-orders", 1, 1)])
    told("create", name="CreateTopics")
    try:
        admin.create_topics([NewTopic("py-orders", 1, 1)])
    except kafka.errors.TopicAlreadyExistsError:
        told("create", name="CreateTopics", error="TOPIC_ALREADY_EXISTS", attributes={"error.type": "TOPIC_ALREADY_EXISTS"})
    admin.close()

    producer = kafka.KafkaProducer(bootstrap_servers=server, client_id="py-producer", acks="all")
    for number in range(3):
        context = f"{TRACE}-{number + 1:016x}"
        headers = [("traceparent", f"00-{context}-01".encode())]
        began = time.monotonic()
        sent = producer.send("py-orders", b"order", headers=headers).get(10)
        told(
            "send",
            name="send py-orders",
            kind="producer",
            attributes=attributes("py-orders", sent.partition, sent.offset, 1),
            contexts=[context],
            ms=(time.monotonic() - began) * 1000,
        )
    sent = producer.send("py-orders", b"x" * 20_000).get(10)
    found = attributes("py-orders", sent.partition, sent.offset, 1)
    told("send", name="send py-orders", kind="producer", attributes=found)
    producer.close()

    producer = kafka.KafkaProducer(bootstrap_servers=server, client_id="py-careless", acks=0)
    producer.send("py-orders", b"lost?").get(10)
    told("send", name="send py-orders", kind="producer")
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
        for place, records in consumer.poll(1000).items():
            got += len(records)
            # The answer to one fetch: all of them were there before.
            found = attributes("py-orders", place.partition, records[0].offset)
            contexts = [f"{TRACE}-{number + 1:016x}" for number in range(3)]
            told(
                "poll",
                name="poll py-orders",
                kind="client",
                attributes=found,
                server_attributes=SERVED,
                contexts=contexts,
            )
    consumer.commit()
    group = {"messaging.consumer.group.name": "py-group"}
    told("commit", name="OffsetCommit", attributes=group)
    consumer.poll(1000)  # Nothing comes: no span.
    consumer.close()


main()
