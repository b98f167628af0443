# Talks to MariaDB with its command line client, and says what it did: mysql_cli.sh PORT
#
# The server has what mysql.py's `prepare` makes. Prints one line of JSON per span.
set -u
port=$1
file=$(mktemp)
trap 'rm -f "$file"' EXIT

# The name of the span, then the client's arguments.
run() {
    name=$1
    shift
    if errors=$(mariadb --no-defaults --skip-ssl --host=127.0.0.1 --port="$port" --user=root --local-infile=1 \
        --database=shop --batch "$@" 2>&1 >/dev/null); then
        echo "{\"name\": \"$name\"}"
    else
        code=$(echo "$errors" | sed -n 's/^ERROR \([0-9]*\).*/\1/p')
        echo "{\"name\": \"$name\", \"error\": $code, \"attributes\": {\"db.response.status_code\": \"$code\"}}"
    fi
}

run "SELECT orders" --execute="SELECT item FROM orders WHERE id = 3"
run "SELECT" --execute="SELECT broken"
# Another delimiter, so that the client sends several statements at once.
run "UPDATE orders SELECT orders" --delimiter=// \
    --execute="UPDATE orders SET price = 3 WHERE id = 3; SELECT item FROM orders//"
# Short, for the server sends both at once, and of that the beginning is captured.
run "SELECT orders SELECT nowhere" --delimiter=// \
    --execute="SELECT item FROM orders WHERE id < 4; SELECT nothing FROM nowhere//"
printf '0,loaded,1\n0,loaded too,2\n' >"$file"
run "LOAD" --execute="LOAD DATA LOCAL INFILE '$file' INTO TABLE orders FIELDS TERMINATED BY ','"
run "CALL nothing" --execute="CALL nothing()"
run "connect" --user=nobody --password=wrong --execute="SELECT 1"
run "connect" --database=nowhere --execute="SELECT 1"
# Nothing is told of a connection that is compressed.
run "" --compress --execute="SELECT item FROM orders" >/dev/null
