//! MQTT's control packets: MQTT 3.1, 3.1.1 (OASIS standard) and 5.0 (OASIS standard); sections are those
//! of 5.0.

use crate::context::Carrier;
use crate::model::Side;
use crate::protocol::cursor::Cursor;
use crate::protocol::frames::Framing;

/// Types of packets (section 2.1.2).
pub(super) const CONNECT: u8 = 1;
pub(super) const CONNACK: u8 = 2;
pub(super) const PUBLISH: u8 = 3;
pub(super) const PUBACK: u8 = 4;
pub(super) const PUBREC: u8 = 5;
pub(super) const PUBREL: u8 = 6;
pub(super) const PUBCOMP: u8 = 7;
pub(super) const SUBSCRIBE: u8 = 8;
pub(super) const SUBACK: u8 = 9;
pub(super) const UNSUBSCRIBE: u8 = 10;
pub(super) const UNSUBACK: u8 = 11;
const PINGREQ: u8 = 12;
const PINGRESP: u8 = 13;
pub(super) const DISCONNECT: u8 = 14;
const AUTH: u8 = 15;

/// Reason codes from here on are errors (section 2.4).
pub(super) const ERROR: u8 = 0x80;
/// The version that has properties and reason codes.
pub(super) const V5: u8 = 5;
/// The length of a fixed header with the shortest length in it.
const SHORT: usize = 2;
/// The same with the longest.
const LONG: usize = 5;
/// Most bytes of a packet other than `PUBLISH` that are of interest.
const OTHERS: usize = 512;

/// A packet's fixed header (section 2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    pub(super) kind: u8,
    flags: u8,
    /// Its own length.
    pub(super) header: usize,
    /// The length of what comes after it.
    pub(super) rest: usize,
}

impl Fixed {
    /// Reads it. `Err`: it is none, or (`true`) there are too few bytes.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, bool> {
        let mut cursor = Cursor::new(bytes);
        let first = cursor.u8().ok_or(true)?;
        let fixed = Self {
            kind: first >> 4,
            flags: first & 15,
            header: 0,
            rest: 0,
        };
        if !fixed.has_its_flags() {
            return Err(false);
        }
        let rest = varint(&mut cursor).ok_or_else(|| cursor.is_empty() && bytes.len() <= 4)?;
        Ok(Self {
            header: bytes.len() - cursor.rest().len(),
            rest,
            ..fixed
        })
    }

    pub(super) const fn qos(self) -> u8 {
        self.flags >> 1 & 3
    }

    pub(super) const fn is_again(self) -> bool {
        self.flags & 8 != 0
    }

    const fn has_its_flags(self) -> bool {
        match self.kind {
            0 => false,
            PUBLISH => self.qos() < 3 && (self.qos() > 0 || !self.is_again()),
            // MQTT 3.1 lets these be sent again.
            PUBREL | SUBSCRIBE | UNSUBSCRIBE => self.flags & 7 == 2,
            _ => self.flags == 0,
        }
    }

    /// Whether a packet of this type can have this length.
    const fn has_its_length(self) -> bool {
        match self.kind {
            CONNECT => self.rest >= 12,
            PUBLISH => self.rest >= 3,
            SUBSCRIBE => self.rest >= 6,
            UNSUBSCRIBE => self.rest >= 5,
            SUBACK => self.rest >= 3,
            PINGREQ | PINGRESP => self.rest == 0,
            DISCONNECT | AUTH => true,
            _ => self.rest >= 2,
        }
    }

    /// Who sends it; `None` if both do.
    pub(super) const fn sender(self) -> Option<Side> {
        match self.kind {
            CONNECT | SUBSCRIBE | UNSUBSCRIBE | PINGREQ => Some(Side::Client),
            CONNACK | SUBACK | UNSUBACK | PINGRESP => Some(Side::Server),
            _ => None,
        }
    }
}

