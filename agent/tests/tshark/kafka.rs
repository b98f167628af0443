//! Kafka: each request's kind and client, the group of those about groups, and the topic of messages
//! that are sent. tshark 4.0 knows versions of 2020 at most: of newer ones, only the head.
//!
//! Fetches are left out: Clew tells only of those that bring messages, and all recorded ones are newer.

use crate::compare::{Comparison, Exchange, UNKNOWN, compare};
use crate::dissector::Message;

#[test]
fn recordings() {
    compare(&Comparison::of("kafka", "kafka", clew, tshark));
}

fn clew(exchanges: &[Exchange]) -> Vec<String> {
    let line = |one: &Exchange| {
        let name = one.get("messaging.operation.name");
        let client = one.get("messaging.client.id");
        let group = one.get("messaging.consumer.group.name");
        let topic = one.get("messaging.destination.name");
        format!("{name} {client} {group}{topic}")
    };
    let lines = exchanges.iter().map(line);
    lines.filter(|line| !line.starts_with("poll ")).collect()
}

fn tshark(messages: &[Message]) -> Vec<String> {
    let mut found = Vec::new();
    for Message {
        from_client,
        tree,
        layer,
    } in messages
    {
        let get = |name| tree.first(name).unwrap_or_default();
        if layer != "kafka" || !from_client {
            continue;
        }
        let name = match get("kafka.api_key") {
            "0" => "send",
            "3" => "Metadata",
            "8" => "OffsetCommit",
            "9" => "OffsetFetch",
            "10" => "FindCoordinator",
            "11" => "JoinGroup",
            "13" => "LeaveGroup",
            "14" => "SyncGroup",
            // Fetches are left out; heartbeats and negotiation have no spans.
            "1" | "12" | "18" => continue,
            "19" => "CreateTopics",
            "22" => "InitProducerId",
            "24" => "AddPartitionsToTxn",
            "26" => "EndTxn",
            "2" => "ListOffsets",
            other => other,
        };
        let client = get("kafka.client_id");
        let is_known = tree.all("kafka.unsupported_api_version").is_empty();
        let about = match name {
            "Metadata" | "CreateTopics" | "InitProducerId" | "AddPartitionsToTxn" | "EndTxn"
            | "ListOffsets" => "",
            _ if !is_known => UNKNOWN,
            "send" => get("kafka.topic_name"),
            "FindCoordinator" => get("kafka.coordinator_key"),
            _ => get("kafka.consumer_group"),
        };
        found.push(format!("{name} {client} {about}"));
    }
    found
}
