# etcdctl, which is etcd's client for Go: etcdctl.sh PORT. Prints what it did, a line of JSON for each
# call.
set -eu
export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=127.0.0.1:$1

# SERVICE/METHOD STATUS ARGUMENT...; what a server is not to blame for is no error of its.
ask() {
    method=etcdserverpb.$1 status=$2
    shift 2
    error=false
    etcdctl --command-timeout 20s "$@" >/dev/null 2>&1 || error=true
    test $error = true || test $status = OK
    test $error = false || test $status != OK
    echo "{\"name\": \"$method\", \"error\": $error, \"server_error\": false, \"kind\": \"client\"," \
        "\"attributes\": {\"rpc.system.name\": \"grpc\", \"rpc.method\": \"$method\"," \
        "\"rpc.response.status_code\": \"$status\"}}"
}

ask KV/Put OK put ctl value
ask KV/Range OK get ctl
printf 'value("ctl") = "value"\n\nput ctl other\n\nget ctl\n\n' | ask KV/Txn OK txn
ask KV/Compact OUT_OF_RANGE compact 1000000
ask KV/DeleteRange OK del ctl
ask Lease/LeaseGrant OK lease grant 60
ask Lease/LeaseRevoke NOT_FOUND lease revoke 4711
ask Cluster/MemberList OK member list
ask Auth/UserGet FAILED_PRECONDITION user get nobody