/// A number of up to four bytes (section 1.5.5).
fn varint(cursor: &mut Cursor<'_>) -> Option<usize> {
    let mut value = 0;
    for shift in [0, 7, 14, 21] {
        let byte = cursor.u8()?;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The packet at the front of some bytes. Of `PUBLISH`, what comes before the payload is wanted.
pub(super) fn framing(bytes: &[u8], version: Option<u8>) -> Framing {
    let fixed = match Fixed::read(bytes) {
        Ok(fixed) => fixed,
        Err(true) => return Framing::More,
        Err(false) => return Framing::Nonsense,
    };
    let length = fixed.header + fixed.rest;
    let wanted = if fixed.kind == PUBLISH {
        let shown = &bytes[fixed.header..bytes.len().min(length)];
        head_length(fixed, shown, version).map_or(bytes.len() + 1, |head| fixed.header + head)
    } else {
        fixed.header + OTHERS
    };
    Framing::Frame {
        wanted: wanted.min(length),
        length: length as u64,
    }
}

/// How much of a `PUBLISH` comes before its payload; `None` while that is not known.
fn head_length(fixed: Fixed, shown: &[u8], version: Option<u8>) -> Option<usize> {
    let mut cursor = Cursor::new(shown);
    cursor.bytes16()?;
    if fixed.qos() > 0 {
        cursor.u16()?;
    }
    let head = shown.len() - cursor.rest().len();
    if version.is_some_and(|version| version != V5) || head == fixed.rest {
        return Some(head);
    }
    let length = varint(&mut cursor);
    let head = shown.len() - cursor.rest().len();
    match (length, version) {
        (Some(length), Some(_)) => Some(head + length),
        // They may be properties, or a payload.
        (Some(length), None) => Some((head + length).min(fixed.rest).min(OTHERS.max(head))),
        (None, None) => Some(head),
        (None, Some(_)) => None,
    }
}

/// Whether bytes, wherever they come from, are packets up to the end of their chunk, and how many of them
/// are whole messages.
pub(super) fn packets(mut bytes: &[u8], mut length: u64) -> Option<usize> {
    let mut messages = 0;
    while length > 0 {
        let fixed = match Fixed::read(bytes) {
            Ok(fixed) if fixed.has_its_length() => fixed,
            // The next header was not captured.
            Err(true) if length > bytes.len() as u64 && messages > 0 => return Some(messages),
            _ => return None,
        };
        if fixed.kind == PUBLISH {
            match publish(fixed, &bytes[fixed.header..], None) {
                Some(publish) if publish.is_plausible() => messages += 1,
                None if length > bytes.len() as u64 && messages > 0 => return Some(messages),
                _ => return None,
            }
        }
        let whole = fixed.header + fixed.rest;
        length = match length.checked_sub(whole as u64) {
            Some(rest) => rest,
            // A message may go on in the next chunk. A short one, whose length is any byte of text, need not
            // be one, nor need one of more than 2 MiB, of which there are hardly any.
            None if fixed.kind == PUBLISH && (SHORT + 1..LONG).contains(&fixed.header) => {
                return Some(messages);
            }
            None => return None,
        };
        match bytes.get(whole..) {
            Some(rest) => bytes = rest,
            None if messages > 0 => return Some(messages),
            None => return None,
        }
    }
    Some(messages)
}

/// What comes before a message's payload.
#[derive(Debug)]
pub(super) struct Publish<'a> {
    pub(super) topic: &'a [u8],
    /// 0 where it has none.
    pub(super) id: u16,
    pub(super) properties: Properties<'a>,
    /// Its properties tell that it is MQTT 5.
    pub(super) is_v5: bool,
    /// How many bytes the payload has, if that is known.
    pub(super) payload: Option<usize>,
    /// Not all of its properties were captured.
    pub(super) cut: bool,
    qos: u8,
}

impl Publish<'_> {
    /// Whether there can be such a topic and such an id.
    fn is_plausible(&self) -> bool {
        let wildcard = |byte: &u8| matches!(byte, b'+' | b'#');
        (self.qos == 0 || self.id != 0)
            && !self.topic.is_empty()
            && !self.topic.iter().any(wildcard)
            && std::str::from_utf8(self.topic).is_ok_and(|topic| !topic.contains(char::is_control))
    }
}

