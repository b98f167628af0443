//! gRPC (etcd's too), HTTP/2 and FastCGI.

use clew_tests::Backend;
use clew_tests::clients::Client;
use clew_tests::servers::Server;

use super::Case;

on_both_backends!(grpc, etcd, http2, fastcgi, php);

fn grpc(backend: Backend) {
    let clients = [
        Client::Python("grpc_client.py", &[]),
        Client::Go("grpc_go", &[]),
    ];
    Case::new("grpc", Server::Grpc, 7819, &clients).check(backend);
}

fn etcd(backend: Backend) {
    let clients = [
        Client::Python("etcd.py", &[]),
        Client::Shell("etcdctl.sh", "etcdctl", &[]),
    ];
    Case::new("etcd", Server::Etcd, 7845, &clients).check(backend);
}

fn http2(backend: Backend) {
    let clients = [
        Client::Shell("http2.sh", "curl", &[]),
        Client::Python("http2.py", &[]),
    ];
    Case::new("http2", Server::Http2, 7823, &clients).check(backend);
}

fn fastcgi(backend: Backend) {
    let clients = [Client::Python("fastcgi.py", &[])];
    Case::new("fastcgi", Server::FastCgi, 7825, &clients).check(backend);
}

fn php(backend: Backend) {
    const SCRIPT: &[&str] = &[concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/services/protocols/fastcgi.php"
    )];
    let clients = [Client::Python("fastcgi.py", SCRIPT)];
    Case::new("php", Server::Php, 7827, &clients).check(backend);
}
