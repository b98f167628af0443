//! What is told of messages and requests: OpenTelemetry's semantic conventions for messaging spans and
//! for RabbitMQ, <https://opentelemetry.io/docs/specs/semconv/messaging/rabbitmq/>.

use std::borrow::Cow;

use crate::model::{Note, Side, SpanKind};
use crate::protocol::cursor::text;
use crate::protocol::open::Told;

use super::wire::Properties;

pub(super) const TOO_MANY: Note = "too many exchanges open";
pub(super) const GAP: Note = "bytes lost";
pub(super) const CONFIRM_UNKNOWN: Note = "confirmation cannot be told from others";
pub(super) const CONSUMER_UNKNOWN: Note = "consumer not known";
pub(super) const ACK_UNKNOWN: Note = "acknowledgement not known";
pub(super) const PROPERTIES_CUT: Note = "message properties cut";
pub(super) const REJECTED: Note = "message rejected";
pub(super) const REQUEUED: Note = "message rejected and put back";

/// Longest text of a short string (section 4.2.5.3).
const SHORT: usize = 255;
/// Names that the broker makes.
const MADE: [&[u8]; 2] = [b"amq.gen-", b"amq.rabbitmq.reply-to"];

fn of(operation: &'static str) -> Told {
    let mut told = Told::default();
    told.attributes.reserve_exact(9);
    told.set("messaging.system", "rabbitmq");
    told.set("messaging.operation.name", operation);
    told
}

/// A message that is sent.
pub(super) fn publish(side: Side, exchange: &[u8], key: &[u8]) -> Told {
    let mut told = of("publish");
    told.kind = (side == Side::Client).then_some(SpanKind::Producer);
    told.set("messaging.operation.type", "send");
    destination(&mut told, &[exchange, key]);
    routing_key(&mut told, key);
    // A routing key is a queue's name there.
    told.name = name("publish", if exchange.is_empty() { key } else { exchange });
    told
}

/// Where a message came from.
pub(super) struct Source<'a> {
    pub(super) queue: &'a [u8],
    pub(super) exchange: &'a [u8],
    pub(super) key: &'a [u8],
    pub(super) tag: u64,
}

impl Source<'_> {
    /// A message that was pushed.
    pub(super) fn process(&self) -> Told {
        let mut told = of("process");
        told.kind = Some(SpanKind::Consumer);
        told.set("messaging.operation.type", "process");
        self.tell("process", &mut told);
        told
    }

    /// A message that was asked for.
    pub(super) fn receive(&self) -> Told {
        let mut told = of("receive");
        told.set("messaging.operation.type", "receive");
        self.tell("receive", &mut told);
        told
    }

    fn tell(&self, operation: &'static str, told: &mut Told) {
        let queue = if self.queue == self.key {
            &[]
        } else {
            self.queue
        };
        destination(told, &[self.exchange, self.key, queue]);
        routing_key(told, self.key);
        let tag = i64::try_from(self.tag).unwrap_or(i64::MAX);
        told.set("messaging.rabbitmq.message.delivery_tag", tag);
        let known = [self.queue, self.exchange, self.key];
        let known = known.into_iter().find(|name| !name.is_empty());
        told.name = name(operation, known.unwrap_or_default());
    }
}

/// Anything else that a client asks for; `about` is a queue or an exchange.
pub(super) fn request(operation: &'static str, about: &[u8]) -> Told {
    let mut told = of(operation);
    if !about.is_empty() {
        told.set("messaging.destination.name", text(about, SHORT));
    }
    told.name = Cow::Borrowed(operation);
    told
}

/// What a message says of itself.
pub(super) fn properties(told: &mut Told, properties: &Properties<'_>) {
    for (key, id) in [
        ("messaging.message.id", properties.message_id),
        (
            "messaging.message.conversation_id",
            properties.correlation_id,
        ),
    ] {
        if !id.is_empty() {
            told.set(key, text(id, SHORT));
        }
    }
    let size = i64::try_from(properties.size).unwrap_or(i64::MAX);
    told.set("messaging.message.body.size", size);
    if properties.cut {
        told.note(PROPERTIES_CUT);
    }
}

fn destination(told: &mut Told, parts: &[&[u8]]) {
    let mut whole = Vec::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        if !whole.is_empty() {
            whole.push(b':');
        }
        whole.extend_from_slice(part);
    }
    if whole.is_empty() {
        told.set("messaging.destination.name", "amq.default");
    } else {
        told.set("messaging.destination.name", text(&whole, 4 * SHORT));
    }
}

fn routing_key(told: &mut Told, key: &[u8]) {
    if !key.is_empty() {
        told.set(
            "messaging.rabbitmq.destination.routing_key",
            text(key, SHORT),
        );
    }
}

/// A span's name, without the destination's where that was made for one client only.
fn name(operation: &'static str, destination: &[u8]) -> Cow<'static, str> {
    if destination.is_empty() || is_made(destination) {
        return Cow::Borrowed(operation);
    }
    let destination = String::from_utf8_lossy(destination);
    Cow::Owned([operation, " ", &destination].concat())
}

/// Whether the broker made the name, or it has part of a UUID or of a hash in it.
fn is_made(name: &[u8]) -> bool {
    /// The last part of a UUID.
    const DIGITS: usize = 12;
    MADE.iter().any(|made| name.starts_with(made))
        || name
            .split(|byte| !byte.is_ascii_hexdigit())
            .any(|run| run.len() >= DIGITS && run.iter().any(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;

    fn told(told: &Told) -> (String, Value) {
        let of = |key| told.attributes.iter().find(|a| a.key == key).unwrap();
        (
            told.name.to_string(),
            of("messaging.destination.name").value.clone(),
        )
    }

    #[test]
    fn destinations() {
        for (exchange, key, name, destination) in [
            ("orders", "new", "publish orders", "orders:new"),
            ("orders", "", "publish orders", "orders"),
            ("", "work", "publish work", "work"),
            ("", "amq.gen-x", "publish", "amq.gen-x"),
            ("", "", "publish", "amq.default"),
            (
                "",
                "reply.0af76519-16cd-43dd-8448-eb211c80319c",
                "publish",
                "reply.0af76519-16cd-43dd-8448-eb211c80319c",
            ),
        ] {
            let found = publish(Side::Client, exchange.as_bytes(), key.as_bytes());
            assert_eq!(told(&found), (name.to_owned(), destination.into()));
        }
        for (queue, exchange, key, name, destination) in [
            ("q", "e", "k", "process q", "e:k:q"),
            ("q", "", "q", "process q", "q"),
            ("", "e", "k", "process e", "e:k"),
            ("", "", "k", "process k", "k"),
        ] {
            let source = Source {
                queue: queue.as_bytes(),
                exchange: exchange.as_bytes(),
                key: key.as_bytes(),
                tag: 1,
            };
            assert_eq!(
                told(&source.process()),
                (name.to_owned(), destination.into())
            );
        }
    }
}
