//! What AMQP 0-9-1 puts on the wire: frames, methods, and the properties of messages.
//!
//! The protocol document's sections 2.3 and 4.2; where RabbitMQ's field types differ from it, RabbitMQ's
//! hold ("AMQP 0-9-1 errata").

use crate::context::Carrier;
use crate::model::Side;
use crate::protocol::cursor::Cursor;
use crate::protocol::frames::Framing;

/// The end of every frame (section 4.2.3).
const FRAME_END: u8 = 0xce;
/// Type, channel and size before a frame's payload, and the octet after it.
pub(super) const OVERHEAD: usize = 8;
/// Where the payload begins.
pub(super) const PAYLOAD: usize = 7;

/// Types of frames.
pub(super) const METHOD: u8 = 1;
pub(super) const HEADER: u8 = 2;
pub(super) const BODY: u8 = 3;
pub(super) const HEARTBEAT: u8 = 8;

/// What a client says first (section 4.2.2).
pub(super) const PROTOCOL: &[u8; 8] = b"AMQP\0\0\x09\x01";
/// So does one that means another version, and a server that wants one.
pub(super) const ANY_PROTOCOL: &[u8] = b"AMQP";

/// The frame at the front of some bytes; of method and content header frames up to `message` bytes are
/// wanted.
pub(super) fn framing(bytes: &[u8], message: usize) -> Framing {
    let shown = bytes.len().min(ANY_PROTOCOL.len());
    if shown > 0 && bytes[..shown] == ANY_PROTOCOL[..shown] {
        return Framing::Frame {
            wanted: PROTOCOL.len(),
            length: PROTOCOL.len() as u64,
        };
    }
    match bytes.first() {
        None => return Framing::More,
        Some(&(METHOD | HEADER | BODY | HEARTBEAT)) => {}
        Some(_) => return Framing::Nonsense,
    }
    let Some(&[kind, _, _, a, b, c, d]) = bytes.first_chunk() else {
        return Framing::More;
    };
    let length = u64::from(u32::from_be_bytes([a, b, c, d])) + OVERHEAD as u64;
    let end = usize::try_from(length - 1).unwrap_or(usize::MAX);
    if bytes.get(end).is_some_and(|&byte| byte != FRAME_END) {
        return Framing::Nonsense;
    }
    Framing::Frame {
        wanted: match kind {
            METHOD | HEADER => end.saturating_add(1).min(message),
            _ => PAYLOAD,
        },
        length,
    }
}

/// Whether bytes, wherever they come from, begin a whole frame that is surely one. Bodies are not: they
/// may contain anything.
pub(super) fn is_frame(bytes: &[u8]) -> bool {
    let Some(&[kind, _, channel, a, b, c, d]) = bytes.first_chunk() else {
        return false;
    };
    let channel = u16::from_be_bytes([bytes[1], channel]);
    let Ok(size) = usize::try_from(u32::from_be_bytes([a, b, c, d])) else {
        return false;
    };
    let Some(payload) = bytes[PAYLOAD..].split_at_checked(size) else {
        return false;
    };
    let (payload, [FRAME_END, next @ ..]) = payload else {
        return false;
    };
    let known = match kind {
        METHOD => Method::read(payload).is_some_and(|method| {
            method.sender().is_some() && (method.class == CONNECTION) == (channel == 0)
        }),
        // Class "basic", and the weight, which is 0.
        HEADER => channel != 0 && size >= 14 && payload[..4] == [0, 60, 0, 0],
        HEARTBEAT => channel == 0 && size == 0,
        _ => false,
    };
    known
        && matches!(
            next.first(),
            None | Some(&(METHOD | HEADER | BODY | HEARTBEAT))
        )
}

/// Classes.
pub(super) const CONNECTION: u16 = 10;
pub(super) const CHANNEL: u16 = 20;
pub(super) const BASIC: u16 = 60;
pub(super) const CONFIRM: u16 = 85;

