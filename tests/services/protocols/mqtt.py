"""Uses an MQTT broker on 127.0.0.1:PORT in the ways that make spans; prints one line of JSON for each.

    mqtt.py PORT [v3|v5|qos0|large|refused]

Needs paho-mqtt.
"""

import json
import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

CONTEXT = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
PORT = int(sys.argv[1])


def log(op, name, **more):
    print(json.dumps({"op": op, "name": name, **more}), flush=True)


class Client:
    """A client whose deliveries wait in a queue."""

    def __init__(self, version, name):
        self.taken = queue.Queue()
        self.ready = queue.Queue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name, protocol=version)
        self.client.on_message = lambda _, __, message: self.taken.put(message.topic)
        self.client.on_subscribe = lambda *_: self.ready.put(True)
        self.client.on_unsubscribe = lambda *_: self.ready.put(True)
        self.client.on_connect = lambda *_: self.ready.put(True)
        self.client.connect("127.0.0.1", PORT)
        self.client.loop_start()
        self.ready.get(timeout=10)

    def subscribe(self, topics):
        self.client.subscribe(topics)
        self.ready.get(timeout=10)

    def publish(self, topic, payload, qos, name, properties=None, **more):
        sent = self.client.publish(topic, payload, qos, properties=properties)
        sent.wait_for_publish(10)
        log("publish", f"publish {name}", kind="producer", **more)

    def take(self, name, **more):
        """The broker has no span for what it delivers."""
        self.taken.get(timeout=10)
        log("process", f"process {name}", kind="consumer", served=False, **more)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def v3():
    client = Client(mqtt.MQTTv311, "clew-v3")
    client.subscribe([("clew/v3/#", 2)])
    for qos in (0, 1, 2):
        client.publish("clew/v3/temperature", b"21.5", qos, "clew/v3/temperature")
        client.take("clew/v3/temperature")
    client.publish("clew/v3/4711/state", b"", 1, "clew/v3/+/state")
    client.take("clew/v3/+/state")
    client.client.unsubscribe("clew/v3/#")
    client.ready.get(timeout=10)
    client.close()


def v5():
    client = Client(mqtt.MQTTv5, "clew-v5")
    client.subscribe([("clew/v5/#", mqtt.SubscribeOptions(qos=2))])
    for qos in (0, 1, 2):
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = [("traceparent", f"00-{CONTEXT}-01"), ("n", str(qos))]
        properties.ContentType = "text/plain"
        client.publish(
            "clew/v5/order", b"hello", qos, "clew/v5/order", properties, contexts=[CONTEXT]
        )
        client.take("clew/v5/order", contexts=[CONTEXT])
    # The topic's number stands for it from the second message on.
    for topic in ("clew/v5/alias", ""):
        properties = Properties(PacketTypes.PUBLISH)
        properties.TopicAlias = 3
        client.publish(topic, b"hello", 1, "clew/v5/alias", properties)
        client.take("clew/v5/alias")
    client.close()


def qos0():
    client = Client(mqtt.MQTTv31, "clew-v31")
    for number in range(3):
        client.publish("clew/qos0", str(number), 0, "clew/qos0")
    client.close()


def large():
    client = Client(mqtt.MQTTv311, "clew-large")
    client.subscribe([("clew/large", 1)])
    for size in (200_000, 10):
        client.publish("clew/large", b"x" * size, 1, "clew/large")
        client.take("clew/large")
    client.close()


def refused():
    """The broker knows the user, but not the password."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "clew-refused", protocol=mqtt.MQTTv5)
    client.username_pw_set("clew", "wrong-password")
    client.connect("127.0.0.1", PORT)
    codes = queue.Queue()
    client.on_connect = lambda _, __, ___, reason, ____: codes.put(reason.value)
    client.loop_start()
    log("connect", "connect", error=str(codes.get(timeout=10)))
    client.disconnect()
    client.loop_stop()


WAYS = {f.__name__: f for f in (v3, v5, qos0, large, refused)}
for way in sys.argv[2:] or list(WAYS):
    WAYS[way]()
