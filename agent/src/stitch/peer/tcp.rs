//! TCP: which request at one end of a connection is which at the other.
//!
//! Two things are equal at both ends and tell a request from all others; each is a key.
//!
//! - [`Key::Streams`]: where the request begins in its stream, and where the response stream
//!   stands. Sequence numbers pass through address translation as they are, so this holds for a
//!   connection to a virtual address (kube-proxy), behind a masquerade, and between namespaces
//!   that use the same addresses. Where the response stream stands is its first position, if the
//!   connection was seen from its start, whatever has moved since; else its position at the
//!   request, which both ends agree on unless responses are under way (pipelining).
//! - [`Key::Addresses`]: where the request begins, and both addresses, which are equal where
//!   nothing translates them.
//!
//! One request that was matched tells which two connections are the ends of one. From then on a
//! request is looked for at the other end alone, by where it begins ([`Key::Own`]).
//!
//! Initial sequence numbers are random and go up with the clock (RFC 9293, section 3.4.1; RFC 6528),
//! so that equal keys of two connections are a coincidence of 1 in 2^32 for addresses and 1 in 2^64
//! for streams. Where it happens the key decides nothing while the first request waits; where the
//! keys lead to different requests nothing is decided either.

use std::net::SocketAddr;

use ahash::HashMap;
use slotmap::{SlotMap, new_key_type};
use smallvec::SmallVec;

use super::{ExchangeKey, Meeting, Place, Request};
use crate::model::{Connection, ConnectionId, Side};

new_key_type! {
    /// A request that waits.
    pub(in crate::stitch) struct TcpPlace;
}

/// What both ends know of a request. Positions are sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Own {
        connection: ConnectionId,
        request: u32,
    },
    Streams {
        request: u32,
        response: u32,
    },
    Addresses {
        client: SocketAddr,
        server: SocketAddr,
        request: u32,
    },
}

#[derive(Debug)]
struct Waiting {
    exchange: ExchangeKey,
    connection: ConnectionId,
    side: Side,
    /// Where the index leads here.
    keys: SmallVec<[Key; 3]>,
}

/// What the index has for a key.
#[derive(Clone, Copy, Debug)]
struct Entrance {
    place: TcpPlace,
    /// Two connections claim the key: nothing is matched by it while the first one waits.
    ambiguous: bool,
}

/// TCP exchanges that wait for their other end.
#[derive(Debug, Default)]
pub(super) struct TcpPeers {
    waiting: SlotMap<TcpPlace, Waiting>,
    index: HashMap<Key, Entrance>,
    /// The other end of a connection, once it is known. Both ends are in it, and go together.
    twins: HashMap<ConnectionId, ConnectionId>,
}

/// What a key leads to, for a request that looks for its other end.
#[derive(Clone, Copy, Debug)]
enum Found {
    /// Nobody: it can be waited there.
    Nobody,
    /// What may be the other end.
    Other(TcpPlace),
    /// A request that cannot be the other end, or several.
    Strangers,
}

impl TcpPeers {
    pub fn meet(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        connection: &Connection,
        request: Request,
    ) -> Meeting {
        let position = sequence(request.position);
        let at = |connection| Key::Own {
            connection,
            request: position,
        };
        let mut wait_at = SmallVec::from_slice(&[at(connection.id)]);
        if let Some(&twin) = self.twins.get(&connection.id) {
            return match self.index.get(&at(twin)) {
                Some(entrance) => self.met(entrance.place, connection.id),
                None => self.wait(wait_at, connection.id, &request),
            };
        }
        let mut other = None;
        for key in by_sight(local, remote, connection, &request) {
            match self.find(key, connection.id, request.side) {
                Found::Other(place) if other.is_none_or(|other| other == place) => {
                    other = Some(place);
                }
                Found::Other(_) => return Meeting::Never,
                Found::Nobody => wait_at.push(key),
                Found::Strangers => {}
            }
        }
        match other {
            Some(place) => self.met(place, connection.id),
            None => self.wait(wait_at, connection.id, &request),
        }
    }

    /// The request of this place waits no longer.
    pub fn leave(&mut self, place: TcpPlace) {
        self.take(place);
    }

    /// A connection has ended.
    pub fn connection_ended(&mut self, connection: ConnectionId) {
        if let Some(twin) = self.twins.remove(&connection) {
            self.twins.remove(&twin);
        }
    }

    fn find(&mut self, key: Key, connection: ConnectionId, side: Side) -> Found {
        let Some(entrance) = self.index.get_mut(&key) else {
            return Found::Nobody;
        };
        let Some(other) = self.waiting.get(entrance.place) else {
            return Found::Nobody;
        };
        if other.side == side || other.connection == connection {
            entrance.ambiguous = true;
        }
        // This connection's other end is not known, so it is none whose other end is.
        if entrance.ambiguous || self.twins.contains_key(&other.connection) {
            return Found::Strangers;
        }
        Found::Other(entrance.place)
    }

    fn met(&mut self, place: TcpPlace, connection: ConnectionId) -> Meeting {
        let Some(other) = self.take(place) else {
            return Meeting::Never;
        };
        self.twins.insert(connection, other.connection);
        self.twins.insert(other.connection, connection);
        Meeting::Met(other.exchange)
    }

    fn wait(
        &mut self,
        keys: SmallVec<[Key; 3]>,
        connection: ConnectionId,
        request: &Request,
    ) -> Meeting {
        // Several requests at one place are against the parsers' contract; the first one stands.
        if keys.iter().any(|key| self.index.contains_key(key)) {
            return Meeting::Never;
        }
        let place = self.waiting.insert(Waiting {
            exchange: request.exchange,
            connection,
            side: request.side,
            keys: keys.clone(),
        });
        let ambiguous = false;
        for key in keys {
            self.index.insert(key, Entrance { place, ambiguous });
        }
        Meeting::Waits(Place::Tcp(place))
    }

    fn take(&mut self, place: TcpPlace) -> Option<Waiting> {
        let waiting = self.waiting.remove(place)?;
        for key in &waiting.keys {
            self.index.remove(key);
        }
        Some(waiting)
    }

    /// Entries in the index, and requests that wait.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.index.len() + self.waiting.len()
    }

    /// Connections whose other end is known.
    #[cfg(test)]
    pub fn twins(&self) -> usize {
        self.twins.len()
    }
}

/// The keys that a request has by what is seen of it and its connection.
fn by_sight(
    local: SocketAddr,
    remote: SocketAddr,
    connection: &Connection,
    request: &Request,
) -> [Key; 2] {
    // Received is first in a connection's positions, sent second.
    let (client, server, response) = match request.side {
        Side::Client => (local, remote, 0),
        Side::Server => (remote, local, 1),
    };
    let positions = match connection.from_start {
        true => connection.positions,
        false => connection.now,
    };
    let position = sequence(request.position);
    [
        Key::Streams {
            request: position,
            response: sequence(positions[response]),
        },
        Key::Addresses {
            client,
            server,
            request: position,
        },
    ]
}

/// The sequence number of a position: its low half.
#[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
const fn sequence(position: u64) -> u32 {
    position as u32
}
