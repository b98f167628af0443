//! HTTP/2 (RFC 9113), and gRPC in it, from the wire, seen from either end.
//!
//! [`Frames`] walks over each direction; header blocks are decoded by [`hpack`]; [`streams`] pairs what
//! is said on each stream. What HTTP/2 says is told as HTTP/1 is, by the same code; a call of gRPC is told
//! as RPC ([`grpc`]).
//!
//! # What is assumed where the bytes do not tell
//!
//! - **A connection that is joined late, or bytes that were lost**: frames are found again at a chunk
//!   that begins with some. Fields that are in the part of the dynamic table that was missed are unknown
//!   until they are sent again. An exchange of which the method, the path, or the status is unknown is
//!   told as far as it is known, as [`Outcome::Lost`](crate::model::Outcome::Lost). That it is a call of gRPC
//!   is seen by its first message or by its trailers then.
//! - **Lost responses** may have been those of any stream that was open: all these end as lost. Lost
//!   requests do no harm to those that are known.
//! - **A response before its request** (the events of loopback traffic are not always in the order of
//!   cause and effect) waits for it, as long as every request is known.
//! - **An exchange ends with its response**, as in HTTP/1; a tunnel (CONNECT) with the response's head.
//! - **What a server pushes** was not asked for: it makes no span, only its header blocks are decoded.
//! - **An upgrade from HTTP/1** (`h2c`, RFC 7540, section 3.2): the exchange goes on here, as stream 1.

mod deadline;
mod frame;
mod grpc;
mod head;
mod hpack;
mod huffman;
mod note;
mod requests;
mod statics;
mod streams;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::model::{
    Address, Chunk, Connection, ConnectionEnd, Direction, EndReason, ParserEvent, Protocol, Role,
};

use super::frames::{Frame, Frames, Step};
use super::http1::Handover;
use super::http1::exchange::{Ending, Moved};
use super::{Behind, Entry, Parser, Settings, Wants};
use frame::{HEADER, Header, kind};
use head::Head;
use hpack::Decoder;
use streams::{CANCELLED, Place, Stream, Streams};

/// HTTP/2 among the protocols.
pub const ENTRY: Entry = Entry {
    protocol: Protocol::Http2,
    likeness: frame::likeness,
    make: |connection, settings| Box::new(Http2::new(connection, settings)),
};

/// The parser of one HTTP/2 connection.
#[derive(Debug)]
pub struct Http2 {
    /// Received, sent.
    lanes: [Lane; 2],
    streams: Streams,
    /// Shortest rest of a frame that is worth skipping.
    skip: u64,
}

/// One direction.
#[derive(Debug)]
struct Lane {
    frames: Frames,
    blocks: Blocks,
    /// The stream of the present frame, and whether it ends that.
    present: Option<(u32, bool)>,
}

/// The header blocks of a direction.
#[derive(Debug)]
struct Blocks {
    decoder: Decoder,
    head: Head,
    open: Option<Open>,
    /// Most bytes of one.
    limit: usize,
}

/// A block that goes on in further frames.
#[derive(Debug)]
struct Open {
    stream: u32,
    ends: bool,
    pushed: bool,
    bytes: Vec<u8>,
    position: u64,
    first: Moved,
}

impl Http2 {
    /// A parser for a connection whose first chunk is still to come.
    #[must_use]
    pub fn new(connection: &Connection, settings: &Settings) -> Self {
        let from_start = connection.from_start;
        Self {
            lanes: [(); 2].map(|()| Lane::new(from_start, settings.limits.message)),
            streams: Streams {
                limits: settings.limits,
                redaction: Arc::clone(&settings.redaction),
                extractor: Arc::clone(&settings.context),
                remote: match connection.address {
                    Address::Tcp { remote, .. } => Some(remote),
                    Address::Udp { .. } | Address::Unix { .. } => None,
                },
                requests: match connection.role {
                    Role::Accepted => Some(Direction::Received),
                    Role::Connected => Some(Direction::Sent),
                    Role::Unknown => None,
                },
                open: Vec::new(),
                last: 0,
                aligned: from_start,
                next: 0,
                ended: None,
                weight: 0,
            },
            skip: settings.limits.skip,
        }
    }