/// A method: class and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Method {
    pub(super) class: u16,
    pub(super) method: u16,
}

/// Who sends a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Only(Side),
    Both,
}

/// A method that is answered by another: what of it is worth knowing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) name: &'static str,
    /// It is told even if it succeeds.
    pub(super) shown: bool,
    /// Its arguments begin with two bytes that mean nothing.
    reserved: bool,
    /// How many short strings come then; the first is what it is about.
    strings: u8,
    /// Of the bits after them, the one by which it does without an answer.
    no_wait: u8,
}

impl Method {
    pub(super) const fn new(class: u16, method: u16) -> Self {
        Self { class, method }
    }

    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        Some(Self::new(cursor.u16()?, cursor.u16()?))
    }

    /// Who may send it; `None` if there is no such method.
    pub(super) const fn sender(self) -> Option<Sender> {
        Some(match (self.class, self.method) {
            (CONNECTION, 50 | 51) | (CHANNEL, 20 | 21 | 40 | 41) | (BASIC, 30 | 31 | 80 | 120) => {
                Sender::Both
            }
            (CONNECTION, 11 | 21 | 31 | 40 | 70)
            | (CHANNEL, 10)
            | (40, 10 | 20 | 30 | 40)
            | (50, 10 | 20 | 30 | 40 | 50)
            | (BASIC, 10 | 20 | 40 | 70 | 90 | 100 | 110)
            | (CONFIRM, 10)
            | (90, 10 | 20 | 30) => Sender::Only(Side::Client),
            (CONNECTION, 10 | 20 | 30 | 41 | 60 | 61 | 71)
            | (CHANNEL, 11)
            | (40, 11 | 21 | 31 | 51)
            | (50, 11 | 21 | 31 | 41 | 51)
            | (BASIC, 11 | 21 | 50 | 60 | 71 | 72 | 111)
            | (CONFIRM, 11)
            | (90, 11 | 21 | 31) => Sender::Only(Side::Server),
            _ => return None,
        })
    }

    /// The request that it is, if it is one that a client makes and a server answers.
    pub(super) const fn request(self) -> Option<Request> {
        let (name, shown, reserved, strings, no_wait) = match (self.class, self.method) {
            (CONNECTION, 11) => ("connection.start", false, false, 0, 0),
            (CONNECTION, 40) => ("connection.open", false, false, 0, 0),
            (CHANNEL, 10) => ("channel.open", false, false, 0, 0),
            (40, 10) => ("exchange.declare", true, true, 2, 16),
            (40, 20) => ("exchange.delete", true, true, 1, 2),
            (40, 30) => ("exchange.bind", true, true, 3, 1),
            (40, 40) => ("exchange.unbind", true, true, 3, 1),
            (50, 10) => ("queue.declare", true, true, 1, 16),
            (50, 20) => ("queue.bind", true, true, 3, 1),
            (50, 30) => ("queue.purge", true, true, 1, 1),
            (50, 40) => ("queue.delete", true, true, 1, 4),
            (50, 50) => ("queue.unbind", true, true, 3, 0),
            (BASIC, 10) => ("basic.qos", false, false, 0, 0),
            (BASIC, 20) => ("basic.consume", false, true, 2, 8),
            (BASIC, 30) => ("basic.cancel", false, false, 0, 0),
            (BASIC, 70) => ("receive", false, true, 1, 0),
            (BASIC, 110) => ("basic.recover", false, false, 0, 0),
            (CONFIRM, 10) => ("confirm.select", false, false, 0, 1),
            (90, 10) => ("tx.select", false, false, 0, 0),
            (90, 20) => ("tx.commit", true, false, 0, 0),
            (90, 30) => ("tx.rollback", true, false, 0, 0),
            _ => return None,
        };
        Some(Request {
            name,
            shown,
            reserved,
            strings,
            no_wait,
        })
    }

    /// The method that answers it.
    pub(super) const fn answer(self) -> Self {
        let method = match (self.class, self.method) {
            // After "start-ok" comes "tune".
            (CONNECTION, 11) => 30,
            (40, 40) => 51,
            (_, method) => method + 1,
        };
        Self::new(self.class, method)
    }
}

