//! What is told of messages: OpenTelemetry's semantic conventions for messaging spans,
//! <https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/>.

use std::borrow::Cow;

use crate::model::{Note, Side, SpanKind};
use crate::protocol::cursor::text;
use crate::protocol::open::Told;
use crate::protocol::template::{is_id, template};

use super::wire::Publish;

pub(super) const TOO_MANY: Note = "too many exchanges open";
pub(super) const GAP: Note = "bytes lost";
pub(super) const AGAIN: Note = "message sent again";
pub(super) const TOPIC_UNKNOWN: Note = "topic's alias not known";
pub(super) const PROPERTIES_CUT: Note = "message properties cut";

/// Longest topic in a span's name, in bytes.
const NAME: usize = 255;

fn of(operation: &'static str, client: Option<&str>) -> Told {
    let mut told = Told::default();
    told.attributes.reserve_exact(8);
    told.set("messaging.system", "mqtt");
    told.set("messaging.operation.name", operation);
    if let Some(client) = client {
        told.set("messaging.client.id", client.to_owned());
    }
    told
}

/// A message: sent by a client (seen from a side), or delivered to one. `topic` is empty where it is not
/// known.
pub(super) fn message(
    sent: Option<Side>,
    topic: &str,
    publish: &Publish<'_>,
    client: Option<&str>,
) -> Told {
    let (operation, kind) = match sent {
        Some(_) => ("publish", "send"),
        None => ("process", "process"),
    };
    let mut told = of(operation, client);
    told.kind = match sent {
        Some(Side::Client) => Some(SpanKind::Producer),
        Some(Side::Server) => None,
        None => Some(SpanKind::Consumer),
    };
    told.set("messaging.operation.type", kind);
    told.name = Cow::Borrowed(operation);
    if topic.is_empty() {
        told.note(TOPIC_UNKNOWN);
        told.lost = true;
    } else {
        told.set("messaging.destination.name", topic.to_owned());
        let template = template(topic, '/', "+", is_id);
        let shown = template.as_deref().unwrap_or(topic);
        let shown = &shown[..shown.floor_char_boundary(NAME)];
        told.name = Cow::Owned([operation, " ", shown].concat());
        if let Some(template) = template {
            told.set("messaging.destination.template", template);
        }
    }
    if let Some(size) = publish.payload.and_then(|size| i64::try_from(size).ok()) {
        told.set("messaging.message.body.size", size);
    }
    if publish.cut {
        told.note(PROPERTIES_CUT);
    }
    told
}

/// Something that was refused.
pub(super) fn refused(operation: &'static str, client: Option<&str>) -> Told {
    let mut told = of(operation, client);
    told.name = Cow::Borrowed(operation);
    told
}

/// A topic or a client's name as text.
pub(super) fn name(bytes: &[u8], longest: usize) -> Box<str> {
    text(bytes, longest).into()
}
