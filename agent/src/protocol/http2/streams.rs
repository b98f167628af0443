//! The exchanges of a connection: one a stream.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::context::Extractor;
use crate::model::{ConnectionEnd, Direction, ParserEvent, Side};
use crate::protocol::Limits;
use crate::protocol::http1::Redaction;
use crate::protocol::http1::body::Method;
use crate::protocol::http1::ending::closing;
use crate::protocol::http1::exchange::{Ending, Moved, Request, Response};
use crate::protocol::http1::note::{GAP, TOO_MANY_OPEN, add};

use super::deadline::Deadline;
use super::grpc::{self, Call, Messages};
use super::head::Head;
use super::note;

/// `error.type` of a request that is reset because nobody wants it any more.
pub(super) const CANCELLED: &str = "cancelled";

/// An exchange that is open.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// `None` while only its response has been seen.
    pub(super) request: Option<Request>,
    pub(super) response: Option<Response>,
    /// It is a call of gRPC.
    pub(super) is_call: bool,
    /// It may be one: what it is was said in fields that are not known.
    pub(super) may_be_call: bool,
    /// `:path`, where it may be needed to name a call.
    pub(super) path: Option<Box<str>>,
    /// `grpc-status`.
    pub(super) status: Option<u16>,
    /// Of a call: when it was to be over.
    pub(super) deadline: Deadline,
    /// Of the request, of the response.
    pub(super) messages: [Messages; 2],
    /// Fields that matter are not known.
    pub(super) incomplete: bool,
    /// The length of the response's body, as its head says.
    pub(super) length: Option<u64>,
    /// How it has ended, where its request is still to come.
    pub(super) ending: Option<Ending>,
}

impl Stream {
    pub(super) fn new(id: u32) -> Self {
        Self {
            id,
            request: None,
            response: None,
            is_call: false,
            may_be_call: false,
            path: None,
            status: None,
            deadline: Deadline::default(),
            messages: [Messages::default(); 2],
            incomplete: false,
            length: None,
            ending: None,
        }
    }

    fn weight(&self) -> usize {
        let path = self.path.as_ref().map_or(0, |path| path.len());
        path + self.request.as_ref().map_or(0, Request::weight)
    }

    /// Whether the whole body of the response came. curl does not wait for the empty frame that ends a
    /// stream behind that: it closes.
    fn has_all(&self) -> bool {
        let body = self.response.as_ref().and_then(|response| response.body);
        body.is_some() && body == self.length
    }

    /// The status of a call: as the server said it, or as libraries make it of a cancellation.
    fn call_status(&self, ending: Ending) -> Option<u16> {
        // Another status of HTTP's is no gRPC server's; that says more than what came of it.
        let answered = self.response.as_ref().and_then(|response| response.status);
        match ending {
            Ending::Aborted { error, time }
                if error == CANCELLED && answered.is_none_or(|status| status == 200) =>
            {
                self.status.or_else(|| self.deadline.status(time))
            }
            _ => self.status,
        }
    }

    fn finish(mut self, side: Side, longest: usize, mut ending: Ending) -> Option<ParserEvent> {
        let mut request = self.request.take()?;
        if matches!(ending, Ending::Aborted { .. }) && self.has_all() {
            ending = Ending::Complete;
        }
        if self.incomplete {
            add(&mut request.notes, note::HEAD_UNKNOWN);
            match &mut self.response {
                Some(response) => response.lost = true,
                None => request.unfinished = true,
            }
        }
        let status = self.call_status(ending);
        request.response = self.response.take();
        let mut finished = request.finished(side, ending);
        if self.is_call {
            let call = Call {
                side,
                path: self.path.as_deref(),
                status,
                messages: self.messages,
                longest,
            };
            grpc::finish(&call, &mut finished);
        }
        Some(ParserEvent::Finished(finished))
    }
}

