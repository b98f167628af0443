//! Where a message's body ends (RFC 9112, section 6), and the chunked coding (section 7.1).

use super::head::{Coding, Fields, Length};
use super::lane::Bytes;

/// How a message goes on after its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// No body.
    Empty,
    /// So many bytes.
    Length(u64),
    /// Chunks, then trailers.
    Chunked,
    /// Until the sender closes.
    UntilClose,
    /// Contradictory, or told by a field that was not captured.
    Unknown,
}

/// What a response's framing depends on besides its head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::protocol) enum Method {
    /// Responses have no body, whatever their fields say.
    Head,
    /// A successful response turns the connection into a tunnel.
    Connect,
    /// Any other, or not known yet.
    #[default]
    Other,
}

/// The framing of a request (RFC 9112, section 6.3).
pub(super) fn of_request(fields: &Fields<'_>) -> Framing {
    match (fields.coding, fields.length) {
        (Coding::Chunked, _) => Framing::Chunked,
        (Coding::Other, _) | (Coding::None, Length::Invalid) => Framing::Unknown,
        (Coding::None, Length::Bytes(0) | Length::Absent) => Framing::Empty,
        (Coding::None, Length::Bytes(length)) => Framing::Length(length),
    }
}

/// The framing of a final response (RFC 9112, section 6.3), tunnels apart.
pub(super) fn of_response(method: Method, status: u16, fields: &Fields<'_>) -> Framing {
    if method == Method::Head || matches!(status, 100..200 | 204 | 304) {
        return Framing::Empty;
    }
    match (fields.coding, fields.length) {
        (Coding::Chunked, _) => Framing::Chunked,
        (Coding::Other, _) | (Coding::None, Length::Absent) => Framing::UntilClose,
        (Coding::None, Length::Invalid) => Framing::Unknown,
        (Coding::None, Length::Bytes(0)) => Framing::Empty,
        (Coding::None, Length::Bytes(length)) => Framing::Length(length),
    }
}

/// Place in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// In a chunk's size; `digits` have been read.
    Size { size: u64, digits: u8 },
    /// After the size, in extensions or at the line's end.
    Extension { size: u64 },
    /// So many bytes of data are left.
    Data(u64),
    /// After data: its CR and LF.
    DataEnd,
    /// In trailers; `empty` while the present line has no character.
    Trailer { empty: bool },
}

/// What came of decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// The bytes are used up.
    Starved,
    /// The body ended; bytes may be left.
    Over,
    /// A size or a line's end is not there or was not captured. Bytes are left.
    Lost,
}

impl Chunked {
    pub(super) const START: Self = Self::Size { size: 0, digits: 0 };

    /// Decodes what there is; returns the bytes of data that passed.
    ///
    /// Uncaptured bytes are no obstacle inside of a chunk's data, nor at the line's end after it,
    /// which is taken for the CR LF that it must be.
    pub(super) fn decode(&mut self, bytes: &mut Bytes<'_>) -> (u64, Decoded) {
        let mut payload = 0;
        while bytes.left() > 0 {
            if let Self::Data(left) = self {
                let step = bytes.skip(*left);
                payload += step;
                *left -= step;
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                continue;
            }
            let Some(byte) = bytes.peek() else {
                if *self != Self::DataEnd || bytes.left() < 2 {
                    return (payload, Decoded::Lost);
                }
                bytes.skip(2);
                *self = Self::START;
                continue;
            };
            match self.line_byte(byte) {
                Some(next) => *self = next,
                None if byte == b'\n' && matches!(self, Self::Trailer { empty: true }) => {
                    bytes.skip(1);
                    return (payload, Decoded::Over);
                }
                None => return (payload, Decoded::Lost),
            }
            bytes.skip(1);
        }
        (payload, Decoded::Starved)
    }

