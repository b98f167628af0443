//! Frames (RFC 9113, sections 4 and 6): where they begin and end, and by what they are known.

use crate::model::Side;
use crate::protocol::frames::Framing;
use crate::protocol::{Likeness, Sample};

/// What a client sends first (section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length of a frame's header.
pub(super) const HEADER: usize = 9;
/// The longest frame that is believed where the place is not known. Nobody sends longer ones unless he
/// was asked to (section 6.5.2).
const LENGTH_MAX: u32 = 1 << 20;
/// The most settings that are believed; a dozen are defined.
const SETTINGS_MAX: u32 = 32;

/// Types (section 6).
pub(super) mod kind {
    pub(in super::super) const DATA: u8 = 0;
    pub(in super::super) const HEADERS: u8 = 1;
    pub(in super::super) const PRIORITY: u8 = 2;
    pub(in super::super) const RST_STREAM: u8 = 3;
    pub(in super::super) const SETTINGS: u8 = 4;
    pub(in super::super) const PUSH_PROMISE: u8 = 5;
    pub(in super::super) const PING: u8 = 6;
    pub(in super::super) const GOAWAY: u8 = 7;
    pub(in super::super) const WINDOW_UPDATE: u8 = 8;
    pub(in super::super) const CONTINUATION: u8 = 9;
}

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITIZED: u8 = 0x20;

/// A frame's header (section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Of the payload.
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, s, t, u, v] = bytes.first_chunk::<HEADER>()?;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes([s & 0x7f, t, u, v]),
        })
    }

    pub(super) const fn ends_stream(self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & END_STREAM != 0
    }

    pub(super) const fn ends_headers(self) -> bool {
        self.flags & END_HEADERS != 0
    }

    /// Payload without padding and the like: how much comes before, and how long it is. `payload` is what
    /// was captured of it.
    pub(super) fn content(self, payload: &[u8]) -> (usize, u64) {
        let mut before = 0;
        let mut after = 0;
        let may_pad = matches!(self.kind, kind::DATA | kind::HEADERS | kind::PUSH_PROMISE);
        if may_pad && self.flags & PADDED != 0 {
            before = 1;
            after = payload.first().copied().unwrap_or(0);
        }
        before += match self.kind {
            kind::HEADERS if self.flags & PRIORITIZED != 0 => 5,
            kind::PUSH_PROMISE => 4,
            _ => 0,
        };
        let around = before as u64 + u64::from(after);
        (before, u64::from(self.length).saturating_sub(around))
    }

    /// Whether its length and its stream are those of its type. Types that are not known must be let
    /// pass (section 5.5).
    const fn is_possible(self) -> bool {
        let on_stream = self.stream != 0;
        match self.kind {
            kind::DATA => on_stream,
            kind::HEADERS | kind::CONTINUATION => on_stream,
            kind::PRIORITY => on_stream && self.length == 5,
            kind::RST_STREAM => on_stream && self.length == 4,
            kind::SETTINGS => !on_stream && self.length.is_multiple_of(6),
            kind::PUSH_PROMISE => on_stream && self.length >= 4,
            kind::PING => !on_stream && self.length == 8,
            kind::GOAWAY => !on_stream && self.length >= 8,
            kind::WINDOW_UPDATE => self.length == 4,
            _ => true,
        }
    }

    /// The same where nothing else says that this is a frame: its type is known, and only its flags are
    /// set.
    const fn is_likely(self) -> bool {
        let flags = match self.kind {
            kind::DATA => END_STREAM | PADDED,
            kind::HEADERS => END_STREAM | END_HEADERS | PADDED | PRIORITIZED,
            kind::SETTINGS | kind::PING => ACK,
            kind::PUSH_PROMISE => END_HEADERS | PADDED,
            kind::CONTINUATION => END_HEADERS,
            kind::PRIORITY | kind::RST_STREAM | kind::GOAWAY | kind::WINDOW_UPDATE => 0,
            _ => return false,
        };
        let length = match (self.kind, self.flags & ACK != 0) {
            (kind::SETTINGS, true) => self.length == 0,
            (kind::SETTINGS, false) => self.length <= 6 * SETTINGS_MAX,
            (kind::HEADERS | kind::CONTINUATION, _) => self.length > 0,
            _ => true,
        };
        self.is_possible() && self.flags & !flags == 0 && length && self.length <= LENGTH_MAX
    }
}

