//! NATS, Kafka, RabbitMQ and Mosquitto.

use clew_tests::Backend;
use clew_tests::clients::Client;
use clew_tests::servers::Server;

use super::Case;

on_each_backend!(nats, kafka, rabbitmq, mosquitto);

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

fn rabbitmq(backend: Backend) {
    let clients = [Client::Python("amqp.py", &[]), Client::Go("amqp_go", &[])];
    Case::new("rabbitmq", Server::RabbitMq, 7831, &clients).check(backend);
}

fn mosquitto(backend: Backend) {
    let clients = [
        Client::Python("mqtt.py", &[]),
        Client::Shell("mqtt.sh", "mosquitto_pub", &[]),
    ];
    Case::new("mosquitto", Server::Mosquitto, 7833, &clients).check(backend);
}
