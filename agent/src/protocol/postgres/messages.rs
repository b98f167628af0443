//! Where messages begin and end, and how they are known ("Message Formats").

use crate::model::Side;
use crate::protocol::frames::Framing;
use crate::protocol::{Likeness, Sample};

/// Longest StartupMessage that servers take (`MAX_STARTUP_PACKET_LENGTH`).
const STARTUP_MAX: u32 = 10_000;

/// What comes in the place of the version in messages that are no StartupMessage.
pub const CANCEL: u32 = 80_877_102;
/// See [`CANCEL`].
pub const ENCRYPT_TLS: u32 = 80_877_103;
/// See [`CANCEL`].
pub const ENCRYPT_GSS: u32 = 80_877_104;

/// Longest message but those of data.
const LONGEST: u32 = 1 << 30;

/// Bytes of a message's type and length.
pub const HEAD: usize = 5;

/// Reads four bytes as a number.
pub fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// The text up to a zero byte, and what follows that. Without one, all that is there.
pub fn text(bytes: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(0, bytes) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// A message of the client's before it is logged in.
pub fn startup(bytes: &[u8], limit: usize) -> Framing {
    let (Some(length), Some(code)) = (number(bytes), bytes.get(4..).and_then(number)) else {
        return match bytes.iter().take(2).all(|byte| *byte == 0) {
            true => Framing::More,
            false => Framing::Nonsense,
        };
    };
    if !is_startup(length, code) {
        return Framing::Nonsense;
    }
    Framing::Frame {
        wanted: limit,
        length: length.into(),
    }
}

fn is_startup(length: u32, code: u32) -> bool {
    (8..=STARTUP_MAX).contains(&length)
        && match code {
            ENCRYPT_TLS | ENCRYPT_GSS => length == 8,
            CANCEL => length >= 16,
            _ => code >> 16 == 3 && length > 8,
        }
}

/// A message of the client's. The whole of those that matter is wanted.
pub fn front(bytes: &[u8], limit: usize) -> Framing {
    framing(bytes, is_front_type, |kind| match kind {
        b'Q' | b'P' => limit,
        // Names; what is bound to parameters is nobody's business.
        b'B' | b'D' | b'E' | b'C' => 2 * NAME_MAX,
        _ => HEAD,
    })
}

/// Longest name of a statement or portal (`NAMEDATALEN`, with some room).
const NAME_MAX: usize = 128;

/// A message of the server's.
pub fn back(bytes: &[u8]) -> Framing {
    framing(bytes, is_back_type, |kind| match kind {
        b'C' | b'R' | b'Z' => 64,
        b'E' | b'S' => 512,
        _ => HEAD,
    })
}

fn framing(bytes: &[u8], is_type: fn(u8) -> bool, wanted: impl Fn(u8) -> usize) -> Framing {
    let Some(&kind) = bytes.first() else {
        return Framing::More;
    };
    if !is_type(kind) {
        return Framing::Nonsense;
    }
    match number(&bytes[1..]) {
        None => Framing::More,
        Some(length @ 4..=LONGEST) => Framing::Frame {
            wanted: wanted(kind),
            length: u64::from(length) + 1,
        },
        Some(_) => Framing::Nonsense,
    }
}

const fn is_front_type(kind: u8) -> bool {
    matches!(
        kind,
        b'Q' | b'P'
            | b'B'
            | b'D'
            | b'E'
            | b'S'
            | b'C'
            | b'H'
            | b'F'
            | b'X'
            | b'd'
            | b'c'
            | b'f'
            | b'p'
    )
}

const fn is_back_type(kind: u8) -> bool {
    matches!(
        kind,
        b'R' | b'K'
            | b'S'
            | b'Z'
            | b'E'
            | b'N'
            | b'A'
            | b'1'
            | b'2'
            | b'3'
            | b't'
            | b'T'
            | b'n'
            | b'D'
            | b'C'
            | b'I'
            | b's'
            | b'G'
            | b'H'
            | b'W'
            | b'd'
            | b'c'
            | b'V'
            | b'v'
    )
}

/// Whether bytes are whole messages of the client's that begin and end as a request does, so that
/// hardly anything else can look like it.
pub fn is_front(bytes: &[u8], length: u64) -> bool {
    let whole = bytes.len() as u64 == length;
    let mut rest = bytes;
    let mut last = 0;
    while let [kind, tail @ ..] = rest {
        let Some(size @ 4..=LONGEST) = number(tail) else {
            return false;
        };
        let Some(body) = tail.get(4..size as usize) else {
            // A long query, cut by the capture.
            return !whole
                && last == 0
                && *kind == b'Q'
                && u64::from(size) + 1 == length
                && is_sql(&tail[4..]);
        };
        let right = match kind {
            b'Q' => body
                .split_last()
                .is_some_and(|(end, text)| *end == 0 && is_sql(text)),
            b'S' | b'H' | b'X' => body.is_empty(),
            b'P' => body.len() >= 4 && is_sql(text(text(body).1).0),
            b'B' => body.len() >= 8 && is_name(text(body).0),
            b'D' | b'C' => matches!(body, [b'S' | b'P', .., 0]),
            b'E' => body.len() >= 5 && body[body.len() - 5] == 0,
            _ => false,
        };
        if !right {
            return false;
        }
        last = *kind;
        rest = &tail[size as usize..];
    }
    whole && matches!(last, b'Q' | b'S')
}

fn is_sql(text: &[u8]) -> bool {
    text.iter()
        .all(|byte| *byte >= b' ' || matches!(byte, b'\t' | b'\r' | b'\n'))
}

fn is_name(text: &[u8]) -> bool {
    text.len() <= NAME_MAX && text.iter().all(|byte| *byte >= b' ')
}

/// Whether bytes begin with messages of the server's: all that are here as a whole are right inside,
/// and they are three at least, or an error, or two that end with ReadyForQuery.
pub fn is_back(bytes: &[u8], length: u64) -> bool {
    let mut rest = bytes;
    let mut count = 0;
    while let [kind, tail @ ..] = rest {
        let size = match number(tail) {
            Some(size @ 4..=LONGEST) if is_back_type(*kind) => size as usize,
            None if is_back_type(*kind) => break,
            _ => return false,
        };
        let Some(body) = tail.get(4..size) else {
            break;
        };
        if !is_right(*kind, body) {
            return false;
        }
        count += 1;
        rest = &tail[size..];
    }
    let over = rest.is_empty() && bytes.len() as u64 == length && ends_ready(bytes);
    let error = bytes.first() == Some(&b'E')
        && bytes
            .get(5..7)
            .is_some_and(|field| field[1].is_ascii_uppercase());
    count >= 3 || (count >= 1 && error) || (count >= 2 && over)
}

/// Whether the inside of a message is as it must be.
fn is_right(kind: u8, body: &[u8]) -> bool {
    match kind {
        b'1' | b'2' | b'3' | b'n' | b'I' | b's' | b'c' => body.is_empty(),
        b'Z' => matches!(body, [b'I' | b'T' | b'E']),
        b'C' => matches!(body, [b'A'..=b'Z', .., 0]),
        b'E' | b'N' => matches!(body, [b'S', .., 0, 0]),
        b'D' => is_row(body),
        b'T' => {
            body.len() >= 2 && (body.len() == 2 || body.ends_with(&[0]) || body.ends_with(&[1]))
        }
        b'S' => matches!(body, [b'a'..=b'z' | b'A'..=b'Z', .., 0]),
        _ => true,
    }
}

/// The lengths of a row's columns are those of the row.
fn is_row(body: &[u8]) -> bool {
    let Some((count, mut rest)) = body.split_first_chunk() else {
        return false;
    };
    for _ in 0..u16::from_be_bytes(*count) {
        let Some((length, after)) = rest.split_first_chunk() else {
            return false;
        };
        let length = match i32::from_be_bytes(*length) {
            -1 => 0,
            length => usize::try_from(length).unwrap_or(usize::MAX),
        };
        let Some(after) = after.get(length..) else {
            return false;
        };
        rest = after;
    }
    rest.is_empty()
}

/// Whether bytes end with ReadyForQuery.
pub fn ends_ready(bytes: &[u8]) -> bool {
    before_ready(bytes).1
}

/// What stands before the ReadyForQuery at the end, and whether that is there.
pub fn before_ready(bytes: &[u8]) -> (&[u8], bool) {
    match bytes {
        [before @ .., b'Z', 0, 0, 0, 5, b'I' | b'T' | b'E'] => (before, true),
        _ => (bytes, false),
    }
}

/// The tag of the CommandComplete at the end.
pub fn last_tag(bytes: &[u8]) -> Option<&[u8]> {
    const TAGS: std::ops::RangeInclusive<usize> = 5..=64;
    for length in TAGS {
        let message = &bytes[bytes.len().checked_sub(length + 1)?..];
        let [b'C', 0, 0, 0, last, tag @ .., 0] = message else {
            continue;
        };
        let is_tag = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b' ');
        if usize::from(*last) == length && tag.iter().all(is_tag) {
            return Some(tag);
        }
    }
    None
}