    /// The place after a byte outside of data; `None` at the body's end or where the byte cannot
    /// stand.
    fn line_byte(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Size { size, digits }, _) if byte.is_ascii_hexdigit() && digits < 16 => {
                let digit = (byte as char).to_digit(16)?;
                Self::Size {
                    size: size << 4 | u64::from(digit),
                    digits: digits + 1,
                }
            }
            (Self::Size { digits: 0, .. }, _) => return None,
            (Self::Size { size, .. } | Self::Extension { size }, b'\n') => match size {
                0 => Self::Trailer { empty: true },
                size => Self::Data(size),
            },
            (Self::Size { size, .. }, b'\r' | b';' | b' ' | b'\t') => Self::Extension { size },
            (Self::Extension { .. }, _) => self,
            (Self::DataEnd, b'\r') => self,
            (Self::DataEnd, b'\n') => Self::START,
            (Self::Trailer { empty: true }, b'\n') => return None,
            (Self::Trailer { .. }, b'\n') => Self::Trailer { empty: true },
            (Self::Trailer { .. }, b'\r') => self,
            (Self::Trailer { .. }, _) => Self::Trailer { empty: false },
            _ => return None,
        })
    }

    /// Jumps over bytes that nobody saw; false where more than data was among them.
    pub(super) fn jump(&mut self, gap: u64) -> bool {
        match self {
            Self::Data(left) if gap <= *left => {
                *left -= gap;
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunked_bodies() {
        // Input, payload, what came of it, bytes left.
        let table: [(&[u8], u64, Decoded, u64); 16] = [
            (b"5\r\nhello\r\n0\r\n\r\nGET", 5, Decoded::Over, 3),
            (b"5\nhello\n0\n\n", 5, Decoded::Over, 0),
            (b"5;a=\"b\"\r\nhello\r\n0;x\r\n\r\n", 5, Decoded::Over, 0),
            (b"5 \r\nhello\r\n0\r\n\r\n", 5, Decoded::Over, 0),
            (b"A\r\n0123456789\r\n00\r\n\r\n", 10, Decoded::Over, 0),
            (b"0\r\nA: b\r\nC: d\r\n\r\nX", 0, Decoded::Over, 1),
            (b"0\r\nA: b\r\n", 0, Decoded::Starved, 0),
            (b"5\r\nhel", 3, Decoded::Starved, 0),
            (b"", 0, Decoded::Starved, 0),
            (b"\r\n", 0, Decoded::Lost, 2),
            (b"xyz\r\n", 0, Decoded::Lost, 5),
            (b"-5\r\n", 0, Decoded::Lost, 4),
            (b"5\r\nhelloX", 5, Decoded::Lost, 1),
            (b"5x\r\n", 0, Decoded::Lost, 3),
            (b"ffffffffffffffff\r\nab", 2, Decoded::Starved, 0),
            (b"10000000000000000\r\n", 0, Decoded::Lost, 3),
        ];
        for (input, payload, outcome, left) in table {
            let mut bytes = Bytes::new(input, input.len() as u64, 0);
            let mut chunked = Chunked::START;
            let decoded = chunked.decode(&mut bytes);
            let name = input.escape_ascii();
            assert_eq!(decoded, (payload, outcome), "{name}");
            assert_eq!(bytes.left(), left, "{name}");
        }
    }

    #[test]
    fn uncaptured_bytes() {
        // Captured bytes, length of the whole, payload, what came of it.
        let table: [(&[u8], u64, u64, Decoded); 5] = [
            (b"64\r\nabc", 4 + 50, 50, Decoded::Starved),
            (b"64\r\nabc", 4 + 100 + 2, 100, Decoded::Starved),
            (b"64\r\nabc", 4 + 100 + 3, 100, Decoded::Lost),
            (b"64\r\nabc", 4 + 100 + 1, 100, Decoded::Lost),
            (b"6", 10, 0, Decoded::Lost),
        ];
        for (captured, length, payload, outcome) in table {
            let mut bytes = Bytes::new(captured, length, 0);
            let mut chunked = Chunked::START;
            let decoded = chunked.decode(&mut bytes);
            assert_eq!(decoded, (payload, outcome), "{length}");
        }
    }
}
