//! A request's header block: what HTTP/1 says by a first line and fields, and much the same is made of
//! it.

use crate::context::NotUnderstood;
use crate::model::{ParserEvent, Side, Started};
use crate::protocol::http1::attributes::{self, Setting};
use crate::protocol::http1::body::Method;
use crate::protocol::http1::exchange::Request;
use crate::protocol::http1::head::{Fields, RequestLine, Version};
use crate::protocol::http1::note::add;
use crate::protocol::http1::telemetry;

use super::deadline::Deadline;
use super::grpc;
use super::head::Head;
use super::streams::{Place, Stream, Streams, side_of};

impl Streams {
    pub(super) fn request(
        &mut self,
        id: u32,
        head: &Head,
        ends: bool,
        place: &Place,
        events: &mut Vec<ParserEvent>,
    ) {
        // Trailers, also those of a request that nobody saw; only clients' streams have odd numbers
        // (RFC 9113, section 5.1.1).
        if id <= self.last || id.is_multiple_of(2) || side_of(head) != Some(Side::Client) {
            return;
        }
        self.last = id;
        self.aligned = true;
        let early = self.open.iter().position(|stream| stream.id == id);
        let mut stream = match early {
            Some(at) => self.open.remove(at),
            None => Stream::new(id),
        };
        let (method, path) = (head.text(b":method"), head.get(b":path"));
        let line = RequestLine {
            method: method.unwrap_or_default(),
            target: path.unwrap_or_default(),
            version: Some(Version::Http2),
        };
        let fields = self.fields(head);
        let content = head.get(b"content-type");
        let mut notes = Vec::new();
        let setting = Setting {
            side: self.side(),
            remote: self.remote,
            redaction: &self.redaction,
            longest: self.limits.text,
        };
        let mut attributes = attributes::of_request(&setting, &line, &fields, &mut notes);
        let context = match self.extractor.extract(&fields.context) {
            Ok(None) => None,
            Ok(Some(found)) => {
                if let Some(original) = &found.original {
                    attributes.push(attributes::of_trace(&setting, original, &mut notes));
                }
                Some(found.context)
            }
            Err(NotUnderstood) => {
                add(&mut notes, NotUnderstood::NOTE);
                None
            }
        };
        let exchange = self.next;
        self.next += 1;
        events.push(ParserEvent::Started(Started {
            exchange,
            side: setting.side,
            position: place.position,
            start: place.first.time,
            task: place.last.task,
            context,
            overlapping: true,
            telemetry: telemetry::is_export(&line, &fields),
            carried: None,
        }));
        stream.is_call |= content.is_some_and(grpc::is_content_type);
        stream.deadline = Deadline::of(head, place.first.time);
        stream.may_be_call = head.incomplete && content.is_none() && method == Some("POST");
        // CONNECT has no path (section 8.5); what it is for is not needed to name it.
        let whole = method == Some("CONNECT") || path.is_some() && method.is_some();
        stream.incomplete |= !whole || head.incomplete && content.is_none();
        if stream.is_call || head.incomplete {
            stream.path = head.text(b":path").map(Box::from);
        }
        stream.request = Some(Request {
            exchange,
            method: match method {
                Some("HEAD") => Method::Head,
                Some("CONNECT") => Method::Connect,
                _ => Method::Other,
            },
            name: attributes::known_method(line.method).unwrap_or("HTTP"),
            attributes,
            notes,
            body: (!ends).then_some(0),
            unfinished: !ends,
            expects_continue: false,
            last: place.last,
            response: None,
        });
        self.asked(stream, events);
    }

    fn fields<'a>(&self, head: &'a Head) -> Fields<'a> {
        let mut fields = Fields::default();
        let custom = self.extractor.custom_headers();
        for (name, value) in head.fields() {
            match name {
                b":authority" => fields.host = Some(value),
                b":scheme" => fields.scheme = std::str::from_utf8(value).ok(),
                [b':', ..] => {}
                _ => {
                    fields.set(name, value);
                    fields.context.set(name, value, custom);
                }
            }
        }
        fields
    }
}
