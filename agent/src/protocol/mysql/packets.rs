//! Packets ("MySQL Packets" in MySQL's internals manual): three bytes of length, a sequence number, and
//! a payload.

use crate::model::Side;
use crate::protocol::frames::Framing;
use crate::protocol::{Likeness, Sample};

/// Length of what comes before each payload.
pub const HEAD: usize = 4;

/// Longest payload of one packet; what is longer goes on in the next.
pub const PAYLOAD_MAX: u64 = 0xFF_FF_FF;

/// Commands ("Command Phase").
pub mod command {
    pub const QUIT: u8 = 0x01;
    pub const INIT_DB: u8 = 0x02;
    pub const QUERY: u8 = 0x03;
    pub const FIELD_LIST: u8 = 0x04;
    pub const PROCESS_INFO: u8 = 0x0A;
    pub const CHANGE_USER: u8 = 0x11;
    pub const BINLOG_DUMP: u8 = 0x12;
    pub const TABLE_DUMP: u8 = 0x13;
    pub const STMT_PREPARE: u8 = 0x16;
    pub const STMT_EXECUTE: u8 = 0x17;
    pub const STMT_SEND_LONG_DATA: u8 = 0x18;
    pub const STMT_CLOSE: u8 = 0x19;
    pub const STMT_FETCH: u8 = 0x1C;
    pub const BINLOG_DUMP_GTID: u8 = 0x1E;
    pub const RESET_CONNECTION: u8 = 0x1F;
    /// MariaDB's.
    pub const STMT_BULK_EXECUTE: u8 = 0xFA;
}

/// Capabilities ("Capabilities Flags").
pub mod capability {
    pub const CONNECT_WITH_DB: u64 = 1 << 3;
    pub const COMPRESS: u64 = 1 << 5;
    pub const PROTOCOL_41: u64 = 1 << 9;
    pub const SSL: u64 = 1 << 11;
    pub const SECURE_CONNECTION: u64 = 1 << 15;
    pub const AUTH_LENENC: u64 = 1 << 21;
    pub const DEPRECATE_EOF: u64 = 1 << 24;
    pub const OPTIONAL_METADATA: u64 = 1 << 25;
    pub const ZSTD: u64 = 1 << 26;
    pub const QUERY_ATTRIBUTES: u64 = 1 << 27;
    /// MariaDB's own are sent 32 bits apart.
    pub const CACHE_METADATA: u64 = 1 << 36;
}

/// Flags of a server's status.
pub mod status {
    pub const MORE_RESULTS: u16 = 0x0008;
    pub const CURSOR_EXISTS: u16 = 0x0040;
    pub const NO_BACKSLASH_ESCAPES: u16 = 0x0200;
}

/// The packet that begins with some bytes; at most `wanted` bytes of its payload are.
pub fn framing(bytes: &[u8], wanted: usize) -> Framing {
    let Some(length) = number(bytes, 3) else {
        return Framing::More;
    };
    if bytes.len() < HEAD {
        return Framing::More;
    }
    let whole = usize::try_from(length).unwrap_or(usize::MAX);
    Framing::Frame {
        wanted: HEAD + whole.min(wanted),
        length: HEAD as u64 + length,
    }
}

