//! Finds where a request's head ends its first line and itself, and where the body after it ends.
//!
//! This runs in the kernel before each request leaves, so it answers only what must be known there,
//! and prefers giving up to guessing: whatever two HTTP parsers might understand differently is a
//! [`Doubt`]. The agent's own parser, which sees more, finds the next boundary then.
//!
//! The shape is the verifier's: one loop with few branches, eight bytes at a time, and facts kept
//! in numbers that it does not follow.

/// The longest head that is looked at, in bytes.
pub const HEAD_MAX: u32 = 4096;

/// The longest request line.
const LINE_MAX: u32 = 2048;
/// Longest method: `BASELINE-CONTROL` (RFC 3253) has 16 letters.
const METHOD_MAX: u32 = 20;
/// Steps over the head: eight bytes each, and one more for each line.
const STEPS: u32 = HEAD_MAX / 8 + 128;
/// Characters of a `Content-Length` with the white space around it.
const LENGTH_MAX: u32 = 24;
/// [`Variable::Digits`] once white space has followed them.
const ENDED: u32 = LENGTH_MAX + 1;
/// The longest body that is counted; positions have 32 bits and are compared by distance.
const BODY_MAX: u32 = 1 << 30;

/// Bytes that can be read at any place, with the end checked.
pub trait Window {
    /// The eight bytes at `at`, the first one lowest; `None` where there are fewer.
    fn word(&self, at: u32) -> Option<u64>;
    /// The byte at `at`.
    fn byte(&self, at: u32) -> Option<u8>;
    /// Reads a variable.
    fn get(&self, variable: Variable) -> u32;
    /// Writes it.
    fn set(&self, variable: Variable, value: u32);
}

/// What is carried through loops.
///
/// The kernel's verifier follows each way through a loop by itself, unless what the ways have found
/// out looks alike. What lies in memory it does not look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// A place in the bytes.
    At,
    /// Letters of the method.
    Method,
    /// Bytes of the request line.
    Line,
    /// What header fields said.
    Facts,
    /// Where the value of `Content-Length` is, 0 without one.
    LengthAt,
    /// A number that is being read.
    Value,
    /// How many digits it had.
    Digits,
}

/// Number of [`Variable`]s.
pub const VARIABLES: usize = 7;

/// Why nothing is known of what follows, and nothing inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The bytes are no HTTP/1 request.
    NotHttp,
    /// The head's end is not among the bytes.
    Incomplete,
    /// The head is longer than what is looked at.
    TooLong,
    /// Parsers may understand the head differently: a line ends in a bare LF, a value is folded, a
    /// length is given twice or is no number (RFC 9112, sections 2.2, 5.2 and 6.3).
    Malformed,
}

/// What follows a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Length(u32),
    /// Nobody can tell from the head alone: chunked, more than 2^30 bytes, perhaps never sent
    /// (`Expect`), or perhaps another protocol (`Upgrade`).
    Unknown,
}

/// A request whose head is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Bytes of the request line with its CR LF: where a header may be inserted.
    pub line: u32,
    /// Bytes of the head with the empty line.
    pub head: u32,
    /// What follows.
    pub body: Body,
    /// It has a `traceparent` already.
    pub traceparent: bool,
    /// It is a `CONNECT`.
    pub tunnel: bool,
}

const TRACEPARENT: u32 = 1 << 0;
const UNKNOWN_BODY: u32 = 1 << 1;
const MALFORMED: u32 = 1 << 2;

