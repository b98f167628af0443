//! One DNS message (RFC 1035, section 4): its header, its question, and the frame of its records.
//!
//! Names are never followed through compression pointers: the question's name has none, because
//! nothing stands before it, and those of the records only have to be stepped over.

use std::fmt::Write as _;

/// Length of the header.
pub(super) const HEADER: usize = 12;
/// The shortest message with a question: for the root.
pub(super) const SHORTEST: usize = HEADER + 5;
/// Longest name on the wire (RFC 1035, section 2.3.4).
const NAME_MAX: usize = 255;
/// Longest label.
const LABEL_MAX: usize = 63;
/// Records that are stepped through; the rest is taken on trust.
const RECORDS_MAX: usize = 512;
/// The pseudo-record of EDNS, whose TTL holds more bits of the response code (RFC 6891, section 6.1.3).
const OPT: u16 = 41;

/// Where header flags are in the second word.
mod flag {
    pub(super) const RESPONSE: u16 = 1 << 15;
    pub(super) const OPCODE: u16 = 0xf << 11;
    pub(super) const AUTHORITATIVE: u16 = 1 << 10;
    pub(super) const TRUNCATED: u16 = 1 << 9;
    pub(super) const RECURSION_DESIRED: u16 = 1 << 8;
    pub(super) const RECURSION_AVAILABLE: u16 = 1 << 7;
    /// Reserved.
    pub(super) const ZERO: u16 = 1 << 6;
    pub(super) const CODE: u16 = 0xf;
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question<'a> {
    /// The name on the wire, with its last empty label.
    pub(super) name: &'a [u8],
    /// The record type.
    pub(super) kind: u16,
    pub(super) class: u16,
}

/// A message with opcode QUERY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) id: u16,
    flags: u16,
    /// Question, answer, authority and additional records.
    counts: [u16; 4],
    pub(super) question: Option<Question<'a>>,
    /// The response code, with the bits from EDNS.
    pub(super) code: u16,
}

impl<'a> Message<'a> {
    /// Reads a message of `length` bytes of which `bytes` were captured. `None` if it is none, or not
    /// a query and no answer to one, or if its question was not captured.
    pub(super) fn of(bytes: &'a [u8], length: usize) -> Option<Self> {
        let bytes = &bytes[..bytes.len().min(length)];
        let mut reader = Reader { bytes, at: 0 };
        let (id, flags) = (reader.word()?, reader.word()?);
        let counts = [
            reader.word()?,
            reader.word()?,
            reader.word()?,
            reader.word()?,
        ];
        if flags & (flag::OPCODE | flag::ZERO) != 0 || counts[0] > 1 {
            return None;
        }
        let question = match counts[0] {
            0 => None,
            _ => Some(Question {
                name: reader.plain_name()?,
                kind: reader.word()?,
                class: reader.word()?,
            }),
        };
        let mut message = Self {
            id,
            flags,
            counts,
            question,
            code: flags & flag::CODE,
        };
        let records: usize = counts[1..].iter().map(|&count| usize::from(count)).sum();
        for _ in 0..records.min(RECORDS_MAX) {
            match reader.record(length) {
                Step::Record { kind: OPT, ttl } => message.code |= ((ttl >> 24) as u16) << 4,
                Step::Record { .. } => {}
                Step::Unseen => return Some(message),
                // What did not fit was left out, by some in the middle of a record.
                Step::Nonsense if message.is_truncated() => return Some(message),
                Step::Nonsense => return None,
            }
        }
        let fits = reader.at == length || records > RECORDS_MAX || message.is_truncated();
        fits.then_some(message)
    }

    /// It answers; else it asks.
    pub(super) const fn is_response(&self) -> bool {
        self.flags & flag::RESPONSE != 0
    }

    /// Not all of the answer fits.
    pub(super) const fn is_truncated(&self) -> bool {
        self.flags & flag::TRUNCATED != 0
    }

    /// Whether hardly anything but DNS can look like this.
    pub(super) fn is_likely(&self) -> bool {
        let Some(question) = &self.question else {
            return false;
        };
        let [_, answers, authorities, more] = self.counts;
        // The zone's present state goes with the question for an incremental transfer.
        let most = u16::from(question.kind == 251);
        let is_question = self.flags & (flag::AUTHORITATIVE | flag::TRUNCATED) == 0
            && self.flags & (flag::RECURSION_AVAILABLE | flag::CODE) == 0
            && answers == 0
            && authorities <= most
            && more <= 2;
        // Multicast DNS has no use for these (RFC 6762, section 18).
        let is_unicast = self.id != 0 || self.flags & flag::RECURSION_DESIRED != 0;
        (self.is_response() || is_question) && is_unicast && question.is_likely()
    }
}