/// The arguments of a request.
#[derive(Debug, Default)]
pub(super) struct Arguments<'a> {
    pub(super) first: &'a [u8],
    pub(super) second: &'a [u8],
    pub(super) bits: u8,
    pub(super) answered: bool,
}

impl Request {
    /// Reads them from what comes after the method.
    pub(super) fn arguments<'a>(&self, mut cursor: Cursor<'a>) -> Option<Arguments<'a>> {
        if self.reserved {
            cursor.u16()?;
        }
        let mut strings = [&[][..]; 3];
        for string in strings.iter_mut().take(self.strings.into()) {
            *string = cursor.bytes8()?;
        }
        let bits = if self.no_wait == 0 {
            cursor.u8().unwrap_or_default()
        } else {
            cursor.u8()?
        };
        Some(Arguments {
            first: strings[0],
            second: strings[1],
            bits,
            answered: bits & self.no_wait == 0,
        })
    }
}

/// A content header (section 4.2.6.1).
#[derive(Debug, Default)]
pub(super) struct Properties<'a> {
    /// Of the body, in bytes.
    pub(super) size: u64,
    pub(super) context: Carrier<'a>,
    pub(super) message_id: &'a [u8],
    pub(super) correlation_id: &'a [u8],
    /// Not all of it was captured.
    pub(super) cut: bool,
}

impl<'a> Properties<'a> {
    /// Reads a header frame's payload; `None` where not even the size is there.
    pub(super) fn read(payload: &'a [u8], custom: &[Box<str>]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        cursor.u32()?;
        let mut properties = Self {
            size: cursor.u64()?,
            ..Self::default()
        };
        properties.cut = properties.fields(cursor, custom).is_none();
        Some(properties)
    }

    fn fields(&mut self, mut cursor: Cursor<'a>, custom: &[Box<str>]) -> Option<()> {
        let flags = cursor.u16()?;
        // A set last bit announces more flags, which the basic class has no use for.
        let mut more = flags;
        while more & 1 != 0 {
            more = cursor.u16()?;
        }
        let has = |bit: u16| flags & 1 << bit != 0;
        // Content type and encoding.
        for bit in [15, 14] {
            if has(bit) {
                cursor.bytes8()?;
            }
        }
        if has(13) {
            let shown = cursor.rest();
            // Of a table that is cut, what is there still counts.
            let table = cursor.bytes32().or_else(|| shown.get(4..))?;
            let all = headers(Cursor::new(table), &mut self.context, custom);
            if all.is_none() || table.len() + 4 > shown.len() {
                return None;
            }
        }
        // Delivery mode and priority.
        for bit in [12, 11] {
            if has(bit) {
                cursor.u8()?;
            }
        }
        if has(10) {
            self.correlation_id = cursor.bytes8()?;
        }
        // Where to reply to, and expiration.
        for bit in [9, 8] {
            if has(bit) {
                cursor.bytes8()?;
            }
        }
        if has(7) {
            self.message_id = cursor.bytes8()?;
        }
        Some(())
    }
}

/// Gives the headers that may carry a context to the carrier; `None` where they end too early.
fn headers<'a>(
    mut cursor: Cursor<'a>,
    carrier: &mut Carrier<'a>,
    custom: &[Box<str>],
) -> Option<()> {
    while !cursor.is_empty() {
        let name = cursor.bytes8()?;
        let fixed = match cursor.u8()? {
            b'S' | b'x' => {
                carrier.set(name, cursor.bytes32()?, custom);
                continue;
            }
            b'A' | b'F' => {
                cursor.bytes32()?;
                continue;
            }
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'u' | b'U' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'l' | b'L' | b'd' | b'T' => 8,
            _ => return None,
        };
        cursor.take(fixed)?;
    }
    Some(())
}
