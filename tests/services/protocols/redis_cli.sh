# redis-cli, which is hiredis: redis_cli.sh PORT. Prints what it did, a line of JSON for each command.
set -eu
port=$1

# NAME ERROR ARGUMENT...
ask() {
    name=$1 error=$2
    shift 2
    redis-cli -p "$port" "$@" >/dev/null
    echo "{\"name\": \"$name\", \"error\": $error, \"kind\": \"client\"}"
}

ask SET false SET cli value
ask GET false GET cli
ask LPUSH true LPUSH cli value
ask DEL false DEL cli
