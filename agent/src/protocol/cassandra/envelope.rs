//! Where messages begin and end: envelopes ("frames" before version 5, section 2 of the
//! specifications), and the frames around them (section 2 of version 5's).

use super::super::frames::Framing;

/// Bytes before an envelope's body.
pub const HEADER: usize = 9;

/// The longest envelope (section 2.2 of version 5's specification, 2.5 of version 4's).
const LONGEST: u32 = 256 << 20;

/// Bits of an envelope's flags.
pub const COMPRESSED: u8 = 0x01;
/// See [`COMPRESSED`].
pub const TRACING: u8 = 0x02;
/// See [`COMPRESSED`].
pub const CUSTOM_PAYLOAD: u8 = 0x04;
/// See [`COMPRESSED`].
pub const WARNING: u8 = 0x08;
/// Known flags, that of beta versions too.
const FLAGS: u8 = 0x1f;

/// The stream of what the server says of its own accord.
pub const EVENTS: i16 = -1;

/// What an envelope carries (section 2.4 of the specifications).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Error,
    Startup,
    Ready,
    Authenticate,
    Options,
    Supported,
    Query,
    Result,
    Prepare,
    Execute,
    Register,
    Event,
    Batch,
    AuthChallenge,
    AuthResponse,
    AuthSuccess,
}

impl Opcode {
    fn read(byte: u8) -> Option<Self> {
        Some(match byte {
            0x00 => Self::Error,
            0x01 => Self::Startup,
            0x02 => Self::Ready,
            0x03 => Self::Authenticate,
            0x05 => Self::Options,
            0x06 => Self::Supported,
            0x07 => Self::Query,
            0x08 => Self::Result,
            0x09 => Self::Prepare,
            0x0a => Self::Execute,
            0x0b => Self::Register,
            0x0c => Self::Event,
            0x0d => Self::Batch,
            0x0e => Self::AuthChallenge,
            0x0f => Self::AuthResponse,
            0x10 => Self::AuthSuccess,
            _ => return None,
        })
    }

    /// Whether the client sends it.
    const fn is_request(self) -> bool {
        matches!(
            self,
            Self::Startup
                | Self::Options
                | Self::Query
                | Self::Prepare
                | Self::Execute
                | Self::Register
                | Self::Batch
                | Self::AuthResponse
        )
    }

    /// The least length of its body.
    const fn least(self) -> u32 {
        match self {
            Self::Options | Self::Ready => 0,
            Self::Startup | Self::Register | Self::Authenticate | Self::Supported => 2,
            Self::AuthChallenge | Self::AuthResponse | Self::AuthSuccess | Self::Result => 4,
            Self::Error | Self::Execute | Self::Prepare => 5,
            Self::Query | Self::Event | Self::Batch => 6,
        }
    }
}

/// The head of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version of the protocol.
    pub version: u8,
    /// The client sends it.
    pub is_request: bool,
    pub flags: u8,
    pub stream: i16,
    pub opcode: Opcode,
    /// Bytes of the body.
    pub length: u32,
}

impl Header {
    /// Reads the head, if it is right in itself.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let &[version, flags, s0, s1, opcode, l0, l1, l2, l3] = bytes.first_chunk::<HEADER>()?;
        let header = Self {
            version: version & 0x7f,
            is_request: version & 0x80 == 0,
            flags,
            stream: i16::from_be_bytes([s0, s1]),
            opcode: Opcode::read(opcode)?,
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        };
        let event = header.opcode == Opcode::Event;
        let right = (3..=6).contains(&header.version)
            && flags & !FLAGS == 0
            && header.is_request == header.opcode.is_request()
            && (header.stream >= 0 || event && header.stream == EVENTS)
            && header.length <= LONGEST
            && (header.length >= header.opcode.least() || flags & COMPRESSED != 0);
        right.then_some(header)
    }

    /// Whether it may stand outside of a frame.
    pub const fn stands_alone(&self) -> bool {
        let begins = matches!(
            self.opcode,
            Opcode::Options
                | Opcode::Supported
                | Opcode::Startup
                | Opcode::Ready
                | Opcode::Authenticate
                | Opcode::Error
        );
        begins || self.version < FRAMED_SINCE
    }

    /// Bytes of the whole envelope.
    pub fn whole(&self) -> u64 {
        HEADER as u64 + u64::from(self.length)
    }
}

/// An envelope that stands by itself. At most `limit` of its bytes are wanted.
pub fn plain(bytes: &[u8], limit: usize) -> Framing {
    if bytes.len() < HEADER {
        return match bytes.first() {
            None | Some(3..=6 | 0x83..=0x86) => Framing::More,
            _ => Framing::Nonsense,
        };
    }
    match Header::read(bytes) {
        Some(header) => Framing::Frame {
            wanted: limit,
            length: header.whole(),
        },
        None => Framing::Nonsense,
    }
}