/// The fields of the ErrorResponse at the end.
pub fn last_error(bytes: &[u8]) -> Option<&[u8]> {
    memchr::memrchr_iter(b'E', bytes).find_map(|at| {
        let message = &bytes[at + 1..];
        let body = message.get(4..)?;
        let fits = number(message)? as usize == message.len() && is_right(b'E', body);
        fits.then_some(body)
    })
}

/// Whether a connection speaks this protocol.
pub fn likeness(sample: &Sample<'_>) -> Likeness {
    let yes = |yes| if yes { Likeness::Yes } else { Likeness::No };
    let bytes = sample.bytes;
    if !sample.from_start {
        let whole = bytes.len() as u64 == sample.length;
        let front = sample.sender != Some(Side::Server) && is_front(bytes, sample.length);
        let back = sample.sender != Some(Side::Client)
            && whole
            && ends_ready(bytes)
            && is_back(bytes, sample.length);
        return yes(front || back);
    }
    if sample.sender == Some(Side::Server) {
        return yes(matches!(bytes, [b'R', 0, 0, 0, 8..=255, 0, 0, 0, _, ..]));
    }
    match startup(bytes, 8) {
        Framing::More => Likeness::Perhaps,
        Framing::Frame { length, .. } => yes(sample.length <= length),
        Framing::Nonsense => Likeness::No,
    }
}
