//! PostgreSQL, MariaDB, Cassandra and MongoDB.

use clew_tests::Backend;
use clew_tests::clients::Client;
use clew_tests::servers::Server;

use super::Case;

on_each_backend!(postgres, mariadb, cassandra, mongo);

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

fn mariadb(backend: Backend) {
    let clients = [
        Client::Python("mysql.py", &[]),
        Client::Go("mysql_go", &[]),
        Client::Shell("mysql_cli.sh", "mariadb", &[]),
    ];
    Case::new("mariadb", Server::Mariadb, 7841, &clients).check(backend);
}

/// What drivers ask for of their own accord, to find nodes and to know their schema.
pub(super) const FINDING: &[&str] = &[
    "SELECT system.local",
    "SELECT system.peers",
    "SELECT system.peers_v2",
    "SELECT system_schema.keyspaces",
];

fn cassandra(backend: Backend) {
    let clients = [
        Client::Python("cassandra.py", &[]),
        Client::Go("cassandra_go", &[]),
    ];
    Case::new("cassandra", Server::Cassandra, 7843, &clients)
        .beside(FINDING)
        .check(backend);
}

fn mongo(backend: Backend) {
    let clients = [
        Client::Python("mongo.py", &[]),
        Client::Node("mongo_node.js", &[]),
    ];
    Case::new("mongo", Server::FerretDb, 7847, &clients).check(backend);
}
