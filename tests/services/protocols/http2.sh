# HTTP/2 without TLS, by curl: http2.sh PORT. Prints what it did, a line of JSON for each request.
set -eu
here=http://127.0.0.1:$1

# METHOD PATH STATUS [OPTION...]
ask() {
    method=$1 path=$2 wanted=$3
    shift 3
    got=$(curl --silent --http2-prior-knowledge --max-time 20 --output /dev/null --write-out '%{http_code}' \
        --request "$method" "$@" "$here$path")
    test "$got" = "$wanted"
    # A client's mistake is no error of the server's.
    error=false server_error=false
    if [ "$got" -ge 400 ]; then error=true; fi
    if [ "$got" -ge 500 ]; then server_error=true; fi
    echo "{\"name\": \"$method\", \"error\": $error, \"server_error\": $server_error, \"kind\": \"client\"," \
        "\"attributes\": {\"http.response.status_code\": $got, \"url.full\": \"$here$path\"}," \
        "\"server_attributes\": {\"http.response.status_code\": $got, \"url.path\": \"$path\"}}"
}

ask GET /curl 200
ask GET /missing 404
ask DELETE /broken 500
head -c 300000 /dev/zero | ask PUT /upload 200 --data-binary @-
