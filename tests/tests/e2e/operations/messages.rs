//! NATS and Kafka.

use clew_tests::Backend;
use clew_tests::clients::Client;
use clew_tests::servers::Server;

use super::Case;

on_both_backends!(nats, kafka);

/// What JetStream's client asks for to make streams and consumers.
const MANAGING: &[&str] = &[
    "request $JS.API.CONSUMER.CREATE",
    "request $JS.API.CONSUMER.INFO",
    "request $JS.API.STREAM.CREATE",
    "request $JS.API.STREAM.NAMES",
];

/// The broker has spans for what is published, and none for what it delivers.
fn nats(backend: Backend) {
    let clients = [Client::Python("nats.py", &[]), Client::Go("nats_go", &[])];
    Case::new("nats", Server::Nats, 7817, &clients)
        .at_clients()
        .beside(MANAGING)
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
    let clients = [
        Client::Java("Kafka.java", "kafka", &[]),
        Client::Python("kafka.py", &[]),
        Client::Python("kafka_c.py", &[]),
    ];
    Case::new("kafka", Server::Kafka, 7821, &clients)
        .beside(FINDING)
        .check(backend);
}