/// Looks at bytes that begin a request, if they are one at all.
///
/// # Errors
///
/// [`Doubt`].
#[inline(always)]
pub fn scan(window: &impl Window) -> Result<Request, Doubt> {
    method(window)?;
    line_end(window)?;
    let newline = window.get(Variable::At);
    // ` HTTP/1.0` or ` HTTP/1.1`, then CR.
    if newline < window.get(Variable::Method) + 12 || window.byte(newline - 1) != Some(b'\r') {
        return Err(Doubt::NotHttp);
    }
    let version = window.word(newline - 9).ok_or(Doubt::NotHttp)?;
    let last = (version >> 56) as u8;
    if version & 0x00ff_ffff_ffff_ffff != word(b"HTTP/1.\0")
        || last & 0xfe != b'0'
        || window.byte(newline - 10) != Some(b' ')
    {
        return Err(Doubt::NotHttp);
    }
    window.set(Variable::Line, newline + 1);
    fields(window)?;
    let facts = window.get(Variable::Facts);
    let tunnel = window.word(0) == Some(word(b"CONNECT "));
    if facts & MALFORMED != 0 {
        return Err(Doubt::Malformed);
    }
    let head = window.get(Variable::At);
    window.set(Variable::Value, 0);
    if window.get(Variable::LengthAt) != 0 {
        length(window)?;
    }
    let length = window.get(Variable::Value);
    let body = if length <= BODY_MAX && facts & UNKNOWN_BODY == 0 && !tunnel {
        Body::Length(length)
    } else {
        Body::Unknown
    };
    Ok(Request {
        line: window.get(Variable::Line),
        head,
        body,
        traceparent: facts & TRACEPARENT != 0,
        tunnel,
    })
}

/// Letters and hyphens up to a space: every registered method, in any case. Sets
/// [`Variable::Method`].
#[inline(always)]
fn method(window: &impl Window) -> Result<(), Doubt> {
    let mut at = 0;
    while at < METHOD_MAX {
        let byte = window.byte(at).ok_or(Doubt::NotHttp)?;
        if byte == b' ' {
            break;
        }
        let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        if !letter && byte != b'-' {
            return Err(Doubt::NotHttp);
        }
        at += 1;
    }
    if at == 0 || at == METHOD_MAX {
        return Err(Doubt::NotHttp);
    }
    window.set(Variable::Method, at);
    Ok(())
}

/// Sets [`Variable::At`] to the index of the first LF.
#[inline(always)]
fn line_end(window: &impl Window) -> Result<(), Doubt> {
    let mut at = 0;
    let mut step = 0;
    while step < LINE_MAX / 8 {
        let Some(bytes) = window.word(at) else {
            return last_line_end(window, at);
        };
        let found = newlines(bytes);
        if found != 0 {
            window.set(Variable::At, at + first(found));
            return Ok(());
        }
        at += 8;
        step += 1;
    }
    Err(Doubt::TooLong)
}

/// The same among the last bytes, fewer than eight.
#[inline(always)]
fn last_line_end(window: &impl Window, from: u32) -> Result<(), Doubt> {
    let mut step = 0;
    while step < 8 {
        match window.byte(from + step) {
            Some(b'\n') => {
                window.set(Variable::At, from + step);
                return Ok(());
            }
            Some(_) => {}
            None => break,
        }
        step += 1;
    }
    Err(Doubt::Incomplete)
}

