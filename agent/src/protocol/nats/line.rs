//! The lines of NATS's client protocol, and what it looks like:
//! <https://docs.nats.io/reference/reference-protocols/nats-protocol>.

use memchr::{memchr, memmem};

use crate::protocol::{Likeness, Sample};

/// The longest payload that is believed: servers take 64 MiB at most.
const PAYLOAD_MAX: u64 = 64 << 20;
/// The longest line that is believed where nothing else speaks for it: `max_control_line` is 4096.
const LINE_MAX: usize = 4096;

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Info(&'a [u8]),
    Connect(&'a [u8]),
    /// `PUB` or `HPUB`.
    Publish(Message<'a>),
    /// `MSG` or `HMSG`, and to which subscription.
    Deliver(Message<'a>, &'a [u8]),
    Subscribe {
        subject: &'a [u8],
        queue: Option<&'a [u8]>,
        id: &'a [u8],
    },
    Unsubscribe {
        id: &'a [u8],
        /// Only after so many messages.
        later: bool,
    },
    Ping,
    Pong,
    Ok,
    Error(&'a [u8]),
}

/// A message's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) subject: &'a [u8],
    pub(super) reply: Option<&'a [u8]>,
    /// Bytes of headers, and of these with the payload.
    pub(super) headers: u64,
    pub(super) size: u64,
}

/// The words with which lines begin.
const WORDS: [&[u8]; 12] = [
    b"INFO", b"CONNECT", b"PUB", b"HPUB", b"MSG", b"HMSG", b"SUB", b"UNSUB", b"PING", b"PONG",
    b"+OK", b"-ERR",
];

/// Whether a line may begin so.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    WORDS.iter().any(|word| {
        let seen = bytes.len().min(word.len());
        bytes[..seen].eq_ignore_ascii_case(&word[..seen])
            && bytes
                .get(word.len())
                .is_none_or(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
    })
}

/// Reads a line with its end, and says how long that is.
pub(super) fn parse(bytes: &[u8]) -> Option<(Line<'_>, usize)> {
    let end = memchr(b'\n', bytes)?;
    let line = bytes[..end].strip_suffix(b"\r")?;
    let space = line.iter().position(|byte| matches!(byte, b' ' | b'\t'));
    let (word, rest) = line.split_at(space.unwrap_or(line.len()));
    let rest = rest.trim_ascii();
    let is = |other: &[u8]| word.eq_ignore_ascii_case(other);
    let parsed = match word.len() {
        3 if is(b"PUB") => publish(rest, false)?,
        3 if is(b"MSG") => deliver(rest, false)?,
        4 if is(b"HPUB") => publish(rest, true)?,
        4 if is(b"HMSG") => deliver(rest, true)?,
        3 if is(b"SUB") => subscribe(rest)?,
        5 if is(b"UNSUB") => unsubscribe(rest)?,
        4 if is(b"INFO") && rest.starts_with(b"{") => Line::Info(rest),
        7 if is(b"CONNECT") && rest.starts_with(b"{") => Line::Connect(rest),
        4 if is(b"PING") && rest.is_empty() => Line::Ping,
        4 if is(b"PONG") && rest.is_empty() => Line::Pong,
        3 if is(b"+OK") && rest.is_empty() => Line::Ok,
        4 if is(b"-ERR") => Line::Error(rest),
        _ => return None,
    };
    Some((parsed, end + 1))
}

/// The words of a line, at most `N`, and how many.
fn words<const N: usize>(rest: &[u8]) -> Option<([&[u8]; N], usize)> {
    let mut found: [&[u8]; N] = [&[]; N];
    let mut count = 0;
    let split = rest.split(|byte| matches!(byte, b' ' | b'\t'));
    for word in split.filter(|word| !word.is_empty()) {
        *found.get_mut(count)? = word;
        count += 1;
    }
    Some((found, count))
}

fn publish(rest: &[u8], headers: bool) -> Option<Line<'_>> {
    let (words, count) = words::<4>(rest)?;
    let (words, sizes) = words[..count].split_at_checked(count.checked_sub(sizes(headers))?)?;
    let (subject, reply) = match words {
        [subject] => (subject, None),
        [subject, reply] => (subject, Some(*reply)),
        _ => return None,
    };
    message(subject, reply, sizes).map(Line::Publish)
}

