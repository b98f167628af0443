//! TCP: both ends know the four addresses and the sequence number of the request's first byte.

use std::collections::hash_map::Entry;
use std::net::SocketAddr;

use ahash::HashMap;

use super::{ExchangeKey, Meeting, Place, Request};
use crate::model::{ConnectionId, Side};

/// What both ends know of a request. Sequence numbers start at random (RFC 9293, section 3.4.1), so
/// that equal keys of two connections, in network namespaces with the same addresses, need a
/// coincidence of 1 in 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::stitch) struct TcpKey {
    client: SocketAddr,
    server: SocketAddr,
    sequence: u32,
}

#[derive(Debug)]
struct Waiting {
    exchange: ExchangeKey,
    connection: ConnectionId,
    side: Side,
    /// Two connections claim the key: nothing is matched by it while the first one waits.
    ambiguous: bool,
}

/// TCP exchanges that wait for their other end.
#[derive(Debug, Default)]
pub(super) struct TcpPeers {
    waiting: HashMap<TcpKey, Waiting>,
}

impl TcpPeers {
    pub fn meet(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        connection: ConnectionId,
        request: Request,
    ) -> Meeting {
        let (client, server) = match request.side {
            Side::Client => (local, remote),
            Side::Server => (remote, local),
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a sequence number is the low half of the position"
        )]
        let sequence = request.position as u32;
        let key = TcpKey {
            client,
            server,
            sequence,
        };
        match self.waiting.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(Waiting {
                    exchange: request.exchange,
                    connection,
                    side: request.side,
                    ambiguous: false,
                });
                Meeting::Waits(Place::Tcp(key))
            }
            Entry::Occupied(mut entry) => {
                let other = entry.get_mut();
                if other.ambiguous {
                    return Meeting::Never;
                }
                if other.side == request.side || other.connection == connection {
                    other.ambiguous = true;
                    return Meeting::Never;
                }
                Meeting::Met(entry.remove().exchange)
            }
        }
    }

    pub fn leave(&mut self, key: &TcpKey, exchange: ExchangeKey) {
        if let Entry::Occupied(entry) = self.waiting.entry(*key)
            && entry.get().exchange == exchange
        {
            entry.remove();
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}
