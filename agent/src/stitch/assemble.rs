//! What a connection adds to a span's attributes (OpenTelemetry semantic conventions, "General
//! network connection attributes" and "General server and client attributes").

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::model::{Address, Attribute, Side, Task};

/// The attributes of an address and its port.
type Names = [&'static str; 2];
const PEER: Names = ["network.peer.address", "network.peer.port"];
const SERVER: Names = ["server.address", "server.port"];
const CLIENT: Names = ["client.address", "client.port"];

/// Adds the attributes of the connection that the protocol did not give.
///
/// An address and its port go together: where the protocol named the address (`Host`,
/// `Forwarded`), the connection's port may be another host's, and is left out.
/// `network.local.*` is opt-in in the conventions and says nothing here that `server.*` does not.
pub(super) fn add_network(attributes: &mut Vec<Attribute>, connection: &Address, side: Side) {
    attributes.reserve(8);
    match connection {
        Address::Tcp { local, remote } => {
            let family = if remote.is_ipv4() { "ipv4" } else { "ipv6" };
            add(attributes, "network.type", || family.into());
            add(attributes, "network.transport", || "tcp".into());
            let peer = text(remote.ip());
            add_socket(attributes, PEER, remote.port(), || peer.clone());
            match side {
                Side::Client => add_socket(attributes, SERVER, remote.port(), || peer),
                Side::Server => {
                    add_socket(attributes, SERVER, local.port(), || text(local.ip()));
                    add_socket(attributes, CLIENT, remote.port(), || peer);
                }
            }
        }
        Address::Udp { local, remote } => {
            let family = if local.is_ipv4() { "ipv4" } else { "ipv6" };
            add(attributes, "network.type", || family.into());
            add(attributes, "network.transport", || "udp".into());
            let server = match side {
                Side::Client => *remote,
                // Bound to no particular one, it is only a port.
                Side::Server if local.ip().is_unspecified() => {
                    add(attributes, "server.port", || i64::from(local.port()).into());
                    None
                }
                Side::Server => Some(*local),
            };
            if let Some(server) = server {
                add_socket(attributes, SERVER, server.port(), || text(server.ip()));
            }
            if let Some(remote) = *remote {
                add_socket(attributes, PEER, remote.port(), || text(remote.ip()));
                if side == Side::Server {
                    add_socket(attributes, CLIENT, remote.port(), || text(remote.ip()));
                }
            }
        }
        Address::Unix { path, .. } => {
            add(attributes, "network.transport", || "unix".into());
            if !path.is_empty() {
                add(attributes, "server.address", || path.clone().into());
                if side == Side::Client {
                    add(attributes, "network.peer.address", || path.clone().into());
                }
            }
        }
    }
}

/// Names the thread that completed the request's head: the one that received or sent it.
///
/// Not `thread.id`: the conventions mean by that the number which the language's runtime gives to a
/// thread, as opposed to the kernel's.
pub(super) fn add_thread(attributes: &mut Vec<Attribute>, task: Task) {
    attributes.push(Attribute::new("clew.thread.id", i64::from(task.tid)));
}

fn has(attributes: &[Attribute], key: &str) -> bool {
    attributes.iter().any(|attribute| attribute.key == key)
}

fn add(
    attributes: &mut Vec<Attribute>,
    key: &'static str,
    value: impl FnOnce() -> crate::model::Value,
) {
    if !has(attributes, key) {
        attributes.push(Attribute::new(key, value()));
    }
}

fn add_socket(
    attributes: &mut Vec<Attribute>,
    [address, port]: Names,
    number: u16,
    text: impl FnOnce() -> String,
) {
    if has(attributes, address) {
        return;
    }
    attributes.push(Attribute::new(address, text()));
    add(attributes, port, || i64::from(number).into());
}

/// An address as text, in one allocation: `to_string` begins with too little room.
fn text(address: IpAddr) -> String {
    let longest = match address {
        IpAddr::V4(_) => "255.255.255.255".len(),
        IpAddr::V6(_) => "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".len(),
    };
    let mut text = String::with_capacity(longest);
    // Writing to a string does not fail.
    let _ = write!(text, "{address}");
    text
}