/// The frame that begins with some bytes; the client's preface is one too. `is_wanted`: whether
/// what a frame of data holds is to be looked at.
pub(super) fn framing(bytes: &[u8], is_wanted: impl FnOnce(Header) -> bool) -> Framing {
    if bytes.starts_with(&PREFACE[..3]) {
        return Framing::Frame {
            wanted: PREFACE.len(),
            length: PREFACE.len() as u64,
        };
    }
    let Some(header) = Header::parse(bytes) else {
        return Framing::More;
    };
    if !header.is_possible() {
        return Framing::Nonsense;
    }
    let payload = header.length as usize;
    let wanted = match header.kind {
        kind::DATA if !is_wanted(header) => usize::from(header.flags & PADDED != 0),
        kind::DATA | kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION => payload,
        kind::RST_STREAM | kind::GOAWAY => 8,
        _ => 0,
    };
    Framing::Frame {
        wanted: HEADER + wanted.min(payload),
        length: (HEADER + payload) as u64,
    }
}

/// Whether bytes are the client's preface.
pub(super) fn is_preface(bytes: &[u8]) -> bool {
    bytes == PREFACE
}

/// Whether a chunk begins with frames, without its connection being known from its start (or any more).
/// All that is visible must be frames one after the other, with something among them that other bytes
/// hardly have. `known`: the connection is HTTP/2, only the place is not known.
pub(super) fn begins_frames(bytes: &[u8], length: u64, known: bool) -> bool {
    if known && bytes.starts_with(PREFACE) {
        return true;
    }
    let mut proof = false;
    let mut data = false;
    let mut at = 0_u64;
    loop {
        let Some(rest) = usize::try_from(at).ok().and_then(|at| bytes.get(at..)) else {
            // The end of this frame was not captured, or is still to come.
            return proof;
        };
        let Some(header) = Header::parse(rest) else {
            let ends = at == length;
            return proof || ends && data && known;
        };
        // What continues a block is of no use without its beginning.
        if !header.is_likely() || at == 0 && header.kind == kind::CONTINUATION {
            return false;
        }
        at += (HEADER as u64) + u64::from(header.length);
        let whole = at <= length;
        match header.kind {
            // Elsewhere the length of what looks like a block is anything (FastCGI's first record).
            kind::HEADERS => {
                proof |= (known || whole) && begins_block(header, &rest[HEADER..], known);
            }
            kind::DATA => data = true,
            kind::SETTINGS if header.flags & ACK == 0 => {
                proof |= whole && at == length && are_settings(&rest[HEADER..], header.length);
            }
            kind::CONTINUATION | kind::PUSH_PROMISE => {}
            _ => proof |= whole && at == length && (known || header.kind != kind::RST_STREAM),
        }
    }
}

/// Whether a header block begins like one: with a pseudo-header (RFC 9113, section 8.3), which are in the
/// static table; on a known connection also with what is in the dynamic table, or with a new name.
fn begins_block(header: Header, payload: &[u8], known: bool) -> bool {
    let (before, length) = header.content(payload);
    match payload.get(before) {
        Some(0x82..=0x8e | 0x41..=0x4e | 0x01..=0x0e | 0x11..=0x1e) => length > 0,
        Some(0x20..=0x40 | 0xbe..) => known && length > 0,
        _ => false,
    }
}

/// Whether settings have identifiers that are in use: registered ones, or those of gRPC and experiments.
fn are_settings(payload: &[u8], length: u32) -> bool {
    let shown = payload.len().min(length as usize);
    let (settings, _) = payload[..shown].as_chunks::<6>();
    settings
        .iter()
        .all(|&[high, low, ..]| matches!((high, low), (0, 1..=0x10) | (0xf0.., _)))
}