/// The exchanges of one connection.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) limits: Limits,
    pub(super) redaction: Arc<Redaction>,
    pub(super) extractor: Arc<Extractor>,
    /// The other end, unless it is a Unix socket's.
    pub(super) remote: Option<SocketAddr>,
    /// The direction that carries requests, once it is known.
    pub(super) requests: Option<Direction>,
    pub(super) open: Vec<Stream>,
    /// The highest stream of which the request was seen.
    pub(super) last: u32,
    /// Every request since then is known: a response on a higher stream is ahead of its request.
    pub(super) aligned: bool,
    /// The number of the next exchange.
    pub(super) next: u64,
    /// How exchanges end whose response can no longer come, once that is so.
    pub(super) ended: Option<Ending>,
    /// Heap memory of `open`'s streams, in bytes.
    pub(super) weight: usize,
}

impl Streams {
    pub(super) fn side(&self) -> Side {
        match self.requests {
            Some(Direction::Sent) => Side::Client,
            _ => Side::Server,
        }
    }

    pub(super) fn find(&mut self, id: u32) -> Option<&mut Stream> {
        self.open.iter_mut().find(|stream| stream.id == id)
    }

    /// Whether data of a stream is to be looked at, not only counted.
    pub(super) fn wants_data(&self, direction: Direction, id: u32, length: u64) -> bool {
        let which = usize::from(self.requests != Some(direction));
        let stream = self.open.iter().find(|stream| stream.id == id);
        stream.is_some_and(|stream| {
            (stream.is_call || stream.may_be_call) && stream.messages[which].needs(length)
        })
    }

    /// A header block, of whichever kind.
    pub(super) fn head(
        &mut self,
        direction: Direction,
        id: u32,
        head: &Head,
        ends: bool,
        place: &Place,
        events: &mut Vec<ParserEvent>,
    ) {
        if self.requests.is_none() {
            self.requests = match side_of(head) {
                Some(Side::Client) => Some(direction),
                Some(Side::Server) => Some(direction.opposite()),
                None => return,
            };
        }
        if self.requests == Some(direction) {
            self.request(id, head, ends, place, events);
        } else {
            self.response(id, head, ends, place.last, events);
        }
    }

    fn response(
        &mut self,
        id: u32,
        head: &Head,
        ends: bool,
        now: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        let early = self.open.iter().filter(|one| one.request.is_none()).count();
        let may_be_early =
            self.aligned && id > self.last && id % 2 == 1 && early < self.limits.early;
        if self.find(id).is_none() && may_be_early {
            self.open.push(Stream::new(id));
        }
        let Some(stream) = self.find(id) else { return };
        let status = head.number(b":status");
        match &mut stream.response {
            // Interim responses announce a final one (RFC 9110, section 15.2).
            None if status.is_some_and(|status| status < 200) && !ends => return,
            None => {
                stream.incomplete |= status.is_none();
                stream.response = Some(Response::new(status, now));
                stream.length = head.length();
                let content = head.get(b"content-type");
                stream.is_call |= content.is_some_and(grpc::is_content_type);
            }
            // Trailers.
            Some(response) => response.last = now,
        }
        if let Some(status) = head.number(b"grpc-status") {
            stream.status = Some(status);
            stream.is_call = true;
        } else if ends && stream.is_call {
            stream.incomplete |= head.incomplete;
        }
        // A tunnel from here on (RFC 9113, section 8.5).
        let connects = |request: &Request| request.method == Method::Connect;
        if status.is_some_and(|status| (200..300).contains(&status))
            && stream.request.as_ref().is_some_and(connects)
        {
            self.finish(id, Ending::Complete, events);
        }
    }

    /// Data of a stream, of which the first `seen` were captured.
    pub(super) fn data(
        &mut self,
        direction: Direction,
        id: u32,
        seen: &[u8],
        length: u64,
        now: Moved,
    ) {
        let is_request = self.requests == Some(direction);
        let Some(stream) = self.find(id) else { return };
        if is_request && length > 0 && std::mem::take(&mut stream.may_be_call) {
            stream.is_call |= grpc::is_message(seen, length);
        }
        stream.messages[usize::from(!is_request)].take(seen, length);
        if !is_request {
            if let Some(response) = &mut stream.response {
                response.body = response.body.or(Some(0));
                response.moved(length, now);
            }
        } else if let Some(request) = &mut stream.request {
            request.last = now;
            request.body = request.body.map(|body| body.saturating_add(length));
        }
    }