/// Since this version envelopes stand in frames, once the server has taken the client in.
pub const FRAMED_SINCE: u8 = 5;

/// Bytes before a frame's payload, and behind it.
pub const FRAME_HEADER: usize = 6;
const FRAME_TRAILER: u64 = 4;

/// The head of an uncompressed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of the payload.
    pub length: usize,
    /// It consists of whole envelopes; else it is part of one.
    pub self_contained: bool,
}

impl FrameHeader {
    /// Reads the head, if its checksum is right (section 2.1 of version 5's specification).
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let &[h0, h1, h2, c0, c1, c2] = bytes.first_chunk::<FRAME_HEADER>()?;
        let head = u32::from_le_bytes([h0, h1, h2, 0]);
        let right = crc24(&[h0, h1, h2]) == u32::from_le_bytes([c0, c1, c2, 0])
            && head >> 18 == 0
            && head & 0x1_ffff != 0;
        right.then_some(Self {
            length: (head & 0x1_ffff) as usize,
            self_contained: head & 0x2_0000 != 0,
        })
    }
}

/// The checksum of a frame's head (section 2.1.1 of version 5's specification).
fn crc24(bytes: &[u8]) -> u32 {
    const BEGIN: u32 = 0x87_5060;
    const POLYNOMIAL: u32 = 0x197_4f0b;
    let mut crc = BEGIN;
    for byte in bytes {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x100_0000 != 0 {
                crc ^= POLYNOMIAL;
            }
        }
    }
    crc
}

/// A frame. At most `limit` bytes of its payload are wanted.
pub fn framed(bytes: &[u8], limit: usize) -> Framing {
    if bytes.len() < FRAME_HEADER {
        return Framing::More;
    }
    match FrameHeader::read(bytes) {
        Some(header) => Framing::Frame {
            wanted: FRAME_HEADER + header.length.min(limit),
            length: (FRAME_HEADER + header.length) as u64 + FRAME_TRAILER,
        },
        None => Framing::Nonsense,
    }
}

/// The head of the envelope with which a frame begins, unless the frame continues one.
pub fn first_in_frame(bytes: &[u8]) -> Option<Header> {
    let frame = FrameHeader::read(bytes)?;
    let header = Header::read(bytes.get(FRAME_HEADER..)?)?;
    let fits = header.whole() <= frame.length as u64;
    (fits == frame.self_contained && header.version >= FRAMED_SINCE).then_some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let header = Header::read(b"\x84\0\0\x07\x08\0\0\0\x04").unwrap();
        assert_eq!((header.version, header.is_request), (4, false));
        assert_eq!((header.stream, header.opcode), (7, Opcode::Result));
        assert_eq!(header.whole(), 13);
        for wrong in [
            &b"\x04\0\0\x07\x08\0\0\0\x04"[..], // a result from the client
            b"\x84\0\0\x07\x07\0\0\0\x09",      // a query from the server
            b"\x02\0\0\x07\x07\0\0\0\x09",      // version 2
            b"\x04\x20\0\x07\x07\0\0\0\x09",    // a flag that there is not
            b"\x04\0\xff\x07\x07\0\0\0\x09",    // a stream that there is not
            b"\x04\0\0\x07\x07\0\0\0\x05",      // too short
            b"\x04\0\0\x07\x07\x7f\0\0\0",      // too long
            b"\x04\0\0\x07\x04\0\0\0\x09",      // CREDENTIALS, of version 1
            b"\x04\0\0\x07\x07\0\0\0",
        ] {
            assert_eq!(Header::read(wrong), None, "{wrong:?}");
        }
        assert!(Header::read(b"\x84\0\xff\xff\x0c\0\0\0\x09").is_some());
        assert_eq!(plain(b"\x04\0", 100), Framing::More);
        assert_eq!(plain(b"G", 100), Framing::Nonsense);
    }

    #[test]
    fn frames() {
        let sum = crc24(&[0x0d, 0, 2]).to_le_bytes();
        let head = [0x0d, 0, 2, sum[0], sum[1], sum[2]];
        let expected = FrameHeader {
            length: 13,
            self_contained: true,
        };
        assert_eq!(FrameHeader::read(&head), Some(expected));
        let framing = Framing::Frame {
            wanted: 19,
            length: 23,
        };
        assert_eq!(framed(&head, 100), framing);
        assert_eq!(
            framed(&[0x0d, 0, 2, sum[0], sum[1], !sum[2]], 100),
            Framing::Nonsense
        );
        assert_eq!(framed(&head[..5], 100), Framing::More);
    }
}