/// By what HTTP/2 is known.
pub(super) fn likeness(sample: &Sample<'_>) -> Likeness {
    let bytes = sample.bytes;
    if !sample.from_start {
        return match begins_frames(bytes, sample.length, false) {
            true => Likeness::Yes,
            false => Likeness::No,
        };
    }
    if sample.sender != Some(Side::Server) {
        let shown = bytes.len().min(PREFACE.len());
        if bytes[..shown] == PREFACE[..shown] {
            return match shown == PREFACE.len() {
                true => Likeness::Yes,
                false => Likeness::Perhaps,
            };
        }
    }
    if sample.sender == Some(Side::Client) {
        return Likeness::No;
    }
    // A server's first frame is SETTINGS, and not the acknowledgement of others (section 3.4).
    const START: [u8; HEADER] = [0, 0, 0, kind::SETTINGS, 0, 0, 0, 0, 0];
    let like = |(at, &byte): (usize, &u8)| at == 2 || byte == START[at];
    if !bytes.iter().take(HEADER).enumerate().all(like) {
        return Likeness::No;
    }
    match Header::parse(bytes) {
        None => Likeness::Perhaps,
        Some(header) if header.is_likely() && are_settings(&bytes[HEADER..], header.length) => {
            Likeness::Yes
        }
        Some(_) => Likeness::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Direction;

    fn like(sender: Option<Side>, from_start: bool, bytes: &[u8]) -> Likeness {
        likeness(&Sample {
            direction: Direction::Received,
            sender,
            from_start,
            bytes,
            length: bytes.len() as u64,
        })
    }

    #[test]
    fn starts() {
        use Likeness::{No, Perhaps, Yes};
        let (client, server) = (Some(Side::Client), Some(Side::Server));
        let table: [(Option<Side>, &[u8], Likeness); 16] = [
            (client, PREFACE, Yes),
            (None, PREFACE, Yes),
            (server, PREFACE, No),
            (client, b"PRI * HT", Perhaps),
            (client, b"P", Perhaps),
            (client, b"POST / HTTP/1.1\r\n", No),
            (client, b"\0\0\0\x04\0\0\0\0\0", No),
            (server, b"\0\0\0\x04\0\0\0\0\0", Yes),
            (server, b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64", Yes),
            (server, b"\0\0\x06\x04\0\0\0\0\0\x45\x03\0\0\0\x64", No),
            (server, b"\0\0\x05\x04\0\0\0\0\0", No),
            (server, b"\0\0\x06", Perhaps),
            // The acknowledgement comes later; MySQL's greeting; TLS; SSH.
            (server, b"\0\0\0\x04\x01\0\0\0\0", No),
            (server, b"\x4a\0\0\0\x0a8.0.36\0", No),
            (server, b"\x16\x03\x03\0\x7a\x02\0\0\x76", No),
            (server, b"SSH-2.0-OpenSSH_9.2\r\n", No),
        ];
        for (sender, bytes, expected) in table {
            assert_eq!(like(sender, true, bytes), expected, "{sender:?} {bytes:?}");
        }
    }

    #[test]
    fn middles() {
        // Bytes, on a connection that is not known, on one that is.
        let table: [(&[u8], bool, bool); 14] = [
            (b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84", true, true),
            (b"\0\0\x03\x01\x05\0\0\0\x01\xbe\xbf\xc0", false, true),
            (b"\0\0\x08\x06\0\0\0\0\x0012345678", true, true),
            (b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01", true, true),
            // Two frames; data alone; data with more after it.
            (
                b"\0\0\x01\0\0\0\0\0\x01x\0\0\x01\x01\x05\0\0\0\x01\x88",
                true,
                true,
            ),
            (b"\0\0\x01\0\x01\0\0\0\x01x", false, true),
            (b"\0\0\x01\0\x01\0\0\0\x01xx", false, false),
            (b"\0\0\x01\x09\x04\0\0\0\x01\x82", false, false),
            // A frame on no stream, a wrong length, flags that are none.
            (b"\0\0\x03\x01\x05\0\0\0\0\x82\x86\x84", false, false),
            (b"\0\0\x07\x06\0\0\0\0\x001234567", false, false),
            (b"\0\0\x08\x06\x02\0\0\0\x0012345678", false, false),
            // Kafka's answer, MySQL's command, DNS over TCP.
            (b"\0\0\0\x2a\0\0\0\x07\0\0\0\0", false, false),
            (
                b"\x21\0\0\0\x03select @@version_comment limit 1",
                false,
                false,
            ),
            (
                b"\0\x1d\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01",
                false,
                false,
            ),
        ];
        for (bytes, unknown, known) in table {
            let length = bytes.len() as u64;
            assert_eq!(begins_frames(bytes, length, false), unknown, "{bytes:?}");
            assert_eq!(begins_frames(bytes, length, true), known, "{bytes:?}");
        }
        assert_eq!(like(None, false, table[0].0), Likeness::Yes);
        assert_eq!(like(None, false, b"GET / HTTP/1.1\r\n\r\n"), Likeness::No);
    }
}