impl Question<'_> {
    fn is_likely(&self) -> bool {
        // Internet, Chaos, any.
        let class = matches!(self.class, 1 | 3 | 255);
        let kind = matches!(self.kind, 1..=31 | 33..=260 | 32768 | 32769);
        let mut labels = self.labels();
        let text = self
            .labels()
            .all(|label| label.iter().all(u8::is_ascii_graphic));
        // NetBIOS's name service has the same frame; its names are half bytes as letters (RFC 1001,
        // section 14.1).
        let netbios = labels.next().is_some_and(|label| {
            label.len() == 32 && label.iter().all(|byte| matches!(byte, b'A'..=b'P'))
        });
        class && kind && text && !netbios
    }

    fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.name;
        std::iter::from_fn(move || {
            let (&length, after) = rest.split_first()?;
            let (label, after) = after.split_at_checked(length.into())?;
            rest = after;
            (!label.is_empty()).then_some(label)
        })
    }
}

/// A name as text, as the OpenTelemetry conventions want it (`dns.question.name`): what is not
/// printable is escaped. At most 255 bytes.
pub(super) fn text_of(name: &[u8]) -> String {
    let question = Question {
        name,
        kind: 0,
        class: 0,
    };
    let mut text = String::with_capacity(name.len());
    for label in question.labels() {
        if !text.is_empty() {
            text.push('.');
        }
        for &byte in label {
            match byte {
                b'\t' => text.push_str("\\t"),
                b'\r' => text.push_str("\\r"),
                b'\n' => text.push_str("\\n"),
                // A dot inside of a label is no border (RFC 1035, section 5.1).
                b'\\' | b'"' | b'\'' | b'.' => text.extend(['\\', char::from(byte)]),
                0x20..=0x7e => text.push(char::from(byte)),
                // Writing to memory does not fail.
                _ => drop(write!(text, "\\{byte:03}")),
            }
        }
    }
    if text.is_empty() {
        text.push('.');
    }
    text.truncate(NAME_MAX);
    text
}

/// What stepping over a record comes to.
enum Step {
    Record {
        kind: u16,
        ttl: u32,
    },
    /// It was not captured.
    Unseen,
    /// It reaches beyond the message's end.
    Nonsense,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..)?.get(..count)?;
        self.at += count;
        Some(taken)
    }

    fn word(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A name without pointers.
    fn plain_name(&mut self) -> Option<&'a [u8]> {
        let from = self.at;
        loop {
            let length = usize::from(self.take(1)?[0]);
            if length > LABEL_MAX {
                return None;
            }
            self.take(length)?;
            if self.at - from > NAME_MAX {
                return None;
            }
            if length == 0 {
                return Some(&self.bytes[from..self.at]);
            }
        }
    }

    /// Steps over a name. Each label moves on, so this ends with the message.
    fn pass_name(&mut self) -> Option<()> {
        loop {
            match self.take(1)?[0] {
                0 => return Some(()),
                length @ 1..=63 => drop(self.take(length.into())?),
                // A pointer ends it.
                0xc0.. => return self.take(1).map(drop),
                _ => return None,
            }
        }
    }

    fn record(&mut self, length: usize) -> Step {
        // What the reader cannot find lies behind the captured bytes, if there are such.
        let missing = match self.bytes.len() < length {
            true => Step::Unseen,
            false => Step::Nonsense,
        };
        let Some(head) = self.pass_name().and_then(|()| self.take(10)) else {
            return missing;
        };
        let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        self.at += usize::from(word(8));
        if self.at > length {
            return Step::Nonsense;
        }
        Step::Record {
            kind: word(0),
            ttl: u32::from(word(4)) << 16 | u32::from(word(6)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_text() {
        for (name, text) in [
            (&b"\0"[..], "."),
            (b"\x03www\x07example\0", "www.example"),
            (b"\x05a.b\\c\0", "a\\.b\\\\c"),
            (b"\x03a\t\xe4\0", "a\\t\\228"),
        ] {
            assert_eq!(text_of(name), text);
        }
        let long = [[63; 64]; 4].concat();
        assert_eq!(text_of(&long).len(), NAME_MAX);
    }

    #[test]
    fn codes_of_edns() {
        // BADVERS: 0 in the header, 1 in the record.
        let bytes = b"\0\x01\x80\0\0\x01\0\0\0\0\0\x01\0\0\x01\0\x01\0\0\x29\x04\xd0\x01\0\0\0\0\0";
        let message = Message::of(bytes, bytes.len()).unwrap();
        assert_eq!(message.code, 16);
        assert!(message.is_likely());
        // Its record's end was not captured.
        let message = Message::of(&bytes[..20], bytes.len()).unwrap();
        assert_eq!(message.code, 0);
        assert_eq!(Message::of(&bytes[..20], 20), None);
        assert_eq!(Message::of(&bytes[..14], bytes.len()), None);
    }
}
