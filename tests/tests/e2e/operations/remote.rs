//! gRPC.

use clew_tests::Backend;
use clew_tests::clients::Client;
use clew_tests::servers::Server;

use super::Case;

on_both_backends!(grpc);

fn grpc(backend: Backend) {
    let clients = [Client::Python("grpc_client.py", &[])];
    Case::new("grpc", Server::Grpc, 7819, &clients).check(backend);
}
