# Short processes, each with one request, until SIGTERM; then how many were answered.
# $1: pause between bunches in seconds, $2: the service's address.
over=
trap over=1 TERM
answered=0
number=0
while [ -z "$over" ]; do
    codes=$(for one in 1 2 3; do
        curl --silent --max-time 30 --output /dev/null --write-out '%{http_code}\n' \
            "http://$2/s/soak-short-$number-$one.1" &
    done; wait)
    answered=$((answered + $(echo "$codes" | grep -c 200)))
    number=$((number + 1))
    sleep "$1"
done
echo "$answered $((number * 3 - answered))"