/// A number of so many bytes, least significant first.
pub fn number(bytes: &[u8], size: usize) -> Option<u64> {
    let bytes = bytes.get(..size)?.iter().rev();
    Some(bytes.fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

/// A length-encoded integer and what follows it.
pub fn lenenc(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let size = match first {
        0..=0xFA => return Some((first.into(), rest)),
        0xFC => 2,
        0xFD => 3,
        0xFE => 8,
        0xFB | 0xFF => return None,
    };
    Some((number(rest, size)?, &rest[size..]))
}

/// A length-encoded string and what follows it.
pub fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = lenenc(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// Text up to a NUL, and what follows that.
pub fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The status in an OK packet ("OK_Packet"), also one that ends rows.
pub fn ok_status(payload: &[u8]) -> Option<u16> {
    let (_, rest) = lenenc(payload.get(1..)?)?;
    let (_, rest) = lenenc(rest)?;
    small(rest)
}

/// The status in an EOF packet.
pub fn eof_status(payload: &[u8]) -> Option<u16> {
    small(payload.get(3..)?)
}

/// The code of the error that bytes end with ("ERR_Packet"), if they do.
pub fn last_error(bytes: &[u8]) -> Option<u16> {
    const MARK: &[u8] = b"#";
    const STATE: usize = 5;
    memchr::memrchr_iter(0xFF, bytes).find_map(|at| {
        let payload = &bytes[at..];
        let length = number(&bytes[at.checked_sub(HEAD)?..], 3)?;
        let (mark, state) = payload.get(3..4 + STATE)?.split_at(1);
        let fits = length == payload.len() as u64
            && mark == MARK
            && state.iter().all(u8::is_ascii_alphanumeric);
        small(&payload[1..]).filter(|_| fits)
    })
}

/// A number of two bytes.
pub fn small(bytes: &[u8]) -> Option<u16> {
    let bytes = bytes.get(..2)?;
    Some(u16::from_le_bytes([bytes[0], bytes[1]]))
}

/// The text of a COM_QUERY, behind its attributes if there are any.
pub fn query(body: &[u8], attributes: bool) -> Option<&[u8]> {
    if !attributes {
        return Some(body);
    }
    let (count, rest) = lenenc(body)?;
    let (_, mut rest) = lenenc(rest)?;
    if count == 0 {
        return Some(rest);
    }
    let nulls = rest.get(..usize::try_from(count).ok()?.div_ceil(8))?;
    rest = rest.get(nulls.len() + 1..)?;
    // Bounded by the payload: each takes three bytes at least.
    let mut types = rest;
    for _ in 0..count {
        (_, rest) = string(rest.get(2..)?)?;
    }
    for at in 0..usize::try_from(count).ok()? {
        let kind = types[0];
        (_, types) = string(types.get(2..)?)?;
        if nulls[at / 8] >> (at % 8) & 1 == 1 {
            continue;
        }
        // "Binary Protocol Value".
        rest = match kind {
            0x06 => rest,
            0x01 => rest.get(1..)?,
            0x02 | 0x0D => rest.get(2..)?,
            0x03 | 0x04 | 0x09 => rest.get(4..)?,
            0x05 | 0x08 => rest.get(8..)?,
            _ => string(rest)?.1,
        };
    }
    Some(rest)
}

/// Whether a chunk is one command, as hardly anything else can be.
pub fn is_front(bytes: &[u8], length: u64) -> bool {
    if bytes.len() <= HEAD || bytes[3] != 0 || number(bytes, 3) != length.checked_sub(HEAD as u64) {
        return false;
    }
    let payload = &bytes[HEAD..];
    let body = &payload[1..];
    match payload[0] {
        command::QUERY => is_statement(body.strip_prefix(b"\0\x01").unwrap_or(body)),
        command::STMT_PREPARE => is_statement(body),
        // So many iterations, always one.
        command::STMT_EXECUTE => body.len() >= 9 && body[4] <= 0x0F && body[5..9] == [1, 0, 0, 0],
        _ => false,
    }
}

fn is_statement(text: &[u8]) -> bool {
    const SEEN: usize = 256;
    let text = &text[..text.len().min(SEEN)];
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let start = text.trim_ascii_start();
    let word = start.bytes().take_while(u8::is_ascii_alphabetic).count();
    let begins = word >= 2
        || ["/*", "--", "#", "("]
            .iter()
            .any(|one| start.starts_with(one));
    begins
        && !text
            .bytes()
            .any(|byte| byte < 0x20 && !matches!(byte, b'\t' | b'\r' | b'\n'))
}

/// Whether a packet is the server's greeting ("Protocol::HandshakeV10").
fn is_greeting(bytes: &[u8]) -> bool {
    bytes[3] == 0
        && bytes[HEAD] == 10
        && text(&bytes[HEAD + 1..]).is_some_and(|(version, rest)| {
            let digit = version.first().is_some_and(u8::is_ascii_digit);
            digit && version.len() < 100 && version.iter().all(u8::is_ascii_graphic) && {
                // Eight bytes of the challenge, then a zero.
                rest.get(12) == Some(&0)
            }
        })
}

/// Whether a packet is the client's answer to it, or its request for TLS.
fn is_login(bytes: &[u8], length: u64) -> bool {
    let flags = number(&bytes[HEAD..], 4).unwrap_or_default();
    bytes[3] == 1
        && length >= 36
        && flags & capability::PROTOCOL_41 != 0
        && bytes
            .get(HEAD + 9..HEAD + 28)
            .is_some_and(|reserved| reserved.iter().all(|&byte| byte == 0))
}

/// What bytes say about the protocol.
pub fn likeness(sample: &Sample<'_>) -> Likeness {
    let (bytes, length) = (sample.bytes, sample.length);
    let client = sample.sender != Some(Side::Server);
    let server = sample.sender != Some(Side::Client);
    if client && is_front(bytes, length) && sample.sender.is_none_or(|_| !sample.from_start) {
        return Likeness::Yes;
    }
    if !sample.from_start {
        return Likeness::No;
    }
    let begin = [(server, 0, HEAD, 10), (client, 1, 3, 1)];
    if bytes.len() < 40 {
        // A greeting, or an answer, that is still coming.
        let may = length < 40
            && bytes.len() as u64 == length
            && begin.iter().any(|&(side, sequence, at, value)| {
                side && bytes.get(3).is_none_or(|&byte| byte == sequence)
                    && bytes.get(at).is_none_or(|&byte| byte == value)
                    && number(bytes, 3).is_none_or(|length| (32..1024).contains(&length))
            });
        let whole = number(bytes, 3) == length.checked_sub(HEAD as u64);
        if client && whole && bytes.len() > HEAD && is_login(bytes, length) {
            return Likeness::Yes;
        }
        return match may && !whole {
            true => Likeness::Perhaps,
            false => Likeness::No,
        };
    }
    let whole = number(bytes, 3) == length.checked_sub(HEAD as u64);
    match whole && (server && is_greeting(bytes) || client && is_login(bytes, length)) {
        true => Likeness::Yes,
        false => Likeness::No,
    }
}
