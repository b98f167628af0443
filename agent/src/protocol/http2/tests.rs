//! Recordings of real clients and servers.

use crate::protocol::testing::{check, survives};
use crate::protocol::{http1, http2};

const DIRECTORY: &str = "src/protocol/http2/recordings";

#[test]
fn grpc_python() {
    check(DIRECTORY, "grpc_python", http2::ENTRY.make);
    survives(DIRECTORY, "grpc_python", http2::ENTRY.make);
}

#[test]
fn grpc_go() {
    check(DIRECTORY, "grpc_go", http2::ENTRY.make);
    survives(DIRECTORY, "grpc_go", http2::ENTRY.make);
}

#[test]
fn curl_nginx() {
    check(DIRECTORY, "curl_nginx", http2::ENTRY.make);
    survives(DIRECTORY, "curl_nginx", http2::ENTRY.make);
}

/// The whole answer has come before the connection ends.
#[test]
fn closed_before_the_end_of_the_stream() {
    check(DIRECTORY, "curl_unended", http2::ENTRY.make);
    survives(DIRECTORY, "curl_unended", http2::ENTRY.make);
}

#[test]
fn upgrade() {
    check(DIRECTORY, "upgrade_hypercorn", http1::ENTRY.make);
    survives(DIRECTORY, "upgrade_hypercorn", http1::ENTRY.make);
}

#[test]
fn etcd() {
    check(DIRECTORY, "etcdctl", http2::ENTRY.make);
    survives(DIRECTORY, "etcdctl", http2::ENTRY.make);
}
