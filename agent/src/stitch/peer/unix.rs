//! Unix stream sockets: both ends know each other's kernel address, but their positions count from
//! where each was first seen.
//!
//! Where both were seen from their first byte the positions are equal. Else their difference is
//! learned from one exchange that cannot be confused: the client had no other open, and within its
//! time exactly one began at the server. A client that pipelined requests across the agent's start
//! could still be misunderstood; no client of Unix sockets is known to pipeline.

use ahash::HashMap;
use smallvec::SmallVec;

use super::{ExchangeKey, Meeting, Place, Request};
use crate::model::{Connection, ConnectionId, Side, Timestamp};

/// Exchanges of one end that may wait at a time; of more, the oldest is not matched.
const MAX_WAITING: usize = 64;

/// The client's and the server's socket.
type Pair = (u64, u64);

/// How long after its bytes could be read the hook of a send may fire.
const SEND_HOOK_NANOS: u64 = 20_000_000;

/// Where an exchange waits.
#[derive(Clone, Copy, Debug)]
pub(in crate::stitch) struct UnixPlace {
    pair: Pair,
    side: Side,
}

#[derive(Debug)]
struct End {
    connection: ConnectionId,
    from_start: bool,
}

#[derive(Debug, Default)]
struct State {
    client: Option<End>,
    server: Option<End>,
    /// The client's positions less the server's.
    offset: Option<u64>,
    /// The client has had several requests open since it last had none.
    pipelined: bool,
    clients: SmallVec<[Request; 2]>,
    servers: SmallVec<[Request; 2]>,
}

/// Unix socket exchanges that wait for their other end.
#[derive(Debug)]
pub(super) struct UnixPeers {
    pairs: HashMap<Pair, State>,
    by_connection: HashMap<ConnectionId, Pair>,
    max_pairs: usize,
    refused: u64,
}

impl UnixPeers {
    pub fn new(max_pairs: usize) -> Self {
        Self {
            pairs: HashMap::default(),
            by_connection: HashMap::default(),
            max_pairs,
            refused: 0,
        }
    }

    pub fn meet(
        &mut self,
        (socket, peer): (u64, u64),
        connection: &Connection,
        request: Request,
    ) -> Meeting {
        if socket == 0 || peer == 0 {
            return Meeting::Never;
        }
        let pair = match request.side {
            Side::Client => (socket, peer),
            Side::Server => (peer, socket),
        };
        if self.pairs.len() >= self.max_pairs && !self.pairs.contains_key(&pair) {
            self.refused += 1;
            return Meeting::Never;
        }
        let state = self.pairs.entry(pair).or_default();
        let end = match request.side {
            Side::Client => &mut state.client,
            Side::Server => &mut state.server,
        };
        if end
            .as_ref()
            .is_none_or(|end| end.connection != connection.id)
        {
            let new = End {
                connection: connection.id,
                from_start: connection.from_start,
            };
            if let Some(old) = end.replace(new) {
                // The address is used again and the old socket's end was not reported.
                self.by_connection.remove(&old.connection);
                state.offset = None;
            }
            self.by_connection.insert(connection.id, pair);
            if let (Some(client), Some(server)) = (&state.client, &state.server)
                && client.from_start
                && server.from_start
            {
                state.offset = Some(0);
            }
        }
        match state.meet(request) {
            Some(other) => Meeting::Met(other),
            None => Meeting::Waits(Place::Unix(UnixPlace {
                pair,
                side: request.side,
            })),
        }
    }

    pub fn leave(&mut self, place: UnixPlace, exchange: ExchangeKey) {
        if let Some(state) = self.pairs.get_mut(&place.pair) {
            state.list(place.side).retain(|r| r.exchange != exchange);
        }
    }

    pub fn client_ended(
        &mut self,
        place: UnixPlace,
        client: ExchangeKey,
        end: Timestamp,
    ) -> Option<ExchangeKey> {
        self.pairs.get_mut(&place.pair)?.learn(client, end)
    }

    /// The client exchange that a server exchange must belong to, because it is the only one that
    /// was under way when the server's began, and the server's is the only one that waits.
    pub fn sole_client(&mut self, place: UnixPlace, server: ExchangeKey) -> Option<ExchangeKey> {
        self.pairs.get_mut(&place.pair)?.sole_client(server)
    }

    pub fn connection_ended(&mut self, connection: ConnectionId) {
        let Some(pair) = self.by_connection.remove(&connection) else {
            return;
        };
        let Some(state) = self.pairs.remove(&pair) else {
            return;
        };
        for end in [state.client, state.server].into_iter().flatten() {
            self.by_connection.remove(&end.connection);
        }
    }

    pub fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        let lengths = self
            .pairs
            .values()
            .map(|s| s.clients.len() + s.servers.len());
        lengths.sum()
    }
}

impl State {
    fn list(&mut self, side: Side) -> &mut SmallVec<[Request; 2]> {
        match side {
            Side::Client => &mut self.clients,
            Side::Server => &mut self.servers,
        }
    }

    /// Takes the other end of `request`, or lets it wait.
    fn meet(&mut self, request: Request) -> Option<ExchangeKey> {
        if let Some(offset) = self.offset {
            let (others, wanted) = match request.side {
                Side::Client => (&mut self.servers, request.position.wrapping_sub(offset)),
                Side::Server => (&mut self.clients, request.position.wrapping_add(offset)),
            };
            if let Some(at) = others.iter().position(|other| other.position == wanted) {
                return Some(others.remove(at).exchange);
            }
        }
        if request.side == Side::Client {
            self.pipelined = !self.clients.is_empty();
        }
        let list = self.list(request.side);
        if list.len() == MAX_WAITING {
            list.remove(0);
        }
        list.push(request);
        None
    }

    fn sole_client(&mut self, server: ExchangeKey) -> Option<ExchangeKey> {
        let ([client], [waiting], false) = (&self.clients[..], &self.servers[..], self.pipelined)
        else {
            return None;
        };
        // The hook of the client's send fires after it, perhaps after the server's receive.
        let began = client.start.0.saturating_sub(SEND_HOOK_NANOS);
        if waiting.exchange != server || waiting.start.0 < began {
            return None;
        }
        self.offset = Some(client.position.wrapping_sub(waiting.position));
        let client = client.exchange;
        self.clients.clear();
        self.servers.clear();
        Some(client)
    }

    /// Takes the only server exchange that began within the time of `client`, and remembers what
    /// that says about positions.
    fn learn(&mut self, client: ExchangeKey, end: Timestamp) -> Option<ExchangeKey> {
        let at = self.clients.iter().position(|r| r.exchange == client)?;
        let client = self.clients.remove(at);
        if self.pipelined {
            return None;
        }
        let mut within = (0..self.servers.len())
            .filter(|&i| (client.start..=end).contains(&self.servers[i].start));
        let (Some(at), None) = (within.next(), within.next()) else {
            return None;
        };
        let server = self.servers.remove(at);
        self.offset = Some(client.position.wrapping_sub(server.position));
        Some(server.exchange)
    }
}