    /// A parser for a connection that was HTTP/1 so far. Both directions begin anew.
    pub(super) fn upgraded(
        connection: &Connection,
        settings: &Settings,
        handover: Handover,
    ) -> Self {
        let mut parser = Self::new(connection, settings);
        parser.lanes = [(); 2].map(|()| Lane::new(true, settings.limits.message));
        let streams = &mut parser.streams;
        streams.requests = Some(handover.requests);
        streams.aligned = true;
        streams.last = 1;
        streams.next = handover.next;
        let mut stream = Stream::new(1);
        stream.request = Some(handover.request);
        // Nothing has ended yet, so nothing is told.
        streams.asked(stream, &mut Vec::new());
        parser
    }
}

impl Lane {
    fn new(from_start: bool, limit: usize) -> Self {
        Self {
            frames: Frames::new(from_start, limit + HEADER),
            blocks: Blocks {
                decoder: Decoder::new(from_start),
                head: Head::default(),
                open: None,
                limit,
            },
            present: None,
        }
    }
}

impl Blocks {
    /// Blocks were missed.
    fn lose(&mut self) {
        self.open = None;
        self.decoder.lose();
    }

    /// Takes a frame with a block or a part of one. When that is whole, or as whole as it gets, it is
    /// decoded: then whose it is comes back, and `head` is what it says.
    fn take(&mut self, header: Header, frame: &Frame<'_>) -> Option<Open> {
        let payload = &frame.bytes[HEADER..];
        let (before, length) = header.content(payload);
        let content = payload.get(before..).unwrap_or_default();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let content = &content[..content.len().min(length)];
        let mut open = if header.kind == kind::CONTINUATION {
            match self.open.take() {
                Some(open) if open.stream == header.stream => open,
                _ => {
                    self.lose();
                    return None;
                }
            }
        } else {
            Open {
                stream: header.stream,
                ends: header.ends_stream(),
                pushed: header.kind == kind::PUSH_PROMISE,
                bytes: Vec::new(),
                position: frame.position,
                first: frame.first,
            }
        };
        let cut = content.len() < length || open.bytes.len() + content.len() > self.limit;
        if !header.ends_headers() && !cut {
            open.bytes.extend_from_slice(content);
            self.open = Some(open);
            return None;
        }
        let block = if open.bytes.is_empty() {
            content
        } else {
            let room = self.limit.saturating_sub(open.bytes.len());
            open.bytes
                .extend_from_slice(&content[..content.len().min(room)]);
            &open.bytes
        };
        let Self { decoder, head, .. } = self;
        head.clear();
        let decoded = decoder.decode(block, |name, value| head.add(name, value));
        if cut || decoded.is_err() {
            head.incomplete = true;
            self.lose();
        }
        Some(open)
    }
}

impl Streams {
    /// Takes a frame; gives its stream, and whether it ends that.
    fn frame(
        &mut self,
        direction: Direction,
        frame: &Frame<'_>,
        blocks: &mut Blocks,
        events: &mut Vec<ParserEvent>,
    ) -> Option<(u32, bool)> {
        if frame::is_preface(frame.bytes) {
            self.requests.get_or_insert(direction);
            return None;
        }
        let Some(header) = Header::parse(frame.bytes) else {
            // Not even that was captured: what it was is not known.
            blocks.lose();
            self.lose(direction, events);
            return None;
        };
        let continues = header.kind == kind::CONTINUATION;
        // Nothing else may come in between (section 6.10).
        if blocks.open.is_some() && !continues {
            blocks.lose();
        }
        let payload = &frame.bytes[HEADER..];
        match header.kind {
            kind::DATA => {
                let (before, length) = header.content(payload);
                let seen = payload.get(before..).unwrap_or_default();
                let end = usize::try_from(length).map_or(seen.len(), |end| end.min(seen.len()));
                self.data(direction, header.stream, &seen[..end], length, frame.last);
            }
            kind::HEADERS | kind::CONTINUATION | kind::PUSH_PROMISE => {
                let block = blocks.take(header, frame)?;
                if block.pushed {
                    return None;
                }
                let place = Place {
                    position: block.position,
                    first: block.first,
                    last: frame.last,
                };
                self.head(
                    direction,
                    block.stream,
                    &blocks.head,
                    block.ends,
                    &place,
                    events,
                );
                return Some((block.stream, block.ends));
            }
            kind::RST_STREAM => {
                let error = error_code(payload.first_chunk()?);
                let ending = Ending::Aborted {
                    error: if error == "CANCEL" { CANCELLED } else { error },
                    time: frame.last.time,
                };
                self.finish(header.stream, ending, events);
                return None;
            }
            kind::GOAWAY if self.requests == Some(direction.opposite()) => {
                let last = u32::from_be_bytes(*payload.first_chunk()?) & 0x7fff_ffff;
                let error = error_code(payload.get(4..)?.first_chunk()?);
                let ending = Ending::Aborted {
                    error: if error == "NO_ERROR" {
                        "connection_closed"
                    } else {
                        error
                    },
                    time: frame.last.time,
                };
                self.finish_above(last, ending, events);
                return None;
            }
            _ => return None,
        }
        Some((header.stream, header.ends_stream()))
    }
}

