//! Both ends of a connection on one host: which client exchange is which server exchange.
//!
//! The index holds exchanges that wait for their other end. They leave it when they are matched,
//! and otherwise with their exchange (client) or when they have waited long enough (server).

mod tcp;
mod unix;

use super::exchange::ExchangeKey;
use crate::model::{Address, Connection, ConnectionId, Side, Timestamp};

pub(super) use unix::UnixPlace;

/// Where an exchange waits for its other end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Tcp(tcp::TcpPlace),
    Unix(UnixPlace),
}

/// What looking for the other end came to.
#[derive(Debug)]
pub(super) enum Meeting {
    /// It is here.
    Met(ExchangeKey),
    /// It may still come.
    Waits(Place),
    /// It cannot be told.
    Never,
}

/// A request that looks for its other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub exchange: ExchangeKey,
    pub side: Side,
    pub position: u64,
    pub start: Timestamp,
}

/// The exchanges that wait for their other end.
#[derive(Debug)]
pub(super) struct Peers {
    tcp: tcp::TcpPeers,
    unix: unix::UnixPeers,
}

impl Peers {
    pub fn new(max_unix_pairs: usize) -> Self {
        Self {
            tcp: tcp::TcpPeers::default(),
            unix: unix::UnixPeers::new(max_unix_pairs),
        }
    }

    /// Takes the other end of a request out of the index, or puts the request into it.
    pub fn meet(&mut self, connection: &Connection, request: Request) -> Meeting {
        match connection.address {
            Address::Tcp { local, remote } => self.tcp.meet(local, remote, connection, request),
            // One that is not connected does not say with whom it speaks.
            Address::Udp { .. } => Meeting::Never,
            Address::Unix { socket, peer, .. } => {
                self.unix.meet((socket, peer), connection, request)
            }
        }
    }

    /// An exchange waits no longer.
    pub fn leave(&mut self, place: Place, exchange: ExchangeKey) {
        match place {
            Place::Tcp(place) => self.tcp.leave(place),
            Place::Unix(place) => self.unix.leave(place, exchange),
        }
    }

    /// A client exchange ended at `end` without having met its other end: the last chance to tell
    /// which one it was. Gives the server exchange.
    pub fn client_ended(
        &mut self,
        place: Place,
        client: ExchangeKey,
        end: Timestamp,
    ) -> Option<ExchangeKey> {
        match place {
            Place::Tcp(_) => None,
            Place::Unix(place) => self.unix.client_ended(place, client, end),
        }
    }

    /// A server exchange has waited long enough for every hook to have fired: the client exchange
    /// that it must belong to, if there is only one.
    pub fn sole_client(&mut self, place: Place, server: ExchangeKey) -> Option<ExchangeKey> {
        match place {
            Place::Tcp(_) => None,
            Place::Unix(place) => self.unix.sole_client(place, server),
        }
    }

    /// A connection has ended: what was known of its other end goes, and its socket's kernel
    /// address may be used again.
    pub fn connection_ended(&mut self, connection: ConnectionId) {
        self.tcp.connection_ended(connection);
        self.unix.connection_ended(connection);
    }

    /// Unix pairs that were not followed since the last call, because there were too many.
    pub fn take_refused(&mut self) -> u64 {
        self.unix.take_refused()
    }

    /// TCP connections whose other end is known.
    #[cfg(test)]
    pub fn tcp_twins(&self) -> usize {
        self.tcp.twins()
    }

    /// Entries in the index.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.tcp.len() + self.unix.waiting()
    }
}
