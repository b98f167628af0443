//! Recordings as packets of a network, in the file format that Wireshark and tshark read.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use clew::protocol::recording::Piece;
use etherparse::PacketBuilder;

/// How a recording's bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// As a stream.
    Tcp,
    /// Each piece is a datagram.
    Udp,
}

impl Transport {
    /// Its name in tshark's fields and options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// The port of all servers.
pub const SERVER: u16 = 7777;
/// The first client's port; the others' follow.
pub const FIRST_CLIENT: u16 = 40_000;

/// `LINKTYPE_RAW`: packets begin with their IP header.
const RAW_IP: u32 = 101;
/// The longest packet that is kept.
const LONGEST: u32 = 65_535;
/// How much goes in a segment; an IP packet holds no more than 65535 bytes.
const SEGMENT: usize = 32_768;
const WINDOW: u16 = 65_535;

/// Writes connections, one after the other; each client has a port of its own.
pub fn write(path: &Path, transport: Transport, connections: &[Vec<Piece>]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let header = [0xa1b2_c3d4, 0x0004_0002, 0, 0, LONGEST, RAW_IP];
    for word in header {
        file.write_all(&u32::to_ne_bytes(word))?;
    }
    let mut packets = Packets { file, number: 0 };
    for (port, pieces) in (FIRST_CLIENT..).zip(connections) {
        match transport {
            Transport::Tcp => packets.stream(port, pieces)?,
            Transport::Udp => packets.datagrams(port, pieces)?,
        }
    }
    packets.file.flush()
}

struct Packets {
    file: BufWriter<File>,
    number: u32,
}

impl Packets {
    fn stream(&mut self, port: u16, pieces: &[Piece]) -> io::Result<()> {
        // What the client and the server send next.
        let mut next = [1000, 5000];
        self.segment(port, true, next, Flags::Syn, &[])?;
        next[0] += 1;
        self.segment(port, false, next, Flags::SynAck, &[])?;
        next[1] += 1;
        self.segment(port, true, next, Flags::Ack, &[])?;
        for piece in pieces {
            assert_eq!(piece.gap, 0, "a stream that lacks bytes has no packets");
            for data in whole(piece).chunks(SEGMENT) {
                self.segment(port, piece.from_client, next, Flags::Ack, data)?;
                let length = u32::try_from(data.len()).expect("a segment is short");
                next[usize::from(!piece.from_client)] += length;
            }
        }
        for from_client in [true, false] {
            self.segment(port, from_client, next, Flags::Fin, &[])?;
            next[usize::from(!from_client)] += 1;
        }
        self.segment(port, true, next, Flags::Ack, &[])
    }

    fn segment(
        &mut self,
        port: u16,
        from_client: bool,
        next: [u32; 2],
        flags: Flags,
        data: &[u8],
    ) -> io::Result<()> {
        let [sequence, acknowledged] = match from_client {
            true => next,
            false => [next[1], next[0]],
        };
        let (from, to) = ports(port, from_client);
        let builder = ip(from_client).tcp(from, to, sequence, WINDOW);
        let builder = match flags {
            Flags::Syn => builder.syn(),
            Flags::SynAck => builder.syn().ack(acknowledged),
            Flags::Ack => builder.ack(acknowledged),
            Flags::Fin => builder.fin().ack(acknowledged),
        };
        let mut packet = Vec::with_capacity(builder.size(data.len()));
        builder.write(&mut packet, data).map_err(io::Error::other)?;
        self.packet(&packet)
    }

    fn datagrams(&mut self, port: u16, pieces: &[Piece]) -> io::Result<()> {
        for piece in pieces {
            let data = whole(piece);
            let (from, to) = ports(port, piece.from_client);
            let builder = ip(piece.from_client).udp(from, to);
            let mut packet = Vec::with_capacity(builder.size(data.len()));
            builder
                .write(&mut packet, &data)
                .map_err(io::Error::other)?;
            self.packet(&packet)?;
        }
        Ok(())
    }

    /// A packet a second.
    fn packet(&mut self, packet: &[u8]) -> io::Result<()> {
        self.number += 1;
        let length = u32::try_from(packet.len()).map_err(io::Error::other)?;
        for word in [self.number, 0, length, length] {
            self.file.write_all(&word.to_ne_bytes())?;
        }
        self.file.write_all(packet)
    }
}

#[derive(Clone, Copy)]
enum Flags {
    Syn,
    SynAck,
    Ack,
    Fin,
}

fn ip(from_client: bool) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    let [client, server] = [[10, 0, 0, 1], [10, 0, 0, 2]];
    match from_client {
        true => PacketBuilder::ipv4(client, server, 64),
        false => PacketBuilder::ipv4(server, client, 64),
    }
}

const fn ports(client: u16, from_client: bool) -> (u16, u16) {
    match from_client {
        true => (client, SERVER),
        false => (SERVER, client),
    }
}

/// A piece's bytes; those that were not recorded are long values, of which any byte will do.
fn whole(piece: &Piece) -> Vec<u8> {
    let length = usize::try_from(piece.length()).expect("pieces are short");
    let mut data = piece.data.clone();
    data.resize(length, b'x');
    data
}
