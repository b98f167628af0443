//! An exchange from its start until its span leaves.

use std::borrow::Cow;

use slotmap::new_key_type;

use super::assemble::add_network;
use super::peer::Place;
use super::trace::CellKey;
use crate::model::{
    Address, Attribute, ConnectionId, Evidence, Link, Note, Origin, Parent, Side, Span, SpanId,
    SpanKind, SpanStatus, Task, Timestamp, TraceId,
};

/// On a span whose request carried a context of another trace than its client's.
const NOTE_OTHER_TRACE: Note = "header names another trace than the client at the other end";

new_key_type! {
    /// An exchange in the stitcher's table. A key whose exchange has gone finds nothing.
    pub(super) struct ExchangeKey;
}

/// An exchange.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Connection, and number on it.
    pub id: (ConnectionId, u64),
    /// Its place in the order of starts.
    pub order: u64,
    pub side: Side,
    pub task: Task,
    /// The connection was non-blocking: see [`crate::model::Connection::nonblocking`].
    pub nonblocking: bool,
    pub start: Timestamp,
    pub span_id: SpanId,
    pub cell: CellKey,
    /// What the request's header names as its cause.
    pub header: Option<Origin>,
    /// The context that a received request came with, in whatever way.
    pub arrived: Option<Arrived>,
    /// `None` while the other end may still turn up.
    pub parent: Option<Parent>,
    /// The parent's start: a child does not begin before it.
    pub not_before: Timestamp,
    /// The end of the client's view, which a server's does not outlast.
    pub not_after: Option<Timestamp>,
    /// The header names another trace than the client at the other end has.
    pub other_trace: bool,
    /// The exchange at the other end of the connection.
    pub peer: Option<ExchangeKey>,
    /// Where it waits for the other end.
    pub place: Option<Place>,
    /// It is among the open ones of its task and process, at these places.
    pub serving: Option<Seats>,
    /// Its own task has sent a request while serving it, and other exchanges of the process were
    /// open then: its end says whether tasks stay on their threads.
    pub probe: bool,
    /// What its end said.
    pub ended: Option<Ended>,
}

/// The context that a request came with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    pub trace: TraceId,
    pub span: SpanId,
    pub evidence: Evidence,
}

/// Where an open server exchange sits in the lists of its task and its process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seats {
    pub on_task: usize,
    /// `None` where the process has no entry (budget).
    pub in_process: Option<usize>,
}

/// The second half of a span.
#[derive(Debug)]
pub(super) struct Ended {
    pub end: Timestamp,
    pub name: Cow<'static, str>,
    pub status: SpanStatus,
    /// The protocol's.
    pub attributes: Vec<Attribute>,
    /// The connection's, which become attributes only of a span that is kept.
    pub address: Address,
    /// Where it is not its side's.
    pub kind: Option<SpanKind>,
    pub links: Vec<Link>,
    pub notes: Vec<Note>,
    pub pid: u32,
}

impl Exchange {
    /// The span that the request's own header names as its parent.
    pub fn named_span(&self) -> Option<SpanId> {
        self.header.and_then(|origin| origin.span_id)
    }

    /// Moves a client's start before the start that its server saw, and the server's not before
    /// that: the hook of a send fires after the send, when the peer may have read already.
    pub fn clamp_starts(client: &mut Self, server: &mut Self) {
        client.start = client.start.min(server.start).max(client.not_before);
        server.not_before = client.start;
        server.start = server.start.max(client.start);
    }

    /// A request that a process sends to itself was taken for one that it passes on, because it
    /// carries the context that its own server's end had brought: what the context names is its
    /// parent.
    pub fn untangle(client: &mut Self, server: &Self) {
        if let (Some(Parent::Span { id, .. }), Some(named)) = (client.parent, client.named_span())
            && id == server.span_id
        {
            client.parent = Some(Parent::Span {
                id: named,
                evidence: Evidence::Header,
            });
            client.not_before = Timestamp::default();
        }
    }

    /// The span, given the shared part of its trace; `None` if it has not ended.
    pub fn into_span(self, trace: &super::trace::Trace) -> Option<Span> {
        let mut ended = self.ended?;
        if self.other_trace {
            ended.notes.push(NOTE_OTHER_TRACE);
        }
        add_network(&mut ended.attributes, &ended.address, self.side);
        let end = self
            .not_after
            .map_or(ended.end, |limit| ended.end.min(limit))
            .max(self.start);
        Some(Span {
            trace_id: trace.id,
            span_id: self.span_id,
            flags: trace.flags,
            state: trace.state.clone(),
            parent: self.parent?,
            kind: ended.kind.unwrap_or(match self.side {
                Side::Server => SpanKind::Server,
                Side::Client => SpanKind::Client,
            }),
            name: ended.name,
            start: self.start,
            end,
            status: ended.status,
            attributes: ended.attributes,
            links: ended.links,
            notes: ended.notes,
            pid: ended.pid,
        })
    }
}
