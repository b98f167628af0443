"""One kept connection that is busy before, while and after an agent starts: late PROTOCOL PLACE FILE.

PLACE is the server's port, or its Unix socket. Says `started` when it is busy. When FILE appears it goes on
for LEARN and SURE more turns, and then does what can be told from all before by its name: of this it prints a
line of JSON for each operation. Last comes a line `before` with how often it did what, all in all and in the
SURE turns.
"""

import collections
import json
import os
import sys
import time

import databases
import messages
import remote

# In protocols whose answers do not say what they answer, it takes some turns until that is known.
LEARN = 40
SURE = 20
PROTOCOLS = [
    databases.Redis,
    databases.Memcached,
    databases.Postgres,
    databases.Mariadb,
    databases.Cassandra,
    databases.Mongo,
    messages.Nats,
    messages.Kafka,
    messages.Amqp,
    messages.Mqtt,
    remote.Http1,
    remote.Http2,
    remote.Grpc,
    remote.FastCgi,
    remote.Php,
    remote.Dns,
]


def main():
    name, place, told = sys.argv[1:]
    place = int(place) if place.isdigit() else place
    client = next(each for each in PROTOCOLS if each.__name__.lower() == name)(place)
    done, sure = collections.Counter(), collections.Counter()
    turn, last = 0, 0
    while last < LEARN + SURE:
        last += last > 0 or os.path.exists(told)
        names = client.before(turn)
        done.update(names)
        if last > LEARN:
            sure.update(names)
        if turn == 50:
            print("started", flush=True)
        turn += 1
        time.sleep(0.003)
    client.marked()
    before = {name: [count, sure[name]] for name, count in done.items()}
    print("before", json.dumps(before), flush=True)


main()
