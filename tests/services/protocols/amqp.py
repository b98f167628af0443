"""Uses a RabbitMQ broker on 127.0.0.1:PORT in the ways that make spans; prints one line of JSON for each.

    amqp.py PORT [confirm|plain|errors|login|large|tx]

Needs pika.
"""

import json
import sys
import time

import pika

CONTEXT = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
PORT = int(sys.argv[1])


def connect(password="guest"):
    login = pika.PlainCredentials("guest", password)
    return pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", PORT, "/", login, heartbeat=600)
    )


def log(op, name, **more):
    print(json.dumps({"op": op, "name": name, **more}), flush=True)


def published(name, **more):
    log("publish", f"publish {name}".strip(), kind="producer", **more)


def processed(name, tag, properties):
    """The broker has no span for what it delivers."""
    more = {}
    if properties and "traceparent" in (properties.headers or {}):
        more["contexts"] = [properties.headers["traceparent"][3:-3]]
    attributes = {"messaging.rabbitmq.message.delivery_tag": tag}
    log("process", f"process {name}".strip(), kind="consumer", served=False, attributes=attributes, **more)


def topology(channel, queue, exchange="clew.orders"):
    channel.exchange_declare(exchange, "topic")
    log("exchange.declare", "exchange.declare")
    channel.queue_declare(queue)
    log("queue.declare", "queue.declare")
    channel.queue_bind(queue, exchange, "order.#")
    log("queue.bind", "queue.bind")


def remove(channel, queue, exchange="clew.orders"):
    channel.queue_delete(queue)
    log("queue.delete", "queue.delete")
    channel.exchange_delete(exchange)
    log("exchange.delete", "exchange.delete")


def consume(channel, queue, count, auto_ack, verdict=None):
    """Takes so many messages as they are pushed."""
    taken = 0
    for method, properties, _ in channel.consume(queue, auto_ack=auto_ack):
        taken += 1
        if not auto_ack:
            (verdict or channel.basic_ack)(method.delivery_tag)
        processed(queue, method.delivery_tag, properties)
        if taken == count:
            break
    channel.cancel()


def plain():
    connection = connect()
    channel = connection.channel()
    topology(channel, "clew.plain")
    properties = pika.BasicProperties(
        content_type="text/plain",
        headers={"traceparent": f"00-{CONTEXT}-01", "count": 3, "list": [1, "two"], "none": None},
        message_id="m-1",
        correlation_id="c-1",
    )
    channel.basic_publish("clew.orders", "order.new", b"hello", properties)
    published("clew.orders", contexts=[CONTEXT], attributes={"messaging.message.id": "m-1"})
    for _ in range(3):
        channel.basic_publish("", "clew.plain", b"")
        published("clew.plain")
    consume(channel, "clew.plain", 4, False)
    channel.basic_publish("", "clew.plain", b"x")
    published("clew.plain")
    consume(channel, "clew.plain", 1, True)
    channel.basic_publish("clew.orders", "order.new", b"hello", properties)
    published("clew.orders", contexts=[CONTEXT])
    time.sleep(0.2)
    assert channel.basic_get("clew.plain")[0]
    log("receive", "receive clew.plain", kind="client", contexts=[CONTEXT])
    channel.basic_get("clew.plain")  # Empty: no span.
    own = channel.queue_declare("", exclusive=True).method.queue
    log("queue.declare", "queue.declare")
    channel.basic_publish("", own, b"reply")
    published("")
    consume_own(channel, own)
    remove(channel, "clew.plain")
    connection.close()


def consume_own(channel, queue):
    for method, properties, _ in channel.consume(queue, auto_ack=True):
        processed("", method.delivery_tag, properties)
        break
    channel.cancel()


def confirm():
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()
    topology(channel, "clew.confirm")
    channel.queue_declare("clew.full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    log("queue.declare", "queue.declare")
    for _ in range(3):
        channel.basic_publish("clew.orders", "order.new", b"hello")
        published("clew.orders")
    try:
        channel.basic_publish("clew.orders", "nobody", b"hello", mandatory=True)
    except pika.exceptions.UnroutableError:
        published("clew.orders", error="312")
    try:
        for _ in range(3):
            channel.basic_publish("", "clew.full", b"x")
            published("clew.full")
    except pika.exceptions.NackError:
        published("clew.full", error="nack")
    # All that there are: pika takes what it is sent, and puts back what nobody asked for.
    verdicts = iter((channel.basic_nack, channel.basic_nack, channel.basic_reject))
    consume(channel, "clew.confirm", 3, False, lambda tag: next(verdicts)(tag, requeue=False))
    channel.queue_delete("clew.full")
    log("queue.delete", "queue.delete")
    remove(channel, "clew.confirm")
    connection.close()


def errors():
    connection = connect()
    channel = connection.channel()
    try:
        channel.queue_declare("clew.missing", passive=True)
    except pika.exceptions.ChannelClosedByBroker:
        log("queue.declare", "queue.declare", error="404")
    channel = connection.channel()
    try:
        channel.basic_consume("clew.missing", print)
    except pika.exceptions.ChannelClosedByBroker:
        log("basic.consume", "basic.consume", error="404")
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        channel.basic_publish("clew.nowhere", "key", b"x")
    except pika.exceptions.ChannelClosedByBroker:
        published("clew.nowhere", error="404")
    connection.close()


def login():
    try:
        connect("wrong-password")
    except pika.exceptions.ProbableAuthenticationError:
        log("connection.start", "connection.start", error="403")


def large():
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()
    topology(channel, "clew.large")
    channel.basic_publish("clew.orders", "order.large", b"x" * 150_000)
    published("clew.orders")
    channel.basic_publish("clew.orders", "order.small", b"x")
    published("clew.orders")
    consume(channel, "clew.large", 2, False)
    remove(channel, "clew.large")
    connection.close()


def tx():
    connection = connect()
    channel = connection.channel()
    topology(channel, "clew.tx")
    channel.tx_select()
    channel.basic_publish("clew.orders", "order.new", b"hello")
    published("clew.orders")
    channel.tx_commit()
    log("tx.commit", "tx.commit")
    channel.tx_rollback()
    log("tx.rollback", "tx.rollback")
    remove(channel, "clew.tx")
    connection.close()


WAYS = {f.__name__: f for f in (plain, confirm, errors, login, large, tx)}
ways = sys.argv[2:] or list(WAYS)
for way in ways:
    WAYS[way]()