/// The name of an error code (section 7).
fn error_code(bytes: &[u8; 4]) -> &'static str {
    const CODES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    // Unknown codes may be treated as INTERNAL_ERROR.
    let code = usize::try_from(u32::from_be_bytes(*bytes)).ok();
    let name = code.and_then(|code| CODES.get(code));
    name.copied().unwrap_or("INTERNAL_ERROR")
}

const fn index(direction: Direction) -> usize {
    match direction {
        Direction::Received => 0,
        Direction::Sent => 1,
    }
}

impl Parser for Http2 {
    fn protocol(&self) -> Protocol {
        Protocol::Http2
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<ParserEvent>) {
        let direction = chunk.direction;
        let Self { lanes, streams, .. } = self;
        let Lane {
            frames,
            blocks,
            present,
        } = &mut lanes[index(direction)];
        frames.chunk(chunk, |bytes| {
            frame::begins_frames(bytes, chunk.length, true)
        });
        loop {
            let step = frames.next(|bytes| {
                frame::framing(bytes, |header| {
                    streams.wants_data(direction, header.stream, u64::from(header.length))
                })
            });
            match step {
                None => break,
                Some(Step::Frame(frame)) => {
                    *present = streams.frame(direction, &frame, blocks, events);
                }
                Some(Step::Ended(moved)) => {
                    if let Some((stream, ends)) = present.take() {
                        streams.moved(direction, stream, ends, moved, events);
                    }
                }
                Some(Step::Lost) => {
                    *present = None;
                    blocks.lose();
                    streams.lose(direction, events);
                }
            }
        }
    }

    fn ended(&mut self, end: &ConnectionEnd, events: &mut Vec<ParserEvent>) {
        let closed = match end.reason {
            EndReason::PeerClosed => Some(Direction::Received),
            EndReason::LocalClosed => Some(Direction::Sent),
            _ => None,
        };
        // The direction of the requests may end before they are answered.
        if closed.is_none() || closed != self.streams.requests {
            self.streams.end(end, events);
        }
    }

    fn wants(&self, direction: Direction) -> Wants {
        match self.lanes[index(direction)].frames.skips_until(self.skip) {
            Some(until) => Wants::SkipUntil(until),
            None => Wants::Bytes,
        }
    }

    fn behind(&self) -> Behind {
        Behind::Frames
    }

    /// Never: requests overlap, and what comes next may as well be about the connection.
    fn is_between_requests(&self, _: Direction) -> bool {
        false
    }

    fn memory(&self) -> usize {
        let lanes = self.lanes.iter().map(|lane| {
            let open = lane.blocks.open.as_ref();
            lane.frames.memory()
                + lane.blocks.decoder.memory()
                + lane.blocks.head.memory()
                + open.map_or(0, |open| open.bytes.capacity())
        });
        size_of::<Self>() + lanes.sum::<usize>() + self.streams.memory()
    }
}
