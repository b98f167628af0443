//! The direction that carries requests.

use crate::context::NotUnderstood;
use crate::model::{Chunk, ParserEvent, Started};

use super::attributes::{self, Setting};
use super::body::{self, Framing, Method};
use super::exchange::{Moved, Request};
use super::head;
use super::lane::{Bytes, RawHead, Step};
use super::likeness::Kind;
use super::{Http1, note, telemetry};

impl Http1 {
    pub(super) fn request_bytes(
        &mut self,
        chunk: &Chunk<'_>,
        mut bytes: Bytes<'_>,
        events: &mut Vec<ParserEvent>,
    ) {
        let now = Moved {
            time: chunk.time,
            task: chunk.task,
        };
        if chunk.gap > 0 {
            self.request_gap(chunk.gap, events);
        }
        self.request_lane().begin_chunk(&bytes, Kind::Requests);
        loop {
            let limit = self.limits.head;
            let step = self
                .request_lane()
                .step(&mut bytes, now.time, Kind::Requests, limit);
            match step {
                Step::Starved => break,
                Step::Head(head) => self.begin_request(&head, now, events),
                // A request may have passed unseen: what answers it must not be taken for the
                // answer to the next.
                Step::NotHead { .. } => self.exchanges.aligned = false,
                Step::Body { payload, over } => {
                    if let Some(request) = self.exchanges.coming() {
                        request.moved(payload, over, now);
                    }
                }
                Step::FramingLost { payload } => {
                    if let Some(request) = self.exchanges.coming() {
                        request.moved(payload, false, now);
                        request.body = None;
                    }
                }
                Step::Unframed { .. } => {}
            }
        }
    }

    /// Requests before the gap keep their place; whether others were in it is not known.
    fn request_gap(&mut self, gap: u64, events: &mut Vec<ParserEvent>) {
        match self.request_lane().jump(gap) {
            Some(jump) => {
                if let Some(request) = self.exchanges.coming() {
                    let last = request.last;
                    request.moved(jump.payload, jump.over, last);
                }
            }
            None => {
                self.request_lane().seek();
                // A response that has begun is known to be the first request's.
                let answered = self
                    .exchanges
                    .open
                    .front()
                    .is_some_and(|r| r.response.is_some());
                self.exchanges
                    .lose(usize::from(answered), note::GAP, events);
            }
        }
    }

    pub(super) fn begin_request(
        &mut self,
        raw: &RawHead<'_>,
        now: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        let Some((line, rest)) = head::request(&raw.bytes) else {
            self.request_lane().seek();
            self.exchanges.aligned = false;
            return;
        };
        self.end_inferred(events);
        let fields = head::fields(rest, Some(self.extractor.custom_headers()));
        let mut notes = std::mem::take(&mut self.exchanges.notes);
        let framing = match raw.cut {
            true => Framing::Unknown,
            false => body::of_request(&fields),
        };
        if raw.cut {
            note::add(&mut notes, note::REQUEST_HEAD_CUT);
        } else if framing == Framing::Unknown {
            note::add(&mut notes, note::FRAMING_UNKNOWN);
        }
        self.request_lane().frame(framing);
        let setting = Setting {
            side: self.exchanges.side,
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
                note::add(&mut notes, NotUnderstood::NOTE);
                None
            }
        };
        let exchange = self.exchanges.next;
        self.exchanges.next += 1;
        events.push(ParserEvent::Started(Started {
            exchange,
            side: self.exchanges.side,
            position: raw.position,
            start: raw.start,
            task: now.task,
            context,
            overlapping: false,
            telemetry: telemetry::is_export(&line, &fields),
            carried: None,
        }));
        self.exchanges.open.push_back(Request {
            exchange,
            method: match line.method {
                "HEAD" => Method::Head,
                "CONNECT" => Method::Connect,
                _ => Method::Other,
            },
            name: attributes::known_method(line.method).unwrap_or("HTTP"),
            attributes,
            notes,
            body: match framing {
                Framing::Length(_) | Framing::Chunked => Some(0),
                _ => None,
            },
            unfinished: matches!(framing, Framing::Length(_) | Framing::Chunked),
            expects_continue: fields.expects_continue,
            last: now,
            response: None,
        });
        self.after_request(events);
    }

    /// Pairs a new request with what was there before it.
    fn after_request(&mut self, events: &mut Vec<ParserEvent>) {
        if self.exchanges.open.len() == 1 {
            self.exchanges.aligned = true;
        }
        if let Some(mut response) = self.exchanges.early.pop_front() {
            let Some(request) = self.exchanges.open.back_mut() else {
                return;
            };
            let coming = self.exchanges.early.is_empty() && response.ending.is_none();
            // It was read without its request's method: what that changes is made good here.
            let bodiless = request.method == Method::Head || response.switches(request.method);
            let gone_on = response.has_gone_on;
            if bodiless {
                response.end_at_head();
            }
            request.response = Some(response);
            if bodiless && gone_on {
                self.response_lane().seek();
            } else if bodiless && coming {
                self.response_lane().at_boundary();
            }
            self.settle(events);
        } else if let Some(ending) = self.responses_ended {
            self.exchanges.finish_from(0, ending, events);
        } else if self.exchanges.open.len() > self.limits.open {
            self.exchanges.abandon_oldest(events);
        }
    }
}

impl Request {
    fn moved(&mut self, payload: u64, over: bool, now: Moved) {
        self.last = now;
        self.unfinished = !over;
        if let Some(body) = &mut self.body {
            *body = body.saturating_add(payload);
        }
    }

    /// Whether the client may do without the body, because it was answered before it sent any.
    pub(super) fn may_omit_body(&self) -> bool {
        self.unfinished && self.expects_continue && self.body == Some(0)
    }
}
