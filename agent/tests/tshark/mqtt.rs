//! MQTT: each message's topic and size, either way, and refusals.

use crate::compare::{Comparison, Exchange, compare};
use crate::dissector::Message;

#[test]
fn recordings() {
    compare(&Comparison::of("mqtt", "mqtt", clew, tshark));
}

fn clew(exchanges: &[Exchange]) -> Vec<String> {
    let line = |one: &Exchange| {
        let name = one.get("messaging.operation.name");
        let topic = one.get("messaging.destination.name");
        let size = one.get("messaging.message.body.size");
        format!("{name} {topic} {size}")
    };
    let is_message = |one: &&Exchange| one.finished.kind.is_some();
    let messages = exchanges.iter().filter(is_message).map(line);
    // Others are the ends of connections.
    let is_reason = |code: &String| code.parse::<u8>().is_ok();
    let errors = exchanges.iter().map(|one| one.get("error.type"));
    let errors = errors.filter(is_reason).map(|code| format!("error {code}"));
    messages.chain(errors).collect()
}

fn tshark(messages: &[Message]) -> Vec<String> {
    let mut found = Vec::new();
    let mut errors = Vec::new();
    for Message {
        from_client, tree, ..
    } in messages
    {
        let reasons = [
            "mqtt.connack.reason_code",
            "mqtt.puback.reason_code",
            "mqtt.pubrec.reason_code",
            "mqtt.suback.reason_code",
        ];
        let is_error = |code: &&str| code.parse::<u8>().is_ok_and(|code| code >= 0x80);
        let refused = tree.leaves(&reasons).filter(is_error);
        errors.extend(refused.map(|code| format!("error {code}")));
        let name = match (tree.first("mqtt.msgtype"), from_client) {
            (Some("3"), true) => "publish",
            (Some("3"), false) => "process",
            _ => continue,
        };
        let topic = tree.first("mqtt.topic").unwrap_or_default();
        // Bytes in hexadecimal, with colons between.
        let message = tree.first("mqtt.msg").unwrap_or_default();
        let size = message.split(':').filter(|byte| !byte.is_empty()).count();
        found.push(format!("{name} {topic} {size}"));
    }
    found.extend(errors);
    found
}
