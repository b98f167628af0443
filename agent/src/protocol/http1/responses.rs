//! The direction that carries responses.

use crate::model::{Chunk, ParserEvent};

use super::body::{self, Framing, Method};
use super::exchange::{Ending, Moved, Response};
use super::head;
use super::lane::{Bytes, RawHead, Step};
use super::likeness::Kind;
use super::{Handover, Http1, note};

impl Http1 {
    pub(super) fn response_bytes(
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
            self.response_gap(chunk.gap, events);
        }
        self.response_lane().begin_chunk(&bytes, Kind::Responses);
        loop {
            let limit = self.limits.head;
            let step = self
                .response_lane()
                .step(&mut bytes, now.time, Kind::Responses, limit);
            match step {
                Step::Starved => break,
                Step::Head(head) => {
                    self.begin_response(&head, now, events);
                    if let Some(handover) = &mut self.handover {
                        handover.from = bytes.position();
                        break;
                    }
                }
                Step::NotHead { captured } => self.begin_unknown(captured, now, events),
                Step::Body { payload, over } => {
                    if let Some(response) = self.exchanges.current() {
                        response.moved(payload, now);
                    }
                    if over {
                        self.response_over(events);
                    }
                }
                Step::FramingLost { .. } => {
                    if let Some(response) = self.exchanges.current() {
                        response.moved(0, now);
                        response.body = None;
                        note::add(&mut response.notes, note::FRAMING_LOST);
                    }
                }
                Step::Unframed { over } => {
                    if let Some(response) = self.exchanges.current() {
                        response.moved(0, now);
                    }
                    if over {
                        self.unframed_over(0, events);
                    }
                }
            }
        }
    }

    fn response_gap(&mut self, gap: u64, events: &mut Vec<ParserEvent>) {
        match self.response_lane().jump(gap) {
            Some(jump) => {
                if let Some(response) = self.exchanges.current() {
                    let last = response.last;
                    response.moved(jump.payload, last);
                    if jump.over {
                        // Complete, but nobody saw when.
                        response.lost = true;
                        note::add(&mut response.notes, note::GAP);
                    }
                }
                if jump.over {
                    self.response_over(events);
                }
            }
            None => {
                self.response_lane().seek();
                self.exchanges.lose(0, note::GAP, events);
            }
        }
    }

    pub(super) fn begin_response(
        &mut self,
        raw: &RawHead<'_>,
        now: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        let Some((line, rest)) = head::response(&raw.bytes) else {
            return self.response_lane().seek();
        };
        if raw.after_unframed {
            self.unframed_over(1, events);
        }
        // Interim responses (RFC 9110, 15.2) announce a final one, except for the switch.
        if line
            .status
            .is_some_and(|status| status < 200 && status != 101)
        {
            if raw.cut {
                self.response_lane().seek();
            }
            return;
        }
        let fields = head::fields(rest, None);
        let mut response = Response::new(line.status, now);
        if raw.cut {
            note::add(&mut response.notes, note::RESPONSE_HEAD_CUT);
        }
        // Its framing depends on the request's method, which is known once it is paired.
        let method = self.exchanges.answer(response, self.limits.early);
        if line.status == Some(101) && fields.upgrades_to_h2c && self.hand_over() {
            return;
        }
        let switches = match self.exchanges.current() {
            Some(response) => response.switches(method),
            None => line.status == Some(101),
        };
        if switches {
            self.response_lane().close();
            return match self.exchanges.current() {
                Some(_) => self.response_over(events),
                None => self.switch(events),
            };
        }
        let framing = match (raw.cut, line.status) {
            (true, _) => Framing::Unknown,
            (false, status) => body::of_response(method, status.unwrap_or(200), &fields),
        };
        if let Some(response) = self.exchanges.current() {
            let bodiless = method == Method::Head || matches!(line.status, Some(204 | 304));
            response.body = (framing != Framing::Unknown && !bodiless).then_some(0);
            if framing == Framing::Unknown && !raw.cut {
                note::add(&mut response.notes, note::FRAMING_UNKNOWN);
            }
        }
        self.response_lane().frame(framing);
        if framing == Framing::Empty {
            self.response_over(events);
        }
    }

    /// The connection goes on as HTTP/2, where the request is answered (RFC 7540, section 3.2). Not so
    /// where the order of events has hidden which request that is.
    fn hand_over(&mut self) -> bool {
        let Some(mut request) = self.exchanges.take_only() else {
            return false;
        };
        request.response = None;
        self.request_lane().close();
        self.response_lane().close();
        self.handover = self.requests.map(|requests| Handover {
            requests,
            request,
            next: self.exchanges.next,
            from: 0,
        });
        true
    }

    /// A response begins with bytes that say nothing.
    fn begin_unknown(&mut self, captured: bool, now: Moved, events: &mut Vec<ParserEvent>) {
        if self.exchanges.abandoned > 0 {
            return self.exchanges.lose(0, note::NOT_A_RESPONSE, events);
        }
        // What comes after a response and is none is nobody's: a body where none should be.
        if self.exchanges.open.is_empty() && (captured || !self.exchanges.aligned) {
            return;
        }
        let mut response = Response::new(None, now);
        response.lost = true;
        response.notes.push(match captured {
            true => note::NOT_A_RESPONSE,
            false => note::RESPONSE_HEAD_UNSEEN,
        });
        self.exchanges.answer(response, self.limits.early);
        self.response_lane().frame(Framing::Unknown);
    }

    /// The response that is coming ends here.
    pub(super) fn response_over(&mut self, events: &mut Vec<ParserEvent>) {
        if let Some(response) = self.exchanges.current() {
            response.ending = Some(Ending::Complete);
        }
        self.exchanges.ignoring = false;
        self.settle(events);
    }

    /// The bytes end among which the end of a response was not seen. There may have been whole
    /// responses too: if more than `known` requests are left, whose answer is next nobody knows.
    fn unframed_over(&mut self, known: usize, events: &mut Vec<ParserEvent>) {
        self.response_over(events);
        if self.exchanges.open.len() > known {
            self.exchanges.lose(0, note::RESPONSE_HEAD_UNSEEN, events);
        }
    }

    /// Ends a response whose end was not seen, because something came that follows it.
    pub(super) fn end_inferred(&mut self, events: &mut Vec<ParserEvent>) {
        let begun = self
            .exchanges
            .open
            .front()
            .is_some_and(|request| request.response.is_some());
        if begun && self.response_lane().is_unframed() {
            self.response_lane().leave_unframed();
            self.response_over(events);
        }
    }

    /// Finishes the first exchange if its response has ended.
    pub(super) fn settle(&mut self, events: &mut Vec<ParserEvent>) {
        let Some(request) = self.exchanges.open.front() else {
            return;
        };
        let Some(response) = &request.response else {
            return;
        };
        let Some(ending) = response.ending else {
            return;
        };
        let switches = response.switches(request.method);
        let may_omit_body = request.may_omit_body();
        self.exchanges.finish(ending, events);
        if switches {
            self.switch(events);
        } else if may_omit_body && self.exchanges.open.is_empty() {
            // Either its body or the next request comes now.
            self.request_lane().frame(Framing::Unknown);
        }
    }

    /// What follows is another protocol.
    fn switch(&mut self, events: &mut Vec<ParserEvent>) {
        self.request_lane().close();
        self.response_lane().close();
        self.exchanges.lose(0, note::SWITCHED, events);
    }
}