/// Walks over the header fields from the request line's LF at [`Variable::At`], which it sets to the
/// place after the head. Sets [`Variable::Facts`] and [`Variable::LengthAt`].
#[inline(always)]
fn fields(window: &impl Window) -> Result<(), Doubt> {
    let learn = |fact| window.set(Variable::Facts, window.get(Variable::Facts) | fact);
    window.set(Variable::Facts, 0);
    window.set(Variable::LengthAt, 0);
    let mut step = 0;
    while step < STEPS {
        step += 1;
        let at = window.get(Variable::At);
        let newline = match window.word(at) {
            Some(bytes) => {
                let found = newlines(bytes);
                if found == 0 {
                    window.set(Variable::At, at + 8);
                    continue;
                }
                at + first(found)
            }
            None => match window.byte(at) {
                Some(b'\n') => at,
                Some(_) => {
                    window.set(Variable::At, at + 1);
                    continue;
                }
                None => return Err(Doubt::Incomplete),
            },
        };
        if window.byte(newline.wrapping_sub(1)) != Some(b'\r') {
            return Err(Doubt::Malformed);
        }
        let at = newline + 1;
        window.set(Variable::At, at);
        // Fewer than eight bytes hold no field that matters, but perhaps the head's end.
        let begin = match window.word(at) {
            Some(bytes) => bytes,
            None => match (window.byte(at), window.byte(at + 1)) {
                (Some(first), Some(second)) => u64::from(first) | u64::from(second) << 8,
                _ => return Err(Doubt::Incomplete),
            },
        };
        if begin & 0xff <= u64::from(b' ') {
            if begin & 0xffff == u64::from(u16::from_le_bytes(*b"\r\n")) {
                window.set(Variable::At, at + 2);
                return Ok(());
            }
            // An end of the head for some, a folded value, or white space before a name.
            return Err(Doubt::Malformed);
        }
        // Every letter in lower case. Some other characters change too, to what is no letter; that
        // takes a few names for the ones looked for, which only makes for more caution.
        let name = begin | 0x2020_2020_2020_2020;
        if name == word(b"content-") {
            let Some(rest) = window.word(at + 8) else {
                continue;
            };
            let rest = rest | 0x2020_2020_2020_2020;
            if rest & 0x0000_ffff_ffff_ffff == word(b"length\0\0") {
                if rest & 0x00ff_ffff_ffff_ffff != word(b"length:\0")
                    || window.get(Variable::LengthAt) != 0
                {
                    learn(MALFORMED);
                }
                window.set(Variable::LengthAt, at + 15);
            }
        } else if name == word(b"tracepar") {
            learn(TRACEPARENT);
        } else if name == word(b"transfer")
            || name & 0x0000_ffff_ffff_ffff == word(b"expect\0\0")
            // Not `Upgrade-Insecure-Requests`.
            || name & 0x00ff_ffff_ffff_ffff == word(b"upgrade\0") && name >> 56 != 0x2d
        {
            learn(UNKNOWN_BODY);
        }
    }
    Err(Doubt::TooLong)
}

/// Reads the digits at [`Variable::LengthAt`] into [`Variable::Value`], which is more than
/// [`BODY_MAX`] for every larger number. Anything else than digits between white space is a doubt.
#[inline(always)]
fn length(window: &impl Window) -> Result<(), Doubt> {
    window.set(Variable::Digits, 0);
    let mut step = 0;
    while step < LENGTH_MAX {
        let at = window.get(Variable::LengthAt);
        window.set(Variable::LengthAt, at + 1);
        step += 1;
        let digits = window.get(Variable::Digits);
        match window.byte(at).ok_or(Doubt::Malformed)? {
            byte @ b'0'..=b'9' if digits < ENDED => {
                let value = window.get(Variable::Value);
                let value = if value > BODY_MAX / 10 {
                    BODY_MAX + 1
                } else {
                    value * 10 + u32::from(byte - b'0')
                };
                window.set(Variable::Value, value);
                window.set(Variable::Digits, digits + 1);
            }
            b' ' | b'\t' => {
                if digits > 0 {
                    window.set(Variable::Digits, ENDED);
                }
            }
            b'\r' if digits > 0 && window.byte(at + 1) == Some(b'\n') => return Ok(()),
            _ => return Err(Doubt::Malformed),
        }
    }
    Err(Doubt::Malformed)
}

#[inline(always)]
const fn word(text: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*text)
}

/// The top bit of each byte that is LF; the lowest one is exact, those above it may be wrong.
#[inline(always)]
const fn newlines(bytes: u64) -> u64 {
    let zeros = bytes ^ 0x0a0a_0a0a_0a0a_0a0a;
    zeros.wrapping_sub(0x0101_0101_0101_0101) & !zeros & 0x8080_8080_8080_8080
}

/// Index of the lowest byte marked by [`newlines`]. Multiplication adds up one for each byte below
/// it: BPF has no instruction that counts zeros.
#[inline(always)]
const fn first(found: u64) -> u32 {
    let lowest = (found & found.wrapping_neg()) >> 7;
    let below = lowest.wrapping_sub(1) & 0x0101_0101_0101_0101;
    (below.wrapping_mul(0x0101_0101_0101_0101) >> 56) as u32
}

#[cfg(test)]
mod tests;
