//! AMQP 0-9-1: each message's exchange, routing key and size, either way, and each request about
//! exchanges, queues and transactions.

use std::collections::HashMap;

use crate::compare::{Comparison, Exchange, compare};
use crate::dissector::Message;

#[test]
fn recordings() {
    compare(&Comparison::of("amqp", "amqp", clew, tshark));
}

fn clew(exchanges: &[Exchange]) -> Vec<String> {
    let line = |one: &Exchange| {
        let name = one.get("messaging.operation.name");
        let key = one.get("messaging.rabbitmq.destination.routing_key");
        let size = one.get("messaging.message.body.size");
        let tag = one.get("messaging.rabbitmq.message.delivery_tag");
        let id = one.get("messaging.message.id");
        match name.contains('.') {
            true => format!("{name} {}", one.get("messaging.destination.name")),
            false => format!("{name} {key} {size} {tag} {id}"),
        }
    };
    // Others are told of only if they fail.
    let is_told = |line: &String| !line.starts_with("basic.") && !line.starts_with("connection.");
    let mut lines: Vec<_> = exchanges.iter().map(line).filter(is_told).collect();
    let errors = exchanges.iter().map(|one| one.get("error.type"));
    let errors = errors.filter(|code| code == "nack" || code.parse::<u16>().is_ok());
    lines.extend(errors.map(|code| format!("error {code}")));
    lines.sort();
    lines
}

fn tshark(messages: &[Message]) -> Vec<String> {
    let mut found = Vec::new();
    // By channel and direction: the message whose header comes next.
    let mut open = HashMap::new();
    for Message {
        from_client, tree, ..
    } in messages
    {
        let get = |name| tree.first(name).unwrap_or_default();
        let channel = (get("amqp.channel"), from_client);
        let argument = |name: &str| {
            let name = format!("amqp.method.arguments.{name}");
            tree.first(&name).unwrap_or_default()
        };
        if get("amqp.type") == "2" {
            let Some(start) = open.remove(&channel) else {
                continue;
            };
            let (name, key, tag): (_, _, _) = start;
            let size = get("amqp.header.body-size");
            let id = get("amqp.method.properties.message_id");
            found.push(format!("{name} {key} {size} {tag} {id}"));
        }
        if !from_client {
            match (get("amqp.method.class"), get("amqp.method.method")) {
                // Of a connection, of a channel, of a message that is returned.
                ("10", "50") | ("20", "40") | ("60", "50") => {
                    found.push(format!("error {}", argument("reply_code")));
                }
                ("60", "120") => found.push("error nack".to_owned()),
                _ => {}
            }
        }
        let about = match (get("amqp.method.class"), get("amqp.method.method")) {
            ("40", "10") => ("exchange.declare", argument("exchange")),
            ("40", "20") => ("exchange.delete", argument("exchange")),
            ("50", "10") => ("queue.declare", argument("queue")),
            ("50", "20") => ("queue.bind", argument("queue")),
            ("50", "30") => ("queue.purge", argument("queue")),
            ("50", "40") => ("queue.delete", argument("queue")),
            ("50", "50") => ("queue.unbind", argument("queue")),
            ("90", "20") => ("tx.commit", ""),
            ("90", "30") => ("tx.rollback", ""),
            ("60", method) => {
                let name = match method {
                    "40" => "publish",
                    "60" => "process",
                    "71" => "receive",
                    _ => continue,
                };
                let message = (name, argument("routing_key"), argument("delivery_tag"));
                open.insert(channel, message);
                continue;
            }
            _ => continue,
        };
        found.push(format!("{} {}", about.0, about.1));
    }
    found.sort();
    found
}