fn deliver(rest: &[u8], headers: bool) -> Option<Line<'_>> {
    let (words, count) = words::<5>(rest)?;
    let (words, sizes) = words[..count].split_at_checked(count.checked_sub(sizes(headers))?)?;
    let (subject, id, reply) = match words {
        [subject, id] => (subject, id, None),
        [subject, id, reply] => (subject, id, Some(*reply)),
        _ => return None,
    };
    Some(Line::Deliver(message(subject, reply, sizes)?, id))
}

const fn sizes(headers: bool) -> usize {
    if headers { 2 } else { 1 }
}

fn message<'a>(subject: &'a [u8], reply: Option<&'a [u8]>, sizes: &[&[u8]]) -> Option<Message<'a>> {
    let (headers, size) = match sizes {
        [size] => (0, number(size)?),
        [headers, size] => (number(headers)?, number(size)?),
        _ => return None,
    };
    let fits = is_subject(subject) && reply.is_none_or(is_subject) && headers <= size;
    fits.then_some(Message {
        subject,
        reply,
        headers,
        size,
    })
}

fn subscribe(rest: &[u8]) -> Option<Line<'_>> {
    let (words, count) = words::<3>(rest)?;
    let (subject, queue, id) = match words[..count] {
        [subject, id] => (subject, None, id),
        [subject, queue, id] => (subject, Some(queue), id),
        _ => return None,
    };
    is_subject(subject).then_some(Line::Subscribe { subject, queue, id })
}

fn unsubscribe(rest: &[u8]) -> Option<Line<'_>> {
    let (words, count) = words::<2>(rest)?;
    match words[..count] {
        [id] => Some(Line::Unsubscribe { id, later: false }),
        [id, most] => Some(Line::Unsubscribe {
            id,
            later: number(most)? > 0,
        }),
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let mut number = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(digit - b'0');
    }
    (number <= PAYLOAD_MAX).then_some(number)
}

/// Tokens between dots, none of them empty.
fn is_subject(subject: &[u8]) -> bool {
    let mut tokens = subject.split(|byte| *byte == b'.');
    tokens.all(|token| !token.is_empty() && token.iter().all(|byte| *byte > b' ' && *byte != 0x7f))
}

impl Message<'_> {
    /// Bytes after the line.
    pub(super) const fn length(&self) -> u64 {
        self.size + 2
    }
}

/// Whether a client asks in its options (a JSON object) that all it says is confirmed.
pub(super) fn is_verbose(options: &[u8]) -> bool {
    const NAME: &[u8] = b"\"verbose\"";
    let Some(at) = memmem::find(options, NAME) else {
        return false;
    };
    let value = options[at + NAME.len()..].trim_ascii_start();
    let value = value.strip_prefix(b":").unwrap_or_default();
    value.trim_ascii_start().starts_with(b"true")
}

/// Whether a chunk begins with a frame, for want of better knowledge: a whole message, or one whose end
/// is where it must be.
pub(super) fn is_sure(bytes: &[u8], length: u64) -> bool {
    let seen = &bytes[..bytes.len().min(LINE_MAX)];
    let Some((line, end)) = parse(seen) else {
        return false;
    };
    let message = match line {
        Line::Publish(message) | Line::Deliver(message, _) => message,
        // Only with what every server and client says about itself.
        Line::Info(text) => return text.starts_with(b"{\"server_id\""),
        Line::Connect(text) => return text.starts_with(b"{\"verbose\"") && has(text, b"\"lang\""),
        _ => return false,
    };
    // What is left of `HPUB` and `HMSG` would take a size for a subject.
    let is_number = |word: &[u8]| word.iter().all(u8::is_ascii_digit);
    if message.headers == 0 && message.reply.is_some_and(is_number) {
        return false;
    }
    let whole = end as u64 + message.length();
    let at = usize::try_from(whole).unwrap_or(usize::MAX);
    match bytes.get(at - 2..at) {
        Some(mark) => mark == b"\r\n" && (length == whole || may_begin(&bytes[at..])),
        None => length == whole,
    }
}

fn has(text: &[u8], part: &[u8]) -> bool {
    memmem::find(text, part).is_some()
}