    /// A frame has ended, and perhaps its direction of the stream with it.
    pub(super) fn moved(
        &mut self,
        direction: Direction,
        id: u32,
        ends: bool,
        now: Moved,
        events: &mut Vec<ParserEvent>,
    ) {
        let is_request = self.requests == Some(direction);
        let Some(stream) = self.find(id) else { return };
        if is_request {
            if let Some(request) = &mut stream.request {
                request.last = now;
                request.unfinished &= !ends;
            }
        } else if let Some(response) = &mut stream.response {
            response.last = now;
            if ends {
                self.finish(id, Ending::Complete, events);
            }
        }
    }

    /// Ends a stream's exchange; where its request is still to come, it waits for that.
    pub(super) fn finish(&mut self, id: u32, ending: Ending, events: &mut Vec<ParserEvent>) {
        let Some(at) = self.open.iter().position(|stream| stream.id == id) else {
            return;
        };
        if self.open[at].request.is_none() {
            self.open[at].ending.get_or_insert(ending);
            return;
        }
        let stream = self.open.remove(at);
        self.close(stream, ending, events);
    }

    fn close(&mut self, stream: Stream, ending: Ending, events: &mut Vec<ParserEvent>) {
        self.weight = self.weight.saturating_sub(stream.weight());
        events.extend(stream.finish(self.side(), self.limits.text, ending));
    }

    /// A request has been seen: pairs it with what was there before it.
    pub(super) fn asked(&mut self, stream: Stream, events: &mut Vec<ParserEvent>) {
        let ending = stream.ending.or(self.ended);
        self.weight += stream.weight();
        match ending {
            Some(ending) => self.close(stream, ending, events),
            None => self.open.push(stream),
        }
        if self.open.len() > self.limits.open {
            let oldest = self.open.remove(0);
            self.close(oldest, Ending::Lost(TOO_MANY_OPEN), events);
        }
    }

    /// Ends all exchanges on streams above one.
    pub(super) fn finish_above(
        &mut self,
        last: u32,
        ending: Ending,
        events: &mut Vec<ParserEvent>,
    ) {
        let (gone, kept) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|stream| stream.id > last);
        self.open = kept;
        for stream in gone {
            self.close(stream, ending, events);
        }
    }

    /// Bytes of a direction were lost. Requests that are known keep their responses; but among lost
    /// responses those of any may have been.
    pub(super) fn lose(&mut self, direction: Direction, events: &mut Vec<ParserEvent>) {
        if self.requests != Some(direction) {
            return self.finish_above(0, Ending::Lost(GAP), events);
        }
        self.aligned = false;
        self.open.retain(|stream| stream.request.is_some());
        for stream in &mut self.open {
            stream.messages[0].lose();
            if let Some(request) = &mut stream.request {
                request.body = None;
            }
        }
    }

    /// The connection has ended, or the direction of the responses has.
    pub(super) fn end(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        let ending = *self.ended.get_or_insert_with(|| closing(end));
        let early = |stream: &Stream| stream.request.is_none();
        let (waiting, open): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.open).into_iter().partition(early);
        self.open = waiting;
        for stream in open {
            self.close(stream, ending, events);
        }
    }

    /// Bytes of heap memory.
    pub(super) fn memory(&self) -> usize {
        self.open.capacity() * size_of::<Stream>() + self.weight
    }
}

/// Where a header block was, and when it moved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) position: u64,
    pub(super) first: Moved,
    pub(super) last: Moved,
}

/// Who sends such a block, by its pseudo-headers (RFC 9113, section 8.3).
pub(super) fn side_of(head: &Head) -> Option<Side> {
    head.fields().find_map(|(name, _)| match name {
        b":method" | b":path" | b":scheme" | b":authority" => Some(Side::Client),
        b":status" => Some(Side::Server),
        _ => None,
    })
}
