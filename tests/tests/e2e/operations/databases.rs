//! PostgreSQL.

use clew_tests::Backend;
use clew_tests::clients::Client;
use clew_tests::servers::Server;

use super::Case;

on_both_backends!(postgres);

fn postgres(backend: Backend) {
    let parts = &[
        "simple", "extended", "pipeline", "copy", "large", "scram", "refused",
    ];
    let clients = [
        Client::Python("postgres.py", parts),
        Client::Go("postgres_go", &[]),
    ];
    Case::new("postgres", Server::Postgres, 7815, &clients).check(backend);
}