/// Whether bytes are NATS's. The server speaks first.
pub(super) fn likeness(sample: &Sample<'_>) -> Likeness {
    if !sample.from_start {
        return match is_sure(sample.bytes, sample.length) {
            true => Likeness::Yes,
            false => Likeness::No,
        };
    }
    let bytes = sample.bytes;
    for start in [&b"INFO {"[..], b"CONNECT {"] {
        let seen = bytes.len().min(start.len());
        if bytes[..seen].eq_ignore_ascii_case(&start[..seen]) {
            return match seen == start.len() {
                true => Likeness::Yes,
                false => Likeness::Perhaps,
            };
        }
    }
    Likeness::No
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Direction;

    #[test]
    fn lines() {
        let message = |subject, reply, headers, size| Message {
            subject,
            reply,
            headers,
            size,
        };
        let cases: [(&[u8], Option<Line<'_>>); 18] = [
            (b"PING\r\n", Some(Line::Ping)),
            (b"ping\r\n", Some(Line::Ping)),
            (b"PING x\r\n", None),
            (b"PING\n", None),
            (
                b"PUB a.b  5\r\n",
                Some(Line::Publish(message(b"a.b", None, 0, 5))),
            ),
            (
                b"pub a r\t5\r\n",
                Some(Line::Publish(message(b"a", Some(b"r"), 0, 5))),
            ),
            (b"PUB a b c 5\r\n", None),
            (b"PUB a -5\r\n", None),
            (b"PUB 5\r\n", None),
            (b"PUB a..b 5\r\n", None),
            (
                b"HPUB a 12 20\r\n",
                Some(Line::Publish(message(b"a", None, 12, 20))),
            ),
            (b"HPUB a 21 20\r\n", None),
            (
                b"HMSG a 7 r 12 20\r\n",
                Some(Line::Deliver(message(b"a", Some(b"r"), 12, 20), b"7")),
            ),
            (b"MSG a 99999999999\r\n", None),
            (
                b"SUB a q 1\r\n",
                Some(Line::Subscribe {
                    subject: b"a",
                    queue: Some(b"q"),
                    id: b"1",
                }),
            ),
            (
                b"UNSUB 1 5\r\n",
                Some(Line::Unsubscribe {
                    id: b"1",
                    later: true,
                }),
            ),
            (b"-ERR 'Stale'\r\n", Some(Line::Error(b"'Stale'"))),
            (b"RS+ a b\r\n", None),
        ];
        for (bytes, expected) in cases {
            let found = parse(bytes).map(|(line, _)| line);
            assert_eq!(found, expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn first_bytes() {
        use Likeness::{No, Perhaps, Yes};
        let table: [(&[u8], Likeness, Likeness); 19] = [
            (b"", Perhaps, No),
            (b"INF", Perhaps, No),
            (b"INFO {\"server_id\":\"x\"", Yes, No),
            (b"INFO {\"server_id\":\"x\"}\r\n", Yes, Yes),
            (b"CONNECT {\"verbose\":false", Yes, No),
            (b"INFO\r\n", No, No),
            (b"CONNECT a:443 HTTP/1.1\r\n", No, No),
            (b"PING\r\n", No, No),
            (b"PUB a 5\r\nhello\r\n", No, Yes),
            (b"PUB a 5\r\nhello\r\nPING\r\n", No, Yes),
            (b"PUB a 5\r\nhello\r\nxyz", No, No),
            (b"PUB a 5\r\nhe", No, No),
            (b"PUB a 12 17\r\nNATS/1.0\r\n\r\nhello\r\n", No, No),
            (b"HPUB a 12 17\r\nNATS/1.0\r\n\r\nhello\r\n", No, Yes),
            (b"MSG a 1 5\r\nhello\r\n", No, Yes),
            (b"PUBLISH a hello\r\n", No, No),
            (b"SUB a 1\r\n", No, No),
            (b"GET / HTTP/1.1\r\n", No, No),
            (b"\x16\x03\x01\x02\0", No, No),
        ];
        for (bytes, start, later) in table {
            for (from_start, expected) in [(true, start), (false, later)] {
                let found = likeness(&Sample {
                    direction: Direction::Received,
                    sender: None,
                    from_start,
                    bytes,
                    length: bytes.len() as u64,
                });
                assert_eq!(found, expected, "{from_start} {}", bytes.escape_ascii());
            }
        }
    }
}
