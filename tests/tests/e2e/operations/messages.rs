//! NATS and Kafka.

use clew_tests::Backend;
use clew_tests::clients::Client;
use clew_tests::servers::Server;

use super::Case;

on_both_backends!(nats, kafka);

/// The broker has spans for what is published, and none for what it delivers.
fn nats(backend: Backend) {
    let clients = [Client::Python("nats.py", &[])];
    Case::new("nats", Server::Nats, 7817, &clients)
        .at_clients()
        .check(backend);
}

/// What Kafka's clients ask for of their own accord, to find brokers and to join groups.
const FINDING: &[&str] = &[
    "AddPartitionsToTxn",
    "EndTxn",
    "FindCoordinator",
    "InitProducerId",
    "JoinGroup",
    "LeaveGroup",
    "ListOffsets",
    "Metadata",
    "OffsetFetch",
    "SyncGroup",
];

fn kafka(backend: Backend) {
    let clients = [Client::Java("Kafka.java", "kafka", &[])];
    Case::new("kafka", Server::Kafka, 7821, &clients)
        .beside(FINDING)
        .check(backend);
}