/// Reads what comes after a `PUBLISH`'s fixed header; `None` where its topic and id are not there.
pub(super) fn publish(fixed: Fixed, bytes: &[u8], version: Option<u8>) -> Option<Publish<'_>> {
    let bytes = &bytes[..bytes.len().min(fixed.rest)];
    let mut cursor = Cursor::new(bytes);
    let topic = cursor.bytes16()?;
    let id = if fixed.qos() > 0 { cursor.u16()? } else { 0 };
    let before = bytes.len() - cursor.rest().len();
    let mut publish = Publish {
        topic,
        id,
        properties: Properties::default(),
        is_v5: false,
        payload: version.map(|_| fixed.rest - before),
        cut: false,
        qos: fixed.qos(),
    };
    if version.is_some_and(|version| version != V5) {
        return Some(publish);
    }
    let length = varint(&mut cursor);
    let before = bytes.len() - cursor.rest().len();
    publish.payload = length
        .and_then(|length| fixed.rest.checked_sub(before + length))
        .filter(|_| version.is_some());
    let shown = cursor.rest();
    let block = length.and_then(|length| shown.get(..length));
    publish.cut = version.is_some() && block.is_none();
    let whole = publish.properties.read(block.unwrap_or(shown));
    if version.is_none() {
        // An empty block may as well be a payload.
        publish.is_v5 = whole.is_some() && block.is_some_and(|block| !block.is_empty());
        if !publish.is_v5 {
            publish.properties = Properties::default();
        }
    }
    Some(publish)
}

/// The properties of a message that matter here (section 2.2.2), as bytes.
#[derive(Debug, Default)]
pub(super) struct Properties<'a> {
    /// The topic's number, by which later messages may name it.
    pub(super) alias: Option<u16>,
    pub(super) user: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Properties<'a> {
    /// How many user properties are looked at.
    const USER: usize = 64;

    /// `None` where they make no sense.
    fn read(&mut self, bytes: &'a [u8]) -> Option<()> {
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_empty() {
            match cursor.u8()? {
                0x23 => self.alias = Some(cursor.u16()?),
                0x26 => {
                    let pair = (cursor.bytes16()?, cursor.bytes16()?);
                    if self.user.len() < Self::USER {
                        self.user.push(pair);
                    }
                }
                other => skip(other, &mut cursor)?,
            }
        }
        Some(())
    }

    /// Those that may carry a context.
    pub(super) fn carrier(&self, custom: &[Box<str>]) -> Carrier<'a> {
        let mut carrier = Carrier::default();
        for (name, value) in &self.user {
            carrier.set(name, value, custom);
        }
        carrier
    }
}

/// Passes over a property's value.
fn skip(id: u8, cursor: &mut Cursor<'_>) -> Option<()> {
    match id {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => {
            cursor.u8()?;
        }
        0x13 | 0x21 | 0x22 => {
            cursor.u16()?;
        }
        0x02 | 0x11 | 0x18 | 0x27 => {
            cursor.u32()?;
        }
        0x0b => {
            varint(cursor)?;
        }
        0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => {
            cursor.bytes16()?;
        }
        _ => return None,
    }
    Some(())
}

/// What `CONNECT` says of its version and of who connects. What comes after that (the last will, user name
/// and password) is not read.
pub(super) fn connect(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let mut cursor = Cursor::new(bytes);
    let name = cursor.bytes16()?;
    // A bridge between brokers sets the first bit.
    let version = cursor.u8()? & 0x7f;
    if !matches!((name, version), (b"MQIsdp", 3) | (b"MQTT", 4 | V5)) {
        return None;
    }
    // Flags and time.
    cursor.take(3)?;
    if version == V5 {
        let length = varint(&mut cursor)?;
        cursor.take(length)?;
    }
    Some((version, cursor.bytes16().unwrap_or_default()))
}

/// The id at the front of a packet.
pub(super) fn id(bytes: &[u8]) -> Option<u16> {
    Cursor::new(bytes).u16()
}

/// The id of a packet that acknowledges, and the reason after it: success where none is given.
pub(super) fn acknowledgement(fixed: Fixed, bytes: &[u8]) -> Option<(u16, u8)> {
    let mut cursor = Cursor::new(bytes);
    let id = cursor.u16()?;
    let has_reason = fixed.rest > size_of_val(&id);
    Some((id, if has_reason { cursor.u8()? } else { 0 }))
}

/// The first reason of a `SUBACK` or `UNSUBACK` that is an error.
pub(super) fn refusal(kind: u8, bytes: &[u8], version: Option<u8>) -> Option<u8> {
    let mut cursor = Cursor::new(bytes);
    cursor.u16()?;
    match version {
        None => return None,
        Some(V5) => {
            let length = varint(&mut cursor)?;
            cursor.take(length)?;
        }
        Some(_) if kind == UNSUBACK => return None,
        Some(_) => {}
    }
    let mut reasons = cursor.rest().iter();
    reasons.find(|reason| **reason >= ERROR).copied()
}
