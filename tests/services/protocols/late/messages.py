"""Brokers."""

import asyncio
import time

from telling import LARGE, log


class Nats:
    def __init__(self, port):
        self.loop = asyncio.new_event_loop()
        self.got = asyncio.Queue()
        self.loop.run_until_complete(self.connect(port))

    async def connect(self, port):
        import nats

        self.connection = await nats.connect(
            f"nats://127.0.0.1:{port}", user="tester", password="secret", allow_reconnect=False
        )

        async def answers(message):
            await message.respond(b"answer")

        await self.connection.subscribe("late.told.*", cb=self.got.put)
        await self.connection.subscribe("late.asked.*", cb=answers)

    async def tell(self, subject, content):
        await self.connection.publish(subject, content)
        await asyncio.wait_for(self.got.get(), 5)

    async def ask(self, subject):
        await self.connection.request(subject, b"question", timeout=5)

    def before(self, turn):
        if turn % 3 == 2:
            self.loop.run_until_complete(self.ask("late.asked.before"))
            return ["request late.asked.before", "process late.asked.before"]
        content = LARGE.encode() if turn % 3 == 1 else b"small"
        self.loop.run_until_complete(self.tell("late.told.before", content))
        return ["publish late.told.before", "process late.told.before"]

    def marked(self):
        for content in [b"one", LARGE.encode(), b"three"]:
            self.loop.run_until_complete(self.tell("late.told.marked", content))
            log("publish late.told.marked")
            log("process late.told.marked", served=False)
        self.loop.run_until_complete(self.ask("late.asked.marked"))
        log("request late.asked.marked")
        log("process late.asked.marked", served=False)
        try:
            self.loop.run_until_complete(self.ask("late.nobody"))
        except Exception:
            log("request late.nobody", "503")


class Kafka:
    def __init__(self, port):
        import kafka

        self.producer = kafka.KafkaProducer(bootstrap_servers=f"127.0.0.1:{port}")
        self.send("late-before", b"first")

    def send(self, topic, value):
        self.producer.send(topic, value).get(10)

    def before(self, turn):
        self.send("late-before", LARGE.encode() if turn % 3 == 1 else b"small")
        return ["send late-before"]

    def marked(self):
        for value in [b"one", LARGE.encode(), b"three"]:
            self.send("late-marked", value)
            log("send late-marked", kind="producer")
        self.producer.close()


class Amqp:
    def __init__(self, port):
        import pika

        self.error = pika.exceptions.ChannelClosedByBroker
        self.connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port))
        self.channel = self.connection.channel()
        self.channel.queue_declare("late.before")
        self.taken = 0
        self.channel.basic_consume("late.before", self.take)
        self.confirming = self.connection.channel()
        self.confirming.confirm_delivery()

    def take(self, channel, method, _properties, _body):
        channel.basic_ack(method.delivery_tag)
        self.taken += 1

    def tell(self, channel, exchange, key, content):
        """Sends one, and takes it."""
        self.taken = 0
        channel.basic_publish(exchange, key, content)
        while self.taken == 0:
            self.connection.process_data_events(5)

    def before(self, turn):
        content = LARGE.encode() if turn % 3 == 1 else b"small"
        self.tell(self.confirming if turn % 2 else self.channel, "", "late.before", content)
        return ["publish late.before", "process late.before"]

    def marked(self):
        channel = self.channel
        channel.exchange_declare("late.marked", "topic")
        log("exchange.declare")
        channel.queue_declare("late.queue")
        log("queue.declare")
        channel.queue_bind("late.queue", "late.marked", "order.#")
        log("queue.bind")
        for content in [b"", b"one", b"three"]:
            channel.basic_publish("late.marked", "order.new", content)
            log("publish late.marked", kind="producer")
        while channel.queue_declare("late.queue", passive=True).method.message_count < 3:
            log("queue.declare")
        log("queue.declare")
        for _ in range(3):
            channel.basic_get("late.queue", auto_ack=True)
            log("receive late.queue", kind="client")
        # After a silence, what is not confirmed yet is known.
        time.sleep(1.5)
        for content in [b"one", b"two"]:
            self.confirming.basic_publish("", "late.silence", content)
            counted = {"clew.notes": ""}
            log("publish late.silence", kind="producer", attributes=counted)
        # What begins from here on is known from its beginning.
        confirming = self.connection.channel()
        confirming.confirm_delivery()
        confirming.basic_consume("late.queue", self.take)
        for content in [b"one", LARGE.encode()]:
            self.tell(confirming, "late.marked", "order.new", content)
            log("publish late.marked", kind="producer")
            log("process late.queue", kind="consumer", served=False)
        try:
            self.connection.channel().queue_declare("late.missing", passive=True)
        except self.error:
            log("queue.declare", "404")
        self.connection.close()


class Mqtt:
    def __init__(self, place):
        import queue

        import paho.mqtt.client as mqtt

        self.taken, ready = queue.Queue(), queue.Queue()
        version = mqtt.CallbackAPIVersion.VERSION2
        transport = "unix" if isinstance(place, str) else "tcp"
        self.client = mqtt.Client(version, "late", protocol=mqtt.MQTTv5, transport=transport)
        self.client.on_message = lambda _, __, message: self.taken.put(message.topic)
        self.client.on_subscribe = lambda *_: ready.put(True)
        self.client.on_connect = lambda *_: ready.put(True)
        if transport == "unix":
            self.client.connect(place)
        else:
            self.client.connect("127.0.0.1", place)
        self.client.loop_start()
        ready.get(timeout=10)
        self.client.subscribe("clew/late/#", options=mqtt.SubscribeOptions(qos=2))
        ready.get(timeout=10)

    def tell(self, topic, content, qos):
        """Sends one, and takes it."""
        self.client.publish(topic, content, qos).wait_for_publish(10)
        self.taken.get(timeout=10)

    def before(self, turn):
        content = LARGE if turn % 4 == 3 else "small"
        self.tell("clew/late/before", content, turn % 3)
        return ["publish clew/late/before", "process clew/late/before"]

    def marked(self):
        for content, qos in [("one", 0), ("two", 1), ("three", 2), (LARGE, 0), (LARGE, 1), (LARGE, 2)]:
            self.tell("clew/late/marked", content, qos)
            log("publish clew/late/marked", kind="producer")
            log("process clew/late/marked", kind="consumer", served=False)
        self.client.disconnect()
        self.client.loop_stop()
