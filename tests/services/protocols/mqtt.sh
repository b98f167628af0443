#!/bin/sh
# Uses an MQTT broker on 127.0.0.1:PORT with mosquitto_pub and mosquitto_sub (libmosquitto); prints one
# line of JSON for each operation.
#
#     mqtt.sh PORT
set -eu
port=$1
context=0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331
order=clew/sh/order

log() {
    printf '{"op": "%s", "name": "%s %s"%s}\n' "$1" "$1" "$2" "$3"
}

published() {
    log publish "$1" ", \"kind\": \"producer\"${2:-}"
}

# The broker keeps what is sent to a session whose client is away.
sub() {
    mosquitto_sub -V mqttv5 -p "$port" -i clew-sh -c -x 60 -q 2 -t 'clew/sh/#' "$@"
}

sub -E
for qos in 1 2; do
    mosquitto_pub -V mqttv5 -p "$port" -i clew-pub -q $qos -t $order -m hello \
        -D publish user-property traceparent "00-$context-01"
    published $order ", \"contexts\": [\"$context\"]"
done
printf 'one\ntwo\n' | mosquitto_pub -V mqttv311 -p "$port" -q 1 -t clew/sh/lines -l
published clew/sh/lines
published clew/sh/lines
mosquitto_pub -V mqttv311 -p "$port" -q 0 -t clew/sh/nobody/4711 -n
published clew/sh/nobody/+
mosquitto_pub -V mqttv5 -p "$port" -q 1 -t clew/denied -m hello >/dev/null 2>&1 || true
published clew/denied ', "error": "135"'

# The broker has no span for what it delivers.
for topic in $(sub -C 4 -W 20 -F %t); do
    contexts=
    test $topic != $order || contexts=", \"contexts\": [\"$context\"]"
    log process "$topic" ", \"kind\": \"consumer\", \"served\": false$contexts"
done
